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
from rnn_tasks.report.hypothesis_tests import FEWEST, FEWEST_TO_PERMUTE, LEVEL, paired_differences, paired_p_value
from rnn_tasks.runs import sweeps
from rnn_tasks.runs.run import Run
from rnn_tasks.training import KINDS
from rnn_tasks.training.intervals import CONFIDENCE, Summary, interval, summarize

SPLITS = ("test", "val", "train")

Setting = Run | str | Path


@dataclass(frozen=True)
class Comparison:
    """The difference of a metric between two settings, first - second.

    Attributes:
        metric: "accuracy", "sequence_accuracy" or "loss".
        split: "test", "val" or "train".
        first, second: the statistics of each setting over its networks.
        effect: the difference of the means, over the pairs if it is paired.
        low, high: its 95 % interval.
        p: two-sided p value of no difference.
        pairs: number of pairs of networks with the same seed; 0 if the test is not paired.
        test: its name, and why it was taken.
        differing: keys of the task's configuration in which the settings differ.
    """

    metric: str
    split: str
    first: Summary
    second: Summary
    effect: float
    low: float
    high: float
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

    Networks with the same seed begin with the same stream of random numbers and see their examples in the same order,
    so that they are compared in pairs, by a sign-flip permutation test, of fewer than 6 pairs by Student's t test.
    Settings without three common seeds are compared by Welch's t test. The interval of a paired difference is a
    bootstrap's, of fewer than 10 pairs Student's; of Welch's test it is Welch's.

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
    means = _summary(numbers[0], first), _summary(numbers[1], second)
    shared = sorted(numbers[0].keys() & numbers[1].keys())
    differences = paired_differences(*([each[seed] for seed in shared] for each in numbers))
    found = _paired(differences) if len(differences) >= FEWEST else _unpaired(numbers[0], numbers[1], len(differences))
    tasks = [each[0]["config"]["task"] for each in results]
    differing = tuple(key for key in {**tasks[0], **tasks[1]} if tasks[0].get(key) != tasks[1].get(key))
    effect, low, high, p, pairs, test = found
    return Comparison(metric, split, *means, effect, low, high, p, pairs, test, differing)


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


def _by_seed(results: Sequence[dict[str, Any]], metric: str, split: str) -> dict[int, float | None]:
    """Return a metric of each network by its seed."""
    numbers: dict[int, float | None] = {}
    for result in results:
        values = result["metrics"].get(split)
        if values is None:
            raise UserError(f"the run of seed {result['seed']}: has measured no {split} set")
        own = dict(enumerate(values[metric], result["seed"]))
        if twice := numbers.keys() & own.keys():
            raise UserError(f"seed {min(twice)}: is that of two networks of a setting; compare single runs")
        numbers |= own
    return numbers


def _summary(numbers: dict[int, float | None], setting: Setting) -> Summary:
    try:
        return summarize(list(numbers.values()))
    except ValueError:
        raise UserError(f"{setting}: all its networks have failed") from None


def _paired(differences: list[float]) -> tuple[float, float, float, float, int, str]:
    values = torch.tensor(differences, dtype=torch.float64)
    if len(differences) < FEWEST_TO_PERMUTE:
        test = f"Student's t test of {len(differences)} pairs of equal seeds, too few for a permutation test"
    else:
        test = f"sign-flip permutation test of {len(differences)} pairs of equal seeds"
    return float(values.mean()), *interval(values), paired_p_value(differences), len(differences), test


def _unpaired(
    first: dict[int, float | None], second: dict[int, float | None], pairs: int
) -> tuple[float, float, float, float, int, str]:
    one, other = ([number for number in each.values() if number is not None] for each in (first, second))
    if min(len(one), len(other)) < 2:
        raise UserError(
            f"{len(one)} and {len(other)} networks: are too few to tell a difference from chance; train several seeds"
            " at once with model.replicates=32"
        )
    effect = sum(one) / len(one) - sum(other) / len(other)
    why = f"Welch's t test of {len(one)} and {len(other)} networks, which share {pairs} seeds"
    if len({*one}) == len({*other}) == 1:  # no spread, so no test
        return effect, effect, effect, 1.0, 0, f"{why}; neither varies, so nothing can be tested"
    found = stats.ttest_ind(one, other, equal_var=False)
    ends = found.confidence_interval(CONFIDENCE)
    return effect, float(ends.low), float(ends.high), float(found.pvalue), 0, why
