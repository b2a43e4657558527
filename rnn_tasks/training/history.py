"""history.csv: losses and accuracies of training and validation, a row for each epoch and replicate.

Rows count epochs from 1 and replicates from 0; in the history of a checkpoint epochs count from 0, as in Lightning.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO
from math import isfinite, isnan, nan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rnn_tasks.errors import UserError
from rnn_tasks.files import read_text, write_atomically
from rnn_tasks.training import KINDS

PLACE = ("epoch", "replicate")
COLUMNS = [*PLACE, *(f"{split}_{kind}" for split in ("train", "val") for kind in KINDS)]
HISTORY = "history.csv"
LARGEST = 1 << 30  # bytes
LONGEST_ROWS = 1 << 10  # bytes of two rows, or more

Row = dict[str, Any]


def epoch_rows(epoch: int, metrics: dict[str, dict[str, list[float | None]]], replicates: Iterable[int]) -> Tensor:
    """Return a row for each of some replicates, [N, columns] in float64; NaN stands where nothing was measured.

    Args:
        epoch: counted from 0.
        metrics: by split and kind, a number for each replicate; a split that was not measured is empty.
        replicates: their numbers.
    """
    empty: dict[str, list[float | None]] = {}
    columns = [metrics.get(split, empty).get(kind) for split in ("train", "val") for kind in KINDS]
    rows = [[epoch, number, *(_number(column, number) for column in columns)] for number in replicates]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, len(COLUMNS))


def _number(column: list[float | None] | None, replicate: int) -> float:
    value = None if column is None else column[replicate]
    return nan if value is None else value


def as_rows(history: Tensor) -> list[Row]:
    """Return the rows of a history [N, columns], each without what was not measured."""
    named = (dict(zip(COLUMNS, row, strict=True)) for row in history.tolist())
    measured = ({key: value for key, value in row.items() if not isnan(value)} for row in named)
    return [row | {"epoch": int(row["epoch"]) + 1, "replicate": int(row["replicate"])} for row in measured]


def append_history(path: Path, rows: list[Row]) -> None:
    """Add rows to history.csv."""
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.DictWriter(file, COLUMNS).writerows(rows)


def write_history(path: Path, rows: list[Row]) -> None:
    """Write history.csv anew, atomically."""
    text = StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def read_history(path: Path) -> list[Row]:
    """Return the rows of history.csv, numbers as numbers; a row that a kill cut short is left out.

    Raises:
        UserError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        table = csv.DictReader(StringIO(read_text(path, LARGEST), newline=""))
        rows = [_parsed(row) for row in table if None not in row.values()]
    except (ValueError, OSError, csv.Error) as error:
        raise UserError(f"{path}: is damaged ({error}); resume={path.parent} writes it again") from None
    if rows and rows[0]["epoch"] == 0:  # of a version that counted from 0
        return [row | {"epoch": row["epoch"] + 1} for row in rows]
    return rows


def epochs_done(path: Path) -> int:
    """Return how many epochs history.csv tells of, by its last whole row; 0 without one.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
    """
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LONGEST_ROWS))
        *lines, _ = file.read().split(b"\n")
    last = lines[-1].split(b",")[0] if len(lines) > 1 else b"0"
    return int(last) if last.isdigit() else 0


def _parsed(row: dict[str, str]) -> Row:
    if set(row) != set(COLUMNS):
        raise ValueError(f"its columns must be {', '.join(COLUMNS)}")
    place = {key: int(row[key]) for key in PLACE}
    numbers = {key: float(text) for key, text in row.items() if text and key not in PLACE}
    if min(place.values()) < 0 or not all(map(isfinite, numbers.values())):
        raise ValueError("a number is negative or not finite")
    return place | numbers
