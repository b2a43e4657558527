"""What tables and plots show of a sweep."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, TypeVar

from tabulate import tabulate

from rnn_tasks.config.naming import run_name
from rnn_tasks.errors import printable
from rnn_tasks.runs.sweeps import STATES, SweepRow

TITLES = {"accuracy": "accuracy", "sequence_accuracy": "exact match", "loss": "loss"}  # of columns
FEWEST_VALUES = 3  # of a number, for a plot over it

T = TypeVar("T")


def counted_states(rows: list[SweepRow]) -> str:
    """Return how many runs are in which state, like "6 runs: 4 done, 1 running, 1 failed"."""
    numbers = Counter(row.state for row in rows)
    states = ", ".join(f"{numbers[state]} {state}" for state in STATES if numbers[state])
    return f"{len(rows)} run{'s' * (len(rows) != 1)}: {states or 'none'}"


def sweep_table(rows: list[SweepRow], style: str) -> str:
    """Return the rows as a table in one of tabulate's styles.

    It leaves out the exact match where that is the accuracy in all rows, and else, with intervals, the accuracy in
    validation, which would make it too wide.
    """
    from rnn_tasks.runs.tables import count_perfect, percent

    splits = [split for row in rows for split in row.splits.values()]
    several = any(split.several for split in splits)
    parts = not all(split.whole for split in splits if split.name == "test")
    cells = []
    for row in rows:
        texts = {"run": printable(row.run)}
        for name, split in row.splits.items():
            if name == "test" or not (parts and several):
                texts[f"{name} accuracy"] = percent(split.accuracy, best=True)
            if parts:
                texts[f"{name} exact match"] = percent(split.exact_match, best=True)
            if several:
                texts[f"{name} at 100 %"] = count_perfect(split.exact_match)
        ended = {"state": str(row)} if row.seconds is None else {"seconds": f"{row.seconds:g}"}
        cells.append(texts | ended)
    return tabulate(cells, headers="keys", tablefmt=style, disable_numparse=True)


def csv_row(row: SweepRow) -> dict[str, Any]:
    """Return a row of summary.csv, numbers in full: means over the replicates that have not failed.

    A column for each key that was swept has its value. Of several replicates there are also the 95 % interval of a mean
    (low, high), the best, and how many are perfect.
    """
    cells: dict[str, Any] = {"run": row.run, **_cells(row.swept), "state": row.state, "note": row.note}
    for name, split in row.splits.items():
        for title, share in (("accuracy", split.accuracy), ("exact match", split.exact_match)):
            cells[f"{name} {title}"] = share and share.mean
            if share and split.several:
                low, high = share.within
                cells |= {f"{name} {title} low": low, f"{name} {title} high": high, f"{name} {title} best": share.most}
        if split.exact_match and split.several:
            cells |= {f"{name} at 100 %": split.exact_match.perfect, f"{name} replicates": split.exact_match.count}
        cells[f"{name} loss"] = split.loss and split.loss.mean
    return cells | {"seconds": row.seconds}


def network_rows(runs: list[SweepRow]) -> list[dict[str, Any]]:
    """Return the rows of networks.csv, one for each network of each finished run; a failed one has no numbers."""
    rows = []
    for run in runs:
        result = run.result or {"replicates": 0}
        for replicate in range(result["replicates"]):
            row = {"run": run.run, **_cells(run.swept), "replicate": replicate, "seed": result["seed"] + replicate}
            for split in ("test", "val"):
                metrics = result["metrics"].get(split, {})
                row |= {
                    f"{split} {title}": metrics[kind][replicate] for kind, title in TITLES.items() if kind in metrics
                }
            rows.append(row)
    return rows


def _cells(swept: dict[str, Any]) -> dict[str, Any]:
    """Return the values of swept keys as cells of a table: lists and mappings as JSON."""
    return {key: json.dumps(value) if isinstance(value, list | dict) else value for key, value in swept.items()}


def by_number(values: dict[str, T], swept: dict[str, dict[str, Any]]) -> tuple[str, dict[str, dict[float, T]]]:
    """Arrange values of runs for a plot over the number that was swept most, a line for each choice of all else.

    Args:
        values: of any kind, by the names of runs.
        swept: what each run has for itself, by its name.

    Returns:
        The key of the number and, by the names of the lines, the values at each of its settings, in order; an empty
        key and no lines if no number has three settings.
    """
    settings: dict[str, set[float]] = {}
    for name in values:
        for key, value in swept[name].items():
            if type(value) in (int, float):
                settings.setdefault(key, set()).add(float(value))
    settings.pop("seed", None)  # is no quantity
    key = max(settings, key=lambda key: len(settings[key]), default="")
    every = all(type(swept[name].get(key)) in (int, float) for name in values)
    if not key or len(settings[key]) < FEWEST_VALUES or not every:
        return "", {}
    lines: dict[str, dict[float, T]] = {}
    for name, value in values.items():
        rest = {other: choice for other, choice in swept[name].items() if other != key}
        lines.setdefault(run_name(rest) if rest else "", {})[float(swept[name][key])] = value
    return key, {name: dict(sorted(points.items())) for name, points in lines.items()}
