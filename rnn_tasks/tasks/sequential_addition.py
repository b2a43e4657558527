"""Adding two binary numbers of which one comes after the other."""

import re

import torch
from torch import Tensor

from rnn_tasks.tasks import symbols
from rnn_tasks.tasks.adder import add
from rnn_tasks.tasks.base import Task

ALPHABET = "01+="
PLUS, EQUALS = 2, 3


class SequentialAddition(Task):
    """The sum of two numbers of n bits that come one after the other, answered bit by bit.

    1011 + 0110 (eleven and six), least significant bit first; the answer is asked from the = on, while nothing comes
    in:

        step     0  1  2  3  4  5  6  7  8  9 10 11 12 13
        input    1  1  0  1  +  0  1  1  0  =
        target                              1  0  0  0  1

    An input is a one-hot vector over 0, 1, + and =, or zeros. The adder (task=adder) reads both bits of a position
    together and needs to remember nothing but a carry, however long the numbers. Here all of the first number must be
    remembered until the second has come: 2^n states and more, so no finite automaton does it for every n, and networks
    that learn it for small n fail at larger ones.

    A length counts all steps, 3 n + 2: for n from 1 to 6 lengths are 5, 8, ..., 20.
    """

    input_size = len(ALPHABET)
    output_size = 1
    readout = "every_step"
    chance_accuracy = 0.5
    example = "1011+0110"

    def lengths_with_examples(self, low: int, high: int) -> list[int]:
        return [length for length in range(max(low, 5), high + 1) if length % 3 == 2]

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        step, n = torch.arange(int(lengths.max())), lengths[:, None] // 3
        bits = torch.randint(2, (len(lengths), int(n.max()) + 1, 2), generator=stream)
        bits *= (torch.arange(bits.shape[1]) < n)[..., None]  # [N, n + 1, 2]
        first, second, end = _shifted(bits[..., 0], step), _shifted(bits[..., 1], step - n - 1), 2 * n + 1
        read = torch.where(step < n, first, torch.where(step == n, PLUS, torch.where(step < end, second, EQUALS)))
        sums = _shifted(add(bits), step - end)
        inputs = symbols.encode(read, 2 * (lengths // 3) + 2, self.input_size)
        return inputs, sums, self.asked_steps(inputs)

    def asked_steps(self, inputs: Tensor) -> Tensor:
        return inputs[..., EQUALS].cumsum(-1) > 0

    def parse(self, text: str) -> Tensor:
        if not re.fullmatch(r"\s*[01]+\s*\+\s*[01]+\s*", text):
            raise ValueError(f"{text!r} is no sum of two binary numbers like {self.example}")
        first, second = (number.strip()[::-1] for number in text.split("+"))
        n = max(len(first), len(second))
        return torch.cat([symbols.parse(f"{first:0<{n}}+{second:0<{n}}=", ALPHABET), torch.zeros(n, self.input_size)])

    def write_input(self, inputs: Tensor) -> str:
        first, second = symbols.write(inputs[: 2 * (len(inputs) // 3) + 1], ALPHABET).split("+")
        return f"{first[::-1]}+{second[::-1]}"

    def write_answer(self, answer: Tensor) -> str:
        return "".join(str(int(bit)) for bit in answer.flip(0).tolist()).lstrip("0") or "0"


def _shifted(bits: Tensor, position: Tensor) -> Tensor:
    """Return the bits [N, B] at positions [N, T] or [T]; outside of the number stands its first or last bit: [N, T]."""
    return bits.gather(1, position.clamp(0, bits.shape[1] - 1).expand(len(bits), -1))
