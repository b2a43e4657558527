"""From a photo of handwritten digits to images like those of MNIST."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

from rnn_tasks.photos.files import WORKING_SIDE, load, upright
from rnn_tasks.photos.ink import Array, flatten, without_lines
from rnn_tasks.photos.segments import MIN_CONTRAST, MIN_HEIGHT, NO_DIGIT, Box, Labels, Part, segment

THINNEST = 0.1  # width of a stroke, relative to the longer side of its digit


@dataclass(frozen=True)
class Digit:
    """A digit in a photo.

    Args:
        box: left, top, right, bottom in pixels of the upright photo; the last two lie just outside of the digit.
        image: [28, 28], from 0 (paper) to 1 (ink), as MNIST shows digits.
    """

    box: Box
    image: Tensor


def find_digits(image: Image.Image) -> list[list[Digit]]:
    """Return the digits in a photo: lines from top to bottom, the digits of each from left to right.

    A picture of 28 x 28 is taken for a single digit. Boxes are in pixels of ``upright(image)``, which is what ``load``
    gives.

    Raises:
        ValueError: no digit can be seen.
    """
    image = upright(image)
    if image.size == (28, 28):
        return [[Digit((0, 0, 28, 28), _image_of_28(image))]]
    scale = max(1.0, max(image.size) / WORKING_SIDE)
    width, height = (max(1, round(side / scale)) for side in image.size)
    if min(width, height) < MIN_HEIGHT:
        raise ValueError(NO_DIGIT)
    ink = flatten(image.resize((width, height), Image.Resampling.BOX))
    return cut_digits(without_lines(ink), image.size)


def single(path: str) -> Tensor:
    """Return the digit in a photo of exactly one, [28, 28].

    Raises:
        ValueError: the file cannot be read, or shows no digit or several.
    """
    image = load(path)
    try:
        digits = [digit for line in find_digits(image) for digit in line]
    except ValueError as error:
        raise ValueError(f"{path!r}: {error}") from None
    if len(digits) > 1:
        raise ValueError(f"{path!r} shows {len(digits)} digits, not one; rnn_tasks.predict reads them all")
    return digits[0].image


def cut_digits(ink: Array, size: tuple[int, int] | None = None) -> list[list[Digit]]:
    """Return the digits in ink from which paper and ruled lines are removed, in lines as ``find_digits`` gives them.

    Args:
        ink: [H, W], 0 for paper, 1 for black on white.
        size: width and height in pixels of the photo to which the boxes refer; by default W and H.

    Raises:
        ValueError: no digit can be seen.
    """
    labels, strength, lines = segment(ink)
    size = size or (ink.shape[1], ink.shape[0])
    return [[_cut_digit(part, ink / strength, labels, size) for part in line] for line in lines]


def _cut_digit(part: Part, ink: Array, labels: Labels, size: tuple[int, int]) -> Digit:
    """Return a part of the labelled ink [H, W] as a digit of a photo of a width and height."""
    left, top, right, bottom = part.box
    window = slice(max(top - 2, 0), bottom + 2), slice(max(left - 2, 0), right + 2)
    own = ndimage.binary_dilation(np.isin(labels[window], part.labels), iterations=2)
    x, y = size[0] / ink.shape[1], size[1] / ink.shape[0]
    box = (round(left * x), round(top * y), round(right * x), round(bottom * y))
    return Digit(box, normalize_like_mnist(ink[window] * own))


def normalize_like_mnist(ink: Array, threshold: float = 0.4) -> Tensor:
    """Return a digit as MNIST shows it (LeCun, Bottou, Bengio and Haffner 1998, section III.A).

    The digit is fitted into 20 x 20 pixels, its sides in proportion, and placed with its centre of mass in the middle
    of 28 x 28. Beyond their recipe, strokes much thinner than those of MNIST are thickened.

    Args:
        ink: [H, W], of this digit alone, 0 for paper, 1 for black on white.
        threshold: weaker ink counts as noise and may lie outside of the 20 x 20.

    Returns:
        [28, 28], from 0 (paper) to 1 (ink).

    Raises:
        ValueError: no ink is above the threshold.
    """
    ink = np.clip(ink, 0, 1).astype(np.float32)
    ink = np.pad(np.asarray(Image.fromarray(ink).reduce(max(1, max(ink.shape) // 80))), 1)
    if not (ink > threshold).any():
        raise ValueError(NO_DIGIT)
    ink = _with_thick_strokes(ink, threshold)
    crop = ink[_extent(ink > threshold)]
    width, height = (max(1, round(20 * side / max(crop.shape))) for side in crop.shape[::-1])
    digit = np.asarray(Image.fromarray(crop).resize((width, height), Image.Resampling.BICUBIC)).clip(0)
    digit = (digit / digit.max()).clip(0, 1)
    y, x = ndimage.center_of_mass(digit)
    top, left = min(max(round(13.5 - y), 0), 28 - height), min(max(round(13.5 - x), 0), 28 - width)
    image = np.zeros((28, 28), np.float32)
    image[top : top + height, left : left + width] = digit
    return torch.tensor(image)


def _extent(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and the columns of the smallest rectangle around all that is set in a mask [H, W]."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _with_thick_strokes(ink: Array, threshold: float) -> Array:
    """Thicken the strokes of a digit [H, W] to THINNEST of its longer side, by grey-scale dilation with a disc.

    The result is larger than ``ink`` where strokes are thickened.
    """
    mask = ink > threshold
    rows, columns = _extent(mask)
    side = max(rows.stop - rows.start, columns.stop - columns.start)
    width = 4 * ndimage.distance_transform_edt(mask)[mask].mean() - 1
    missing = round(THINNEST * side - width)
    if missing <= 0:
        return ink
    offsets = np.arange(missing + 1) - missing / 2
    disc = np.hypot(*np.meshgrid(offsets, offsets)) <= missing / 2 + 0.3
    return ndimage.grey_dilation(np.pad(ink, missing), footprint=disc)


def _image_of_28(image: Image.Image) -> Tensor:
    """Return a picture of 28 x 28 as a single digit, [28, 28]; one that already looks like MNIST's stays as it is.

    Raises:
        ValueError: it is empty, or noise.
    """
    grey: Array = np.asarray(image.convert("L"), np.float32) / 255
    inside, edge = grey[1:-1, 1:-1], _border(1)
    if not grey[edge].any() and grey.any() and np.median(inside) < 0.5:
        return torch.tensor(grey)
    if grey[edge].std() < 0.02 and abs(np.median(grey[edge]) - np.median(inside)) > 0.25:  # a frame
        grey = np.pad(inside, 1, "edge")
    paper = _paper(grey)
    ink = paper - grey if np.median(paper) > 0.5 else grey - paper
    peak, grain = np.percentile(ink, 98), ndimage.gaussian_filter(ink, 1).std() / max(ink.std(), 1e-6)
    if peak < MIN_CONTRAST or grain < 0.4:  # of noise it is 0.28, of lines one pixel wide 0.53
        raise ValueError(NO_DIGIT)
    return normalize_like_mnist((ink / peak - 0.1) / 0.9)


def _border(width: int) -> NDArray[np.bool_]:
    """Return a mask [28, 28] of the outermost pixels."""
    border = np.ones((28, 28), bool)
    border[width:-width, width:-width] = False
    return border


def _paper(grey: Array) -> Array:
    """Estimate the brightness of evenly fading paper in a picture: a plane through its outer two pixels, [28, 28].

    Least squares, repeated without the pixels that lie far off, which are strokes that reach the edge.
    """
    y, x = np.mgrid[:28, :28] / 28
    terms, outer = np.stack([np.ones_like(x), x, y], -1), _border(2)
    used = outer
    for _ in range(4):
        plane = terms @ np.linalg.lstsq(terms[used], grey[used], rcond=None)[0]
        error = np.abs(grey - plane)
        used = outer & (error <= max(0.03, 1.5 * np.median(error[outer])))
    return plane.astype(np.float32)
