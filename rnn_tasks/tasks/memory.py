"""Remembering the K-th number of a sequence."""

import json
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from rnn_tasks.errors import UserError
from rnn_tasks.tasks.base import Examples, Task


class Memory(Task):
    """The k-th of L digits, answered after the last one.

    With k = 3, counted from 1, the answer to [5, 0, 7, 4] is 7. A step's input is its digit as a one-hot vector:

        step      0           1           2           3
        inputs   0000010000  1000000000  0000000100  0000100000
        target                                       7

    Args:
        k: which number is to be remembered, at most the shortest length.
        values: Task's.
    """

    input_size = 10
    output_size = 10
    readout = "last"
    chance_accuracy = 0.1
    example = "[1, 3, 6]"

    def __init__(self, k: int = 3, **values: Any) -> None:
        super().__init__(**values)
        if not 1 <= k <= self.lengths[0]:
            raise ValueError(f"k={k}: must be from 1 to the shortest length, {self.lengths[0]}")
        self.k = k

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        digits = torch.randint(10, (len(lengths), int(lengths.max())), generator=stream)
        real = torch.arange(digits.shape[1]) < lengths[:, None]
        return one_hot(digits, 10).float() * real[..., None], digits[:, self.k - 1]

    def test_examples(self, lengths: list[int], size: int) -> list[Examples]:
        if min(lengths) < self.k:
            raise UserError(f"length {min(lengths)}: has no number {self.k} to remember; take {self.k} and more")
        return super().test_examples(lengths, size)

    def parse(self, text: str) -> Tensor:
        try:
            digits = json.loads(text)
            if not all(type(digit) is int and 0 <= digit <= 9 for digit in digits):
                raise ValueError
        except (ValueError, TypeError, RecursionError):
            raise ValueError(f"{text!r} is no list of digits like [1, 3, 6]") from None
        if len(digits) < self.k:
            raise ValueError(f"{text!r} has {len(digits)} digits, number {self.k} of a list is to be remembered")
        return one_hot(torch.tensor(digits), 10).float()

    def write_input(self, inputs: Tensor) -> str:
        return str(inputs.argmax(-1).tolist())

    def write_answer(self, answer: Tensor) -> str:
        return str(int(answer))
