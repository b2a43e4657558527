"""What a network reads in a photo of handwritten digits: the numbers, and a picture that shows which digit is where."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from rnn_tasks.photos.digits import Digit, digits

NEAR = 0.8  # of a digit's height: a gap up to this is within a number
COLOR = "#D55E00"


class Reader(Protocol):
    """A network that reads digits, such as a run of MNIST with one replicate."""

    def answer(self, inputs: Tensor, lengths: Tensor) -> list[tuple[str, float]]:
        """The answer to each image [N, 28, 28] of ``lengths`` rows [N], and its probability."""
        ...


@dataclass(frozen=True)
class Answer:
    """What a digit was read as.

    Args:
        digit: where it is and how it looks.
        said: the answer.
        confidence: its probability.
    """

    digit: Digit
    said: str
    confidence: float


def read(reader: Reader, image: Image.Image) -> list[list[Answer]]:
    """The answers of a network to the digits of an upright photo, line by line.

    Raises:
        ValueError: no digit can be seen.
    """
    lines = digits(image)
    inputs = torch.stack([digit.image for line in lines for digit in line])  # [N, 28, 28]
    answers = iter(reader.answer(inputs, torch.full((len(inputs),), 28)))
    return [[Answer(digit, *next(answers)) for digit in line] for line in lines]


def numbers(line: list[Answer]) -> str:
    """A line of digits as text: those that stand close are one number, a space parts numbers."""
    text = line[0].said
    for left, right in pairwise(line):
        (_, top, end, bottom), (start, upper, _, lower) = left.digit.box, right.digit.box
        near = start - end <= NEAR * max(bottom - top, lower - upper)
        text += right.said if near else f" {right.said}"
    return text


def boxed(image: Image.Image, lines: list[list[Answer]]) -> Image.Image:
    """A copy of an upright photo with a box around each digit and the answer beside it."""
    image = image.copy()
    drawing, side = ImageDraw.Draw(image), max(image.size)
    thick = max(1, round(side / 400))
    for answer in [answer for line in lines for answer in line]:
        left, top, right, bottom = answer.digit.box
        drawing.rectangle((left - thick, top - thick, right + thick, bottom + thick), outline=COLOR, width=thick)
        font = ImageFont.load_default(min(max(12, side / 60, (bottom - top) / 3), side / 8))
        _, _, width, height = (round(edge) for edge in drawing.textbbox((0, 0), answer.said, font))
        x, y = min(left - thick, image.width - width), top - thick - height - 2
        y = y if y >= 0 else min(bottom + thick + 2, image.height - height)
        drawing.rectangle((x, y, x + width, y + height), fill=COLOR)
        drawing.text((x, y), answer.said, "white", font)
    return image
