"""Metrics as tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from rnn_tasks.training import lengths
from rnn_tasks.training.intervals import Summary, counted, hundredths, summarize

SPLITS = {"train": "training", "val": "validation", "test": "test"}
MOST_ROWS = 50  # of lengths, or of replicates with errors; --json has all


@dataclass(frozen=True)
class Row:
    """What a table shows of a split, a length or a run, each metric over its replicates; None if all have failed.

    Attributes:
        name: the first cell.
        sequences: how many were measured, None where an older version did not note it.
        whole: whether each sequence has a single answer, so that the exact match is the accuracy.
        loss, accuracy: of single answers.
        exact_match: the share of sequences all of whose answers are right.
        calibration_error: None where it was not measured.
    """

    name: str
    sequences: int | None
    whole: bool
    loss: Summary | None
    accuracy: Summary | None
    exact_match: Summary | None
    calibration_error: Summary | None = None

    @classmethod
    def of(cls, name: str, metrics: dict[str, Any]) -> Row:
        """Return a row of metrics as result.json has them."""
        return cls(
            name,
            metrics.get("n"),
            _whole(metrics),
            _summary(metrics["loss"]),
            _summary(metrics["accuracy"]),
            _summary(metrics["sequence_accuracy"]),
            _summary(metrics.get("calibration_error", [None])),
        )

    @property
    def several(self) -> bool:
        """Whether there are several replicates."""
        return self.accuracy is not None and self.accuracy.count > 1


def _whole(metrics: dict[str, Any]) -> bool:
    if "answers" in metrics:
        return metrics["answers"] == metrics["n"]
    return metrics["accuracy"] == metrics["sequence_accuracy"]


def _summary(numbers: list[float | None]) -> Summary | None:
    return None if all(number is None for number in numbers) else summarize(numbers)


def percent(share: Summary | None, best: bool = False) -> str:
    """Return a share as text: the mean, of several replicates with its 95 % interval.

    Args:
        share: None if all replicates have failed.
        best: add the best replicate.

    >>> percent(summarize([0.5]))
    '50.00%'
    """
    if share is None:
        return "failed"
    if share.count == 1:
        return f"{hundredths(share.mean)}%"
    low, high = map(hundredths, share.within)
    text = f"{hundredths(share.mean)}% [{low}, {high}]"
    return f"{text}, best {hundredths(share.most)}" if best else text


def _most(share: Summary | None) -> str:
    return f"{hundredths(share.most)}%" if share else ""


def count_perfect(share: Summary | None) -> str:
    """Return how many replicates have a share of 100 %, and how many have failed."""
    if share is None:
        return ""
    return f"{share.perfect} of {share.count}" + (f" ({share.failed} failed)" if share.failed else "")


def table(metrics: dict[str, dict[str, Any]], style: str = "simple") -> str:
    """Return a table with a row for each of several metrics.

    Args:
        metrics: as result.json has them, by the names of the rows.
        style: one of tabulate's.
    """
    rows = [Row.of(name, values) for name, values in metrics.items()]
    several = any(row.several for row in rows)
    columns: dict[str, Callable[[Row], str]] = {
        "": lambda row: row.name,
        "sequences": lambda row: "" if row.sequences is None else f"{row.sequences:,}",
        "loss": lambda row: "failed" if row.loss is None else f"{row.loss.mean:.3g}",
        "accuracy": lambda row: percent(row.accuracy),
    }
    if several:
        columns["accuracy best"] = lambda row: _most(row.accuracy)
    if not all(row.whole for row in rows):
        columns["exact match"] = lambda row: percent(row.exact_match)
        if several:
            columns["exact match best"] = lambda row: _most(row.exact_match)
    if any(row.calibration_error for row in rows):
        columns["calibration error"] = lambda row: f"{row.calibration_error.mean:.2%}" if row.calibration_error else ""
    if several:
        columns["at 100 %"] = lambda row: count_perfect(row.exact_match)
    cells = [[text(row) for text in columns.values()] for row in rows]
    alignment = ("left", *("right",) * (len(columns) - 1))
    return tabulate(cells, headers=list(columns), tablefmt=style, disable_numparse=True, colalign=alignment)


def metrics_table(metrics: dict[str, Any]) -> str:
    """Return the test metrics as a table, the accuracy of guessing, and what they tell of length generalization.

    The table has a row for each length, or for each block of many lengths.
    """
    by_length = metrics["by_length"] if len(metrics["by_length"]) > 1 else {}
    shown = by_length if len(by_length) <= MOST_ROWS else lengths.blocks(by_length)
    rows = {f"length {length}": values for length, values in shown.items()}
    text = f"{table(rows | {'all': metrics})}\n{', '.join(_guesses(metrics))}"
    return f"{text}\n{length_generalization(by_length)}" if by_length else text


def _guesses(metrics: dict[str, Any]) -> list[str]:
    """Return the accuracy of guessing and, where it is known, how much the loss is above the best possible one."""
    notes, loss = [f"chance {metrics['chance']:.2%}"], _summary(metrics["loss"])
    if loss and metrics.get("best_loss") is not None:
        notes.append(f"above the best possible: {(loss.mean - metrics['best_loss']) / math.log(2):.4f} bits")
    return notes


def length_generalization(by_length: dict[str, dict[str, Any]]) -> str:
    """Return the mean over several lengths, how many replicates are right at all, and which err at which length first.

    Args:
        by_length: the metrics at each length.
    """
    means, errors = lengths.mean_over_lengths(by_length), lengths.first_errors(by_length)
    lines = [f"mean accuracy over {len(by_length)} lengths: {percent(_summary(means), best=True)}"]
    if len(errors) == 1:
        return f"{lines[0]}\nfirst error at length: {errors[0] or 'none'}"
    curve = lengths.survival(by_length)
    low, high = map(hundredths, curve.intervals[-1])
    lines.append(
        f"without an error: {curve.right[-1]} of {curve.replicates} replicates,"
        f" {hundredths(curve.shares[-1])}% [{low}, {high}]"
    )
    lines.append(f"median of the first error: {curve.described_median}")
    wrong = [replicate for replicate, error in enumerate(errors) if error is not None]
    if len(wrong) > MOST_ROWS:
        lines.append(f"{len(wrong)} replicates with errors: --json lists them")
    elif wrong:
        lines.append(f"\n{_replicates_table(by_length, wrong)}")
    return "\n".join(lines)


def _replicates_table(by_length: dict[str, dict[str, Any]], replicates: list[int]) -> str:
    """Return a table of some replicates: their mean over the lengths, first error, and exact match at the greatest."""
    means, errors = lengths.mean_over_lengths(by_length), lengths.first_errors(by_length)
    greatest = max(by_length, key=int)
    heads = ("replicate", "mean over lengths", "first error at length", f"exact match at {greatest}")
    rows = []
    for replicate in replicates:
        shares = means[replicate], by_length[greatest]["sequence_accuracy"][replicate]
        mean, match = ("failed" if share is None else f"{hundredths(share)}%" for share in shares)
        rows.append((str(replicate), mean, "failed" if shares[0] is None else str(errors[replicate]), match))
    return tabulate(rows, headers=heads, disable_numparse=True, colalign=("right",) * len(heads))


def print_result(result: dict[str, Any], run: Path) -> None:
    """Print the metrics of a run, a split a row, and its directory."""
    metrics = {name: result["metrics"][split] for split, name in SPLITS.items() if split in result["metrics"]}
    test = result["metrics"].get("test")
    notes = _guesses(test) if test else []
    replicates = result["replicates"]
    each = f", each of {replicates} replicates" if replicates > 1 else ""
    notes += [counted(result["parameters"], "parameter") + each, counted(round(result["seconds"]), "second")]
    print(f"{table(metrics)}\n{', '.join(notes)}\n{run}", flush=True)
