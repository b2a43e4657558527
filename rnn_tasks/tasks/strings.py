"""Strings of symbols, drawn uniformly.

Axes: S states, A symbols of the alphabet, K kinds of strings, N strings, T steps.
"""

import torch
from torch import Tensor

from rnn_tasks.tasks.automata import Automaton

TINY = torch.finfo(torch.float64).tiny


class UniformStrings:
    """Draws strings that end in a certain way, all of a length with equal probability, by counting backwards.

    The number of ways to end from each state is the sum over the symbols of that from the next state; a symbol is drawn
    with a probability in proportion to the ways that are then left (the recursive method of Nijenhuis and Wilf 1978).

    Args:
        automaton: whose strings these are.
        ends: [K, S, A], the last moves of each of K kinds of strings.
        longest: steps of the longest string.
    """

    def __init__(self, automaton: Automaton, ends: Tensor, longest: int) -> None:
        self.automaton, self.ends = automaton, (ends & automaton.possible).double()
        possible, after = automaton.possible, automaton.next_states.clamp(min=0)
        ways, self.ways = self.ends.sum(2), []
        for _ in range(longest):
            ways = ways / ways.amax(1, keepdim=True).clamp(min=TINY)
            self.ways.append(ways)  # [K, S] with 1, 2, ... symbols to go, scaled
            ways = (ways[:, after] * possible).sum(2)

    def exist(self, length: int) -> Tensor:
        """Return which kinds have strings of a length, [K]."""
        return self.ways[length - 1][:, self.automaton.start] > 0

    def draw(self, kinds: Tensor, lengths: Tensor, stream: torch.Generator) -> Tensor:
        """Return a string of each kind [N] and length [N], both of which exist: [N, T], 0 in the padding."""
        automaton = self.automaton
        possible, after = automaton.possible, automaton.next_states.clamp(min=0)
        ways = torch.stack(self.ways[: int(lengths.max())])  # [T, K, S]
        state = torch.full_like(lengths, automaton.start)
        strings = torch.zeros(len(lengths), int(lengths.max()), dtype=torch.long)
        for t in range(strings.shape[1]):
            left = lengths - t
            later = (
                ways[(left - 2).clamp(min=0), kinds][torch.arange(len(left))[:, None], after[state]] * possible[state]
            )
            weights = torch.where((left > 1)[:, None], later, self.ends[kinds, state])
            totals = weights.cumsum(1)
            drawn = torch.rand(len(left), 1, generator=stream, dtype=torch.float64) * totals[:, -1:]
            symbol = torch.searchsorted(totals, drawn, right=True).squeeze(1).clamp(max=len(automaton.alphabet) - 1)
            strings[:, t] = torch.where(left > 0, symbol, 0)
            state = torch.where(left > 0, after[state, symbol], state)
        return strings


def edited(strings: Tensor, lengths: Tensor, symbols: int, edits: Tensor, stream: torch.Generator) -> Tensor:
    """Return strings [N, T] with other symbols at some places, drawn uniformly.

    Args:
        strings: [N, T].
        lengths: [N], their real steps.
        symbols: A, of the alphabet, at least 2.
        edits: [N], how many places are changed, at most all.
        stream: of random numbers.
    """
    steps = torch.arange(strings.shape[1])
    order = torch.rand(strings.shape, generator=stream).masked_fill(steps >= lengths[:, None], 2).argsort(1).argsort(1)
    others = (strings + torch.randint(1, symbols, strings.shape, generator=stream)) % symbols
    return torch.where(order < torch.minimum(edits, lengths)[:, None], others, strings)
