"""Random sums, and what a network answers to them."""

from dataclasses import dataclass

import torch

from rnn_tasks.report.analysis.inspection import task_of
from rnn_tasks.runs.run import Run
from rnn_tasks.tasks import Adder
from rnn_tasks.tasks.answers import answers


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
    rows = torch.stack((*inputs.unbind(-1), (inputs.sum(-1) + targets) % 2, bits, targets), 1).int()
    sums = []
    for row, length in zip(rows, lengths.tolist(), strict=True):
        digits = row[:, :length].flip(1) if task.order == "lsb" else row[:, :length]
        sums.append(AnsweredSum(*("".join(map(str, line)) for line in digits.tolist())))
    return sums
