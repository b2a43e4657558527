"""The statistics that judge the claims, on numbers whose verdict is known."""

import random

import numpy as np
import pytest
from scipy import stats

from rnn_tasks.report import verdicts
from rnn_tasks.report.verdicts import FAILS, HOLDS, OPEN
from rnn_tasks.training.intervals import summarize, wilson


def around(mean, n=32, deviation=0.01):
    """Numbers of this mean."""
    source = random.Random(f"{mean} {n} {deviation}")
    noise = [source.gauss(0, deviation) for _ in range(n)]
    return [mean + one - sum(noise) / n for one in noise]


@pytest.mark.parametrize(
    ("numbers", "claimed", "verdict", "why"),
    [
        ([1.0] * 32, 1.0, HOLDS, "32 of 32 without a mistake"),
        ([0.999] * 32, 1.0, FAILS, "0.10 points below the claim; best 99.90 %, 0 of 32"),
        ([1.0] * 16 + [0.98] * 16, 1.0, FAILS, "best 100 %, 16 of 32"),
        ([1.0] * 31 + [None], 1.0, HOLDS, "31 of 32 without a mistake; 1 of 32 networks failed (NaN)"),
        ([1.0] * 3 + [None] * 29, 1.0, OPEN, "29 of 32 networks failed"),
        ([0.98, 0.95, 0.98], 1.0, FAILS, "0 of 3 without a mistake"),
        ([1.0] + [0.999] * 2, 1.0, OPEN, "1 of 3 without a mistake"),
        ([0.99998] * 4, 1.0, FAILS, "less than 0.01 points below the claim; best > 99.99 %"),
        ([1.0, 0.9], 1.0, OPEN, "2 networks are too few"),
        (around(0.95), 0.95, HOLDS, "the interval includes the claim"),
        (around(0.95), 0.90, FAILS, "5.00 points above the claim"),
        (around(0.5, deviation=0.3), 0.5, OPEN, "is wide"),
    ],
)
def test_an_accuracy_is_the_claimed_one(numbers, claimed, verdict, why):
    judged = verdicts.equals(numbers, claimed, slack=0.0)
    assert judged.verdict == verdict and why in judged.why
    assert judged.low <= judged.value <= judged.high and judged.n == len(numbers)


def test_a_figure_is_as_exact_as_it_is_given():
    numbers = [0.9372] * 5
    assert verdicts.equals(numbers, 0.9375, slack=0.00005).verdict == FAILS
    assert verdicts.equals(numbers, 0.94, slack=0.005).verdict == HOLDS


@pytest.mark.parametrize(
    ("mean", "below", "verdict"),
    [(0.01, True, HOLDS), (0.2, True, FAILS), (0.05, True, OPEN), (0.2, False, HOLDS), (0.01, False, FAILS)],
)
def test_a_limit_is_kept(mean, below, verdict):
    judged = verdicts.within(around(mean), 0.05, "%", "the loss", "5 %", below)
    assert judged.verdict == verdict and judged.why.startswith(("the loss is ", "it cannot be told"))


@pytest.mark.parametrize(
    ("successes", "trials", "verdict"), [(32, 32, HOLDS), (0, 32, FAILS), (18, 32, OPEN), (3, 3, OPEN)]
)
def test_most_do(successes, trials, verdict):
    judged = verdicts.majority(successes, trials, "do")
    assert judged.verdict == verdict and (judged.low, judged.high) == wilson(successes, trials)
    expected = stats.binomtest(successes, trials).proportion_ci(method="wilson")
    assert (judged.low, judged.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_paired_numbers_are_told_apart_by_a_paired_test():
    first = around(0.9, deviation=0.2)
    second = [
        number + 0.01 + 0.001 * random.Random(i).random() for i, number in enumerate(first)
    ]  # which unpaired means cannot tell
    assert stats.ttest_ind(first, second).pvalue > 0.5
    assert verdicts.greater(second, first, "points", ("a", "b")).verdict == HOLDS
    assert verdicts.greater(first, second, "points", ("a", "b")).verdict == FAILS
    assert verdicts.greater(first, first, "points", ("a", "b")).verdict == OPEN
    assert verdicts.greater(first[:2], second[:2], "points", ("a", "b")).verdict == OPEN


def test_few_pairs_are_left_to_a_t_test():
    differences, p = verdicts.difference([3.0, 3.1, 2.9], [1.0, 1.2, 1.0])
    assert differences == pytest.approx([2.0, 1.9, 1.9])
    assert p == pytest.approx(stats.ttest_rel([3.0, 3.1, 2.9], [1.0, 1.2, 1.0]).pvalue)


def test_few_pairs_that_do_not_vary_tell_nothing():
    assert verdicts.greater([5.0] * 3, [4.0] * 3, "epochs", ("a", "b")).verdict == OPEN
    assert verdicts.greater([5.0] * 32, [4.0] * 32, "epochs", ("a", "b")).verdict == HOLDS


def test_intervals_of_few_numbers_cover_the_mean():
    """Of three normal numbers a bootstrap would cover it in 76 % of cases."""
    source = np.random.default_rng(0)
    intervals = [summarize(source.normal(size=3).tolist()) for _ in range(300)]
    assert 0.92 < np.mean([told.low < 0 < told.high for told in intervals]) < 0.98
    assert (intervals[0].low, intervals[0].high) == pytest.approx(
        stats.t.interval(0.95, 2, intervals[0].mean, stats.sem(np.random.default_rng(0).normal(size=3)))
    )


def test_failed_replicates_leave_their_pairs():
    assert len(verdicts.difference([None, 1.0, 2.0], [1.0, None, 1.0])[0]) == 1


def test_the_permutation_test_is_exact_for_few_pairs():
    """All 2^8 flips: eight differences of one sign have p = 2 / 256."""
    assert verdicts.difference([1.0] * 8, [0.9 + 0.001 * i for i in range(8)])[1] == pytest.approx(2 / 256)


@pytest.mark.parametrize(("shift", "verdict"), [(0.1, HOLDS), (2.0, FAILS), (0.5, OPEN)])
def test_numbers_are_similar(shift, verdict):
    first = around(3.0, deviation=0.5)
    second = [number + other for number, other in zip(first, around(shift, deviation=0.5), strict=True)]
    assert verdicts.similar(first, second, 0.5, "epochs").verdict == verdict


def test_the_best_is_better_than_each_of_the_others():
    models = {
        "a": [0.98, 0.981, 0.979],
        "b": [0.95, 0.951, 0.952],
        "c": [0.9801, 0.9798, 0.9805],
        "d": [0.99, 0.991, 0.992],
    }
    assert verdicts.best_of({name: models[name] for name in "ab"}, "a").verdict == HOLDS
    assert verdicts.best_of({name: models[name] for name in "abc"}, "a").verdict == OPEN
    judged = verdicts.best_of(models, "a")
    assert judged.verdict == FAILS and "d is better" in judged.why and judged.value < 0
    for others in (1.0, 0.9):  # numbers that do not vary
        assert verdicts.best_of({"a": [1.0] * 3, "b": [others] * 3}, "a").verdict == OPEN
    assert verdicts.best_of({"a": [1.0] * 2, "b": [0.9] * 3}, "a").verdict == OPEN


@pytest.mark.parametrize(
    ("rates", "verdict"),
    [
        ({"a": 0.98, "b": 0.90, "c": 0.5}, HOLDS),
        ({"a": 0.98, "b": 0.9805, "c": 0.5}, OPEN),
        ({"a": 0.98, "b": 0.979, "c": 0.5}, OPEN),
        ({"a": 0.90, "b": 0.98, "c": 0.5}, FAILS),
    ],
)
def test_a_setting_is_the_best(rates, verdict):
    assert verdicts.best_setting(rates, 5000, "a").verdict == verdict


def test_two_proportions_and_holm_against_their_definitions():
    table = np.array([[4900, 100], [4850, 150]])
    assert verdicts.two_proportions(0.98, 0.97, 5000) == pytest.approx(
        stats.chi2_contingency(table, correction=False).pvalue
    )
    assert verdicts.two_proportions(1.0, 1.0, 5000) == 1
    assert verdicts.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_rank_correlations_of_each_seed():
    rows = [
        [1.0, 2.0, 3.0, 4.0],
        [4.0, 3.0, 2.0, 1.0],
        [1.0, 3.0, 2.0, 4.0],
        [2.0, 2.0, 2.0, 2.0],
        [1.0, None, 3.0, 4.0],
    ]
    assert verdicts.rank_correlations([1, 2, 4, 8], rows) == [1, -1, pytest.approx(0.8), None, None]


def test_one_network_shows_that_it_can_be_done():
    assert verdicts.exists(9995, 10_000, 0.999, 256, "the best").verdict == HOLDS
    assert verdicts.exists(9900, 10_000, 0.999, 256, "the best").verdict == OPEN


def test_what_is_not_all_is_never_rounded_to_all():
    assert [verdicts.percent(share) for share in (1, 0.999999, 0.5, 0.12345)] == [
        "100 %",
        "> 99.99 %",
        "50 %",
        "12.35 %",
    ]
