"""The rules that judge claims by the results that runs have recorded.

The arguments of a rule are the finished runs ("evidence") and what a claim names in ``claims.yaml``: ``run``, ``other``
and ``others`` choose runs, and the rest are the claimed numbers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from rnn_tasks.report import verdicts
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.finished import FinishedRun, Missing
from rnn_tasks.report.formatting import Numbers, mean_of, mean_percent, percent
from rnn_tasks.report.hypothesis_tests import FEWEST, rank_correlations
from rnn_tasks.report.judgement import FAILS, HOLDS, OPEN, Judgement
from rnn_tasks.runs.plots import SPLITS

OF_GUESSING = "% of guessing"
NEAR_ZERO, A_RISE, SETTLED, LEARNT = 0.05, 0.01, 0.02, 0.5  # of the loss of guessing
OVERFITTED = 0.1  # of the lowest validation loss
NAMES = {split: name for split, (name, *_) in SPLITS.items()}


def accuracy(evidence: Evidence, run: str, claimed: dict[str, float]) -> Judgement:
    """The mean accuracy over the replicates equals the claim within its rounding; a claim of 100 % allows no error."""
    ((split, figure),) = claimed.items()
    slack = 0.0 if figure == 100 else 0.5 * 10 ** -len(str(figure).partition(".")[2]) / 100
    return verdicts.equals(evidence.run(run).metric(split), figure / 100, slack)


def loss_vanishes(evidence: Evidence, run: str, split: str) -> Judgement:
    """The mean loss at the end is less than 5 % of that of guessing."""
    return _final_loss(evidence.run(run), split, below=True)


def loss_stays(evidence: Evidence, run: str) -> Judgement:
    """The mean training loss at the end is more than 5 % of that of guessing."""
    return _final_loss(evidence.run(run), "train", below=False)


def _final_loss(run: FinishedRun, split: str, below: bool) -> Judgement:
    guess = run.guess_loss()
    losses = [None if loss is None else loss / guess for loss in run.metric(split, "loss")]
    quantity, bound = f"the {NAMES[split]} loss at the end", f"{percent(NEAR_ZERO)} of the loss of guessing"
    return verdicts.within(losses, NEAR_ZERO, OF_GUESSING, quantity, bound, below)


def settles(evidence: Evidence, run: str, split: str) -> Judgement:
    """In the last quarter of the epochs the loss varies by less than 2 % of the loss of guessing."""
    finished = evidence.run(run)
    guess, last = finished.guess_loss(), max(2, finished.epochs // 4)
    ranges = [(max(losses[-last:]) - min(losses[-last:])) / guess for losses in finished.curve(f"{split}_loss")]
    quantity = f"the range of the {NAMES[split]} loss in the last {last} epochs"
    judgement = verdicts.within(ranges, SETTLED, OF_GUESSING, quantity, f"{percent(SETTLED)} of that of guessing")
    return _if_learnt(finished, judgement)


def falls_cleanly(evidence: Evidence, run: str, split: str) -> Judgement:
    """The loss never rises by more than 1 % of the loss of guessing above its lowest value before."""
    finished = evidence.run(run)
    quantity, bound = f"the largest rise of the {NAMES[split]} loss", f"{percent(A_RISE)} of the loss of guessing"
    judgement = verdicts.within(_largest_rises(finished, split), A_RISE, OF_GUESSING, quantity, bound)
    return _if_learnt(finished, judgement)


def rises_early(evidence: Evidence, run: str) -> Judgement:
    """In the first third of the epochs a loss (training or validation) rises by more than 1 % of that of guessing."""
    finished = evidence.run(run)
    rises = [max(pair) for pair in zip(*(_largest_rises(finished, split, 1 / 3) for split in NAMES), strict=True)]
    quantity, bound = "the largest rise in the first third of the epochs", f"{percent(A_RISE)} of the loss of guessing"
    return verdicts.within(rises, A_RISE, OF_GUESSING, quantity, bound, below=False)


def _largest_rises(run: FinishedRun, split: str, part: float = 1.0) -> list[float]:
    """Return each replicate's largest rise of the loss above its lowest before, in losses of guessing.

    Args:
        run: of at least two epochs.
        split: "train" or "val".
        part: share of the epochs to look at, from the first on.
    """
    if run.epochs < 2:
        raise Missing(f"{run.path} has one epoch, in which nothing can rise")
    rises, guess = [], run.guess_loss()
    for losses in run.curve(f"{split}_loss"):
        losses = losses[: max(2, round(part * len(losses)))]
        rises.append(max(0.0, *(loss - min(losses[:i]) for i, loss in enumerate(losses) if i)) / guess)
    return rises


def no_overfitting(evidence: Evidence, run: str) -> Judgement:
    """At the end the validation loss is less than 10 % above its lowest value."""
    finished = evidence.run(run)
    rises = [losses[-1] / min(losses) - 1 for losses in finished.curve("val_loss")]
    quantity = "the rise of the validation loss from its lowest value to the last"
    return _if_learnt(finished, verdicts.within(rises, OVERFITTED, "%", quantity, percent(OVERFITTED)))


def _if_learnt(run: FinishedRun, judgement: Judgement) -> Judgement:
    """Return the judgement, or OPEN for networks that have hardly learnt: their losses cannot support a claim."""
    if mean_of(run.metric("train", "loss")) < LEARNT * run.guess_loss():
        return judgement
    return replace(
        judgement, verdict=OPEN, why=f"the training loss is still above {percent(LEARNT)} of that of guessing"
    )


def swap(evidence: Evidence, run: str, other: str, gap: float) -> Judgement:
    """Validation is as many points above the test in one run as it is below it in the other, in the mean of both."""
    first, second = evidence.run(run), evidence.run(other)
    own, others = (_points_above_test(finished) for finished in (first, second))
    gaps = [None if a is None or b is None else (a - b) / 2 for a, b in zip(own, others, strict=False)]
    bound = f"half of the {gap:g} points of the report"
    judgement = verdicts.within(gaps, gap / 2, "points", "the gap", bound, below=False)
    return replace(judgement, why=f"{judgement.why}: {run} has {_test_and_val(first)}, {other} {_test_and_val(second)}")


def _points_above_test(run: FinishedRun) -> list[float | None]:
    """By how many points the validation accuracy of each replicate is above its test accuracy."""
    pairs = zip(run.metric("val"), run.metric("test"), strict=True)
    return [None if val is None or test is None else 100 * (val - test) for val, test in pairs]


def _test_and_val(run: FinishedRun) -> str:
    return f"{mean_percent(run.metric('test'))} in test and {mean_percent(run.metric('val'))} in validation"


def best_model(evidence: Evidence, run: str, others: list[str]) -> Judgement:
    """Its mean test accuracy is above that of each of the others."""
    return verdicts.best_of({selector: evidence.run(selector).metric("test") for selector in (run, *others)}, run)


def best_setting(evidence: Evidence, run: str, setting: dict[str, float]) -> Judgement:
    """No setting of the sweep around it has a better validation accuracy."""
    by_name = {_setting({key: each.value(key) for key in setting}): each for each in evidence.sweep(run)}
    claimed = _setting(setting)
    rates = {name: mean_of(each.metric("val")) for name, each in by_name.items()}
    return verdicts.best_setting(rates, by_name[claimed].examples("val"), claimed)


def _setting(values: dict[str, float]) -> str:
    """Values of some keys, as people read them."""
    return ", ".join(f"{key.rpartition('.')[2]} {value:g}" for key, value in values.items())


def can_be_done(evidence: Evidence, run: str, accuracy: float) -> Judgement:
    """The claim that it cannot be done fails if one network, the best in validation, gets so far on the test set."""
    finished = evidence.run(run)
    examples, shares = finished.examples("test"), finished.metric("test")
    best = shares[finished.best] or 0.0
    subject = "the best network in validation"
    judgement = verdicts.exists(round(best * examples), examples, accuracy, finished.replicates, subject)
    reached = sum((share or 0) >= accuracy for share in shares)
    low, high = verdicts.wilson(reached, finished.replicates)
    count = f"{reached} of {finished.replicates} networks ({low:.0%} to {high:.0%}) reach {percent(accuracy)}"
    verdict = FAILS if judgement.verdict == HOLDS else OPEN
    return replace(judgement, verdict=verdict, why=f"{judgement.why}; {count}")


def correlation(key: str, runs: list[FinishedRun], rows: Iterable[Numbers], quantity: str, rising: bool) -> Judgement:
    """Do the numbers of each seed rise (or fall) with what was swept? By the mean rank correlation over the seeds.

    Args:
        key: that was swept.
        runs: of the sweep.
        rows: the numbers of each seed, one for each run.
        quantity: the numbers' name.
        rising: whether they should rise.
    """
    correlations = rank_correlations([run.value(key) for run in runs], list(rows))
    if sum(value is not None for value in correlations) < FEWEST:
        return Judgement(OPEN, f"{quantity} hardly differ over {key}")
    subject = f"the rank correlation of {quantity} with {key}, seed by seed,"
    judgement = verdicts.within(correlations, 0, "(rank correlation)", subject, "0", below=not rising)
    return replace(judgement, statistic=f"Spearman's rank correlation of each seed; {judgement.statistic}")


def increases(evidence: Evidence, run: str, others: list[str]) -> Judgement:
    """In this order, the test accuracy of each is above that of the one before."""
    selectors = (run, *others)
    accuracies = [evidence.run(selector).metric("test") for selector in selectors]
    steps = [
        verdicts.greater(after, before, "points", (name, name_before), 100)
        for (before, after), (name_before, name) in zip(pairwise(accuracies), pairwise(selectors), strict=True)
    ]
    weakest = next((step for verdict in (FAILS, OPEN) for step in steps if step.verdict == verdict), steps[-1])
    return replace(weakest, why=f"means of {', '.join(map(mean_percent, accuracies))}; {weakest.why}")


def quicker(evidence: Evidence, run: str, other: str, accuracy: float) -> Judgement:
    """It needs fewer epochs to this validation accuracy; a network that never reaches it counts as one epoch more."""
    own, others = _epochs_until([evidence.run(run), evidence.run(other)], accuracy)
    names = (f"the number of epochs to {percent(accuracy)} in validation with {other}", f"that with {run}")
    return verdicts.greater(others, own, "epochs", names)


def quicker_with(evidence: Evidence, run: str, key: str, accuracy: float) -> Judgement:
    """If the epochs to this validation accuracy fall with a number that was swept, that may be the reason."""
    runs = evidence.sweep(run)
    rows = zip(*_epochs_until(runs, accuracy), strict=True)
    judgement = correlation(key, runs, rows, f"the epochs to {percent(accuracy)} in validation", rising=False)
    if judgement.verdict != HOLDS:
        return judgement
    return replace(judgement, verdict=OPEN, why=f"{judgement.why}: it fits, but a correlation shows no reason")


def same_speed(evidence: Evidence, run: str, other: str, accuracy: float, margin: float) -> Judgement:
    """The epochs to this validation accuracy differ by less than a margin in the mean."""
    own, others = _epochs_until([evidence.run(run), evidence.run(other)], accuracy)
    judgement = verdicts.similar(own, others, margin, "epochs")
    means = f"{mean_of(own):.2f} and {mean_of(others):.2f} epochs to {percent(accuracy)} in validation"
    return replace(judgement, why=f"{means}; {judgement.why}")


def _epochs_until(runs: Sequence[FinishedRun], accuracy: float) -> list[list[float | None]]:
    """Epochs until each replicate of each run reaches an accuracy, within the epochs that all runs have."""
    last = min(run.epochs for run in runs)
    return [run.epochs_until(accuracy, last) for run in runs]


def more_accurate(evidence: Evidence, run: str, other: str) -> Judgement:
    """Its test accuracy is above that of the other."""
    own, others = (evidence.run(selector).metric("test") for selector in (run, other))
    return verdicts.greater(own, others, "points", (f"the accuracy of {run}", f"that of {other}"), 100)


def more_often_perfect(evidence: Evidence, run: str, key: str, better: str, than: str) -> Judgement:
    """Over a sweep a seed gets the whole test set right more often with one choice than with the other."""
    perfect: dict[str, list[list[bool]]] = {better: [], than: []}
    for each in evidence.sweep(run):
        perfect[each.value(key)].append([share == 1 for share in each.metric("test", "sequence_accuracy")])
    own, others = ([sum(seed) / len(seed) for seed in zip(*rows, strict=True)] for rows in perfect.values())
    names = (f"the share of perfect networks with {better}", f"that with {than}")
    judgement = verdicts.greater(own, others, "points", names, 100)
    counts = " against ".join(str(sum(map(sum, rows))) for rows in perfect.values())
    total, sizes = sum(map(len, perfect[better])), len(perfect[better])
    return replace(judgement, why=f"{judgement.why}: {counts} of {total} over all {sizes} batch sizes")
