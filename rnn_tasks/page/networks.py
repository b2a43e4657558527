"""What two networks say to a drawing, a photo or a single image, as the page is told."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from rnn_tasks.photos import digits as handwriting
from rnn_tasks.photos.digits import Digit
from rnn_tasks.photos.ink import Array
from rnn_tasks.photos.reading import Answer, numbers
from rnn_tasks.runs.loading import Run

WIDTH, HEIGHT, PEN = 840, 630, 27  # of the canvas and of a stroke: the units of a drawing's points
SHRINK = 3  # units of the canvas to a pixel in which digits are looked for

Points = NDArray[np.float32]


@dataclass(frozen=True)
class Networks:
    """The two networks that read what is drawn.

    Args:
        reader: the one that was chosen; None if none is trained yet.
        report: the report's best; None if none is trained yet.
    """

    reader: Run | None
    report: Run | None

    def read_drawing(self, strokes: Sequence[Points], pick: int = 0) -> dict[str, Any]:
        """As ``read_photo``, of strokes, each [N, 2], x and y in units of the canvas.

        Args:
            strokes: in the order in which they were drawn.
            pick: which digit is shown row by row; the first where there are fewer.

        Raises:
            ValueError: nothing is drawn on the canvas.
        """
        return self._read(drawn(strokes), (WIDTH // SHRINK, HEIGHT // SHRINK), pick)

    def read_photo(self, photo: bytes) -> dict[str, Any]:
        """The digits of a photo, what both networks say to each, and to the rows of the first as they come in.

        Returns:
            ``size`` of the photo in pixels, the numbers of each line as ``text``, and its ``digits``: in which ``line``
            each is, its ``box`` in the photo, its ``image`` (784 bytes in base64, 0 paper, 255 ink) and the ``answers``
            of each network, [10]. ``steps`` has the answers to the first 1 to 28 rows of the digit that is ``picked``,
            [28, 10]. None stands for those of a network that is not there.

        Raises:
            ValueError: it is no picture, or no digit can be seen in it.
        """
        image = handwriting.load(BytesIO(photo))
        return self._read(handwriting.digits(image), image.size, 0)

    def read_image(self, image: bytes) -> dict[str, Any]:
        """The ``steps`` of an image: 784 bytes, row by row, 0 paper, 255 ink.

        Raises:
            ValueError: it has fewer or more.
        """
        if len(image) != 28 * 28:
            raise ValueError("an image is 784 bytes, 28 rows of 28")
        return {"steps": self._steps(torch.frombuffer(bytearray(image), dtype=torch.uint8).view(28, 28) / 255)}

    def _read(self, lines: list[list[Digit]], size: tuple[int, int], pick: int) -> dict[str, Any]:
        found = [(number, digit) for number, line in enumerate(lines) for digit in line]
        images = torch.stack([digit.image for _, digit in found]).mul(255).round().byte()  # as the page gets them
        answers = {name: self._answers(run, images / 255) for name, run in vars(self).items()}
        pick = pick if pick < len(found) else 0
        digits = [
            {
                "line": line,
                "box": digit.box,
                "image": b64encode(image.numpy().tobytes()).decode(),
                "answers": {name: said and said[number] for name, said in answers.items()},
            }
            for number, ((line, digit), image) in enumerate(zip(found, images, strict=True))
        ]
        said = iter(_answers_of(found, answers["reader"] or answers["report"]))
        text = [numbers([next(said) for _ in line]) for line in lines]
        return {
            "size": size,
            "text": text,
            "digits": digits,
            "picked": pick,
            "steps": self._steps(images[pick] / 255),
        }

    def _answers(self, run: Run | None, images: Tensor) -> list[list[float]] | None:
        if run is None:
            return None
        with torch.inference_mode():
            return _rounded(run.logits(images, torch.full((len(images),), 28)).softmax(-1))

    def _steps(self, image: Tensor) -> dict[str, list[list[float]] | None]:
        return {name: run and _rounded(run.prefix_predictions(image[None])[0]) for name, run in vars(self).items()}


def _answers_of(found: list[tuple[int, Digit]], probabilities: list[list[float]]) -> list[Answer]:
    best = [max(range(10), key=each.__getitem__) for each in probabilities]
    return [
        Answer(digit, str(said), each[said]) for (_, digit), said, each in zip(found, best, probabilities, strict=True)
    ]


def _rounded(probabilities: Tensor) -> list[list[float]]:
    return probabilities.double().mul(1e4).round().div(1e4).tolist()


def drawn(strokes: Sequence[Points]) -> list[list[Digit]]:
    """The digits of a drawing, their boxes in its pixels; what looks like none, such as half of a 7, is one, too.

    Raises:
        ValueError: nothing is drawn on the canvas.
    """
    ink = rendered(strokes)
    if not (inked := np.argwhere(ink > 0.5)).size:
        raise ValueError("nothing is drawn yet")
    try:
        return handwriting.cut(ink)
    except ValueError:
        (top, left), (bottom, right) = inked.min(0).tolist(), (inked.max(0) + 1).tolist()
        return [[Digit((left, top, right, bottom), handwriting.normalize_like_mnist(ink))]]


def rendered(strokes: Sequence[Points]) -> Array:
    """The ink of strokes with round ends, each [N, 2] in units of the canvas: [H, W] from 0 to 1."""
    image = Image.new("L", (WIDTH, HEIGHT))
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        pen.line(stroke.ravel().tolist(), fill=255, width=PEN)
        for x, y in stroke.tolist():
            pen.ellipse((x - PEN / 2, y - PEN / 2, x + PEN / 2, y + PEN / 2), fill=255)
    return np.asarray(image.reduce(SHRINK), np.float32) / 255
