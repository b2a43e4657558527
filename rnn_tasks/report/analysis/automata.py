"""The finite automaton that a network runs when it adds.

Axes: R replicates, N sequences, T positions, S numbers of a state, K states of an automaton. Classifiers and automata
are fitted on one half of the test sequences and measured on the other.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import pad

from rnn_tasks.report.analysis.inspection import (
    FITTED,
    HELD_OUT,
    concat_padded,
    linear_probe_accuracy,
    network_of,
    states,
    task_of,
)
from rnn_tasks.runs.run import Run
from rnn_tasks.tasks import Adder
from rnn_tasks.tasks.answers import answers

CLUSTERS = range(2, 17)
ENOUGH = 0.999  # share of explained steps, from which on no further clusters are tried


class Trace(NamedTuple):
    """What adders do on their test set; index 0 of T + 1 is the start, index t + 1 the state after step t.

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
def trace(run: Run) -> Trace:
    """Return the states and answers of one or all replicates of an adder over the test set."""
    run.task.setup()
    inputs, lengths, targets, _ = concat_padded(run.task.test)
    ones, targets = inputs.sum(-1).long(), targets.long()
    carries = pad((ones + carried_in(ones, targets)) // 2, (1, 0))
    with_start = pad(states(network_of(run), inputs, lengths), (0, 0, 1, 0))
    bits = answers(run.logits(inputs, lengths)).long().view(len(with_start), *ones.shape)
    return Trace(ones, targets, bits, carries, torch.arange(carries.shape[1]) <= lengths[:, None], with_start)


def carried_in(ones: Tensor, targets: Tensor) -> Tensor:
    """Return the carry into each position, by which its bit of the sum differs from its own bits: [N, T] -> [N, T]."""
    return (ones + targets) % 2


@dataclass(frozen=True)
class AnsweredSum:
    """A sum asked of a network, in binary digits, the most significant first.

    Attributes:
        a, b: the numbers.
        carries: into each position.
        answer: of the network.
        target: the right sum.
    """

    a: str
    b: str
    carries: str
    answer: str
    target: str

    @property
    def right(self) -> bool:
        return self.answer == self.target


def random_sums(run: Run, count: int = 16) -> list[AnsweredSum]:
    """Return ``count`` random sums, answered by a run of one replicate."""
    task = task_of(run, Adder)
    low, high = task.test_lengths or task.lengths
    inputs, lengths, targets, _ = task.examples(count, "report", (low, high))[torch.arange(count)]
    with torch.inference_mode():
        bits = answers(run.logits(inputs, lengths))
    rows = torch.stack((*inputs.unbind(-1), carried_in(inputs.sum(-1), targets), bits, targets), 1).int()
    sums = []
    for row, length in zip(rows, lengths.tolist(), strict=True):
        digits = row[:, :length].flip(1) if task.order == "lsb" else row[:, :length]
        sums.append(AnsweredSum(*("".join(map(str, line)) for line in digits.tolist())))
    return sums


def carry_probe_accuracy(run: Trace) -> list[float | None]:
    """Return each replicate's accuracy of a linear classifier from the state after a position to its carry."""
    real, carries = run.real[:, 1:], run.carries[:, 1:]

    def half(states: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        return states[part, 1:][real[part]], carries[part][real[part]]

    return [linear_probe_accuracy(half(states, FITTED), half(states, HELD_OUT)) for states in run.states]


class Automaton(NamedTuple):
    """A finite automaton extracted from an adder.

    Attributes:
        clusters: number of clusters of the network's states, before equivalent ones were merged.
        counts: [K, 3, K, 2], steps from a state with 0, 1 or 2 ones to a state and a bit, in the fitted half.
        successor, output: [K, 3], the most frequent ones.
        start: the initial state.
        carries: [K], the most frequent carry in each state.
        visits: [K], share of the visits.
        fitted, explained: share of the steps whose successor and output are the most frequent ones, in the fitted half
            and in the held-out one.
        right: share of the held-out sums that the automaton adds right on its own, from the initial state.
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


def extract(run: Trace, replicate: int = 0) -> Automaton:
    """Return the automaton of the fewest clusters that explains 99.9 % of the fitted steps, or the best of all.

    The states of the fitted half are clustered by k-means (Lloyd 1957), k = 2, 3, ... 16. The most frequent successors
    and outputs make an automaton of k states, which is minimised (Moore 1956). Extraction of automata by clustering
    states: Giles et al. 1992.
    """
    points = run.states[replicate]
    fitted, every = points[FITTED][run.real[FITTED]].numpy(), points.flatten(0, 1).numpy()
    automata: list[Automaton] = []
    for k in CLUSTERS:
        labels = torch.from_numpy(KMeans(k, n_init=5, random_state=0).fit(fitted).predict(every)).long()
        automata.append(_extracted(run, run.answers[replicate], labels.view_as(run.carries), k))
        if automata[-1].fitted >= ENOUGH:
            break
    return max(automata, key=lambda automaton: automaton.fitted)


def _extracted(run: Trace, bits: Tensor, labels: Tensor, k: int) -> Automaton:
    """Return the minimal automaton of k clusters.

    Args:
        run: of the network.
        bits: [N, T], its answers.
        labels: [N, T + 1], the cluster of each state.
        k: number of clusters.
    """
    steps = run.real[:, 1:]
    labels = minimal(*_most_frequent(_count_steps(run, bits, labels, k)))[labels]
    counts = _count_steps(run, bits, labels, int(labels.max()) + 1)
    successor, output = _most_frequent(counts)
    before, after = labels[:, :-1], labels[:, 1:]
    kept = (successor[before, run.ones] == after) & (output[before, run.ones] == bits)
    visited = labels[run.real]
    visits = visited.bincount(minlength=len(counts))
    carries = visited.bincount(run.carries[run.real].double(), len(counts)) / visits > 0.5
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
        right=float(_adds_right(run, successor, output, labels[:, 0])[HELD_OUT].double().mean()),
    )


def _adds_right(run: Trace, successor: Tensor, output: Tensor, state: Tensor) -> Tensor:
    """Which sums an automaton adds right when it starts from a state: [K, 3], [K, 3], [N] -> [N]."""
    right = torch.ones(len(state), dtype=torch.bool)
    for ones, target, step in zip(run.ones.T, run.targets.T, run.real[:, 1:].T, strict=True):
        right &= (output[state, ones] == target) | ~step
        state = successor[state, ones]
    return right


def _count_steps(run: Trace, bits: Tensor, labels: Tensor, k: int) -> Tensor:
    """Return the steps of the fitted half from each state and input to each state and output: [k, 3, k, 2]."""
    steps = run.real[FITTED, 1:]
    before, ones, after, output = (values[FITTED][steps] for values in (labels[:, :-1], run.ones, labels[:, 1:], bits))
    counts = torch.zeros(k, 3, k, 2, dtype=torch.long)
    return counts.index_put_((before, ones, after, output), torch.tensor(1), accumulate=True)


def _most_frequent(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Successor and output of each state and input: [K, 3, K, 2] -> [K, 3], [K, 3]."""
    best = counts.flatten(2).argmax(2)
    return best // 2, best % 2


def minimal(successor: Tensor, output: Tensor) -> Tensor:
    """Return the equivalence class of each state, by partition refinement (Moore 1956): [K, 3], [K, 3] -> [K].

    Two states are equivalent if no sequence of inputs leads to different outputs. States of different outputs differ,
    and so do states whose successors differ, until nothing changes.
    """
    classes = torch.zeros(len(output), dtype=torch.long)
    while True:
        finer = torch.cat((classes[:, None], output, classes[successor]), 1).unique(dim=0, return_inverse=True)[1]
        if finer.max() == classes.max():
            return classes
        classes = finer
