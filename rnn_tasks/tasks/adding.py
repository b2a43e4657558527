"""The adding problem: two marked numbers of a long sequence."""

import torch
from torch import Tensor

from rnn_tasks.tasks.base import Task

DECIMALS = 4  # of the numbers, so that people can write a problem exactly


class Adding(Task):
    """The sum of the two numbers that are marked, one in each half of a sequence.

        step       0       1       2       3       4
        inputs   0.21,0  0.35,1  0.92,0  0.07,0  0.44,1
        target                                    0.79

    The numbers are uniform from 0 to 1, the positions of the marks uniform in their halves (Hochreiter and Schmidhuber
    1997, in the form of Arjovsky, Shah and Bengio 2016). The answer is a number. It is right within 0.04, the error
    that the paper of 1997 allows where sums lie within 0 and 1; here they lie within 0 and 2. Without looking the best
    answer is 1, with a mean squared error of 1/6.

    Args:
        values: those of Task; lengths are at least 2.

    Raises:
        ValueError: a value is out of its range.
    """

    input_size = 2
    output_size = 1
    readout = "last"
    answer_kind = "numbers"
    tolerance = 0.04
    example = "0.21 0.35* 0.92 0.07 0.44*"

    def lengths_with_examples(self, low: int, high: int) -> list[int]:
        return list(range(max(low, 2), high + 1))

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        size, steps = len(lengths), int(lengths.max())
        whole = torch.randint(10**DECIMALS + 1, (size, steps), generator=stream)
        numbers = (whole.double() / 10**DECIMALS).float()
        half, shares = lengths // 2, torch.rand(2, size, generator=stream, dtype=torch.float64)
        places = torch.stack([(shares[0] * half).long(), half + (shares[1] * (lengths - half)).long()], 1)  # [N, 2]
        marks = torch.zeros_like(numbers).scatter_(1, places, 1.0)
        return torch.stack([numbers, marks], -1), (numbers * marks).sum(1)

    def parse(self, text: str) -> Tensor:
        try:
            steps = [(float(word.removesuffix("*")), float(word.endswith("*"))) for word in text.split()]
        except ValueError:
            steps = []
        if sum(mark for _, mark in steps) != 2 or not all(0 <= number <= 1 for number, _ in steps):
            raise ValueError(f"{text!r}: must be numbers from 0 to 1, two of them marked by *, like {self.example}")
        return torch.tensor(steps)

    def write_input(self, inputs: Tensor) -> str:
        return " ".join(f"{number:.{DECIMALS}g}{'*' if mark else ''}" for number, mark in inputs.tolist())

    def write_answer(self, answer: Tensor) -> str:
        return f"{float(answer):.{DECIMALS}f}"
