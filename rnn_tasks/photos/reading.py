"""What a network reads in a photo of handwritten digits."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from rnn_tasks.photos.digits import Digit, find_digits

MAX_GAP = 0.8  # between two digits of one number, relative to the height of the taller


class Reader(Protocol):
    """A network that reads digits, such as a run of MNIST with one replicate."""

    def answer(self, inputs: Tensor, lengths: Tensor) -> list[tuple[str, float]]:
        """Return the answer to each image [N, 28, 28] of ``lengths`` rows [N], and its probability."""
        ...


@dataclass(frozen=True)
class Answer:
    """What a network reads a digit as.

    Args:
        digit: its box and its image.
        text: the answer, "0" to "9".
        confidence: the probability that the network gives it, from 0 to 1.
    """

    digit: Digit
    text: str
    confidence: float


def read(reader: Reader, image: Image.Image) -> list[list[Answer]]:
    """Return the answers to all digits of an upright photo: lines from top to bottom, digits from left to right.

    Raises:
        ValueError: no digit can be seen.
    """
    lines = find_digits(image)
    inputs = torch.stack([digit.image for line in lines for digit in line])  # [N, 28, 28]
    answers = iter(reader.answer(inputs, torch.full((len(inputs),), 28)))
    return [[Answer(digit, *next(answers)) for digit in line] for line in lines]


def numbers(line: Sequence[Answer]) -> str:
    """Return a line of digits as text: digits close to each other form one number, numbers are separated by spaces."""
    text = line[0].text
    for left, right in pairwise(line):
        (_, top, end, bottom), (start, other_top, _, other_bottom) = left.digit.box, right.digit.box
        close = start - end <= MAX_GAP * max(bottom - top, other_bottom - other_top)
        text += right.text if close else f" {right.text}"
    return text
