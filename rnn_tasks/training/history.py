"""history.csv: losses and accuracies of training and validation, a row for each epoch and replicate."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from typing import Any

from rnn_tasks.files import write_atomically
from rnn_tasks.training.metrics import KINDS

COLUMNS = ["epoch", "replicate", *(f"{split}_{kind}" for split in ("train", "val") for kind in KINDS)]

Row = dict[str, Any]


def epoch_rows(epoch: int, metrics: dict[str, dict[str, list[float | None]]], replicates: Iterable[int]) -> list[Row]:
    """Return a row for each of some replicates.

    Args:
        epoch: counted from 0.
        metrics: by split and kind, a number for each replicate; a split that was not measured is empty.
        replicates: their numbers.
    """
    kinds = [(split, kind) for split, values in metrics.items() for kind in KINDS if kind in values]
    return [
        {"epoch": epoch, "replicate": number}
        | {f"{split}_{kind}": metrics[split][kind][number] for split, kind in kinds}
        for number in replicates
    ]


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
    """Return the rows of history.csv, numbers as numbers; a row that a kill cut short is left out."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values()]
    return [{key: (int if key in COLUMNS[:2] else float)(text) for key, text in row.items() if text} for row in rows]
