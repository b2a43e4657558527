"""The difference between two settings, each of one or several runs, with its interval and a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from scipy import stats

from rnn_tasks import runs
from rnn_tasks.errors import UserError
from rnn_tasks.report.hypothesis_tests import (
    FEWEST,
    FEWEST_TO_PERMUTE,
    LEVEL,
    can_permute,
    paired_differences,
    paired_p_value,
    unpaired_p_value,
    varies,
)
from rnn_tasks.runs import sweeps
from rnn_tasks.runs.run import Run
from rnn_tasks.training import KINDS
from rnn_tasks.training.intervals import CONFIDENCE, Summary, interval, summarize

SPLITS = ("test", "val", "train")

Setting = Run | str | Path
Interval = tuple[float, float] | None  # None without any spread
BySeed = dict[int, float | None]  # a metric of each network, None for one that has failed


@dataclass(frozen=True)
class Comparison:
    """The difference of a metric between two settings, first - second.

    Attributes:
        metric: "accuracy", "sequence_accuracy" or "loss".
        split: "test", "val" or "train".
        first, second: the statistics of each setting over the networks that are compared.
        failed: how many networks of each setting have failed.
        effect: the difference of the two means.
        low, high: its 95 % interval; None without any spread.
        p: two-sided p value of no difference.
        pairs: number of pairs of networks with the same seed; 0 if the test is not paired.
        test: its name, and why it was taken.
        differing: keys of the task's configuration in which the settings differ.
    """

    metric: str
    split: str
    first: Summary
    second: Summary
    failed: tuple[int, int]
    effect: float
    low: float | None
    high: float | None
    p: float
    pairs: int
    test: str
    differing: tuple[str, ...]

    @property
    def differ(self) -> bool:
        """Whether the difference is significant at the level of 5 %."""
        return self.p < LEVEL


def compare(first: Setting, second: Setting, metric: str = "sequence_accuracy", split: str = "test") -> Comparison:
    """Compare two settings by a metric of their networks after the last epoch.

    Networks with the same seed begin with the same stream of random numbers and see their examples in the same order.
    Two settings with the same seeds are therefore compared in pairs, by a sign-flip permutation test, of 3 to 5 pairs
    by Student's t test; a network that has failed drops out with its partner. Settings with other seeds, or with fewer
    than 3 pairs left, are compared by a permutation test of all their networks that have not failed, of too few for it
    by Welch's t test. The interval of a paired difference is a bootstrap's, of fewer than 30 pairs Student's; else it
    is Welch's.

    Args:
        first, second: a run from ``train`` or ``load``, its directory or name, or the directory of a sweep over seeds.
        metric: "sequence_accuracy" (whole sequences), "accuracy" (single answers) or "loss".
        split: "test", "val" or "train".

    Raises:
        UserError: there is no such run, the runs are of different tasks, or there are too few networks.
    """
    for name, value, words in (("metric", metric, KINDS), ("split", split, SPLITS)):
        if value not in words:
            raise UserError(f"{name}={value}: must be {' or '.join(words)}")
    results = [_results(setting) for setting in (first, second)]
    numbers = [_by_seed(each, metric, split) for each in results]
    names = [each[0]["task"] for each in results]
    if names[0] != names[1]:
        raise UserError(f"{first} and {second}: are of different tasks, {names[0]} and {names[1]}; compare runs of one")
    tasks = [each[0]["config"]["task"] for each in results]
    differing = tuple(key for key in {**tasks[0], **tasks[1]} if tasks[0].get(key) != tasks[1].get(key))
    live = _live(numbers[0], first), _live(numbers[1], second)
    same_seeds = numbers[0].keys() == numbers[1].keys()
    shared = sorted(live[0].keys() & live[1].keys())
    if same_seeds and len(shared) >= FEWEST:
        pairs, samples = len(shared), [[each[seed] for seed in shared] for each in live]
        ends, p, test = _paired(*samples)
    else:
        pairs, samples = 0, [list(each.values()) for each in live]
        ends, p, test = _unpaired(*samples, same_seeds)
    one, other = (summarize(sample) for sample in samples)
    failed = len(numbers[0]) - len(live[0]), len(numbers[1]) - len(live[1])
    low, high = ends or (None, None)
    return Comparison(metric, split, one, other, failed, one.mean - other.mean, low, high, p, pairs, test, differing)


def _results(setting: Setting) -> list[dict[str, Any]]:
    """Return the results of the runs of a setting."""
    if isinstance(setting, Run):
        found = [setting.result]
    elif Path(setting).is_dir() and not (Path(setting) / runs.CONFIG).exists():
        found = list(sweeps.sweep_results(Path(setting)).values())
    else:
        path = runs.find(str(setting))
        if path is None:
            raise UserError(f"{setting}: no such run; give its directory, latest, or the name of a task")
        found = [runs.read_result(path)]
    finished = [result for result in found if result is not None]
    if not finished:
        raise UserError(f"{setting}: holds no finished run")
    return finished


def _by_seed(results: Sequence[dict[str, Any]], metric: str, split: str) -> BySeed:
    """Return a metric of each network by its seed."""
    numbers: BySeed = {}
    for result in results:
        values = result["metrics"].get(split)
        if values is None:
            raise UserError(f"the run of seed {result['seed']}: has measured no {split} set")
        own = dict(enumerate(values[metric], result["seed"]))
        if twice := numbers.keys() & own.keys():
            raise UserError(f"seed {min(twice)}: is that of two networks of a setting; compare single runs")
        numbers |= own
    return numbers


def _live(numbers: BySeed, setting: Setting) -> dict[int, float]:
    """Return the numbers of the networks that have not failed."""
    live = {seed: number for seed, number in numbers.items() if number is not None}
    if not live:
        raise UserError(f"{setting}: all its networks have failed")
    return live


def _paired(first: list[float], second: list[float]) -> tuple[Interval, float, str]:
    """Return the interval, the p value and the name of a test of pairs."""
    differences = paired_differences(first, second)
    if len(differences) < FEWEST_TO_PERMUTE:
        name = f"Student's t test of {len(differences)} pairs of equal seeds, too few for a permutation test"
    else:
        name = f"sign-flip permutation test of {len(differences)} pairs of equal seeds"
    ends = interval(torch.tensor(differences, dtype=torch.float64)) if varies(differences) else None
    return ends, paired_p_value(differences), name


def _unpaired(first: list[float], second: list[float], same_seeds: bool) -> tuple[Interval, float, str]:
    """Return the interval, the p value and the name of a test of two independent samples."""
    sizes = len(first), len(second)
    counts = f"{sizes[0]} and {sizes[1]} networks"
    if min(sizes) < 2:
        raise UserError(
            f"{counts} that have not failed: are too few to tell a difference from chance; train several seeds at once"
            " with model.replicates=32"
        )
    if can_permute(*sizes):
        name = f"permutation test of {counts}"
    else:
        name = f"Welch's t test of {counts}, too few for a permutation test"
    reason = f"fewer than {FEWEST} pairs have not failed" if same_seeds else "their seeds are not the same"
    ends = None
    if varies(first) or varies(second):
        found = stats.ttest_ind(first, second, equal_var=False).confidence_interval(CONFIDENCE)
        ends = float(found.low), float(found.high)
    return ends, unpaired_p_value(first, second), f"{name}: {reason}"
