"""Verdicts: what numbers say about a claim, by named statistics. Nothing here knows where the numbers come from."""

from collections.abc import Mapping
from statistics import mean

from rnn_tasks.report.formatting import Numbers, percent
from rnn_tasks.report.hypothesis_tests import (
    FEWEST,
    FEWEST_TO_PERMUTE,
    LEVEL,
    holm,
    paired_differences,
    paired_p_value,
    two_proportions,
    welch,
    welch_interval,
)
from rnn_tasks.report.judgement import FAILS, HOLDS, OPEN, Judgement
from rnn_tasks.training.intervals import FEWEST_TO_RESAMPLE, Summary, summarize, wilson

FAILED = 0.1  # share of failed replicates, above which a claim cannot hold
WIDEST = 0.05  # width of an interval of an accuracy, above which a claim cannot hold


def equals(numbers: Numbers, claimed: float, slack: float) -> Judgement:
    """Is the mean accuracy the claimed one, up to ``slack``? By the interval of the mean.

    A claim of 100 % says that no answer is wrong: it fails if no replicate is perfect, and holds only if at least half
    of them are.
    """
    if (valid := _valid(numbers)) == 0:
        return _all_failed(numbers)
    summary = summarize(numbers)
    low, high = summary.within
    off = claimed - summary.mean
    best = f"best {percent(summary.most)}, {summary.perfect} of {summary.count} error-free{_failed(summary)}"
    missed = claimed == 1 and not summary.perfect
    few_perfect = claimed == 1 and 2 * summary.perfect < summary.count
    if valid < FEWEST:
        verdict, why = OPEN, f"{valid} networks are too few for an interval"
    elif missed or not low - slack <= claimed <= high + slack:
        verdict, why = FAILS, f"{_points(abs(off))} {'below' if off > 0 else 'above'} the claim; {best}"
    elif high - low > WIDEST or summary.failed > FAILED * summary.count or few_perfect:
        verdict, why = OPEN, f"the interval includes the claim, but is wide or few reach it; {best}"
    else:
        verdict, why = HOLDS, f"the interval includes the claim; {best}"
    return Judgement(verdict, why, summary.mean, low, high, "%", summary.count, interval_name(summary))


def within(numbers: Numbers, limit: float, unit: str, quantity: str, bound: str, below: bool = True) -> Judgement:
    """Is the mean below (or above) a limit? By the interval of the mean.

    Args:
        numbers: of the replicates.
        limit: for the mean.
        unit: of the numbers, see Judgement.
        quantity: the numbers' name, in "QUANTITY is below BOUND".
        bound: the limit's name.
        below: whether the limit is an upper one.
    """
    if (valid := _valid(numbers)) == 0:
        return _all_failed(numbers)
    summary = summarize(numbers)
    side = "below" if below else "above"
    if valid < FEWEST or summary.low <= limit <= summary.high:
        verdict, why = OPEN, f"it cannot be told whether {quantity} is {side} {bound}"
    else:
        kept = (summary.high < limit) == below
        verdict, why = (HOLDS if kept else FAILS), f"{quantity} is {'' if kept else 'not '}{side} {bound}"
    why += _failed(summary)
    return Judgement(verdict, why, summary.mean, summary.low, summary.high, unit, summary.count, interval_name(summary))


def majority(successes: int, trials: int, predicate: str) -> Judgement:
    """Do most networks do it? By Wilson's interval of the share.

    Args:
        successes: number of networks that do.
        trials: number of networks.
        predicate: completes "5 of 32 networks PREDICATE".
    """
    if not trials:
        return Judgement(OPEN, "all networks failed (NaN)")
    low, high = wilson(successes, trials)
    verdict = HOLDS if low > 0.5 else FAILS if high < 0.5 else OPEN
    doubt = "" if verdict != OPEN else "; too few to tell whether most do"
    why = f"{successes} of {trials} networks {predicate}{doubt}"
    return Judgement(verdict, why, successes / trials, low, high, "%", trials, "Wilson's interval of the share")


def exists(right: int, examples: int, limit: float, n: int, subject: str) -> Judgement:
    """Judge whether a network's share of right answers reaches ``limit``; being equal to it is enough.

    Args:
        right: number of right answers of the network that is best in validation.
        examples: number of examples.
        limit: for the share.
        n: number of networks that it was chosen from.
        subject: the network's name.
    """
    low, high = wilson(right, examples)
    share = right / examples
    why = f"{subject} answers {percent(share)} of {examples:,} right"
    statistic = "share of the test set, with Wilson's interval"
    return Judgement(HOLDS if share >= limit else OPEN, why, share, low, high, "%", n, statistic)


def greater(first: Numbers, second: Numbers, unit: str, names: tuple[str, str], scale: float = 1.0) -> Judgement:
    """Is the first greater than the second? By a paired test over the replicates.

    Args:
        first, second: of replicates of the same seeds.
        unit: of the difference, see Judgement.
        names: what ``first`` and ``second`` are.
        scale: factor that turns the difference into the unit.
    """
    differences = paired_differences(first, second)
    if len(differences) < FEWEST:
        return _too_few_pairs(differences)
    p = paired_p_value(differences)
    summary = summarize([scale * number for number in differences])
    verdict = OPEN if p >= LEVEL else HOLDS if summary.mean > 0 else FAILS
    comparison = {HOLDS: "is more than", FAILS: "is less than", OPEN: "cannot be told from"}[verdict]
    why = f"{names[0]} {comparison} {names[1]} (p = {p:.2g})"
    statistic = f"{_test_name(summary)}; {interval_name(summary)}"
    return Judgement(verdict, why, summary.mean, summary.low, summary.high, unit, summary.count, statistic)


def similar(first: Numbers, second: Numbers, margin: float, unit: str) -> Judgement:
    """Do the pairs differ by less than ``margin`` in the mean? By the interval of the mean difference."""
    differences = paired_differences(first, second)
    if len(differences) < FEWEST:
        return _too_few_pairs(differences)
    p = paired_p_value(differences)
    summary = summarize(differences)
    inside = -margin < summary.low and summary.high < margin
    outside = summary.low > margin or summary.high < -margin
    verdict = HOLDS if inside else FAILS if outside else OPEN
    where = {HOLDS: "within", FAILS: "beyond", OPEN: "partly within"}[verdict]
    why = f"the difference is {where} ±{margin:g} {unit} ({_test_name(summary)}: p = {p:.2g})"
    statistic = f"equivalence within a margin; {interval_name(summary)}"
    return Judgement(verdict, why, summary.mean, summary.low, summary.high, unit, summary.count, statistic)


def best_of(candidates: Mapping[str, Numbers], claimed: str) -> Judgement:
    """Is the mean of one candidate greater than that of each other? By Welch's t tests, adjusted by Holm."""
    valid = {name: [number for number in numbers if number is not None] for name, numbers in candidates.items()}
    own = valid.pop(claimed)
    n = len(own)
    if min(map(len, [own, *valid.values()])) < FEWEST:
        return Judgement(OPEN, f"fewer than {FEWEST} networks of a model", n=n)
    gaps = {name: mean(own) - mean(numbers) for name, numbers in valid.items()}
    p_values = holm({name: welch(own, numbers) for name, numbers in valid.items()})
    better = [name for name in valid if gaps[name] < 0 and p_values[name] < LEVEL]
    equal = [name for name in valid if p_values[name] >= LEVEL]
    rival = min(gaps, key=lambda name: gaps[name])
    if better:
        verdict, why = FAILS, f"{', '.join(better)} {'is' if len(better) == 1 else 'are'} better"
    elif equal:
        verdict, why = OPEN, f"it cannot be told from {', '.join(equal)}"
    else:
        verdict, why = HOLDS, "it is better than each of the others"
    why += f" (against {rival}: p = {p_values[rival]:.2g})"
    low, high = (end * 100 for end in ends) if (ends := welch_interval(own, valid[rival])) else (None, None)
    statistic = "Welch's t tests, Holm's correction; interval of the difference from the best other"
    return Judgement(verdict, why, gaps[rival] * 100, low, high, "points", n, statistic)


def best_setting(rates: Mapping[str, float], examples: int, claimed: str) -> Judgement:
    """Is no other setting's share of right answers greater? By z tests of two proportions, adjusted by Holm.

    Args:
        rates: the share of each setting, all on as many examples.
        examples: number of these examples.
        claimed: name of the setting that is claimed to be the best.
    """
    best = max(rates, key=lambda name: rates[name])
    gaps = {name: rate - rates[claimed] for name, rate in rates.items() if name != claimed}
    p_values = holm({name: two_proportions(rates[name], rates[claimed], examples) for name in gaps})
    better = [name for name, gap in gaps.items() if gap > 0 and p_values[name] < LEVEL]
    rank = 1 + sum(gap > 0 for gap in gaps.values())
    if better:
        verdict, why = FAILS, f"{best} reaches {percent(rates[best])} instead of {percent(rates[claimed])}"
    elif rank == 1 and all(p < LEVEL for p in p_values.values()):
        verdict, why = HOLDS, "it is better than each of the others"
    elif rank == 1:
        verdict, why = OPEN, f"it is the best of {len(rates)}, but not clearly"
    else:
        verdict, why = OPEN, f"number {rank} of {len(rates)}; the best, {best}, is not clearly better"
    p = f" (p = {p_values[best]:.2g})" if best != claimed else ""
    low, high = wilson(round(rates[claimed] * examples), examples)
    statistic = "two-proportion z tests, Holm's correction; one seed of each setting"
    return Judgement(verdict, why + p, rates[claimed], low, high, "%", len(rates), statistic)


def interval_name(summary: Summary) -> str:
    """Name the kind of interval that a summary holds."""
    few = summary.count - summary.failed < FEWEST_TO_RESAMPLE
    return f"{'Student' if few else 'bootstrap'} interval of the mean"


def _test_name(summary: Summary) -> str:
    return f"paired {'permutation' if summary.count >= FEWEST_TO_PERMUTE else 't'} test"


def _valid(numbers: Numbers) -> int:
    return sum(number is not None for number in numbers)


def _all_failed(numbers: Numbers) -> Judgement:
    return Judgement(OPEN, f"all {len(numbers)} networks failed (NaN)", n=len(numbers))


def _too_few_pairs(differences: list[float]) -> Judgement:
    return Judgement(OPEN, f"{len(differences)} pairs are too few", n=len(differences))


def _failed(summary: Summary) -> str:
    return f"; {summary.failed} of {summary.count} networks failed (NaN)" if summary.failed else ""


def _points(share: float) -> str:
    return f"{share * 100:.2f} points" if share >= 0.00005 else "less than 0.01 points"
