"""What two networks answer to a drawing, a photo or a single image, in the form that the page gets."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import torch
from torch import Tensor

from rnn_tasks.page.drawing import HEIGHT, SHRINK, WIDTH, Points, digits_of
from rnn_tasks.photos.digits import Digit, find_digits
from rnn_tasks.photos.files import load
from rnn_tasks.photos.reading import Answer, numbers
from rnn_tasks.runs import Run

Probabilities = list[list[float]]


@dataclass(frozen=True)
class Networks:
    """The two networks that the page compares.

    Args:
        reader: the one that reads drawings; None if none is trained yet.
        report: the best one of the report; None if none is trained yet.
    """

    reader: Run | None
    report: Run | None

    def read_drawing(self, strokes: Sequence[Points], pick: int = 0) -> dict[str, Any]:
        """Return the digits of a drawing and the answers of both networks, in the form of ``read_photo``.

        Args:
            strokes: each [N, 2], x and y in units of the canvas, in the order in which they were drawn.
            pick: the digit that is shown row by row, counted from 0; the first if there are fewer.

        Raises:
            ValueError: nothing is drawn on the canvas.
        """
        return self._read(digits_of(strokes), (WIDTH // SHRINK, HEIGHT // SHRINK), pick)

    def read_photo(self, photo: bytes) -> dict[str, Any]:
        """Return the digits of a photo and the answers of both networks.

        Args:
            photo: the content of an image file.

        Returns:
            ``size``: width and height of the photo in pixels.
            ``text``: the numbers of each line.
            ``digits``: for each digit its ``line``, its ``box`` in the photo, its ``image`` (784 bytes in base64, 0 for
            paper, 255 for ink) and the ``answers`` of each network, [10] probabilities.
            ``picked``: the digit of ``steps``.
            ``steps``: the answers of each network to the first 1, 2, ..., 28 rows of that digit, [28, 10].
            The answers of a missing network are None.

        Raises:
            ValueError: the file is no image, or shows no digit.
        """
        image = load(BytesIO(photo))
        return self._read(find_digits(image), image.size, 0)

    def read_image(self, image: bytes) -> dict[str, Any]:
        """Return the ``steps`` of an image, as in ``read_photo``.

        Args:
            image: 784 bytes, row by row, 0 for paper, 255 for ink.

        Raises:
            ValueError: there are fewer or more bytes.
        """
        if len(image) != 28 * 28:
            raise ValueError("an image is 784 bytes, 28 rows of 28")
        return {"steps": self._steps(torch.frombuffer(bytearray(image), dtype=torch.uint8).view(28, 28) / 255)}

    def _read(self, lines: list[list[Digit]], size: tuple[int, int], pick: int) -> dict[str, Any]:
        digits = [digit for line in lines for digit in line]
        images = torch.stack([digit.image for digit in digits]).mul(255).round().byte()  # as the page gets them
        answers = {name: run and self._answers(run, images / 255) for name, run in vars(self).items()}
        pick = pick if pick < len(digits) else 0
        line_numbers = [number for number, line in enumerate(lines) for _ in line]
        return {
            "size": size,
            "text": _text(lines, answers["reader"] or answers["report"] or []),
            "digits": [
                {
                    "line": line_numbers[i],
                    "box": digit.box,
                    "image": b64encode(images[i].numpy().tobytes()).decode(),
                    "answers": {name: answer and answer[i] for name, answer in answers.items()},
                }
                for i, digit in enumerate(digits)
            ],
            "picked": pick,
            "steps": self._steps(images[pick] / 255),
        }

    def _answers(self, run: Run, images: Tensor) -> Probabilities:
        """Return the probabilities [N, 10] of images [N, 28, 28]."""
        with torch.inference_mode():
            return _rounded(run.logits(images, torch.full((len(images),), 28)).softmax(-1))

    def _steps(self, image: Tensor) -> dict[str, Probabilities | None]:
        """Return the probabilities [28, 10] after each row of an image [28, 28], for each network."""
        return {name: run and _rounded(run.prefix_predictions(image[None])[0]) for name, run in vars(self).items()}


def _text(lines: list[list[Digit]], probabilities: Probabilities) -> list[str]:
    """Return the numbers of each line of digits, from the probabilities [N, 10] of all digits."""
    remaining = iter(probabilities)
    text = []
    for line in lines:
        answers = []
        for digit in line:
            shares = next(remaining)
            best = shares.index(max(shares))
            answers.append(Answer(digit, str(best), shares[best]))
        text.append(numbers(answers))
    return text


def _rounded(probabilities: Tensor) -> Probabilities:
    """Probabilities [N, 10] with four decimals."""
    return probabilities.double().mul(1e4).round().div(1e4).tolist()
