"""Remembering the K-th number of a sequence."""

import json
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from rnn_tasks import checks
from rnn_tasks.tasks.automata import Automaton, explored
from rnn_tasks.tasks.base import Task


class Memory(Task):
    """The k-th of L digits, answered after the last one.

    With k = 3, counted from 1, the answer to [5, 0, 7, 4] is 7. A step's input is its digit as a one-hot vector:

        step      0           1           2           3
        inputs   0000010000  1000000000  0000000100  0000100000
        target                                       7

    Args:
        k: position of the digit to remember, counted from 1; at most the shortest length.
        values: those of Task.

    Raises:
        ValueError: a value is out of its range.
    """

    input_size = 10
    output_size = 10
    readout = "last"
    chance_accuracy = 0.1
    example = "[1, 3, 6]"

    def __init__(self, k: int = 3, **values: Any) -> None:
        super().__init__(**values)
        checks.whole_numbers(1, k=k)
        shortest = min(self.lengths[0], (self.test_lengths or self.lengths)[0])
        checks.require(k <= shortest, "k", k, f"at most the shortest length, {shortest}")
        self.k = k

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        digits = torch.randint(10, (len(lengths), int(lengths.max())), generator=stream)
        real = torch.arange(digits.shape[1]) < lengths[:, None]
        return one_hot(digits, 10).float() * real[..., None], digits[:, self.k - 1]

    @property
    def automaton(self) -> Automaton:
        """The automaton that counts to k digits and keeps the last of these."""

        def step(state: tuple[int, int], symbol: str) -> tuple[tuple[int, int], int | None]:
            read, kept = state
            if read < self.k:
                read, kept = read + 1, int(symbol) if read == self.k - 1 else 0
            return (read, kept), kept if read == self.k else None

        return explored("0123456789", (0, 0), step)

    def lengths_with_examples(self, low: int, high: int) -> list[int]:
        """Return the lengths of lists that have a digit number k."""
        return list(range(max(low, self.k), high + 1))

    def parse(self, text: str) -> Tensor:
        try:
            digits = json.loads(text)
            if not all(type(digit) is int and 0 <= digit <= 9 for digit in digits):
                raise ValueError
        except (ValueError, TypeError, RecursionError):
            raise ValueError(f"{text!r} is no list of digits like {self.example}") from None
        if len(digits) < self.k:
            raise ValueError(f"{text!r} has {len(digits)} digits, number {self.k} of a list is to be remembered")
        return one_hot(torch.tensor(digits), 10).float()

    def write_input(self, inputs: Tensor) -> str:
        return str(inputs.argmax(-1).tolist())

    def write_answer(self, answer: Tensor) -> str:
        return str(int(answer))
