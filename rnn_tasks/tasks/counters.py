"""Strings of equally many a's, b's, c's and d's: languages for one or more counters."""

import re
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from rnn_tasks import checks
from rnn_tasks.tasks import symbols
from rnn_tasks.tasks.base import Task

START, END = "S", "T"


class Counters(Task):
    """Which symbols can come next in a string of n a's, then n b's, and so on, asked at each step.

    With ``letters=2`` the strings are ab, aabb, aaabbb, ...; each begins with a start symbol S, and T is its end. As
    long as there are a's, n is unknown. The first b tells all the rest (Gers and Schmidhuber 2001):

        step      0   1   2   3   4
        input     S   a   a   b   b
        target    a  a,b a,b  b   T

    With three letters aabbcc is a string, with four aabbccdd. An input is a one-hot vector over S, a, b, ..., a target
    one bit for each of a, b, ..., T. Counting has no bound, so no finite automaton does this; for three letters there
    is not even a context-free grammar.

    A length counts all letters, without S: lengths are multiples of ``letters``, and a sequence has a step more. There
    is one string of each length, so validation on the lengths of training measures nothing new; longer ones do.

    Args:
        letters: 2, 3 or 4.
        values: those of Task.

    Raises:
        ValueError: a value is out of its range.
    """

    readout = "every_step"
    answer_kind = "bits"
    extra_steps = 1
    example = "aabb"

    def __init__(self, letters: int = 2, **values: Any) -> None:
        checks.whole_numbers(2, 4, letters=letters)
        self.letters = "abcd"[:letters]
        self.input_size = self.output_size = letters + 1
        super().__init__(**values)

    def lengths_with_examples(self, low: int, high: int) -> list[int]:
        return [length for length in range(low, high + 1) if length % len(self.letters) == 0]

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        step, last = torch.arange(int(lengths.max()) + 1), len(self.letters)
        n = lengths[:, None] // last
        following = (step // n).clamp(max=last)  # number of the next letter, were it known
        targets = one_hot(following, last + 1)
        targets[..., :2] |= ((step >= 1) & (step <= n))[..., None]
        read = torch.where(step == 0, 0, 1 + (step - 1).clamp(min=0) // n).clamp(max=last)
        return symbols.encode(read, lengths + 1, last + 1), targets

    def parse(self, text: str) -> Tensor:
        if not re.fullmatch(f"[{self.letters}]*", text):
            raise ValueError(f"{text!r} is no string of the letters {self.letters} like {self.example}")
        return symbols.parse(START + text, START + self.letters)

    def write_input(self, inputs: Tensor) -> str:
        return symbols.write(inputs[1:], START + self.letters)

    def write_answer(self, answer: Tensor) -> str:
        return super().write_answer(answer) if answer.dim() > 1 else symbols.write_set(answer, self.letters + END)
