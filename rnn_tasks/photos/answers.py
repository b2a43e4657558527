"""The answers to a photo as data for JSON, and as a picture with a box around each digit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from rnn_tasks.errors import file_error, one_line, tell
from rnn_tasks.photos.files import load
from rnn_tasks.photos.reading import Answer, Reader, numbers, read

COLOR = "#D55E00"

Lines = list[list[Answer]]


def read_file(reader: Reader, path: str) -> tuple[Image.Image, Lines]:
    """Read the photo in a file, and return it with the answers to its digits, line by line.

    Raises:
        ValueError: the file cannot be read or shows no digit; the message names it.
    """
    image = load(path)
    try:
        return image, read(reader, image)
    except ValueError as error:
        raise ValueError(f"{path!r}: {error}") from None


def as_json(path: str, lines: Lines) -> dict[str, Any]:
    """Return the answers to a photo as JSON has them.

    Returns:
        ``input`` (the path), ``output`` (the numbers, a line of text per line of digits), ``confidence`` of the least
        certain digit, and ``lines``: for each line the ``box``, ``digit`` and ``confidence`` of its digits.
    """
    return {
        "input": path,
        "output": "\n".join(map(numbers, lines)),
        "confidence": min(answer.confidence for line in lines for answer in line),
        "lines": [[{"box": a.digit.box, "digit": a.text, "confidence": a.confidence} for a in line] for line in lines],
    }


def draw_boxes(image: Image.Image, lines: Lines) -> Image.Image:
    """Draw a box into a copy of an upright photo around each digit and the answer beside it."""
    image = image.copy()
    drawing, side = ImageDraw.Draw(image), max(image.size)
    thick = max(1, round(side / 400))
    for answer in (answer for line in lines for answer in line):
        left, top, right, bottom = answer.digit.box
        drawing.rectangle((left - thick, top - thick, right + thick, bottom + thick), outline=COLOR, width=thick)
        font = ImageFont.load_default(min(max(12, side / 60, (bottom - top) / 3), side / 8))
        width, height = (round(edge) for edge in drawing.textbbox((0, 0), answer.text, font)[2:])
        x, y = min(left - thick, image.width - width), top - thick - height - 2
        y = y if y >= 0 else min(bottom + thick + 2, image.height - height)
        drawing.rectangle((x, y, x + width, y + height), fill=COLOR)
        drawing.text((x, y), answer.text, "white", font)
    return image


class PictureFiles:
    """The pictures that one command leaves in a directory, each with a name of its own.

    Attributes:
        paths: those written, in order.
    """

    def __init__(self, directory: Path) -> None:
        self.directory, self.paths = directory, list[Path]()

    def save(self, name: str, write: Callable[[Path], object]) -> None:
        """Write name.png, or name-2.png and so on where that was written before.

        Where the directory can only be read, or its disk is full, a line on stderr says so: the answer is there.

        Args:
            name: of the picture, without its ending.
            write: saves it to a path.
        """
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            write(path := self._new(name))
            self.paths.append(path)
        except OSError as error:
            tell(f"no picture of the answers: {one_line(file_error(error))}")

    def _new(self, name: str) -> Path:
        path, number = self.directory / f"{name}.png", 1
        while path in self.paths:
            number += 1
            path = self.directory / f"{name}-{number}.png"
        return path
