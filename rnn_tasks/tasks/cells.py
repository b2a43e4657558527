"""Inputs and answers of a file as people write them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rnn_tasks.errors import printable
from rnn_tasks.tasks import tables
from rnn_tasks.tasks.columns import Column, Mode
from rnn_tasks.tasks.description import Description, Feature
from rnn_tasks.tasks.preparation import encoded
from rnn_tasks.tasks.roles import Roles
from rnn_tasks.tasks.sequences import sequences

DECIMALS = range(18)  # tried in turn until a number is read again as the same input
BETWEEN = r';(?=(?:[^"]*"[^"]*")*[^"]*$)'  # steps, not in quotes


def read_inputs(path: Path, known: Description, fill: bool) -> list[tuple[str | None, Tensor]]:
    """Return the name and the inputs [T, D] of each sequence of a file; targets are not looked at.

    Args:
        path: of the file.
        known: what its columns must be.
        fill: allow empty cells.

    Raises:
        UserError: a column is missing, or the file cannot be read.
    """
    step = known.step if known.step in tables.header(path) else None
    roles = Roles(known.sequence, step, tuple(feature.name for feature in known.inputs))
    roles.require_columns(path, tables.header(path))
    kinds: dict[str, Mode] = {
        feature.name: "number" if feature.categories is None else "text" for feature in known.inputs
    }
    table = tables.read(path, roles.modes() | kinds)
    tables.release()
    found = sequences(table, roles)
    (inputs,) = encoded(table, known.inputs, [found], fill)
    lengths = found.lengths.tolist()
    return [(str(name), each[:length]) for name, each, length in zip(found.names, inputs, lengths, strict=True)]


def parsed_inputs(text: str, features: Sequence[Feature], example: str) -> Tensor:
    """Return the inputs [T, D] of steps apart by semicolons, of cells apart by commas.

    Raises:
        ValueError: a step has another number of cells, or a cell is no number and must be one.
    """
    steps = re.split(BETWEEN, text) if '"' in text else text.split(";")
    rows = [next(csv.reader([step.strip()]), []) for step in steps]
    if not text.strip() or any(len(row) != len(features) for row in rows):
        names = ",".join(feature.name for feature in features)
        raise ValueError(f"{printable(text)!r}: must be steps of {names}, like {printable(example)!r}")
    parts = []
    for feature, cells in zip(features, zip(*rows, strict=True), strict=True):
        if feature.categories is None:
            column = Column(feature.name, np.array([_number(feature.name, cell) for cell in cells]))
        else:
            column = Column(feature.name, np.arange(len(cells)), [cell.strip() for cell in cells])
        parts.append(feature.encode(column))
    return torch.from_numpy(np.concatenate(parts, 1).astype(np.float32))


def _number(name: str, cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"{cell.strip()!r}: is no number, and {name} must be one")
    return number


def written_inputs(inputs: Tensor, features: Sequence[Feature]) -> str:
    """Return inputs [T, D] in the units and texts of the file, as ``parsed_inputs`` reads them."""
    columns, start = [], 0
    for feature in features:
        part = inputs[:, start : start + feature.size].numpy()
        columns.append([_cell(row, feature) for row in part])
        start += feature.size
    return "; ".join(map(joined, zip(*columns, strict=True)))


def _cell(values: np.ndarray, feature: Feature) -> str:
    """Return a cell from the numbers that it became; a category that is not known, or missing, is empty."""
    if feature.categories is not None:
        return feature.categories[int(values.argmax())] if values.any() else ""
    return _shortest(float(values[0]), feature)


def _shortest(value: float, feature: Feature) -> str:
    """Return a number in the units of its column, with as few digits as give the same input again."""
    number = value * feature.std + feature.mean
    texts = (f"{number:.{decimals}f}" for decimals in DECIMALS)
    same = (text for text in texts if np.float32((float(text) - feature.mean) / feature.std) == np.float32(value))
    text = next(same, f"{number:.17g}")
    return text if float(text) else "0"


def joined(cells: Sequence[str]) -> str:
    """Return the cells of a step in one line, in quotes where that is needed."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    text = line.getvalue()
    return text if ";" not in text else ",".join('"' + cell.replace('"', '""') + '"' for cell in cells)


def written_answer(answer: Tensor, known: Description) -> str:
    """Return an answer: names of classes, bits, or numbers in the units of the file.

    Args:
        answer: [] or [T], with a last axis C if it has parts.
        known: the targets.
    """
    if known.kind == "classes":
        return "; ".join(known.classes[int(number)] for number in answer.flatten().tolist())
    rows = answer.double().reshape(-1, len(known.targets))
    if known.kind == "numbers":
        means, stds = ([getattr(each, name) for each in known.targets] for name in ("mean", "std"))
        rows = rows * torch.tensor(stds, dtype=torch.float64) + torch.tensor(means, dtype=torch.float64)
    return "; ".join(",".join(f"{number:.6g}" for number in row) for row in rows.tolist())
