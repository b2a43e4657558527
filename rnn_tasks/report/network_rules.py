"""The rules of claims.yaml that ask the networks of a run themselves; see rules.py."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from rnn_tasks.report import verdicts
from rnn_tasks.report.analysis import automata, inspection
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.finished import FinishedRun
from rnn_tasks.report.formatting import mean_of, mean_percent, percent
from rnn_tasks.report.judgement import FAILS, HOLDS, OPEN, Judgement
from rnn_tasks.report.robustness import measure
from rnn_tasks.report.rules import correlation
from rnn_tasks.runs.evaluation import evaluate
from rnn_tasks.seeds import generator
from rnn_tasks.tasks.answers import answers

RESAMPLES = 1000
SURE = 0.95  # probability of a claim about random examples
SUMS = 100  # of each length
LISTS = 10_000  # enough to estimate bits, see mutual_information
PEOPLE = {"mnist": 0.998, "usps": 0.975}  # accuracy: LeCun et al. 1995; Bromley and Säckinger 1991


def random_cases(evidence: Evidence, run: str, cases: int) -> Judgement:
    """The mean probability that the given number of random test examples are all answered correctly is 95 % or more."""
    finished = evidence.run(run)
    shares = [None if share is None else share**cases for share in finished.metric("test", "sequence_accuracy")]
    quantity = f"the probability that {cases} are all right"
    judgement = verdicts.within(shares, SURE, "%", quantity, percent(SURE), below=False)
    network = finished.load()
    examples = inspection.answer(network, inspection.random_cases(network.task, cases))
    right = int((examples.answers == examples.batch.targets).sum())
    low, high = verdicts.wilson(right, cases)
    sample = f"here the best network gets {right} of {cases} ({percent(low)} to {percent(high)} by Wilson)"
    if judgement.verdict == FAILS and right == cases:
        return replace(judgement, verdict=OPEN, why=f"{sample}; {judgement.why}, a matter of luck")
    return replace(judgement, why=f"{sample}; {judgement.why}")


def other_handwriting(evidence: Evidence, run: str, accuracy: float) -> Judgement:
    """Its accuracy on the test images of USPS, another collection of handwriting, is below the given limit."""
    finished = evidence.run(run)
    judgement = verdicts.within(_usps(finished), accuracy, "%", "the accuracy on USPS", percent(accuracy))
    own = mean_percent(finished.metric("test"))
    return replace(judgement, why=f"{judgement.why}; on MNIST's test images it is {own}")


def nearer_distribution(evidence: Evidence, run: str) -> Judgement:
    """USPS brought into MNIST's form (20 x 20 box, centre of mass in the middle) is read better than as it is."""
    finished = evidence.run(run)
    formed, plain = _usps(finished, as_mnist=True), _usps(finished)
    names = "the accuracy on USPS in MNIST's form", "that on USPS as it is"
    judgement = verdicts.greater(formed, plain, "points", names, 100)
    means = f"{mean_percent(formed)}, {mean_percent(plain)}; people read {percent(PEOPLE['usps'])} of it"
    return replace(judgement, why=f"{judgement.why}: {means}")


def basic_errors(evidence: Evidence, run: str) -> Judgement:
    """It is better than people on MNIST and worse than people on USPS."""
    finished = evidence.run(run)
    own, usps = finished.metric("test"), _usps(finished)
    here = verdicts.within(own, PEOPLE["mnist"], "%", "its accuracy on MNIST", "that of people", below=False)
    there = verdicts.within(usps, PEOPLE["usps"], "%", "its accuracy on USPS", "that of people")
    people = f"people read {percent(PEOPLE['mnist'])} of MNIST and {percent(PEOPLE['usps'])} of USPS"
    why = f"{people}, it reads {mean_percent(own)} and {mean_percent(usps)}"
    if here.verdict == there.verdict == HOLDS:
        return replace(there, why=why)
    reason = "beats people on MNIST" if here.verdict != HOLDS else "reads USPS worse than people"
    return replace(there, verdict=OPEN, why=f"it does not show that it {reason}, so it is no instance: {why}")


def _usps(run: FinishedRun, as_mnist: bool = False) -> list[float | None]:
    """Return the accuracy of each replicate on the USPS test set, as it is or in MNIST's form."""
    return measure(run)["USPS" if as_mnist else "USPS as it is"]["accuracy"]


def bits_passed(evidence: Evidence, run: str, bits: float) -> Judgement:
    """The claim fails if the answers of the best network in validation tell more bits about the right ones."""
    finished = evidence.run(run)
    targets, answers_of_all = _answers(finished)
    own = answers_of_all[finished.best]
    picks = torch.randint(len(targets), (RESAMPLES, len(targets)), generator=generator("bootstrap"))
    resampled = torch.tensor([inspection.mutual_information(targets[pick], own[pick]) for pick in picks])
    low, high = resampled.quantile(torch.tensor([0.025, 0.975])).tolist()
    estimate = inspection.mutual_information(targets, own)
    why = f"the answers tell {estimate:.2f} of {math.log2(10):.2f} bits: a state is made of real numbers, not of bits"
    best = f"the best of {finished.replicates} networks"
    statistic = f"mutual information, bootstrap over {len(targets):,} new lists; {best}"
    return Judgement(FAILS if low > bits else OPEN, why, estimate, low, high, "bits", 1, statistic)


def more_information(evidence: Evidence, run: str, key: str) -> Judgement:
    """Of networks trained alike, the more units, the more bits do the answers tell about the right ones."""
    runs = evidence.sweep(run)
    bits = [_bits(each) for each in runs]
    judgement = correlation(key, runs, zip(*bits, strict=True), "the bits that the answers tell", rising=True)
    means = [f"{mean_of(each):.2f} with {run.value(key)}" for run, each in zip(runs, bits, strict=True)]
    return replace(judgement, why=f"{judgement.why}; bits: {', '.join(means)}")


def _bits(run: FinishedRun) -> list[float | None]:
    """Return the bits that each replicate's answers tell about the right ones; None if it has failed."""
    targets, answers_of_all = _answers(run)
    return [
        None if failed else inspection.mutual_information(targets, own)
        for own, failed in zip(answers_of_all, run.failed, strict=True)
    ]


def _answers(run: FinishedRun) -> tuple[Tensor, Tensor]:
    """Return the right answers of new lists [N], and those of all replicates [R, N]."""
    network = run.load("all")
    lists = network.task.examples(LISTS, "report")
    with torch.inference_mode():
        return lists.targets, answers(network.logits(lists.inputs, lists.lengths))


def any_length(evidence: Evidence, run: str, up_to: int, further: list[int]) -> Judgement:
    """Most networks get all of 100 sums of each of these lengths right. A test is no proof."""
    metrics = evaluate(evidence.run(run).load("all"), [*range(1, up_to + 1), *further], SUMS)
    perfect = [share == 1 for share in metrics["sequence_accuracy"] if share is not None]
    lengths = ", ".join(map(str, (f"1 to {up_to}", *further)))
    return verdicts.majority(sum(perfect), len(perfect), f"get all of {metrics['n']:,} sums of {lengths} bits right")


def carries(evidence: Evidence, run: str, accuracy: float) -> Judgement:
    """In most networks a linear classifier reads the carry from the state, for this share of the held-out positions."""
    network = evidence.run(run).load("all")
    shares = [share for share in automata.carry_probe_accuracy(automata.trace(network)) if share is not None]
    reached = sum(share >= accuracy for share in shares)
    predicate = f"hold the carry so that a linear classifier reads it with {percent(accuracy)} accuracy"
    judgement = verdicts.majority(reached, len(shares), predicate)
    return replace(judgement, why=f"{judgement.why}; the mean is {mean_percent(shares)}") if shares else judgement
