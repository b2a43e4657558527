"""The finite automaton that a network runs, extracted from its states.

Axes: R replicates, N sequences, T steps, S numbers of a state, A symbols, K states of an automaton. Classifiers and
automata are fitted on one half of the sequences and measured on the other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from sklearn.cluster import KMeans
from torch import Tensor
from torch.nn.functional import pad

from rnn_tasks.errors import UserError
from rnn_tasks.report.analysis.dynamics import Dynamics, dynamics_of
from rnn_tasks.report.analysis.inspection import FITTED, HELD_OUT, concat_padded, linear_probe_accuracy
from rnn_tasks.report.analysis.languages import Language, language_of
from rnn_tasks.runs.run import Run
from rnn_tasks.tasks import Batch
from rnn_tasks.tasks.answers import AnswerFormat
from rnn_tasks.tasks.automata import NONE, Automaton

CLUSTERS = range(2, 17)
ENOUGH = 0.999  # share of explained steps, from which on no further clusters are tried


class Trace(NamedTuple):
    """What networks do with strings; index 0 of T + 1 is the start, index t + 1 the state after step t.

    Attributes:
        language: what the numbers of symbols and answers mean.
        symbols: [N, T], numbers of what is read.
        targets: [N, T], numbers of the right answers; -1 where none is asked.
        answers: [R, N, T], numbers of the networks' answers; -1 where the rule asks for none.
        rule_states: [N, T + 1], of the automaton that gives the right answers; 0 without one.
        real: [N, T + 1], false in the padding.
        states: [R, N, T + 1, S], zero at the start.
    """

    language: Language
    symbols: Tensor
    targets: Tensor
    answers: Tensor
    rule_states: Tensor
    real: Tensor
    states: Tensor


def trace(run: Run) -> Trace:
    """Return the states and answers of a run's replicates over the test set.

    Raises:
        UserError: its network or its task is no such system, see dynamics_of and language_of.
    """
    run.task.setup()
    language = language_of(run.task)
    if language is None:
        raise UserError(f"{run.path}: {run.task.name} has not finitely many symbols and answers")
    return trace_of(dynamics_of(run), concat_padded(run.task.test), language, run.task.format)


@torch.inference_mode()
def trace_of(dynamics: Dynamics, batch: Batch, language: Language, form: AnswerFormat) -> Trace:
    """Return the states and answers of networks over sequences of a language."""
    states = dynamics.trajectories(batch.inputs)
    given = language.answer_numbers(form.answers(dynamics.logits(states[:, :, 1:].flatten(1, 2))))
    answers, real = given.view(len(states), *batch.inputs.shape[:2]), real_steps(batch)
    symbols = language.numbers(batch.inputs).clamp(min=0)  # the padding need be no symbol
    targets, rule_states = _right_answers(batch, language, form, symbols), torch.zeros_like(symbols)
    if language.rule is not None:
        rule_states, outputs = language.rule.run(symbols)
        targets = outputs.masked_fill(~real[:, 1:], NONE)
        answers = answers.masked_fill(targets == NONE, NONE)
        rule_states = rule_states.masked_fill(~real[:, 1:], 0)
    first = language.rule.start if language.rule else 0
    return Trace(language, symbols, targets, answers, pad(rule_states, (1, 0), value=first), real, states)


def real_steps(batch: Batch) -> Tensor:
    """Return which states of sequences, before the first step and after each, are none of the padding: [N, T + 1]."""
    return torch.arange(batch.inputs.shape[1] + 1) <= batch.lengths[:, None]


def _right_answers(batch: Batch, language: Language, form: AnswerFormat, symbols: Tensor) -> Tensor:
    """Return the numbers of the right answers of examples, [N, T], -1 where none is asked."""
    numbers, real = language.answer_numbers(batch.targets), real_steps(batch)[:, 1:]
    if form.every_step:
        return numbers.masked_fill(~(real if batch.asked is None else real & batch.asked), NONE)
    last = torch.arange(symbols.shape[1]) == batch.lengths[:, None] - 1
    return torch.where(last, numbers[:, None], NONE)


def carry_probe_accuracy(run: Trace) -> list[float | None]:
    """Return each replicate's accuracy of a linear classifier from the state after a step to the state of the rule.

    With adders this is the carry.
    """
    real, carries = run.real[:, 1:], run.rule_states[:, 1:]

    def half(states: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        return states[part, 1:][real[part]], carries[part][real[part]]

    return [linear_probe_accuracy(half(states, FITTED), half(states, HELD_OUT)) for states in run.states]


class Extracted(NamedTuple):
    """A finite automaton extracted from a network.

    Attributes:
        machine: its next state and its output for each state and symbol are the most frequent ones; -1 where a symbol
            was never read in a state, or no answer asked.
        clusters: number of clusters of the network's states, before equivalent ones were merged.
        counts: [K, A], how often each symbol was read in each state, in the fitted half.
        rule_states: [K], the most frequent state of the rule in each state.
        visits: [K], share of the visits.
        fitted, explained: share of the steps whose next state and output are the most frequent ones, in the fitted half
            and in the held-out one.
        right: share of the held-out sequences to which the automaton gives the right answers.
    """

    machine: Automaton
    clusters: int
    counts: Tensor
    rule_states: Tensor
    visits: Tensor
    fitted: float
    explained: float
    right: float


def extract(run: Trace, replicate: int = 0, clusters: Sequence[int] = CLUSTERS) -> Extracted:
    """Return the automaton of the fewest clusters that explains 99.9 % of the fitted steps, or the best of all.

    The states of the fitted half are clustered by k-means (Lloyd 1957) with each number of clusters. The most frequent
    successors and outputs make an automaton of as many states, which is minimised (Moore 1956). Extraction of automata
    by clustering states: Giles et al. 1992.
    """
    points = run.states[replicate]
    fitted, every = points[FITTED][run.real[FITTED]].numpy(), points.flatten(0, 1).numpy()
    found: list[Extracted] = []
    for k in clusters:
        labels = torch.from_numpy(KMeans(k, n_init=5, random_state=0).fit(fitted).predict(every)).long()
        found.append(_extracted(run, run.answers[replicate], labels.view_as(run.rule_states), k))
        if found[-1].fitted >= ENOUGH:
            break
    return max(found, key=lambda each: each.fitted)


def _extracted(run: Trace, answers: Tensor, labels: Tensor, k: int) -> Extracted:
    """Return the minimal automaton of k clusters.

    Args:
        run: of the network.
        answers: [N, T], those of the network.
        labels: [N, T + 1], the cluster of each state.
        k: number of clusters.
    """
    steps = run.real[:, 1:]
    labels = minimal(*_most_frequent(run, answers, labels, k))[labels]
    count = int(labels.max()) + 1
    successor, output = _most_frequent(run, answers, labels, count)
    before, after = labels[:, :-1], labels[:, 1:]
    kept = (successor[before, run.symbols] == after) & ((output[before, run.symbols] == answers) | (answers == NONE))
    visited, rules = labels[run.real], run.rule_states[run.real]
    visits = visited.bincount(minlength=count)
    machine = run.language.automaton(successor, output, int(labels[0, 0]))
    right = (machine.run(run.symbols)[1] == run.targets) | (run.targets == NONE)
    return Extracted(
        machine=machine,
        clusters=k,
        counts=_count((before[FITTED][steps[FITTED]], run.symbols[FITTED][steps[FITTED]]), tuple(successor.shape)),
        rule_states=_count((visited, rules), (count, int(rules.max()) + 1)).argmax(1),
        visits=visits / visits.sum(),
        fitted=float(kept[FITTED][steps[FITTED]].double().mean()),
        explained=float(kept[HELD_OUT][steps[HELD_OUT]].double().mean()),
        right=float(right[HELD_OUT].all(1).double().mean()),
    )


def _most_frequent(run: Trace, answers: Tensor, labels: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the most frequent next state and answer of each state and symbol in the fitted half, [k, A] each."""
    steps = run.real[FITTED, 1:]
    before, symbols, after, given = (
        values[FITTED][steps] for values in (labels[:, :-1], run.symbols, labels[:, 1:], answers)
    )
    asked, size = given != NONE, len(run.language.alphabet)
    moves = _count((before, symbols, after), (k, size, k))
    outputs = _count((before[asked], symbols[asked], given[asked]), (k, size, len(run.language.answers)))
    return tuple(torch.where(each.any(2), each.argmax(2), NONE) for each in (moves, outputs))  # type: ignore[return-value]


def _count(places: tuple[Tensor, ...], shape: tuple[int, ...]) -> Tensor:
    """Return how often each place of a table of this shape is named by indices [M]."""
    return torch.zeros(shape, dtype=torch.long).index_put_(places, torch.tensor(1), accumulate=True)


def minimal(successor: Tensor, output: Tensor) -> Tensor:
    """Return the equivalence class of each state, by partition refinement (Moore 1956): [K, A], [K, A] -> [K].

    Two states are equivalent if no sequence of symbols leads to different outputs. States of different outputs differ,
    and so do states whose successors differ, until nothing changes. A successor of -1 is a state of its own.
    """
    classes = torch.zeros(len(output), dtype=torch.long)
    while True:
        after = torch.where(successor == NONE, NONE, classes[successor])
        finer = torch.cat((classes[:, None], output, after), 1).unique(dim=0, return_inverse=True)[1]
        if finer.max() == classes.max():
            return classes
        classes = finer
