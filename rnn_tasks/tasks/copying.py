"""Copying ten symbols after a long pause."""

import re
from typing import Any, Literal

import torch
from torch import Tensor

from rnn_tasks import checks
from rnn_tasks.tasks import symbols
from rnn_tasks.tasks.base import Task

COPIED, BLANK, FIRST, LAST, DELIMITER = 10, 0, 1, 8, 9
ALPHABET = ".12345678:"


class Copy(Task):
    """Ten symbols of eight kinds, said again in their order after a pause of L steps and a delimiter.

    A problem of L = 4, with a point for a blank and a colon for the delimiter, and its answer below:

        3141526582...:..........
        ..............3141526582

    The pause has L - 1 blanks and the delimiter; ten blanks follow, at which the answer is asked. So the network must
    hold 30 bits for at least L steps (Hochreiter and Schmidhuber 1997, in the form of Arjovsky, Shah and Bengio 2016).
    An input is a one-hot vector over the ten characters. A sequence has L + 20 steps.

    With ``asked="all"`` blanks are answers, too, at all other steps, as in those papers: then a network that never
    copies anything is mostly right.

    Args:
        asked: "copy" for the last ten steps alone, or "all".
        values: those of Task; lengths are those of the pause.

    Raises:
        ValueError: a value is out of its range.
    """

    input_size = len(ALPHABET)
    output_size = LAST + 1
    readout = "every_step"
    extra_steps = 2 * COPIED
    example = "3141526582...:.........."

    def __init__(self, asked: Literal["copy", "all"] = "copy", **values: Any) -> None:
        checks.one_of(("copy", "all"), asked=asked)
        super().__init__(**values)
        self.asks_all = asked == "all"

    def draw(self, lengths: Tensor, stream: torch.Generator) -> tuple[Tensor, ...]:
        copied = torch.randint(FIRST, LAST + 1, (len(lengths), COPIED), generator=stream)
        read = torch.full((len(lengths), int(lengths.max()) + self.extra_steps), BLANK)
        targets, ends = read.clone(), COPIED + lengths[:, None]
        read[:, :COPIED] = copied
        read.scatter_(1, ends - 1, DELIMITER)
        targets.scatter_(1, ends + torch.arange(COPIED), copied)
        inputs = symbols.encode(read, lengths + self.extra_steps, self.input_size)
        asked = self.asked_steps(inputs)
        return (inputs, targets) if asked is None else (inputs, targets, asked)

    def asked_steps(self, inputs: Tensor) -> Tensor | None:
        delimiter = inputs[..., DELIMITER]
        return None if self.asks_all else delimiter.cumsum(-1) > delimiter

    def parse(self, text: str) -> Tensor:
        if not re.fullmatch(rf"[1-8]{{{COPIED}}}\.*:\.{{{COPIED}}}", text):
            rule = f"{COPIED} digits from 1 to 8, points for blanks, a colon and {COPIED} points"
            raise ValueError(f"{text!r}: must be {rule}, like {self.example}")
        return symbols.parse(text, ALPHABET)

    def write_input(self, inputs: Tensor) -> str:
        return symbols.write(inputs, ALPHABET)

    def write_answer(self, answer: Tensor) -> str:
        return "".join(ALPHABET[number] for number in answer.tolist())
