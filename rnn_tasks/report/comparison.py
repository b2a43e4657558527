"""The difference between two settings, each of one or several runs, with its interval and a test."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

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
    welch_interval,
)
from rnn_tasks.report.settings import Setting, differing_keys, networks
from rnn_tasks.training import KINDS
from rnn_tasks.training.intervals import Summary, interval, summarize

SPLITS = ("test", "val", "train")

Interval = tuple[float, float] | None  # None without any spread


@dataclass(frozen=True)
class Comparison:
    """The difference of a metric between two settings, first - second.

    Attributes:
        metric: "accuracy", "sequence_accuracy" or "loss".
        split: "test", "val" or "train".
        first, second: the statistics of each setting over the networks that are compared.
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
        first, second: a run from ``train`` or ``load``, its directory or name, or a directory of runs that differ only
            in their seeds. A run of a sweep that has failed (error.txt) counts with all its networks as failed.
        metric: "sequence_accuracy" (whole sequences), "accuracy" (single answers) or "loss".
        split: "test", "val" or "train".

    Raises:
        UserError: there is no such run, one has not finished or is damaged, runs of a setting differ in more than their
            seeds, the settings are of different tasks, or too few networks have not failed.
    """
    for name, value, words in (("metric", metric, KINDS), ("split", split, SPLITS)):
        if value not in words:
            raise UserError(f"{name}={value}: must be {' or '.join(words)}")
    settings = [networks(setting, metric, split) for setting in (first, second)]
    names = [each.config["task.name"] for each in settings]
    if names[0] != names[1]:
        raise UserError(f"{first} and {second}: are of different tasks, {names[0]} and {names[1]}; compare runs of one")
    same_seeds = settings[0].numbers.keys() == settings[1].numbers.keys()
    live = [each.live for each in settings]
    shared = sorted(live[0].keys() & live[1].keys())
    if same_seeds and len(shared) >= FEWEST:
        pairs, samples = len(shared), [[each[seed] for seed in shared] for each in live]
        ends, p, test = _paired(samples[0], samples[1])
    else:
        pairs, samples = 0, [list(each.values()) for each in live]
        ends, p, test = _unpaired(samples[0], samples[1], same_seeds)
    one, other = (
        replace(summarize(sample), failed=len(each.numbers) - len(each.live))
        for sample, each in zip(samples, settings, strict=True)
    )
    low, high = ends or (None, None)
    keys = differing_keys(*(each.config for each in settings))
    differing = tuple(key.removeprefix("task.") for key in keys if key.startswith("task."))
    return Comparison(metric, split, one, other, one.mean - other.mean, low, high, p, pairs, test, differing)


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
    reason = f"fewer than {FEWEST} pairs are left" if same_seeds else "their seeds are not the same"
    return welch_interval(first, second), unpaired_p_value(first, second), f"{name}: {reason}"
