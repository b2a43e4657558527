"""From a photo of handwritten digits to images like MNIST's."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps
from scipy import ndimage
from torch import Tensor

from rnn_tasks.photos.ink import Array, flatten, without_lines
from rnn_tasks.photos.segments import LEAST_CONTRAST, LEAST_HEIGHT, NO_DIGIT, Box, Labels, Part, segment

MOST_MEGAPIXELS = 50
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
WORKING_SIDE = 1200  # pixels of the longer side at which digits are looked for
THINNEST = 0.1  # of a stroke, relative to the longer side of its digit


@dataclass(frozen=True)
class Digit:
    """A digit that was found.

    Args:
        box: left, top, right, bottom in pixels of the upright photo; the last two lie just outside of the digit.
        image: [28, 28], from 0 (paper) to 1 (ink), as MNIST shows digits.
    """

    box: Box
    image: Tensor


def load(file: str | Path | BinaryIO) -> Image.Image:
    """A photo, upright, in 8-bit RGB; a large one comes smaller.

    Args:
        file: a path, or what was read from elsewhere, as an upload.

    Raises:
        ValueError: there is no such file, it is damaged or no picture, or has more than 50 megapixels.
    """
    name = repr(str(file)) if isinstance(file, str | Path) else "the picture"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pictures that are refused below, or read in spite of oddities
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MOST_MEGAPIXELS * 1_000_000:
                    raise Image.DecompressionBombError
                image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
                return upright(image)
    except FileNotFoundError:
        raise ValueError(f"{name} is no file; give an image like digit.png") from None
    except Image.DecompressionBombError:
        raise ValueError(f"{name} has more than {MOST_MEGAPIXELS} megapixels; give a smaller one") from None
    except Exception:  # damaged files raise many kinds
        raise ValueError(f"{name} is no image that can be read; give one like digit.png, in PNG or JPEG") from None


def upright(image: Image.Image) -> Image.Image:
    """The picture in 8-bit RGB, turned as its EXIF data says, what is transparent filled.

    Its sides are divided by the least whole number that makes them at most twice the working size.
    """
    orientation = {0x0112: image.getexif().get(0x0112, 1)}
    factor = max(image.size) // (2 * WORKING_SIDE) + 1
    if image.mode.startswith(("I", "F")):  # 16 and 32 bits
        values = np.nan_to_num(np.asarray(image.convert("F").reduce(factor)))
        low, high = values.min(), values.max()
        image, factor = Image.fromarray(((values - low) * (255 / max(high - low, 1))).astype(np.uint8)), 1
    elif image.mode in ("P", "PA") or image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode != "L":
        image = image.convert("RGB")
    image = image.reduce(factor)
    if image.mode == "RGBA":
        shades, alpha = np.asarray(image.convert("L"), float), np.asarray(image.getchannel("A"), float)
        bright = (shades * alpha).sum() > 127 * alpha.sum() and alpha.min() < 128
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black" if bright else "white"), image)
    image = image.convert("RGB")
    image.getexif().update(orientation)
    return ImageOps.exif_transpose(image)


def digits(image: Image.Image) -> list[list[Digit]]:
    """The digits of a photo: its lines from top to bottom, the digits of each from left to right.

    A picture of 28 x 28 is taken as one digit. Boxes are in pixels of ``upright(image)``, which is what load gives.

    Raises:
        ValueError: no digit can be seen.
    """
    image = upright(image)
    if image.size == (28, 28):
        return [[Digit((0, 0, 28, 28), _scan(image))]]
    scale = max(1.0, max(image.size) / WORKING_SIDE)
    size = tuple(max(1, round(side / scale)) for side in image.size)
    if min(size) < LEAST_HEIGHT:
        raise ValueError(NO_DIGIT)
    return cut(without_lines(flatten(image.resize(size, Image.Resampling.BOX))), image.size)


def single(path: str) -> Tensor:
    """The one digit of a photo, [28, 28].

    Raises:
        ValueError: it cannot be read, shows no digit or several.
    """
    image = load(path)
    try:
        found = [digit for line in digits(image) for digit in line]
    except ValueError as error:
        raise ValueError(f"{path!r}: {error}") from None
    if len(found) > 1:
        raise ValueError(f"{path!r} shows {len(found)} digits, not one; rnn_tasks.predict reads them all")
    return found[0].image


def cut(ink: Array, size: tuple[int, int] | None = None) -> list[list[Digit]]:
    """The digits of ink on nothing, as of a photo.

    Args:
        ink: [H, W], 0 none, 1 black on white.
        size: width and height of the picture in whose pixels the boxes are told; without, those of the ink.

    Raises:
        ValueError: no digit can be seen.
    """
    labels, strength, lines = segment(ink)
    size = size or ink.shape[::-1]
    return [[_digit(part, ink / strength, labels, size) for part in line] for line in lines]


def _digit(part: Part, ink: Array, labels: Labels, size: tuple[int, int]) -> Digit:
    """A part of the labelled ink [H, W] of a photo as a digit in a photo of some size."""
    left, top, right, bottom = part.box
    cut = slice(max(top - 2, 0), bottom + 2), slice(max(left - 2, 0), right + 2)
    own = ndimage.binary_dilation(np.isin(labels[cut], part.labels), iterations=2)
    scale = [size[0] / ink.shape[1], size[1] / ink.shape[0]] * 2
    box = tuple(round(edge * by) for edge, by in zip(part.box, scale, strict=True))
    return Digit(box, normalize_like_mnist(ink[cut] * own))


def normalize_like_mnist(ink: Array, least: float = 0.4) -> Tensor:
    """A digit's ink [H, W] as MNIST shows it, [28, 28]: fitted into 20 x 20, its centre of mass in the middle.

    Strokes much thinner than those of MNIST become as thick as its thinnest.

    Args:
        ink: of this digit alone, 0 none, 1 black on white.
        least: less of it is taken for noise, and may lie outside of the 20 x 20.
    """
    ink = np.clip(ink, 0, 1).astype(np.float32)
    ink = np.pad(np.asarray(Image.fromarray(ink).reduce(max(1, max(ink.shape) // 80))), 1)
    seen = ink > least
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    if not len(rows):
        raise ValueError(NO_DIGIT)
    side = max(np.ptp(rows), np.ptp(columns)) + 1
    width = 4 * ndimage.distance_transform_edt(seen)[seen].mean() - 1
    missing = round(THINNEST * side - width)
    if missing > 0:
        ink = np.pad(ink, missing)
        radius = np.arange(missing + 1) - missing / 2
        ink = ndimage.grey_dilation(ink, footprint=np.hypot(*np.meshgrid(radius, radius)) <= missing / 2 + 0.3)
        seen = ink > least
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    fitted = [max(1, round(20 * n / max(crop.shape))) for n in crop.shape[::-1]]
    digit = np.asarray(Image.fromarray(crop).resize(fitted, Image.Resampling.BICUBIC)).clip(0)
    digit = (digit / digit.max()).clip(0, 1)
    image = np.zeros((28, 28), np.float32)
    centre = ndimage.center_of_mass(digit)
    top, left = (min(max(round(13.5 - c), 0), 28 - n) for c, n in zip(centre, digit.shape, strict=True))
    image[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return torch.tensor(image)


def _scan(image: Image.Image) -> Tensor:
    """A picture of 28 x 28 that is one digit, [28, 28]; one that already is as MNIST shows digits stays as it is."""
    grey = np.asarray(image.convert("L"), np.float32) / 255
    inside, edge = grey[1:-1, 1:-1], np.ones(grey.shape, bool)
    edge[1:-1, 1:-1] = False
    if not grey[edge].any() and grey.any() and np.median(inside) < 0.5:
        return torch.tensor(grey)
    if grey[edge].std() < 0.02 and abs(np.median(grey[edge]) - np.median(inside)) > 0.25:  # a frame
        grey = np.pad(inside, 1, "edge")
    paper = _plane(grey)
    ink = paper - grey if np.median(paper) > 0.5 else grey - paper
    peak, grain = np.percentile(ink, 98), ndimage.gaussian_filter(ink, 1).std() / max(ink.std(), 1e-6)
    if peak < LEAST_CONTRAST or grain < 0.4:  # of noise it is 0.28, of lines one pixel wide 0.53
        raise ValueError(NO_DIGIT)
    return normalize_like_mnist((ink / peak - 0.1) / 0.9)


def _plane(grey: Array) -> Array:
    """The brightness of evenly fading paper in a picture [H, W], told by its outer two pixels."""
    height, width = grey.shape
    y, x = np.mgrid[:height, :width] / max(height, width)
    terms, outer = np.stack([np.ones_like(x), x, y], -1), np.ones(grey.shape, bool)
    outer[2:-2, 2:-2] = False
    used = outer
    for _ in range(4):  # strokes that reach the edge are no paper
        off = np.abs(grey - (plane := terms @ np.linalg.lstsq(terms[used], grey[used], rcond=None)[0]))
        used = outer & (off <= max(0.03, 1.5 * np.median(off[outer])))
    return plane.astype(np.float32)
