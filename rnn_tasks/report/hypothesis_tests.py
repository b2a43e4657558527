"""Hypothesis tests between the replicates of runs."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from rnn_tasks.report.formatting import Numbers
from rnn_tasks.training.intervals import CONFIDENCE

LEVEL = 0.05  # significance level
FEWEST = 3  # pairs of which a mean difference can be tested
FEWEST_TO_PERMUTE = 6  # with 5 pairs the least p value of a sign-flip test is 2 / 32, above the level
RESAMPLES = 9_999  # of a permutation test that has more permutations


def paired_differences(first: Numbers, second: Numbers) -> list[float]:
    """Return first - second of replicates of equal seeds, without the pairs of which one is missing or failed."""
    return [a - b for a, b in zip(first, second, strict=False) if a is not None and b is not None]


def paired_p_value(differences: Sequence[float]) -> float:
    """Return the two-sided p value of the hypothesis that paired differences have a mean of 0.

    From 6 pairs on by a sign-flip permutation test (Fisher 1935; exact up to 13 pairs, 9,999 random flips beyond), of
    3 to 5 pairs by Student's t test (1908). It is 1 where no test can decide: below 3 pairs, and where fewer than 6
    differences are all equal.
    """
    if len(differences) < FEWEST:
        return 1.0
    if len(differences) < FEWEST_TO_PERMUTE:  # a t test of equal numbers would give p = 0
        return float(stats.ttest_1samp(differences, 0).pvalue) if varies(differences) else 1.0
    test = stats.permutation_test(
        (np.array(differences),),
        np.mean,
        permutation_type="samples",
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


def unpaired_p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p value of the hypothesis that two independent samples come from the same distribution.

    By a permutation test of the difference of their means (Fisher 1935; exact up to 7 against 7, else 9,999 random
    divisions), of samples that are too small for one by Welch's t test, see ``can_permute``.
    """
    if not can_permute(len(first), len(second)):
        return welch(first, second)
    test = stats.permutation_test(
        (np.array(first), np.array(second)),
        lambda one, other, axis: np.mean(one, axis=axis) - np.mean(other, axis=axis),
        permutation_type="independent",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=1_000,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


def can_permute(first: int, second: int) -> bool:
    """Return whether samples of these sizes have enough divisions for a p value below 5 %, as 4 against 4 have."""
    return 2 / math.comb(first + second, first) < LEVEL


def varies(numbers: Sequence[float]) -> bool:
    """Return whether numbers differ by more than rounding."""
    return bool(np.ptp(numbers) > 1e-12)


def _none_varies(*samples: Sequence[float]) -> bool:
    return not any(map(varies, samples))


def welch(first: Sequence[float], second: Sequence[float]) -> float:
    """Return the two-sided p value of Welch's t test (1947) of two means; 1 if neither sample varies."""
    if _none_varies(first, second):
        return 1.0
    return float(_welch_test(first, second).pvalue)


def welch_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of a difference of means that belongs to ``welch``; None if neither sample varies."""
    if _none_varies(first, second):
        return None
    ends = _welch_test(first, second).confidence_interval(CONFIDENCE)
    return float(ends.low), float(ends.high)


def _welch_test(first: Sequence[float], second: Sequence[float]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that one of the samples does not vary
        return stats.ttest_ind(first, second, equal_var=False)


def two_proportions(first: float, second: float, trials: int) -> float:
    """Return the two-sided p value of the pooled z test between two shares, each of ``trials`` trials."""
    pooled = (first + second) / 2
    error = (2 * pooled * (1 - pooled) / trials) ** 0.5
    return float(2 * stats.norm.sf(abs(first - second) / error)) if error else 1.0


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p values of several tests, adjusted by the step-down method of Holm (1979)."""
    adjusted, largest = {}, 0.0
    for i, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, p * (len(p_values) - i)))
        adjusted[name] = largest
    return adjusted


def rank_correlations(x: Sequence[float], rows: Sequence[Numbers]) -> list[float | None]:
    """Return Spearman's rank correlation (1904) of x with each row; None where a number is missing or all are equal."""
    correlations: list[float | None] = []
    for row in rows:
        values = [value for value in row if value is not None]
        defined = len(values) == len(row) and len(set(values)) > 1
        correlations.append(float(stats.spearmanr(x, values).statistic) if defined else None)
    return correlations
