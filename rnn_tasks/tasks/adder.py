"""Adding two binary strings."""

import re
from typing import Any, Literal

import torch
from torch import Tensor

from rnn_tasks import checks
from rnn_tasks.tasks.automata import Automaton, explored
from rnn_tasks.tasks.base import Task


class Adder(Task):
    """The sum of two numbers of L bits, answered bit by bit.

    1011 + 110 (eleven and six), least significant bit first, both bits of a position together, and one more step so
    that the last carry can come out:

        step      0    1    2    3    4
        inputs   1,0  1,1  0,1  1,0  0,0
        targets   1    0    0    0    1        read backwards: 10001, seventeen

    People add in this order: the carry that a bit needs is known when it is needed. With ``order="msb"`` the steps run
    the other way, and only a network that also reads from the end can know the carry. A sequence of length L has
    T = L + 1 steps; all L bits of both numbers are drawn uniformly, so they may begin with zeros.

    Args:
        order: "lsb" or "msb", the bit that comes first.
        values: those of Task.

    Raises:
        ValueError: a value is out of its range.
    """

    input_size = 2
    output_size = 1
    readout = "every_step"
    chance_accuracy = 0.5
    extra_steps = 1
    example = "1011+110"

    def __init__(self, order: Literal["lsb", "msb"] = "lsb", **values: Any) -> None:
        checks.one_of(("lsb", "msb"), order=order)
        super().__init__(**values)
        self.order = order

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        steps = torch.arange(int(lengths.max()) + 1)
        bits = torch.randint(2, (len(lengths), len(steps), 2), generator=stream)
        bits *= (steps < lengths[:, None])[..., None]
        sums = add(bits)
        if self.order == "msb":  # each sequence is reversed within its own L + 1 steps
            reverse = (lengths[:, None] - steps) % len(steps)
            bits, sums = bits.gather(1, reverse[..., None].expand_as(bits)), sums.gather(1, reverse)
        return bits.float(), sums.float()

    @property
    def automaton(self) -> Automaton | None:
        """The automaton whose state is the carry; None for ``order="msb"``, which no automaton can read in order."""
        if self.order == "msb":
            return None

        def step(carry: int, bits: str) -> tuple[int, int]:
            total = carry + bits.count("1")
            return total // 2, total % 2

        pairs = ["00", "01", "10", "11"]
        return explored(pairs, 0, step, torch.tensor([[float(bit) for bit in pair] for pair in pairs]))

    def parse(self, text: str) -> Tensor:
        if not re.fullmatch(r"\s*[01]+\s*\+\s*[01]+\s*", text):
            raise ValueError(f"{text!r} is no sum of two binary numbers like {self.example}")
        first, second = (number.strip()[::-1] for number in text.split("+"))
        steps = max(len(first), len(second)) + 1
        bits = torch.tensor([[int(bit) for bit in number.ljust(steps, "0")] for number in (first, second)]).T
        return (bits if self.order == "lsb" else bits.flip(0)).float()

    def write_input(self, inputs: Tensor) -> str:
        first, second = inputs[:-1].T if self.order == "lsb" else inputs[1:].flip(0).T
        return f"{_binary(first)}+{_binary(second)}"

    def write_answer(self, answer: Tensor) -> str:
        return _binary(answer if self.order == "lsb" else answer.flip(0))


def add(bits: Tensor) -> Tensor:
    """Return the bits of the sum of two numbers, both least significant bit first: [N, T, 2] -> [N, T].

    A position with two ones carries, one with none does not, and one with a single one passes on the carry into it. So
    whether position t carries is decided by the last position up to t that has not exactly a single one. Where there is
    no such position, nothing carries.
    """
    ones = bits.sum(-1)
    position = torch.arange(bits.shape[1]).expand_as(ones)
    decisive = torch.where(ones != 1, position, 0).cummax(1).values
    carry_out = ones.gather(1, decisive) == 2
    carry_in = torch.nn.functional.pad(carry_out[:, :-1], (1, 0))
    return (ones + carry_in) % 2


def _binary(bits: Tensor) -> str:
    """Write a number most significant bit first and without leading zeros, from its bits [L] in reverse."""
    return "".join(str(int(bit)) for bit in bits.flip(0).tolist()).lstrip("0") or "0"
