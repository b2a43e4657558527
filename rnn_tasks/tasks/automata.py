"""Finite automata, which give the right answers of regular tasks.

Axes: S states, A symbols of the alphabet, K answers, N strings, T steps.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from rnn_tasks import checks

MOST_STATES = 10_000
NONE = -1  # in the place of a next state: the symbol cannot come here; of an output: no answer is asked


@dataclass(frozen=True, eq=False)
class Automaton:
    """A finite automaton that gives an answer at each step, or at some (Mealy 1955).

    Attributes:
        alphabet: the A symbols, as people write them.
        next_states: [S, A], -1 where a symbol cannot come.
        outputs: [S, A], the number of the answer after a symbol has been read in a state; -1 where none is asked.
        symbols: [A, D], what a network reads for each symbol.
        answers: [K] numbers of classes or bits, or [K, C] sets of bits: the target of each answer.
        start: the state before the first symbol.

    Raises:
        ValueError: the shapes do not fit, or a number is none of a state or answer.
    """

    alphabet: tuple[str, ...]
    next_states: Tensor
    outputs: Tensor
    symbols: Tensor
    answers: Tensor
    start: int = 0

    def __post_init__(self) -> None:
        shape, count = tuple(self.next_states.shape), len(self.alphabet)
        checks.require(len(set(self.alphabet)) == count > 0, "alphabet", self.alphabet, "different symbols")
        checks.require(len(shape) == 2 and shape[1] == count, "next_states", shape, f"[states, {count}]")
        checks.require(self.outputs.shape == shape, "outputs", tuple(self.outputs.shape), f"{shape}, as next_states")
        checks.require(len(self.symbols) == count, "symbols", tuple(self.symbols.shape), f"[{count}, features]")
        checks.whole_numbers(0, shape[0] - 1, start=self.start)
        tables = (("next_states", self.next_states, shape[0]), ("outputs", self.outputs, len(self.answers)))
        for name, table, most in tables:
            low, high = int(table.min()), int(table.max())
            checks.require(low >= NONE and high < most, name, (low, high), f"between -1 and {most - 1}")

    @cached_property
    def possible(self) -> Tensor:
        """Which symbols can come in each state, [S, A]."""
        return self.next_states != NONE

    def run(self, strings: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state after each step, and the number of the answer there.

        Args:
            strings: [N, T], numbers of symbols that can come where they stand; what follows one that cannot is -1.

        Returns:
            States and outputs [N, T].
        """
        state = torch.full((len(strings),), self.start)
        states, outputs = torch.empty_like(strings), torch.empty_like(strings)
        for t, symbol in enumerate(strings.T):
            alive = state != NONE
            outputs[:, t] = torch.where(alive & self.possible[state, symbol], self.outputs[state, symbol], NONE)
            states[:, t] = state = torch.where(alive, self.next_states[state, symbol], NONE)
        return states, outputs

    def minimized(self) -> Automaton:
        """Return the automaton of the fewest states that gives the same answers (Moore 1956), without lost states."""
        reached = self._reached()
        new = torch.full((len(self.next_states) + 1,), NONE)  # the last is the place of NONE
        new[reached] = torch.arange(len(reached))
        after, outputs = new[self.next_states[reached]], self.outputs[reached]
        classes = torch.zeros(len(reached) + 1, dtype=torch.long)
        classes[-1] = NONE
        while True:
            rows = torch.cat((classes[:-1, None], outputs, classes[after]), 1)
            finer = rows.unique(dim=0, return_inverse=True)[1]
            if finer.max() == classes.max():
                break
            classes[:-1] = finer
        order = torch.full((int(finer.max()) + 1,), len(finer))
        order.scatter_reduce_(0, finer, torch.arange(len(finer)), "amin")  # the first state of each class
        first = order.sort().values  # so that the start comes first
        number = torch.full((len(order),), NONE)
        number[finer[first]] = torch.arange(len(first))
        merged = torch.cat((number[finer], torch.tensor([NONE])))
        return Automaton(self.alphabet, merged[after[first]], outputs[first], self.symbols, self.answers)

    def _reached(self) -> Tensor:
        """Return the states that can be reached, in the order of a breadth-first search."""
        found = {self.start: None}
        for state in (waiting := [self.start]):
            for after in self.next_states[state].tolist():
                if after not in found and after != NONE:
                    found[after] = None
                    waiting.append(after)
        return torch.tensor(list(found))

    def answer_shares(self, longest: int) -> Tensor:
        """Return the share of all strings of each length up to ``longest`` that end with each answer.

        Strings that end where no answer is asked, or with a symbol that cannot come, are not counted; where there are
        none but these the shares are 0.

        Returns:
            [longest, K], the first of length 1.
        """
        weights = torch.zeros(len(self.next_states), dtype=torch.float64)
        weights[self.start] = 1
        after, outputs = self.next_states.flatten(), self.outputs.flatten()
        asked, possible = outputs != NONE, after != NONE
        shares = torch.zeros(longest, len(self.answers), dtype=torch.float64)
        for t in range(longest):
            moves = weights.repeat_interleave(len(self.alphabet))
            shares[t].index_add_(0, outputs[asked & possible], moves[asked & possible])
            weights = torch.zeros_like(weights).index_add_(0, after[possible], moves[possible])
            weights /= weights.sum().clamp(min=torch.finfo(torch.float64).tiny)
        return shares / shares.sum(1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)


def explored(
    alphabet: Sequence[str],
    start: Hashable,
    step: Callable[[Any, str], tuple[Hashable, Any] | None],
    symbols: Tensor | None = None,
    answers: Sequence[Any] | None = None,
) -> Automaton:
    """Return the automaton that a rule describes, with all states that can be reached.

    Args:
        alphabet: the symbols.
        start: the state before the first symbol.
        step: gives the next state and the answer after a symbol in a state; None as the answer: none is asked; None for
            both: the symbol cannot come.
        symbols: [A, D], what a network reads for each symbol; None is a one-hot vector.
        answers: all of them; None takes those that occur, in their order. They are whole numbers, or tuples of bits.

    Raises:
        ValueError: there are too many states, or no answers.
    """
    numbers, rows, given = {start: 0}, list[list[int]](), list[list[Any]]()
    for state in (waiting := [start]):
        moves = [step(state, symbol) or (None, None) for symbol in alphabet]
        for after, _ in moves:
            if after is not None and after not in numbers:
                checks.require(len(numbers) < MOST_STATES, "states", len(numbers) + 1, f"at most {MOST_STATES:,}")
                numbers[after] = len(numbers)
                waiting.append(after)
        rows.append([NONE if after is None else numbers[after] for after, _ in moves])
        given.append([answer for _, answer in moves])
    found = [*answers] if answers else sorted({answer for row in given for answer in row if answer is not None})
    checks.require(len(found) > 1, "answers", found, "at least two different ones")
    places = {answer: number for number, answer in enumerate(found)} | {None: NONE}
    outputs = torch.tensor([[places[answer] for answer in row] for row in given])
    features = torch.eye(len(alphabet)) if symbols is None else symbols
    return Automaton(tuple(alphabet), torch.tensor(rows), outputs, features, torch.tensor(found).long())


def with_next_symbols(machine: Automaton) -> tuple[Automaton, Tensor]:
    """Return an automaton that gives the set of symbols that can come next, and the last moves of its strings.

    A symbol can come if the string can then end with the output 1, or go on to such an end.

    Args:
        machine: with the outputs 0 and 1.

    Returns:
        The automaton, and [1, S, A].

    Raises:
        ValueError: no string has the output 1.
    """
    ends = machine.possible & (machine.outputs == 1)
    useful = ends.any(1)
    for _ in range(len(useful)):
        useful = useful | (machine.possible & useful[machine.next_states]).any(1)
    checks.require(bool(useful[machine.start]), "answer", "next", "of an automaton that accepts a string")
    can_come = machine.possible & (ends | useful[machine.next_states])
    sets, numbers = can_come.unique(dim=0, return_inverse=True)
    next_states = torch.where(can_come, machine.next_states, NONE)
    outputs = torch.where(can_come, numbers[machine.next_states], NONE)
    symbols, start = machine.symbols, machine.start
    return Automaton(machine.alphabet, next_states, outputs, symbols, sets.long(), start), (ends & can_come)[None]
