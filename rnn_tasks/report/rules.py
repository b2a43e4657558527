"""The rules of claims.yaml: each takes numbers from finished runs and lets a statistic of verdicts.py judge them."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from rnn_tasks.evaluate import evaluate
from rnn_tasks.evaluate import lengths as lengths_of
from rnn_tasks.losses import answers
from rnn_tasks.metrics import best, ranks, spread
from rnn_tasks.report import automaton, inside, verdicts
from rnn_tasks.report.evidence import Evidence, Found, usps
from rnn_tasks.report.verdicts import FAILS, HOLDS, OPEN, Judgement, percent
from rnn_tasks.seeds import generator
from rnn_tasks.tasks.base import Examples

NEAR_ZERO = 0.05  # of the loss of guessing
OF_GUESSING = "% of guessing"
NAMES = {"train": "training", "val": "validation"}
RESAMPLES = 1000
A_RISE = 0.01  # of the loss of guessing: what is less is no rise
PEOPLE = {"mnist": 0.998, "usps": 0.975}  # LeCun et al. 1995; Bromley and Säckinger 1991

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


def _final_loss(found: Found, split: str, below: bool = True) -> Judgement:
    guess = found.guess_loss()
    losses = [None if loss is None else loss / guess for loss in found.metric(split, "loss")]
    what = f"the {NAMES[split]} loss at the end"
    return verdicts.within(losses, NEAR_ZERO, OF_GUESSING, what, f"{NEAR_ZERO:.0%} of the loss of guessing", below)


@rule
def falls_cleanly(evidence: Evidence, run: str, split: str) -> Judgement:
    """Nowhere the loss rises by more than 1 % of the loss of guessing above its lowest value before."""
    rises, what = _largest_rises(evidence.run(run), split), f"the largest rise of the {NAMES[split]} loss"
    return verdicts.within(rises, A_RISE, OF_GUESSING, what, f"{A_RISE:.0%} of the loss of guessing")


@rule
def rises_early(evidence: Evidence, run: str) -> Judgement:
    """In the first third of the epochs the validation loss rises by more than 1 % of the loss of guessing."""
    rises, what = _largest_rises(evidence.run(run), "val", 1 / 3), "the largest rise in the first third of the epochs"
    return verdicts.within(rises, A_RISE, OF_GUESSING, what, f"{A_RISE:.0%} of the loss of guessing", below=False)


def _largest_rises(found: Found, split: str, part: float = 1.0) -> list[float]:
    """Of each replicate the largest rise of a loss above its lowest value before, as a share of guessing's loss."""
    rises = []
    for losses in found.curve(f"{split}_loss"):
        losses = losses[: max(2, round(part * len(losses)))]
        rises.append(max(loss - min(losses[:i]) for i, loss in enumerate(losses) if i) / found.guess_loss())
    return rises


@rule
def no_overfitting(evidence: Evidence, run: str) -> Judgement:
    """At the end the validation loss is less than 10 % above its lowest value."""
    rises = [losses[-1] / min(losses) - 1 for losses in evidence.run(run).curve("val_loss")]
    return verdicts.within(rises, 0.1, "%", "what the last validation loss is above the lowest", "10 %")


@rule
def swap(evidence: Evidence, run: str, other: str, gap: float) -> Judgement:
    """Validation is ``gap`` points above the test in one run and as many below it in the other, in the mean of both."""
    one, two = evidence.run(run), evidence.run(other)
    both = zip(one.metric("val"), one.metric("test"), two.metric("test"), two.metric("val"), strict=True)
    gaps = [None if None in four else (four[0] - four[1] + four[2] - four[3]) / 2 for four in both]
    found = verdicts.equals(gaps, gap / 100, slack=0.00005)
    return replace(found, why=f"{found.why.partition(';')[0]} that test and validation differ by", unit="%")


@rule
def best_model(evidence: Evidence, run: str, others: list[str]) -> Judgement:
    """Its mean test accuracy is above that of each of the others."""
    return verdicts.best_of({words: evidence.run(words).metric("test") for words in (run, *others)}, run)


@rule
def best_setting(evidence: Evidence, run: str, setting: dict[str, float]) -> Judgement:
    """No setting of the sweep around it has a better validation accuracy."""
    found = {_values(one, setting): one for one in evidence.sweep(run)}
    claimed = ", ".join(f"{key.rpartition('.')[2]} {value:g}" for key, value in setting.items())
    rates = {name: spread(one.metric("val")).mean for name, one in found.items()}
    return verdicts.best_setting(rates, next(iter(found.values())).tried("val"), claimed)


def _values(found: Found, keys: dict[str, Any]) -> str:
    """A run's values of some keys, as people read them."""
    return ", ".join(f"{key.rpartition('.')[2]} {found.value(key):g}" for key in keys)


@rule
def random_cases(evidence: Evidence, run: str, cases: int) -> Judgement:
    """The best network (by validation) answers as many random test examples, of every length alike, all right."""
    found = evidence.run(run)
    network, stream = found.load("best"), generator("report", run, "cases")
    sets = network.task.test if len(network.task.test) > 1 else _one_by_one(network.task)
    right = 0
    for number in range(cases):
        examples = sets[number % len(sets)]
        batch = examples[torch.randint(len(examples), (1,), generator=stream)]
        right += int((answers(network.logits(batch.inputs, batch.lengths)) == batch.targets).all())
    low, high = verdicts.wilson(right, cases)
    share = found.metric("test", "sequence_accuracy")[network.replicate]
    why = f"{right} of {cases} are right; at its test accuracy of {percent(share)} all are, {share**cases:.1%} of times"
    return Judgement(
        HOLDS if right == cases else FAILS, why, right / cases, low, high, "%", 1, "a count; Wilson's interval"
    )


def _one_by_one(task: Any) -> list[Any]:
    """The test examples, those of each length a set of their own."""
    examples = task.test[0]
    lengths = examples.lengths.unique().tolist()
    return [Examples(*(part[examples.lengths == length] for part in examples[:])) for length in lengths]


@rule
def other_handwriting(evidence: Evidence, run: str, times: float) -> Judgement:
    """On USPS it makes more than so many times the mistakes that it makes on MNIST's test images."""
    found = evidence.run(run)
    elsewhere = _usps_accuracy(found, as_mnist=False)
    ratios = [(1 - other) / (1 - own) for other, own in zip(elsewhere, found.metric("test"), strict=True)]
    what, says = "the number of mistakes", f"{times:g} times that on MNIST's test images"
    judged = verdicts.within(ratios, times, "times the mistakes", what, says, below=False)
    read = percent(spread(elsewhere).mean)
    return replace(judged, why=f"{judged.why}; {read} of 2,007 images of USPS are read right")


@rule
def nearer_distribution(evidence: Evidence, run: str) -> Judgement:
    """USPS brought into MNIST's form (20 x 20 box, centre of mass in the middle) is read better than as it is."""
    found = evidence.run(run)
    formed, plain = (_usps_accuracy(found, as_mnist) for as_mnist in (True, False))
    judged = verdicts.greater(
        formed, plain, "points", ("the accuracy on USPS in MNIST's form", "that on USPS as it is"), 100
    )
    return replace(judged, why=f"{judged.why}: {percent(spread(formed).mean)}, {percent(spread(plain).mean)}")


@rule
def basic_errors(evidence: Evidence, run: str) -> Judgement:
    """It is better than people on MNIST and worse than people on USPS."""
    found = evidence.run(run)
    here, there = spread(found.metric("test")), spread(_usps_accuracy(found, as_mnist=False))
    said = f"people read {PEOPLE['mnist']:.1%} of MNIST and {PEOPLE['usps']:.1%} of USPS, it {percent(here.mean)} and"
    said += f" {percent(there.mean)}"
    if here.low <= PEOPLE["mnist"]:
        return Judgement(OPEN, f"it does not beat people: {said}", there.mean, there.low, there.high, "%", there.count)
    verdict = HOLDS if there.high < PEOPLE["usps"] else OPEN
    return Judgement(verdict, said, there.mean, there.low, there.high, "%", there.count, "bootstrap intervals")


def _usps_accuracy(found: Found, as_mnist: bool) -> list[float]:
    """Of each replicate, on the USPS test set."""
    network = found.load("all")
    inputs, digits = usps(network.task.data_dir, as_mnist)
    with torch.inference_mode():
        logits = torch.cat([network.logits(part, torch.full((len(part),), 28)) for part in inputs.split(500)], 1)
    return (answers(logits) == digits).double().mean(1).tolist()


@rule
def can_be_done(evidence: Evidence, run: str, accuracy: float) -> Judgement:
    """The claim that it cannot be done fails if one network, the best in validation, gets so far on the test set."""
    found = evidence.run(run)
    number = best(ranks(found.result["metrics"]["val"]))
    tried, share = found.tried("test"), found.metric("test")[number]
    judged = verdicts.exists(round(share * tried), tried, accuracy, found.replicates, "the best network in validation")
    most = sum((one or 0) >= accuracy for one in found.metric("test"))
    why = f"{judged.why}; {most} of {found.replicates} networks reach {percent(accuracy)}"
    return replace(judged, verdict=FAILS if judged.verdict == HOLDS else OPEN, why=why)


@rule
def bits_passed(evidence: Evidence, run: str, bits: float) -> Judgement:
    """The claim fails if the answers of the best network in validation tell more bits about the digit."""
    found = evidence.run(run)
    truth, said = _answers(found)
    said = said[best(ranks(found.result["metrics"]["val"]))]
    picks = torch.randint(len(truth), (RESAMPLES, len(truth)), generator=generator("bootstrap"))
    resampled = torch.tensor([inside.information(truth[pick], said[pick]) for pick in picks])
    low, high = resampled.quantile(torch.tensor([0.025, 0.975])).tolist()
    middle = inside.information(truth, said)
    verdict = FAILS if low > bits else OPEN
    most = math.log2(10)
    why = f"the answers tell {middle:.2f} of {most:.2f} bits about the digit: a state is a real number, not a bit"
    return Judgement(verdict, why, middle, low, high, "bits", 1, "mutual information, bootstrap over the test lists")


@rule
def more_information(evidence: Evidence, run: str, others: list[str]) -> Judgement:
    """In this order, the answers of each tell more bits about the digit than those of the one before."""
    bits = [_information(evidence.run(words)) for words in (run, *others)]
    return _chain(bits, (run, *others), "bits")


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
    means = ", ".join(f"{spread(some).mean * scale:.2f}" for some in numbers)
    return replace(least, why=f"means of {means} {unit if scale == 1 else '%'}; {least.why}")


def _information(found: Found) -> list[float | None]:
    """Of each replicate the bits that its answers tell about the right ones."""
    truth, said = _answers(found)
    failed = [loss is None for loss in found.metric("train", "loss")]
    return [None if lost else inside.information(truth, one) for one, lost in zip(said, failed, strict=True)]


def _answers(found: Found) -> tuple[Tensor, Tensor]:
    """The right answers of 10,000 new lists [N], enough for a good estimate, and those of all replicates [R, N]."""
    network = found.load("all")
    lists = network.task.examples(10_000, "report")
    with torch.inference_mode():
        return lists.targets, answers(network.logits(lists.inputs, lists.lengths))


@rule
def quicker(evidence: Evidence, run: str, other: str, accuracy: float) -> Judgement:
    """It needs fewer epochs to this validation accuracy (one more than all if it never gets there) than the other."""
    counts = [evidence.run(words).epochs_until(accuracy) for words in (other, run)]
    says = (f"the number of epochs to {percent(accuracy)} in validation with {other}", f"that with {run}")
    return verdicts.greater(*counts, "epochs", says)


@rule
def quicker_with(evidence: Evidence, run: str, key: str, accuracy: float) -> Judgement:
    """The epochs to this validation accuracy fall with a number that was swept: consistent with it as a reason."""
    points = [(one.value(key), count) for one in evidence.sweep(run) for count in one.epochs_until(accuracy)]
    said = f"epochs to {percent(accuracy)} in validation against {key}; a correlation, which shows no reason"
    return verdicts.trend(*zip(*points, strict=True), said)


@rule
def same_speed(evidence: Evidence, run: str, other: str, accuracy: float, margin: float) -> Judgement:
    """The epochs to this validation accuracy differ by less than ``margin`` in the mean."""
    counts = [evidence.run(words).epochs_until(accuracy) for words in (run, other)]
    judged = verdicts.similar(*counts, margin, "epochs")
    means = " and ".join(f"{spread(some).mean:.2f}" for some in counts)
    return replace(judged, why=f"{means} epochs to {percent(accuracy)} in validation; {judged.why}")


@rule
def more_accurate(evidence: Evidence, run: str, other: str) -> Judgement:
    """Its test accuracy is above that of the other."""
    accuracies = [evidence.run(words).metric("test") for words in (run, other)]
    return verdicts.greater(*accuracies, "points", (f"the accuracy of {run}", f"that of {other}"), 100)


@rule
def more_often_perfect(evidence: Evidence, run: str, key: str, better: str, than: str) -> Judgement:
    """Over a sweep, more networks get the whole test set right with one choice than with the other, all else equal."""
    flags: dict[str, dict[str, float]] = {better: {}, than: {}}
    for one in evidence.sweep(run):
        for number, share in enumerate(one.metric("test", "sequence_accuracy")):
            flags[one.value(key)][f"{one.value('task.batch_size')} {number}"] = float(share == 1)
    cases = sorted(flags[better])
    first, second = ([flags[choice][case] for case in cases] for choice in (better, than))
    says = (f"the share of perfect networks with {better}", f"that with {than}")
    judged = verdicts.greater(first, second, "points", says, 100)
    return replace(
        judged, why=f"{judged.why}: {int(sum(first))} against {int(sum(second))} of {len(cases)} over all batch sizes"
    )


@rule
def any_length(evidence: Evidence, run: str, lengths: str) -> Judgement:
    """Most networks get every one of 100 sums of each of these lengths right. A test is no proof."""
    found = evidence.run(run)
    measured = evaluate(found.load("all"), lengths_of(lengths), 100)
    perfect = [share == 1 for share in measured["sequence_accuracy"] if share is not None]
    judged = verdicts.majority(sum(perfect), len(perfect), f"get all of {measured['n']:,} sums of {lengths} bits right")
    return judged


@rule
def carries(evidence: Evidence, run: str, accuracy: float) -> Judgement:
    """In most networks a linear classifier reads the carry from the state, for this share of the held-out positions."""
    shares = [
        share for share in automaton.carry_read_out(automaton.sums(evidence.run(run).load("all"))) if share is not None
    ]
    judged = verdicts.majority(
        sum(share >= accuracy for share in shares),
        len(shares),
        f"hold the carry so that a line tells it in {percent(accuracy)}",
    )
    return replace(judged, why=f"{judged.why}; the mean is {percent(spread(shares).mean)}")
