"""Cross-validation: the metrics of each fold, their mean, and those of all sequences together."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from rnn_tasks.runs.settings import Setting, settings_of
from rnn_tasks.runs.solving import Network
from rnn_tasks.runs.sweeps import SweepRow
from rnn_tasks.runs.tables import MOST_ROWS, table
from rnn_tasks.training import KINDS

Metrics = dict[str, Any]  # as result.json has them

NOTE = """\
mean of folds: 95 % interval over folds; their training sets overlap, so it may be too narrow (Bengio, Grandvalet 2004)
all sequences: each is in the test of one fold; 95 % interval over seeds, where there are several"""


def fold_table(rows: Sequence[SweepRow], style: str = "simple") -> str:
    """Return a table with the test of each fold, the mean of the folds and all sequences, and a note on the intervals.

    Of several settings each has its rows, and where these are many only the last two. The text is empty if there are
    no two finished folds of a setting.

    Args:
        rows: the runs of a sweep.
        style: one of tabulate's.
    """
    metrics = {
        f"{setting.name}, {name}" if setting.choices else name: values
        for setting in settings_of(rows)
        for name, values in fold_metrics(setting).items()
    }
    if len(metrics) > MOST_ROWS:
        metrics = {name: values for name, values in metrics.items() if "fold" not in values}
    return f"{table(metrics, style)}\n{NOTE}" if metrics else ""


def fold_metrics(setting: Setting) -> dict[str, Metrics]:
    """Return the test metrics of each finished fold of a setting, of their mean, and of all sequences.

    A metric of a fold has a number for each network; of the mean, one for each fold; of all sequences, one for each
    seed that every fold has: its networks answer each sequence once, and none has been trained on what it answers. A
    network that has failed has None. Unless all folds have finished, all sequences are left out. Nothing is returned
    if fewer than two folds have finished.
    """
    folds: dict[int, Metrics] = {}
    total = 0
    for row in setting.finished:
        fold = row.networks[0].fold if row.networks else None
        if fold is None or row.result is None or "test" not in row.result["metrics"]:
            continue
        total, test = row.result["config"]["task"]["folds"], row.result["metrics"]["test"]
        networks = [each for each in setting.networks if each.fold == fold and "test" in each.metrics]
        values = {kind: [each.metrics["test"][kind] for each in networks] for kind in KINDS}
        folds[fold] = {"fold": fold, "n": test["n"], "answers": test.get("answers", test["n"])} | values
    if len(folds) < 2:
        return {}
    count, named = len(folds), {f"fold {fold}": folds[fold] for fold in sorted(folds)}
    if count < total:
        return named | {f"mean of {count} of {total} folds": _mean(list(folds.values()))}
    return named | {
        f"mean of {count} folds": _mean(list(folds.values())),
        "all sequences": _all(folds, setting.networks),
    }


def _mean(folds: Sequence[Metrics]) -> Metrics:
    """Return the mean of each fold over its networks that have not failed."""
    valid = [{kind: [each for each in fold[kind] if each is not None] for kind in KINDS} for fold in folds]
    return {kind: [fmean(fold[kind]) if fold[kind] else None for fold in valid] for kind in KINDS}


def _all(folds: dict[int, Metrics], networks: Sequence[Network]) -> Metrics:
    """Return the metrics of all sequences, for each seed that every fold has."""
    tests = {(each.seed, each.fold): each.metrics["test"] for each in networks if "test" in each.metrics}
    seeds = [seed for seed in sorted({each.seed for each in networks}) if all((seed, fold) in tests for fold in folds)]
    pooled: Metrics = {size: sum(fold[size] for fold in folds.values()) for size in ("n", "answers")}
    for kind in KINDS:
        size = "n" if kind == "sequence_accuracy" else "answers"
        pooled[kind] = []
        for seed in seeds:
            values = [(tests[seed, fold][kind], folds[fold][size]) for fold in folds]
            failed = any(value is None for value, _ in values)
            pooled[kind].append(
                None if failed else sum(value * weight for value, weight in values) / max(1, pooled[size])
            )
    return pooled
