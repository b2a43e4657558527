"""The statistics that judge the claims, on numbers whose verdict is known."""

import random
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from rnn_tasks.report import hypothesis_tests, verdicts
from rnn_tasks.report.formatting import percent
from rnn_tasks.report.judgement import FAILS, HOLDS, OPEN, Judgement
from rnn_tasks.training.intervals import curve, hundredths, summarize, wilson


def around(mean, n=32, deviation=0.01):
    """Numbers of this mean."""
    source = random.Random(f"{mean} {n} {deviation}")
    noise = [source.gauss(0, deviation) for _ in range(n)]
    return [mean + each - sum(noise) / n for each in noise]


@pytest.mark.parametrize(
    ("numbers", "claimed", "verdict", "why"),
    [
        ([1.0] * 32, 1.0, HOLDS, "32 of 32 error-free"),
        ([0.999] * 32, 1.0, FAILS, "0.10 points below the claim; best 99.90 %, 0 of 32"),
        ([1.0] * 16 + [0.98] * 16, 1.0, FAILS, "best 100 %, 16 of 32"),
        ([1.0] * 31 + [None], 1.0, HOLDS, "31 of 32 error-free; 1 of 32 networks failed (NaN)"),
        ([1.0] * 3 + [None] * 29, 1.0, OPEN, "29 of 32 networks failed"),
        ([0.98, 0.95, 0.98], 1.0, FAILS, "0 of 3 error-free"),
        ([1.0] + [0.999] * 2, 1.0, OPEN, "1 of 3 error-free"),
        ([0.99998] * 4, 1.0, FAILS, "less than 0.01 points below the claim; best >99.99 %"),
        ([1.0, 0.9], 1.0, OPEN, "2 networks are too few"),
        (around(0.95), 0.95, HOLDS, "the interval includes the claim"),
        (around(0.95), 0.90, FAILS, "5.00 points above the claim"),
        (around(0.5, deviation=0.3), 0.5, OPEN, "is wide"),
    ],
)
def test_equals(numbers, claimed, verdict, why):
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
def test_within(mean, below, verdict):
    judged = verdicts.within(around(mean), 0.05, "%", "the loss", "5 %", below)
    assert judged.verdict == verdict and judged.why.startswith(("the loss is ", "it cannot be told"))


@pytest.mark.parametrize(
    ("numbers", "below", "verdict"),
    [
        ([0.01, 0.02], True, OPEN),
        ([0.01, 0.0101], True, OPEN),  # two networks are too few, however close they are
        ([0.2, 0.2001, None], True, OPEN),
        ([0.01, 0.02, 0.01], True, HOLDS),
        ([0.01, 0.02, 0.01], False, FAILS),
        ([0.01, 0.02, None], True, OPEN),
        ([0.01, 0.02, 0.01, None], True, HOLDS),
        ([0.0, 0.05, 0.1], True, OPEN),
        ([0.05] * 3, True, OPEN),  # the limit itself is neither below nor above
        ([0.05] * 3, False, OPEN),
    ],
)
def test_within_on_few_numbers(numbers, below, verdict):
    judged = verdicts.within(numbers, 0.05, "%", "the loss", "5 %", below)
    assert judged.verdict == verdict and judged.n == len(numbers)
    assert ("1 of" in judged.why and "networks failed (NaN)" in judged.why) == (None in numbers)


def test_within_uses_a_two_sided_95_percent_interval():
    numbers = around(1.0, 32, 0.1)
    low, high = summarize(numbers).low, summarize(numbers).high
    for limit, verdict in [(low - 1e-6, FAILS), (low + 1e-6, OPEN), (high - 1e-6, OPEN), (high + 1e-6, HOLDS)]:
        assert verdicts.within(numbers, limit, "epochs", "it", "the limit").verdict == verdict


def test_all_networks_have_failed():
    for judged in (
        verdicts.equals([None] * 4, 1.0, 0.0),
        verdicts.within([None] * 4, 1.0, "%", "it", "1"),
        verdicts.greater([None] * 4, [1.0] * 4, "points", ("a", "b")),
        verdicts.similar([None] * 4, [1.0] * 4, 0.5, "epochs"),
        verdicts.best_of({"a": [None] * 4, "b": [1.0] * 4}, "a"),
        verdicts.majority(0, 0, "do"),
    ):
        assert judged.verdict == OPEN and judged.value is None and judged.why


@pytest.mark.parametrize(
    ("failed", "verdict"),
    [(0, HOLDS), (3, HOLDS), (4, OPEN)],  # of 30, of which a tenth may fail
)
def test_at_most_a_tenth_of_the_networks_may_fail(failed, verdict):
    numbers = [1.0] * (30 - failed) + [None] * failed
    assert verdicts.equals(numbers, 1.0, 0.0).verdict == verdict


@pytest.mark.parametrize(("width", "verdict"), [(0.049, HOLDS), (0.051, OPEN)])
def test_an_accuracy_needs_an_interval_of_at_most_five_points(width, verdict):
    half = width / 2 / stats.t.ppf(0.975, 2) * 3**0.5  # standard deviation of three numbers
    judged = verdicts.equals([0.9 - half, 0.9, 0.9 + half], 0.9, 0.0)
    assert judged.high - judged.low == pytest.approx(width)
    assert judged.verdict == verdict


@pytest.mark.parametrize(("perfect", "verdict"), [(32, HOLDS), (16, HOLDS), (15, OPEN), (1, OPEN), (0, FAILS)])
def test_a_claim_of_100_percent_needs_half_of_the_networks_perfect(perfect, verdict):
    numbers = [1.0] * perfect + [0.99999999] * (32 - perfect)
    assert verdicts.equals(numbers, 1.0, slack=0.00005).verdict == verdict


@pytest.mark.parametrize(
    ("successes", "trials", "verdict"),
    [(32, 32, HOLDS), (0, 32, FAILS), (18, 32, OPEN), (3, 3, OPEN), (4, 4, HOLDS), (0, 4, FAILS), (0, 3, OPEN)],
)
def test_majority(successes, trials, verdict):
    judged = verdicts.majority(successes, trials, "do")
    assert judged.verdict == verdict and (judged.low, judged.high) == wilson(successes, trials)
    assert judged.why.startswith(f"{successes} of {trials} networks do")


@pytest.mark.parametrize(("successes", "trials"), [(0, 3), (3, 3), (15, 16), (16, 16), (18, 32), (4999, 5000)])
def test_wilson_interval_against_its_formula(successes, trials):
    """Wilson 1927: the shares p whose z score against the observed one is at most 1.96."""
    z, share = stats.norm.ppf(0.975), successes / trials
    middle, half = share + z * z / trials / 2, z * (share * (1 - share) / trials + z * z / trials**2 / 4) ** 0.5
    expected = (middle - half) / (1 + z * z / trials), (middle + half) / (1 + z * z / trials)
    assert wilson(successes, trials) == pytest.approx(expected)
    assert all(type(end) is float for end in wilson(successes, trials))


@pytest.mark.parametrize("n", [2, 3, 10, 29])
def test_the_interval_of_few_numbers_is_student_s(n):
    numbers = around(0.5, n, 0.1)
    summary = summarize(numbers)
    expected = stats.t.interval(0.95, n - 1, np.mean(numbers), stats.sem(numbers))
    assert (summary.low, summary.high) == pytest.approx(expected)
    assert verdicts.interval_name(summary) == "Student interval of the mean"


@pytest.mark.parametrize("n", [30, 31, 40])
def test_the_interval_of_many_numbers_is_a_percentile_bootstrap(n):
    numbers = around(0.5, n, 0.1)
    summary = summarize(numbers)
    sample = (np.array(numbers),)
    expected = stats.bootstrap(
        sample, np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    width = expected.high - expected.low
    assert (summary.low, summary.high) == pytest.approx((expected.low, expected.high), abs=0.04 * width)
    assert verdicts.interval_name(summary) == "bootstrap interval of the mean"


def test_failed_replicates_do_not_count_for_the_kind_of_interval():
    assert verdicts.interval_name(summarize([*around(0.5, 29), None])) == "Student interval of the mean"
    assert verdicts.interval_name(summarize([*around(0.5, 30), None])) == "bootstrap interval of the mean"


def test_summary():
    summary = summarize([1.0, 0.5, None, 1.0, 0.9])
    assert (summary.mean, summary.least, summary.most) == pytest.approx((0.85, 0.5, 1.0))
    assert (summary.perfect, summary.count, summary.failed) == (2, 5, 1)
    assert summary.high > 1 and summary.within == (summary.low, 1.0)
    alone = summarize([0.7])
    assert (alone.low, alone.high) == pytest.approx((0.7, 0.7))
    with pytest.raises(ValueError, match="2 replicates: at least one must not have failed"):
        summarize([None, None])


def test_logged_curves_have_a_mean_and_of_several_replicates_the_extremes():
    assert curve([0.5]) == {"": 0.5}
    assert curve([0.5, None, 1.0]) == {"": 0.75, "_min": 0.5, "_max": 1.0}
    assert curve([None, None]) == {}


def test_greater_compares_pairs():
    first = around(0.9, deviation=0.2)
    second = [
        number + 0.01 + 0.001 * random.Random(i).random() for i, number in enumerate(first)
    ]  # which unpaired means cannot tell
    assert stats.ttest_ind(first, second).pvalue > 0.5
    assert verdicts.greater(second, first, "points", ("a", "b")).verdict == HOLDS
    assert verdicts.greater(first, second, "points", ("a", "b")).verdict == FAILS
    assert verdicts.greater(first, first, "points", ("a", "b")).verdict == OPEN
    assert verdicts.greater(first[:2], second[:2], "points", ("a", "b")).verdict == OPEN


@pytest.mark.parametrize("n", [3, 4, 5])
def test_few_pairs_get_a_paired_t_test(n):
    first, second = around(3.0, n, 0.1), around(2.8, n, 0.2)
    differences = hypothesis_tests.paired_differences(first, second)
    assert differences == pytest.approx([a - b for a, b in zip(first, second, strict=True)])
    assert hypothesis_tests.paired_p_value(differences) == pytest.approx(stats.ttest_rel(first, second).pvalue)
    assert "paired t test" in verdicts.greater(first, second, "points", ("a", "b")).statistic


@pytest.mark.parametrize("n", [6, 8, 10])
def test_more_pairs_get_an_exact_permutation_test(n):
    """All 2^n flips of the signs: of the means, the observed one and its negative are the most extreme."""
    first, second = [1.0] * n, [0.9 + 0.001 * i for i in range(n)]
    differences = hypothesis_tests.paired_differences(first, second)
    assert hypothesis_tests.paired_p_value(differences) == pytest.approx(2 / 2**n)
    assert "paired permutation test" in verdicts.greater(first, second, "points", ("a", "b")).statistic


def test_the_permutation_test_is_two_sided():
    differences = [0.3, 0.2, -0.1, 0.25, 0.2, -0.05, 0.1]
    flips = np.array(np.meshgrid(*[[-1, 1]] * 7)).reshape(7, -1).T
    means = (flips * differences).mean(1)
    expected = np.mean(np.abs(means) >= abs(np.mean(differences)) - 1e-12)
    assert hypothesis_tests.paired_p_value(differences) == pytest.approx(expected)
    assert hypothesis_tests.paired_p_value([-number for number in differences]) == pytest.approx(expected)


def test_pairs_that_no_test_can_decide():
    for differences in ([], [1.0], [1.0, 2.0], [0.0] * 32, [1.0] * 3, [1.0] * 5):
        assert hypothesis_tests.paired_p_value(differences) == 1
    assert hypothesis_tests.paired_p_value([1.0] * 6) == pytest.approx(2 / 64)


def test_few_pairs_of_equal_differences_decide_nothing():
    assert verdicts.greater([5.0] * 3, [4.0] * 3, "epochs", ("a", "b")).verdict == OPEN
    assert verdicts.greater([5.0] * 32, [4.0] * 32, "epochs", ("a", "b")).verdict == HOLDS


def test_greater_needs_a_p_value_below_the_level():
    """Four differences around d with a standard deviation of 1: t = 2 d, of which 3.18 is the critical value."""
    pattern = np.array([-1.0, 1.0, -1.0, 1.0]) * (3 / 4) ** 0.5
    for d, verdict in [(1.57, OPEN), (1.61, HOLDS), (-1.57, OPEN), (-1.61, FAILS)]:
        assert verdicts.greater((pattern + d).tolist(), [0.0] * 4, "epochs", ("a", "b")).verdict == verdict


def test_greater_scales_the_difference():
    judged = verdicts.greater([0.9, 0.92, 0.91], [0.5, 0.51, 0.49], "points", ("it", "the other"), 100)
    assert judged.value == pytest.approx(41.0) and judged.low > 30 and judged.high < 50
    assert judged.measured.startswith("41.00 points [") and judged.why.startswith("it is more than the other (p = ")


def test_intervals_of_few_numbers_cover_the_mean():
    """Of normal numbers a bootstrap would cover it in 76 % of cases with 3 of them, in 90 % with 10."""
    source = np.random.default_rng(0)
    for n in (3, 10):
        intervals = [summarize(source.normal(size=n).tolist()) for _ in range(2000)]
        assert 0.935 < np.mean([summary.low < 0 < summary.high for summary in intervals]) < 0.965


def test_failed_replicates_leave_their_pairs():
    assert hypothesis_tests.paired_differences([None, 1.0, 2.0], [1.0, None, 1.5]) == [0.5]
    assert hypothesis_tests.paired_differences([3.0, 1.0, 2.0], [1.0]) == [2.0]


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.1, HOLDS), (-0.1, HOLDS), (2.0, FAILS), (-2.0, FAILS), (0.5, OPEN), (-0.5, OPEN)]
)
def test_similar(shift, verdict):
    first = around(3.0, deviation=0.5)
    second = [number + other for number, other in zip(first, around(shift, deviation=0.5), strict=True)]
    assert verdicts.similar(first, second, 0.5, "epochs").verdict == verdict
    assert verdicts.similar(first[:2], second[:2], 0.5, "epochs").verdict == OPEN
    assert verdicts.similar(first, second, 1000, "epochs").verdict == HOLDS


def test_three_pairs_are_enough_and_two_are_not():
    first, second = [3.0, 3.1, 2.9], [1.0, 1.2, 1.1]
    assert verdicts.greater(first, second, "epochs", ("one", "other")).verdict == HOLDS
    assert verdicts.greater(second, first, "epochs", ("other", "one")).verdict == FAILS
    assert verdicts.similar(first, second, 3.0, "epochs").verdict == HOLDS
    for few in (
        verdicts.greater(first[:2], second, "epochs", ("one", "other")),
        verdicts.similar(first, second[:2], 3, ""),
    ):
        assert few.verdict == OPEN and few.value is None


def test_two_samples_that_do_not_vary_cannot_be_told_apart():
    assert hypothesis_tests.welch([1.0, 1.0], [1.0, 1.0]) == 1
    assert hypothesis_tests.welch([1.0, 1.0], [2.0, 2.0]) == 1


def test_unpaired_samples_get_a_permutation_test_where_it_can_reach_the_level():
    first, second = [0.1, 0.4, 0.35, 0.8], [0.5, 0.9, 0.95, 0.7]
    sums = np.array([sum(chosen) for chosen in combinations([*first, *second], 4)])
    expected = 2 * (sums <= sum(first) + 1e-12).mean()
    assert hypothesis_tests.unpaired_p_value(first, second) == pytest.approx(expected)
    assert hypothesis_tests.unpaired_p_value(second, first) == pytest.approx(expected)
    assert hypothesis_tests.unpaired_p_value(first[:3], second) == hypothesis_tests.welch(first[:3], second)
    assert hypothesis_tests.unpaired_p_value([1.0] * 4, [0.0] * 4) == pytest.approx(2 / 70)
    many = around(0.5), around(0.505)
    assert hypothesis_tests.unpaired_p_value(*many) == hypothesis_tests.unpaired_p_value(*many)
    assert hypothesis_tests.unpaired_p_value(*many) == pytest.approx(stats.ttest_ind(*many).pvalue, rel=0.3)


def test_many_pairs_are_tested_with_the_same_flips_each_time():
    """By 9,999 random sign flips from a fixed seed; the smallest p value is 2 / 10,000."""
    differences = [1.0 + 0.01 * i for i in range(20)]
    assert hypothesis_tests.paired_p_value(differences) == pytest.approx(2 / 10_000)
    varied = [(-1) ** i * (1 + i / 7) + 0.8 for i in range(20)]
    assert 0.01 < hypothesis_tests.paired_p_value(varied) == hypothesis_tests.paired_p_value(varied) < 0.9


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
def test_best_setting(rates, verdict):
    assert verdicts.best_setting(rates, 5000, "a").verdict == verdict


def test_two_proportions_and_holm_against_their_definitions():
    table = np.array([[4900, 100], [4850, 150]])
    assert hypothesis_tests.two_proportions(0.98, 0.97, 5000) == pytest.approx(
        stats.chi2_contingency(table, correction=False).pvalue
    )
    assert hypothesis_tests.two_proportions(1.0, 1.0, 5000) == 1
    assert hypothesis_tests.holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_rank_correlations_of_each_seed():
    rows = [
        [1.0, 2.0, 3.0, 4.0],
        [4.0, 3.0, 2.0, 1.0],
        [1.0, 3.0, 2.0, 4.0],
        [2.0, 2.0, 2.0, 2.0],
        [1.0, None, 3.0, 4.0],
    ]
    assert hypothesis_tests.rank_correlations([1, 2, 4, 8], rows) == [1, -1, pytest.approx(0.8), None, None]


def test_best_of_gives_an_interval_also_where_the_adjusted_p_is_1():
    models = {
        name: [0.90 + shift, 0.92 + shift, 0.94 + shift] for name, shift in {"a": 0.0, "b": 1e-3, "c": 2e-3}.items()
    }
    judged = verdicts.best_of(models, "a")
    assert judged.verdict == OPEN and judged.low < judged.value < judged.high
    same = verdicts.best_of({"a": [0.9] * 3, "b": [0.9] * 3}, "a")
    assert same.verdict == OPEN and same.low is None is same.high


def test_best_of_uses_welch_and_holm():
    """Both p values are below 5 %, but not when there are two of them; and the variances differ."""
    own, other = [0.98, 0.981, 0.979, 0.98], [0.90, 0.96, 0.93, 0.95]
    p = stats.ttest_ind(own, other, equal_var=False).pvalue
    assert 0.025 < p < 0.05 and stats.ttest_ind(own, other).pvalue < 0.025
    assert hypothesis_tests.welch(own, other) == pytest.approx(p)
    assert verdicts.best_of({"a": own, "b": other}, "a").verdict == HOLDS
    judged = verdicts.best_of({"a": own, "b": other, "c": other[::-1]}, "a")
    assert judged.verdict == OPEN and "it cannot be told from b, c" in judged.why
    ends = stats.ttest_ind(own, other, equal_var=False).confidence_interval(0.95)
    assert (judged.low, judged.high) == pytest.approx((100 * ends.low, 100 * ends.high))


def test_best_setting_uses_the_number_of_examples():
    rates = {"a": 0.9, "b": 0.93}
    assert verdicts.best_setting(rates, 5000, "a").verdict == FAILS
    assert verdicts.best_setting(rates, 50, "a").verdict == OPEN
    judged = verdicts.best_setting(rates, 5000, "b")
    assert (judged.verdict, judged.low, judged.high) == (HOLDS, *wilson(4650, 5000))


def test_best_setting_corrects_for_the_number_of_settings():
    rates = {"a": 0.90, "b": 0.9125}
    assert 0.025 < hypothesis_tests.two_proportions(0.90, 0.9125, 5000) < 0.05
    assert verdicts.best_setting(rates, 5000, "a").verdict == FAILS
    assert verdicts.best_setting(rates | {"c": 0.8999}, 5000, "a").verdict == OPEN


def test_one_network_shows_that_it_can_be_done():
    assert verdicts.exists(999, 1000, 0.999, 256, "the best").verdict == HOLDS
    assert verdicts.exists(9995, 10_000, 0.999, 256, "the best").verdict == HOLDS
    assert verdicts.exists(9900, 10_000, 0.999, 256, "the best").verdict == OPEN


def test_shares_as_text_are_never_rounded_to_100_percent():
    assert [percent(share) for share in (1, 0.999999, 0.5, 0.12345)] == [
        "100 %",
        ">99.99 %",
        "50 %",
        "12.35 %",
    ]
    assert [hundredths(share) for share in (1, 0.999999, 0.5, 0)] == ["100.00", ">99.99", "50.00", "0.00"]


def test_measured_values_as_text():
    assert Judgement(HOLDS, "", 0.5, 0.25, 0.75).measured == "50 % [25, 75]"
    assert Judgement(HOLDS, "", 0.5, 0.25, 0.75, "% of guessing").measured == "50 % of guessing [25, 75]"
    assert Judgement(HOLDS, "", 0.5, unit="epochs").measured == "0.50 epochs"
    assert Judgement(OPEN, "").measured == ""
