"""Verdicts: what numbers say about a claim, by named statistics. Nothing here knows where the numbers come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
from scipy import stats

from rnn_tasks.training.intervals import FEWEST_TO_RESAMPLE, Summary, summarize, wilson

HOLDS, FAILS, OPEN, MISSING = "holds", "does not hold", "cannot be told", "not measured"
LEVEL = 0.05
FEWEST = 3  # replicates of which an interval can be told
FEWEST_TO_PERMUTE = 6
FAILED = 0.1  # share of the replicates that may have failed where something holds
WIDEST = 0.05  # an interval of an accuracy that is wider says too little

Numbers = Sequence[float | None]  # of replicates; None has failed


@dataclass(frozen=True)
class Judgement:
    """What became of a claim.

    Attributes:
        verdict: holds, does not hold, cannot be told, or not measured.
        why: the reason, as a sentence.
        value, low, high: what was measured and its 95 % interval, in units of ``unit``.
        unit: "%" (the value is a share of 1), or a word.
        n: how many replicates, pairs or settings were compared.
        statistic: what the verdict rests on.
    """

    verdict: str
    why: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = "%"
    n: int = 0
    statistic: str = ""

    @property
    def measured(self) -> str:
        """The value with its interval, as people read it."""
        if self.value is None:
            return ""
        ends = [number for number in (self.value, self.low, self.high) if number is not None]
        said = [percent(end).removesuffix(" %") if self.unit.startswith("%") else f"{end:.2f}" for end in ends]
        return f"{said[0]} {self.unit}" + (f" [{said[1]}, {said[2]}]" if len(said) == 3 else "")


def equals(numbers: Numbers, claimed: float, slack: float) -> Judgement:
    """Is the mean accuracy what is claimed, up to ``slack``? By the interval of the mean.

    A claim of 100 % says that nothing is wrong: it fails if no replicate is so, and holds only if most are.
    """
    told = summarize(numbers)
    low, high = told.within
    off = claimed - told.mean
    best = f"best {percent(told.most)}, {told.perfect} of {told.count} without a mistake{_failed(told)}"
    missed = claimed == 1 and not told.perfect
    if told.count - told.failed < FEWEST:
        verdict, why = OPEN, f"{told.count - told.failed} networks are too few for an interval"
    elif missed or not low - slack <= claimed <= high + slack:
        verdict, why = FAILS, f"{_points(abs(off))} {'below' if off > 0 else 'above'} the claim; {best}"
    elif high - low > WIDEST or told.failed > FAILED * told.count or (claimed == 1 and 2 * told.perfect < told.count):
        verdict, why = OPEN, f"the interval includes the claim, but is wide or few reach it; {best}"
    else:
        verdict, why = HOLDS, f"the interval includes the claim; {best}"
    return Judgement(verdict, why, told.mean, low, high, "%", told.count, named(told))


def within(numbers: Numbers, limit: float, unit: str, what: str, says: str, below: bool = True) -> Judgement:
    """Is the mean below (or above) a limit? By the interval of the mean.

    Args:
        numbers: of the replicates.
        limit: to be kept.
        unit: of the numbers, see Judgement.
        what: the numbers' name.
        says: how the limit is said.
        below: it is an upper limit.
    """
    told = summarize(numbers)
    side = "below" if below else "above"
    if told.count - told.failed < FEWEST or told.low <= limit <= told.high:
        verdict, why = OPEN, f"it cannot be told whether {what} is {side} {says}"
    else:
        kept = (told.high < limit) == below
        verdict, why = (HOLDS if kept else FAILS), f"{what} is {'' if kept else 'not '}{side} {says}"
    return Judgement(verdict, why + _failed(told), told.mean, told.low, told.high, unit, told.count, named(told))


def majority(successes: int, trials: int, says: str) -> Judgement:
    """Do most do it? By Wilson's interval of the share; ``says`` completes "5 of 32 networks ..."."""
    low, high = wilson(successes, trials)
    verdict = HOLDS if low > 0.5 else FAILS if high < 0.5 else OPEN
    doubt = "" if verdict != OPEN else "; too few to tell if most do"
    why = f"{successes} of {trials} networks {says}{doubt}"
    return Judgement(verdict, why, successes / trials, low, high, "%", trials, "Wilson's interval of the share")


def exists(right: int, tried: int, limit: float, n: int, says: str) -> Judgement:
    """Is there one whose share of right answers reaches ``limit``? By the one that is best in validation."""
    low, high = wilson(right, tried)
    share = right / tried
    why = f"{says} answers {percent(share)} of {tried:,} right"
    statistic = "share of the test set, with Wilson's interval"
    return Judgement(HOLDS if share >= limit else OPEN, why, share, low, high, "%", n, statistic)


def difference(first: Numbers, second: Numbers) -> tuple[list[float], float]:
    """Differences of the pairs in which none has failed, and the p value of a sign-flip permutation test.

    Of fewer than six pairs, with which that cannot reach 5 %, the p value is that of a paired t test.
    """
    pairs = [(a, b) for a, b in zip(first, second, strict=False) if a is not None and b is not None]
    differences = [a - b for a, b in pairs]
    if len(pairs) < FEWEST or not any(differences):
        return differences, 1.0
    if len(pairs) < FEWEST_TO_PERMUTE:  # a t test of equal numbers would be sure of anything
        return differences, float(stats.ttest_1samp(differences, 0).pvalue) if np.ptp(differences) > 1e-12 else 1.0
    test = stats.permutation_test(
        (np.array(differences),), np.mean, permutation_type="samples", n_resamples=9_999, rng=np.random.default_rng(0)
    )
    return differences, float(test.pvalue)


def greater(first: Numbers, second: Numbers, unit: str, says: tuple[str, str], scale: float = 1.0) -> Judgement:
    """Is the first greater than the second? By a paired test over the replicates.

    Args:
        first, second: of replicates of the same seeds.
        unit: of the difference, see Judgement.
        says: what "first" and "second" are.
        scale: factor of the difference that is shown.
    """
    differences, p = difference(first, second)
    if len(differences) < FEWEST:
        return Judgement(OPEN, f"{len(differences)} pairs are too few", n=len(differences))
    told = summarize([scale * number for number in differences])
    verdict = OPEN if p >= LEVEL else HOLDS if told.mean > 0 else FAILS
    than = {HOLDS: "is more than", FAILS: "is less than", OPEN: "cannot be told from"}[verdict]
    why = f"{says[0]} {than} {says[1]} (p = {p:.2g})"
    return Judgement(verdict, why, told.mean, told.low, told.high, unit, told.count, f"{_test(told)}; {named(told)}")


def similar(first: Numbers, second: Numbers, margin: float, unit: str) -> Judgement:
    """Do the pairs differ by less than ``margin`` in the mean? By the interval of the mean difference."""
    differences, p = difference(first, second)
    if len(differences) < FEWEST:
        return Judgement(OPEN, f"{len(differences)} pairs are too few", n=len(differences))
    told = summarize(differences)
    inside, outside = -margin < told.low <= told.high < margin, told.low > margin or told.high < -margin
    verdict = HOLDS if inside else FAILS if outside else OPEN
    where = {HOLDS: "within", FAILS: "beyond", OPEN: "partly within"}[verdict]
    why = f"the difference is {where} ±{margin:g} {unit} ({_test(told)}: p = {p:.2g})"
    statistic = f"equivalence within a margin; {named(told)}"
    return Judgement(verdict, why, told.mean, told.low, told.high, unit, told.count, statistic)


def best_of(candidates: dict[str, Numbers], claimed: str) -> Judgement:
    """Is the mean of one greater than that of each other? By Welch's t tests, corrected by Holm."""
    told = {name: [number for number in numbers if number is not None] for name, numbers in candidates.items()}
    own, others = told.pop(claimed), told
    n = len(own)
    if min(map(len, [own, *others.values()])) < FEWEST:
        return Judgement(OPEN, f"fewer than {FEWEST} networks of a model", n=n)
    gaps = {name: mean(own) - mean(numbers) for name, numbers in others.items()}
    p_values = holm({name: welch(own, numbers) for name, numbers in others.items()})
    better = [name for name in others if gaps[name] < 0 and p_values[name] < LEVEL]
    beaten = [name for name in others if gaps[name] > 0 and p_values[name] < LEVEL]
    rival = min(gaps, key=gaps.get)
    if better:
        verdict, why = FAILS, f"{', '.join(better)} {'is' if len(better) == 1 else 'are'} better"
    elif len(beaten) == len(others):
        verdict, why = HOLDS, "it is better than each of the others"
    else:
        verdict, why = OPEN, f"it cannot be told from {', '.join(name for name in others if name not in beaten)}"
    why += f" (against {rival}: p = {p_values[rival]:.2g})"
    low = high = None
    if p_values[rival] < 1:
        test = stats.ttest_ind(own, others[rival], equal_var=False).confidence_interval(0.95)
        low, high = float(test.low) * 100, float(test.high) * 100
    statistic = "Welch's t tests, Holm's correction; interval of the difference from the best other"
    return Judgement(verdict, why, gaps[rival] * 100, low, high, "points", n, statistic)


def best_setting(rates: dict[str, float], tried: int, claimed: str) -> Judgement:
    """Is no other setting's share of ``tried`` right answers greater? By z tests of two proportions."""
    best = max(rates, key=rates.get)
    gaps = {name: (rate - rates[claimed]) for name, rate in rates.items() if name != claimed}
    p_values = holm({name: two_proportions(rates[name], rates[claimed], tried) for name in gaps})
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
    low, high = wilson(round(rates[claimed] * tried), tried)
    statistic = "two-proportion z tests, Holm's correction; one seed of each setting"
    return Judgement(verdict, why + p, rates[claimed], low, high, "%", len(rates), statistic)


def rank_correlations(x: Sequence[float], rows: Sequence[Numbers]) -> list[float | None]:
    """Spearman's correlation of x with each row: None where a number is missing or all are the same."""
    whole = [None not in row and len(set(row)) > 1 for row in rows]
    return [float(stats.spearmanr(x, row).statistic) if ok else None for ok, row in zip(whole, rows, strict=True)]


def mean_of(numbers: Numbers) -> float:
    """The mean of those that have not failed."""
    return mean(number for number in numbers if number is not None)


def welch(first: Sequence[float], second: Sequence[float]) -> float:
    """p value of Welch's t test; 1 if neither varies, of which a t test would be sure of anything."""
    if len({*first}) == len({*second}) == 1:
        return 1.0
    return float(stats.ttest_ind(first, second, equal_var=False).pvalue)


def two_proportions(first: float, second: float, tried: int) -> float:
    """p value of the z test of two shares of ``tried`` trials each."""
    pooled = (first + second) / 2
    error = (2 * pooled * (1 - pooled) / tried) ** 0.5
    return float(2 * stats.norm.sf(abs(first - second) / error)) if error else 1.0


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """p values of several tests, corrected by Holm's method."""
    corrected, most = {}, 0.0
    for i, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        most = max(most, min(1.0, p * (len(p_values) - i)))
        corrected[name] = most
    return corrected


def percent(share: float) -> str:
    """A share in per cent; what is not all is never rounded to all."""
    said = f"{share * 100:.2f}".replace("-0.00", "0.00")
    return f"{'> 99.99' if said == '100.00' and share < 1 else said.removesuffix('.00')} %"


def named(told: Summary) -> str:
    """How the interval of a mean was found."""
    few = told.count - told.failed < FEWEST_TO_RESAMPLE
    return f"{'Student' if few else 'bootstrap'} interval of the mean"


def _test(told: Summary) -> str:
    return f"paired {'permutation' if told.count >= FEWEST_TO_PERMUTE else 't'} test"


def _failed(told: Summary) -> str:
    return f"; {told.failed} of {told.count} networks failed (NaN)" if told.failed else ""


def _points(share: float) -> str:
    return f"{share * 100:.2f} points" if share >= 0.00005 else "less than 0.01 points"


def as_json(judgement: Judgement) -> dict[str, Any]:
    """For claims.json."""
    return {**judgement.__dict__, "measured": judgement.measured}
