"""The rules of claims.yaml that judge what runs have recorded. Each takes numbers and lets verdicts.py judge them."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from rnn_tasks.report import verdicts
from rnn_tasks.report.evidence import Evidence, FinishedRun, Missing
from rnn_tasks.report.verdicts import FAILS, HOLDS, OPEN, Judgement, percent
from rnn_tasks.runs.plots import SPLITS

OF_GUESSING = "% of guessing"
NEAR_ZERO, A_RISE, SETTLED, LEARNT = 0.05, 0.01, 0.02, 0.5  # of the loss of guessing
NAMES = {split: name for split, (name, *_) in SPLITS.items()}

Rule = Callable[..., Judgement]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Make a function a rule, under its name. Its arguments are the evidence, the run, and those of claims.yaml."""
    RULES[function.__name__] = function
    return function


@rule
def accuracy(evidence: Evidence, run: str, claimed: dict[str, float]) -> Judgement:
    """The mean accuracy over the replicates is the claimed one, to the digits that it is given with; 100 is all."""
    ((split, figure),) = claimed.items()
    slack = 0.0 if figure == 100 else 0.5 * 10 ** -len(str(figure).partition(".")[2]) / 100
    return verdicts.equals(evidence.run(run).metric(split), figure / 100, slack)


@rule
def loss_vanishes(evidence: Evidence, run: str, split: str) -> Judgement:
    """The mean loss at the end is less than 5 % of that of guessing."""
    return _final_loss(evidence.run(run), split)


@rule
def loss_stays(evidence: Evidence, run: str) -> Judgement:
    """The mean training loss at the end is more than 5 % of that of guessing."""
    return _final_loss(evidence.run(run), "train", below=False)


def _final_loss(found: FinishedRun, split: str, below: bool = True) -> Judgement:
    guess = found.guess_loss()
    losses = [None if loss is None else loss / guess for loss in found.metric(split, "loss")]
    what = f"the {NAMES[split]} loss at the end"
    return verdicts.within(losses, NEAR_ZERO, OF_GUESSING, what, f"{NEAR_ZERO:.0%} of the loss of guessing", below)


@rule
def settles(evidence: Evidence, run: str, split: str) -> Judgement:
    """In the last quarter of the epochs the loss varies by less than 2 % of the loss of guessing."""
    found = evidence.run(run)
    guess, last = found.guess_loss(), max(2, found.epochs // 4)
    ranges = [(max(losses[-last:]) - min(losses[-last:])) / guess for losses in found.curve(f"{split}_loss")]
    what = f"the range of the {NAMES[split]} loss in the last {last} epochs"
    return _if_learnt(found, verdicts.within(ranges, SETTLED, OF_GUESSING, what, f"{SETTLED:.0%} of that of guessing"))


@rule
def falls_cleanly(evidence: Evidence, run: str, split: str) -> Judgement:
    """Nowhere the loss rises by more than 1 % of the loss of guessing above its lowest value before."""
    found = evidence.run(run)
    what, says = f"the largest rise of the {NAMES[split]} loss", f"{A_RISE:.0%} of the loss of guessing"
    return _if_learnt(found, verdicts.within(_largest_rises(found, split), A_RISE, OF_GUESSING, what, says))


@rule
def rises_early(evidence: Evidence, run: str) -> Judgement:
    """In the first third of the epochs a loss (training or validation) rises by more than 1 % of that of guessing."""
    found = evidence.run(run)
    rises = [max(pair) for pair in zip(*(_largest_rises(found, split, 1 / 3) for split in NAMES), strict=True)]
    what = "the largest rise in the first third of the epochs"
    return verdicts.within(rises, A_RISE, OF_GUESSING, what, f"{A_RISE:.0%} of the loss of guessing", below=False)


def _largest_rises(found: FinishedRun, split: str, part: float = 1.0) -> list[float]:
    """Of each replicate the largest rise of a loss above its lowest value before, as a share of guessing's loss."""
    if found.epochs < 2:
        raise Missing(f"{found.path} has one epoch, in which nothing can rise")
    rises, guess = [], found.guess_loss()
    for losses in found.curve(f"{split}_loss"):
        losses = losses[: max(2, round(part * len(losses)))]
        rises.append(max(0.0, *(loss - min(losses[:i]) for i, loss in enumerate(losses) if i)) / guess)
    return rises


@rule
def no_overfitting(evidence: Evidence, run: str) -> Judgement:
    """At the end the validation loss is less than 10 % above its lowest value."""
    found = evidence.run(run)
    rises = [losses[-1] / min(losses) - 1 for losses in found.curve("val_loss")]
    what = "what the last validation loss is above the lowest"
    return _if_learnt(found, verdicts.within(rises, 0.1, "%", what, "10 %"))


def _if_learnt(found: FinishedRun, judged: Judgement) -> Judgement:
    """How a loss goes says nothing of networks that have hardly learnt."""
    if verdicts.mean_of(found.metric("train", "loss")) < LEARNT * found.guess_loss():
        return judged
    return replace(judged, verdict=OPEN, why=f"the training loss is still above {LEARNT:.0%} of that of guessing")


@rule
def swap(evidence: Evidence, run: str, other: str, gap: float) -> Judgement:
    """Validation is as many points above the test in one run as it is below it in the other, in the mean of both."""
    one, two = evidence.run(run), evidence.run(other)
    both = zip(one.metric("val"), one.metric("test"), two.metric("test"), two.metric("val"), strict=False)
    gaps = [None if None in four else 50 * (four[0] - four[1] + four[2] - four[3]) for four in both]
    judged = verdicts.within(
        gaps, gap / 2, "points", "the gap", f"half of the {gap:g} points of the report", below=False
    )
    return replace(judged, why=f"{judged.why}: {run} has {_gap(one)}, {other} {_gap(two)}")


def _gap(found: FinishedRun) -> str:
    test, val = (said_mean(found.metric(split)) for split in ("test", "val"))
    return f"{test} in test and {val} in validation"


@rule
def best_model(evidence: Evidence, run: str, others: list[str]) -> Judgement:
    """Its mean test accuracy is above that of each of the others."""
    return verdicts.best_of({words: evidence.run(words).metric("test") for words in (run, *others)}, run)


@rule
def best_setting(evidence: Evidence, run: str, setting: dict[str, float]) -> Judgement:
    """No setting of the sweep around it has a better validation accuracy."""
    found = {_said({key: one.value(key) for key in setting}): one for one in evidence.sweep(run)}
    claimed = _said(setting)
    rates = {name: verdicts.mean_of(one.metric("val")) for name, one in found.items()}
    return verdicts.best_setting(rates, found[claimed].tried("val"), claimed)


def _said(setting: dict[str, float]) -> str:
    """Values of some keys, as people read them."""
    return ", ".join(f"{key.rpartition('.')[2]} {value:g}" for key, value in setting.items())


def said_mean(numbers: verdicts.Numbers) -> str:
    """The mean of accuracies, in per cent."""
    return percent(verdicts.mean_of(numbers))


@rule
def can_be_done(evidence: Evidence, run: str, accuracy: float) -> Judgement:
    """The claim that it cannot be done fails if one network, the best in validation, gets so far on the test set."""
    found = evidence.run(run)
    tried, share = found.tried("test"), found.metric("test")[found.best]
    judged = verdicts.exists(round(share * tried), tried, accuracy, found.replicates, "the best network in validation")
    most = sum((one or 0) >= accuracy for one in found.metric("test"))
    low, high = verdicts.wilson(most, found.replicates)
    why = f"{judged.why}; {most} of {found.replicates} networks ({low:.0%} to {high:.0%}) reach {percent(accuracy)}"
    return replace(judged, verdict=FAILS if judged.verdict == HOLDS else OPEN, why=why)


def correlated(key: str, found: list[FinishedRun], rows: Any, what: str, rising: bool) -> Judgement:
    """Do the numbers of each seed rise (or fall) with what was swept? By the mean rank correlation over the seeds."""
    correlations = verdicts.rank_correlations([one.value(key) for one in found], list(rows))
    if sum(one is not None for one in correlations) < verdicts.FEWEST:
        return Judgement(OPEN, f"{what} hardly differ over {key}")
    subject = f"the rank correlation of {what} with {key}, seed by seed,"
    judged = verdicts.within(correlations, 0, "(rank correlation)", subject, "0", below=not rising)
    return replace(judged, statistic=f"Spearman's rank correlation of each seed; {judged.statistic}")


@rule
def increases(evidence: Evidence, run: str, others: list[str]) -> Judgement:
    """In this order, the test accuracy of each is above that of the one before."""
    return _chain([evidence.run(words).metric("test") for words in (run, *others)], (run, *others), "points", 100)


def _chain(numbers: list[list[float | None]], names: tuple[str, ...], unit: str, scale: float = 1) -> Judgement:
    """Each is greater than the one before; told by the least of the steps."""
    steps = [
        verdicts.greater(after, before, unit, (names[i + 1], names[i]), scale)
        for i, (before, after) in enumerate(pairwise(numbers))
    ]
    least = next((step for verdict in (FAILS, OPEN) for step in steps if step.verdict == verdict), steps[-1])
    return replace(least, why=f"means of {', '.join(map(said_mean, numbers))}; {least.why}")


@rule
def quicker(evidence: Evidence, run: str, other: str, accuracy: float) -> Judgement:
    """It needs fewer epochs to this validation accuracy than the other; one more than all where it never gets there."""
    counts = _epochs_until([evidence.run(other), evidence.run(run)], accuracy)
    says = (f"the number of epochs to {percent(accuracy)} in validation with {other}", f"that with {run}")
    return verdicts.greater(*counts, "epochs", says)


@rule
def quicker_with(evidence: Evidence, run: str, key: str, accuracy: float) -> Judgement:
    """If the epochs to this validation accuracy fall with a number that was swept, that may be the reason."""
    found = evidence.sweep(run)
    rows = zip(*_epochs_until(found, accuracy), strict=True)
    judged = correlated(key, found, rows, f"the epochs to {percent(accuracy)} in validation", rising=False)
    if judged.verdict != HOLDS:
        return judged
    return replace(judged, verdict=OPEN, why=f"{judged.why}: it fits, but a correlation shows no reason")


@rule
def same_speed(evidence: Evidence, run: str, other: str, accuracy: float, margin: float) -> Judgement:
    """The epochs to this validation accuracy differ by less than a margin in the mean."""
    counts = _epochs_until([evidence.run(run), evidence.run(other)], accuracy)
    judged = verdicts.similar(*counts, margin, "epochs")
    means = " and ".join(f"{verdicts.mean_of(some):.2f}" for some in counts)
    return replace(judged, why=f"{means} epochs to {percent(accuracy)} in validation; {judged.why}")


def _epochs_until(found: list[FinishedRun], accuracy: float) -> list[list[float | None]]:
    """Of each run and replicate, within the epochs that all runs have."""
    last = min(one.epochs for one in found)
    return [one.epochs_until(accuracy, last) for one in found]


@rule
def more_accurate(evidence: Evidence, run: str, other: str) -> Judgement:
    """Its test accuracy is above that of the other."""
    accuracies = [evidence.run(words).metric("test") for words in (run, other)]
    return verdicts.greater(*accuracies, "points", (f"the accuracy of {run}", f"that of {other}"), 100)


@rule
def more_often_perfect(evidence: Evidence, run: str, key: str, better: str, than: str) -> Judgement:
    """Over a sweep a seed gets the whole test set right more often with one choice than with the other."""
    perfect: dict[str, list[list[bool]]] = {better: [], than: []}
    for one in evidence.sweep(run):
        perfect[one.value(key)].append([share == 1 for share in one.metric("test", "sequence_accuracy")])
    shares = [[sum(seed) / len(seed) for seed in zip(*rows, strict=True)] for rows in perfect.values()]
    says = (f"the share of perfect networks with {better}", f"that with {than}")
    judged = verdicts.greater(*shares, "points", says, 100)
    counts = " against ".join(str(sum(map(sum, rows))) for rows in perfect.values())
    of = sum(map(len, perfect[better]))
    return replace(judged, why=f"{judged.why}: {counts} of {of} over all {len(perfect[better])} batch sizes")
