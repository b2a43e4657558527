"""Drawings: strokes of a pen on the page's canvas, the image they leave, and the digits in it."""

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rnn_tasks.photos.digits import Digit, cut_digits, normalize_like_mnist
from rnn_tasks.photos.ink import Array

WIDTH, HEIGHT = 840, 630  # of the canvas: the units of a drawing's points
PEN = 27  # width of a stroke, in units of the canvas
SHRINK = 3  # units of the canvas per pixel of the image in which digits are searched
MAX_POINTS = 20_000  # of a drawing

Points = NDArray[np.float32]


def parse(body: bytes) -> tuple[list[Points], int]:
    """Return the strokes of a drawing and the number of the digit that is selected.

    Args:
        body: JSON like {"strokes": [[x, y, x, y, ...], ...], "pick": 0}, x and y in units of the canvas.

    Returns:
        the strokes, each [N, 2], and the selected digit, counted from 0.

    Raises:
        ValueError: it is not of this form, has too many points, or points far from the canvas.
    """
    try:
        drawing = json.loads(body)
        pick = drawing.get("pick", 0)
        strokes = [np.asarray(stroke, np.float32) for stroke in drawing["strokes"]]
        if type(pick) is not int or pick < 0 or sum(map(len, strokes)) > 2 * MAX_POINTS:
            raise ValueError
        if any(stroke.ndim != 1 or not len(stroke) or not (np.abs(stroke) < 10 * WIDTH).all() for stroke in strokes):
            raise ValueError
        return [stroke.reshape(-1, 2) for stroke in strokes], pick
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        example = '{"strokes": [[x, y, x, y]], "pick": 0}'
        raise ValueError(f"no drawing like {example} of at most {MAX_POINTS:,} points") from None


def render(strokes: Sequence[Points]) -> Array:
    """Return the ink of strokes with round ends, each [N, 2] in units of the canvas.

    Returns:
        [HEIGHT / SHRINK, WIDTH / SHRINK], from 0 (paper) to 1 (ink).
    """
    image = Image.new("L", (WIDTH, HEIGHT))
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        pen.line(stroke.ravel().tolist(), fill=255, width=PEN)
        for x, y in stroke.tolist():
            pen.ellipse((x - PEN / 2, y - PEN / 2, x + PEN / 2, y + PEN / 2), fill=255)
    return np.asarray(image.reduce(SHRINK), np.float32) / 255


def digits_of(strokes: Sequence[Points]) -> list[list[Digit]]:
    """Return the digits of a drawing, in lines; their boxes are in pixels of its image.

    A drawing in which no digit can be seen, such as a half-drawn 7, counts as a single digit.

    Raises:
        ValueError: nothing is drawn on the canvas.
    """
    ink = render(strokes)
    inked = np.argwhere(ink > 0.5)
    if not len(inked):
        raise ValueError("nothing is drawn yet")
    try:
        return cut_digits(ink)
    except ValueError:
        (top, left), (bottom, right) = inked.min(0).tolist(), (inked.max(0) + 1).tolist()
        return [[Digit((left, top, right, bottom), normalize_like_mnist(ink))]]
