"""Remembering the first symbol of a sequence until its end."""

from typing import Any, Literal

import torch
from torch import Tensor

from rnn_tasks import checks
from rnn_tasks.tasks import symbols
from rnn_tasks.tasks.base import Task


class LongLag(Task):
    """Whether a sequence ends with x or with y, which its first symbol tells.

    With p = 5 and ``middle="fixed"`` there are two sequences, (x, 1, 2, 3, 4, x) and (y, 1, 2, 3, 4, y), and at each
    step the next symbol is asked (Hochreiter and Schmidhuber 1997, experiment 2a):

        step      0   1   2   3   4
        input     y   1   2   3   4
        target    1   2   3   4   y

    All but the last answer are easy, and the last needs a memory of p steps. A network without one is right at p - 1 of
    p steps; its exact match, 50 %, tells. The three sets hold the same two sequences.

    With ``middle="random"`` the symbols between are drawn from 1 to p - 1 (experiment 2b), and as nothing else can be
    known, only the last answer is asked. An input is a one-hot vector over the p + 1 symbols 1, ..., p - 1, x, y, an
    answer one of these.

    Args:
        p: steps of a sequence, at least 2.
        middle: "fixed" or "random".
        values: those of Task, without lengths.

    Raises:
        ValueError: a value is out of its range.
    """

    example = "x 1 1"

    def __init__(self, p: int = 20, middle: Literal["fixed", "random"] = "fixed", **values: Any) -> None:
        checks.whole_numbers(2, checks.LONGEST, p=p)
        checks.one_of(("fixed", "random"), middle=middle)
        for key in {"lengths", "test_lengths"} & set(values):
            raise ValueError(f"{key}={values[key]!r}: cannot be chosen, a sequence has p={p} steps")
        self.p, self.fixed = p, middle == "fixed"
        self.alphabet = [*map(str, range(1, p)), "x", "y"]
        self.input_size = self.output_size = p + 1
        self.readout = "every_step" if self.fixed else "last"
        super().__init__(lengths=(p, p), **values)

    def lengths_with_examples(self, low: int, high: int) -> list[int]:
        return [length for length in range(low, high + 1) if length == self.p or not self.fixed]

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        shape = len(lengths), int(lengths.max()) - 1
        marks = self.p - 1 + torch.randint(2, (len(lengths), 1), generator=stream)
        middle = torch.randint(self.p - 1, shape, generator=stream)
        if self.fixed:
            middle = torch.arange(self.p - 1).expand(shape)
        inputs = symbols.encode(torch.cat([marks, middle], 1), lengths, self.input_size)
        return inputs, torch.cat([middle, marks], 1) if self.fixed else marks.squeeze(1)

    def parse(self, text: str) -> Tensor:
        words = text.split()
        if not words or words[0] not in ("x", "y") or set(words[1:]) - set(self.alphabet[:-2]):
            raise ValueError(f"{text!r}: must be x or y, then numbers from 1 to {self.p - 1}, like {self.example}")
        return torch.eye(self.input_size)[[self.alphabet.index(word) for word in words]]

    def write_input(self, inputs: Tensor) -> str:
        return self.write_answer(inputs.argmax(-1))

    def write_answer(self, answer: Tensor) -> str:
        return " ".join(self.alphabet[number] for number in answer.flatten().tolist())
