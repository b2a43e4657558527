"""The finite automaton that a network runs when it adds.

Axes: R replicates, N sequences, T positions, S numbers of a state, K states of an automaton. Of the test sequences one
half serves to fit classifiers and automata, the other to measure them.
"""

from typing import Any, NamedTuple

import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import pad

from rnn_tasks.report.analysis.inspection import FITTED, HELD_OUT, concat_padded, linear_probe_accuracy, states
from rnn_tasks.runs.loading import Run
from rnn_tasks.tasks.answers import answers

CLUSTERS = range(2, 17)
ENOUGH = 0.999  # share of steps, from which on an automaton explains a network


class Sums(NamedTuple):
    """What adders do with their test set; index 0 of T + 1 is the start, index t + 1 what is there after step t.

    Attributes:
        ones: [N, T], how many of a position's two bits are 1.
        targets: [N, T], bits of the sums.
        answers: [R, N, T], bits of the networks' sums.
        carries: [N, T + 1], out of each position.
        real: [N, T + 1], false in the padding.
        states: [R, N, T + 1, S], zero at the start.
    """

    ones: Tensor
    targets: Tensor
    answers: Tensor
    carries: Tensor
    real: Tensor
    states: Tensor


@torch.inference_mode()
def sums(run: Run) -> Sums:
    """The states of one or all replicates of an adder over the test set."""
    run.task.setup()
    inputs, lengths, targets = concat_padded(run.task.test)
    ones, targets = inputs.sum(-1).long(), targets.long()
    carries = pad((ones + carried_in(ones, targets)) // 2, (1, 0))
    found = pad(states(run.model, inputs, lengths), (0, 0, 1, 0))
    said = answers(run.logits(inputs, lengths)).long().view(len(found), *ones.shape)
    return Sums(ones, targets, said, carries, torch.arange(carries.shape[1]) <= lengths[:, None], found)


def carried_in(ones: Tensor, targets: Tensor) -> Tensor:
    """The carry into each position, which makes the difference between its bit of the sum and its own bits: [N, T]."""
    return (ones + targets) % 2


def random_sums(run: Run, count: int = 16) -> list[dict[str, Any]]:
    """Random sums asked of a run of one replicate, written one digit a position, the most significant first.

    Returns:
        a and b, ``carries`` into each position, the network's ``answer``, the right sum ``truth``, ``right``.
    """
    task = run.task
    inputs, lengths, targets = task.examples(count, "report", task.test_lengths)[torch.arange(count)]
    with torch.inference_mode():
        said = answers(run.logits(inputs, lengths))
    rows = torch.stack((*inputs.unbind(-1), carried_in(inputs.sum(-1), targets), said, targets), 1).int()
    found = []
    for row, length in zip(rows, lengths.tolist(), strict=True):
        digits = row[:, :length].flip(1) if task.order == "lsb" else row[:, :length]
        a, b, carries, answer, truth = ("".join(map(str, line)) for line in digits.tolist())
        found.append({"a": a, "b": b, "carries": carries, "answer": answer, "truth": truth, "right": answer == truth})
    return found


def carry_probe_accuracy(found: Sums) -> list[float | None]:
    """How often a linear classifier tells the carry out of a position from the state after it, of each replicate."""
    real, carries = found.real[:, 1:], found.carries[:, 1:]
    return [
        linear_probe_accuracy(*((one[half, 1:][real[half]], carries[half][real[half]]) for half in (FITTED, HELD_OUT)))
        for one in found.states
    ]


class Automaton(NamedTuple):
    """A finite automaton extracted from an adder.

    Attributes:
        clusters: of the network's states; those that do the same are one state of the automaton.
        counts: [K, 3, K, 2], steps from a state with 0, 1 or 2 ones to a state and a bit, in the fitted half.
        successor, output: [K, 3], the most frequent ones.
        start: the state of the start.
        carries: [K], the most frequent carry in each state.
        visits: [K], share of the visits.
        fitted, explained: share of the steps whose successor and output are the most frequent ones, in the fitted half
            and in the held-out one.
        right: share of the held-out sums that the automaton adds without fault by itself, from the start.
    """

    clusters: int
    counts: Tensor
    successor: Tensor
    output: Tensor
    start: int
    carries: Tensor
    visits: Tensor
    fitted: float
    explained: float
    right: float


def extract(found: Sums, replicate: int = 0) -> Automaton:
    """The automaton of the fewest clusters that explains 99.9 % of the steps of the fitted half, or else the most.

    The states of the fitted half are clustered by k-means, k = 2, 3, ... 16; the most frequent successors and outputs
    make an automaton of k states, which is minimised: states from which no input leads to different outputs are one.
    """
    points = found.states[replicate]
    fitted, every = points[FITTED][found.real[FITTED]].numpy(), points.flatten(0, 1).numpy()
    best = None
    for k in CLUSTERS:
        labels = KMeans(k, n_init=5, random_state=0).fit(fitted).predict(every)
        one = _extracted(found, found.answers[replicate], torch.from_numpy(labels).long().view_as(found.carries), k)
        best = one if best is None or one.fitted > best.fitted else best
        if best.fitted >= ENOUGH:
            break
    return best


def _extracted(found: Sums, bits: Tensor, labels: Tensor, k: int) -> Automaton:
    """The minimal automaton of k clusters, labels [N, T + 1]."""
    steps = found.real[:, 1:]
    labels = minimal(*_most_frequent(_counted(found, bits, labels, k)))[labels]
    counts = _counted(found, bits, labels, int(labels.max()) + 1)
    successor, output = _most_frequent(counts)
    before, after = labels[:, :-1], labels[:, 1:]
    kept = (successor[before, found.ones] == after) & (output[before, found.ones] == bits)
    state, right = labels[:, 0], torch.ones(len(labels), dtype=torch.bool)
    for ones, target, step in zip(found.ones.T, found.targets.T, steps.T, strict=True):
        right &= (output[state, ones] == target) | ~step
        state = successor[state, ones]
    visited = labels[found.real]
    visits = visited.bincount(minlength=len(counts))
    carries = visited.bincount(found.carries[found.real].double(), len(counts)) / visits > 0.5
    return Automaton(
        clusters=k,
        counts=counts,
        successor=successor,
        output=output,
        start=int(labels[0, 0]),
        carries=carries.long(),
        visits=visits / visits.sum(),
        fitted=float(kept[FITTED][steps[FITTED]].double().mean()),
        explained=float(kept[HELD_OUT][steps[HELD_OUT]].double().mean()),
        right=float(right[HELD_OUT].double().mean()),
    )


def _counted(found: Sums, bits: Tensor, labels: Tensor, k: int) -> Tensor:
    """The steps of the fitted half from each state and input to each state and output: [k, 3, k, 2]."""
    steps = found.real[FITTED, 1:]
    path = [values[FITTED][steps] for values in (labels[:, :-1], found.ones, labels[:, 1:], bits)]
    return torch.zeros(k, 3, k, 2, dtype=torch.long).index_put_(path, torch.tensor(1), accumulate=True)


def _most_frequent(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Successor and output of each state and input: [K, 3, K, 2] -> [K, 3], [K, 3]."""
    best = counts.flatten(2).argmax(2)
    return best // 2, best % 2


def minimal(successor: Tensor, output: Tensor) -> Tensor:
    """The class of each state, where states that no sequence of inputs tells apart are one: [K, 3], [K, 3] -> [K].

    Moore's algorithm: states of different outputs differ, and so do those whose successors do.
    """
    classes = torch.zeros(len(output), dtype=torch.long)
    while True:
        finer = torch.cat((classes[:, None], output, classes[successor]), 1).unique(dim=0, return_inverse=True)[1]
        if finer.max() == classes.max():
            return classes
        classes = finer
