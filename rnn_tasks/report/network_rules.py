"""The rules of claims.yaml that ask the networks of a run themselves."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from rnn_tasks.arguments import lengths as lengths_of
from rnn_tasks.report import verdicts
from rnn_tasks.report.analysis import automata, inspection
from rnn_tasks.report.evidence import Evidence, FinishedRun
from rnn_tasks.report.robustness import measured
from rnn_tasks.report.rules import correlated, rule, said_mean
from rnn_tasks.report.verdicts import FAILS, HOLDS, OPEN, Judgement, percent
from rnn_tasks.runs.evaluation import evaluate
from rnn_tasks.seeds import generator
from rnn_tasks.tasks.answers import answers

RESAMPLES = 1000
PEOPLE = {"mnist": 0.998, "usps": 0.975}  # LeCun et al. 1995; Bromley and Säckinger 1991


@rule
def random_cases(evidence: Evidence, run: str, cases: int) -> Judgement:
    """So many random test examples are all right with a probability of 95 %, over the networks in the mean."""
    found = evidence.run(run)
    shares = [None if one is None else one**cases for one in found.metric("test", "sequence_accuracy")]
    judged = verdicts.within(shares, 0.95, "%", f"the probability that {cases} are all right", "95 %", below=False)
    network = found.load()
    said = inspection.answered(network, inspection.random_cases(network.task, cases))
    right = int((said.answers == said.batch.targets).sum())
    low, high = verdicts.wilson(right, cases)
    luck = judged.verdict == FAILS and right == cases
    why = f"here the best network gets {right} of {cases} ({percent(low)} to {percent(high)} by Wilson); {judged.why}"
    return replace(judged, verdict=OPEN if luck else judged.verdict, why=f"{why}, a matter of luck" if luck else why)


@rule
def other_handwriting(evidence: Evidence, run: str, accuracy: float) -> Judgement:
    """It reads less than so many of the test images of USPS, another collection of handwriting."""
    found = evidence.run(run)
    elsewhere = _usps_accuracy(found, as_mnist=False)
    judged = verdicts.within(elsewhere, accuracy, "%", "the accuracy on USPS", percent(accuracy))
    return replace(judged, why=f"{judged.why}; on MNIST's test images it is {said_mean(found.metric('test'))}")


@rule
def nearer_distribution(evidence: Evidence, run: str) -> Judgement:
    """USPS brought into MNIST's form (20 x 20 box, centre of mass in the middle) is read better than as it is."""
    found = evidence.run(run)
    formed, plain = (_usps_accuracy(found, as_mnist) for as_mnist in (True, False))
    says = "the accuracy on USPS in MNIST's form", "that on USPS as it is"
    judged = verdicts.greater(formed, plain, "points", says, 100)
    return replace(
        judged, why=f"{judged.why}: {said_mean(formed)}, {said_mean(plain)}; people read {PEOPLE['usps']:.1%} of it"
    )


@rule
def basic_errors(evidence: Evidence, run: str) -> Judgement:
    """It is better than people on MNIST and worse than people on USPS."""
    found = evidence.run(run)
    own, elsewhere = said_mean(found.metric("test")), _usps_accuracy(found, as_mnist=False)
    here = verdicts.within(found.metric("test"), PEOPLE["mnist"], "%", "its accuracy on MNIST", "that of people", False)
    there = verdicts.within(elsewhere, PEOPLE["usps"], "%", "its accuracy on USPS", "that of people")
    said = f"people read {PEOPLE['mnist']:.1%} of MNIST and {PEOPLE['usps']:.1%} of USPS"
    verdict = HOLDS if here.verdict == there.verdict == HOLDS else OPEN
    instance = "" if verdict == HOLDS else "it does not beat people, so it is no instance: "
    return replace(there, verdict=verdict, why=f"{instance}{said}, it {own} and {said_mean(elsewhere)}")


def _usps_accuracy(found: FinishedRun, as_mnist: bool) -> list[float | None]:
    """Of each replicate, on the USPS test set."""
    return measured(found)["USPS" if as_mnist else "USPS as it is"]["accuracy"]


@rule
def bits_passed(evidence: Evidence, run: str, bits: float) -> Judgement:
    """The claim fails if the answers of the best network in validation tell more bits about the right ones."""
    found = evidence.run(run)
    truth, said = _answers(found)
    said = said[found.best]
    picks = torch.randint(len(truth), (RESAMPLES, len(truth)), generator=generator("bootstrap"))
    resampled = torch.tensor([inspection.mutual_information(truth[pick], said[pick]) for pick in picks])
    low, high = resampled.quantile(torch.tensor([0.025, 0.975])).tolist()
    middle = inspection.mutual_information(truth, said)
    why = f"the answers tell {middle:.2f} of {math.log2(10):.2f} bits: a state is made of real numbers, not of bits"
    statistic = f"mutual information, bootstrap over {len(truth):,} new lists; the best of {found.replicates} networks"
    return Judgement(FAILS if low > bits else OPEN, why, middle, low, high, "bits", 1, statistic)


@rule
def more_information(evidence: Evidence, run: str, key: str) -> Judgement:
    """Of networks trained alike, the more units, the more bits do the answers tell about the right ones."""
    found = evidence.sweep(run)
    bits = [_information(one) for one in found]
    judged = correlated(key, found, zip(*bits, strict=True), "the bits that the answers tell", rising=True)
    means = [f"{verdicts.mean_of(some):.2f} with {one.value(key)}" for one, some in zip(found, bits, strict=True)]
    return replace(judged, why=f"{judged.why}; bits: {', '.join(means)}")


def _information(found: FinishedRun) -> list[float | None]:
    """Of each replicate the bits that its answers tell about the right ones."""
    truth, said = _answers(found)
    failed = [loss is None for loss in found.metric("train", "loss")]
    return [None if lost else inspection.mutual_information(truth, one) for one, lost in zip(said, failed, strict=True)]


def _answers(found: FinishedRun) -> tuple[Tensor, Tensor]:
    """The right answers of 10,000 new lists [N], enough for a good estimate, and those of all replicates [R, N]."""
    network = found.load("all")
    lists = network.task.examples(10_000, "report")
    with torch.inference_mode():
        return lists.targets, answers(network.logits(lists.inputs, lists.lengths))


@rule
def any_length(evidence: Evidence, run: str, lengths: str) -> Judgement:
    """Most networks get every one of 100 sums of each of these lengths right. A test is no proof."""
    found = evidence.run(run)
    measured = evaluate(found.load("all"), lengths_of(lengths), 100)
    perfect = [share == 1 for share in measured["sequence_accuracy"] if share is not None]
    return verdicts.majority(sum(perfect), len(perfect), f"get all of {measured['n']:,} sums of {lengths} bits right")


@rule
def carries(evidence: Evidence, run: str, accuracy: float) -> Judgement:
    """In most networks a linear classifier reads the carry from the state, for this share of the held-out positions."""
    shares = [
        share
        for share in automata.carry_probe_accuracy(automata.sums(evidence.run(run).load("all")))
        if share is not None
    ]
    judged = verdicts.majority(
        sum(share >= accuracy for share in shares),
        len(shares),
        f"hold the carry so that a line tells it in {percent(accuracy)}",
    )
    return replace(judged, why=f"{judged.why}; the mean is {said_mean(shares)}")
