"""From a photo of handwritten digits to images like MNIST's."""

from dataclasses import dataclass
from pathlib import Path

import os
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from scipy import ndimage
from torch import Tensor

MOST_MEGAPIXELS = 50
WORKING_SIDE = 1600  # pixels of the longer side at which digits are looked for
LINES_SIDE = 800  # pixels at which ruled lines are looked for
PAPER_SIDE = 200  # pixels at which the paper's brightness is measured
LEAST_CONTRAST = 0.12  # of ink to the paper around it: 0 none, 1 black on white
LEAST_HEIGHT = 8  # pixels of a digit at the working size
MOST_PARTS = 500  # of a photo
LEAST_SHARE = 0.4  # of all that looks like ink which must be in digits
THINNEST = 0.1  # of a stroke, relative to the longer side of its digit
NO_DIGIT = "no digit can be seen in the picture: write dark on plain, ruled or squared paper, and let the digits fill more of it"

Box = tuple[int, int, int, int]
Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Digit:
    """A digit that was found.

    Args:
        box: left, top, right, bottom in pixels of the upright photo; the last two lie just outside of the digit.
        image: [28, 28], from 0 (paper) to 1 (ink), as MNIST shows digits.
    """

    box: Box
    image: Tensor


@dataclass(frozen=True)
class _Part:
    """Connected ink: its box in pixels of the working size and the labels of its components."""

    box: Box
    labels: tuple[int, ...]

    @property
    def width(self) -> int:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> int:
        return self.box[3] - self.box[1]

    def __or__(self, other: "_Part") -> "_Part":
        (a, b, c, d), (e, f, g, h) = self.box, other.box
        return _Part((min(a, e), min(b, f), max(c, g), max(d, h)), self.labels + other.labels)


def load(path: str | Path) -> Image.Image:
    """A photo, upright, in 8-bit RGB; a large one comes smaller.

    Raises:
        ValueError: there is no such file, it is damaged or no picture, or has more than 50 megapixels.
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > MOST_MEGAPIXELS * 1_000_000:
                raise _TooLarge
            image.draft("RGB", (WORKING_SIDE, WORKING_SIDE))
            return upright(image)
    except FileNotFoundError:
        raise ValueError(f"{str(path)!r} is no file; give an image like digit.png") from None
    except (_TooLarge, Image.DecompressionBombError):
        raise ValueError(f"{str(path)!r} has more than {MOST_MEGAPIXELS} megapixels; give a smaller one") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError):
        raise ValueError(f"{str(path)!r} is no image that can be read; give one like digit.png") from None


class _TooLarge(Exception):
    """More pixels than are read."""


def upright(image: Image.Image) -> Image.Image:
    """The picture in 8-bit RGB, turned as its EXIF data says, what is transparent filled, at most twice the working size."""
    factor = max(image.size) // (2 * WORKING_SIDE) + 1
    if image.mode.startswith(("I", "F")):  # 16 and 32 bits
        values = np.nan_to_num(np.asarray(image, np.float32))
        low, high = values.min(), values.max()
        values = (values - low) * (255 / max(high - low, 1))
        exif, image = image.getexif(), Image.fromarray(values.astype(np.uint8))
        image.getexif().update(exif)
    elif image.mode == "P" or image.mode == "PA" or image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode != "L":
        image = image.convert("RGB")
    image = ImageOps.exif_transpose(image.reduce(factor) if factor > 1 else image)
    if image.mode in ("RGBA", "LA"):
        shades, alpha = np.asarray(image.convert("RGBA").convert("L"), float), np.asarray(image.getchannel("A"), float)
        bright = (shades * alpha).sum() > 127 * alpha.sum() and alpha.min() < 128
        behind = Image.new("RGBA", image.size, "black" if bright else "white")
        image = Image.alpha_composite(behind, image.convert("RGBA"))
    return image.convert("RGB")


def digits(image: Image.Image) -> list[list[Digit]]:
    """The digits of a photo: its lines from top to bottom, the digits of each from left to right.

    A picture of 28 x 28 is taken as one digit. Boxes are in pixels of the photo, upright.

    Raises:
        ValueError: no digit can be seen.
    """
    turned = image.getexif().get(0x0112, 1) > 4
    full = image.size[::-1] if turned else image.size
    image = upright(image)
    if image.size == (28, 28):
        return [[Digit((0, 0, 28, 28), _scan(image))]]
    scale = max(1.0, max(image.size) / WORKING_SIDE)
    size = tuple(max(1, round(side / scale)) for side in image.size)
    if min(size) < LEAST_HEIGHT:
        raise ValueError(NO_DIGIT)
    ink = without_lines(flatten(image.resize(size, Image.Resampling.BOX)))
    labels, strength, parts = _components(ink)
    whole = _digits_of(parts)
    share = np.isin(labels, [label for part in whole for label in part.labels]).sum() / (labels > 0).sum()
    if os.environ.get("DBG"): print(f"strength {strength:.2f} noise {_noise(ink):.3f} share {share:.2f} whole {len(whole)} parts {len(parts)}")
    if share < LEAST_SHARE:
        raise ValueError(NO_DIGIT)
    found = []
    for line in _lines(whole):
        found.append([])
        for part in line:
            left, top, right, bottom = part.box
            cut = slice(max(top - 2, 0), bottom + 2), slice(max(left - 2, 0), right + 2)
            own = ndimage.binary_dilation(np.isin(labels[cut], part.labels), iterations=2)
            box = tuple(min(round(edge * full[i % 2] / size[i % 2]), full[i % 2]) for i, edge in enumerate(part.box))
            found[-1].append(Digit(box, recipe(ink[cut] * own / strength)))
    return found


def flatten(image: Image.Image) -> Array:
    """How much darker each pixel of an RGB picture is than the paper around it, [H, W]: 0 none, 1 black on white.

    The three colours count the more, the more contrast they have; bright ink on something dark is turned over.
    """
    small = image.resize([max(1, round(s * min(1, PAPER_SIDE / max(image.size)))) for s in image.size], Image.Resampling.BOX)
    coarse = ndimage.gaussian_filter(np.asarray(small, np.float32) / 255, (0.7, 0.7, 0))  # [h, w, 3]
    window = (max(5, min(small.size) // 4),) * 2 + (1,)
    grey = coarse[::2, ::2].mean(2)
    off = grey - ndimage.median_filter(grey, window[0] // 2 + 1)
    shades = np.asarray(image, np.float32) / 255  # [H, W, 3]
    if (off**3).sum() > 0:  # what stands out is bright
        shades, coarse = 1 - shades, 1 - coarse
    paper = ndimage.gaussian_filter(ndimage.grey_closing(coarse, window), (2, 2, 0))
    ink, total = np.zeros(shades.shape[:2], np.float32), 0.0
    for c in range(3):
        level = np.asarray(Image.fromarray(paper[..., c]).resize(image.size, Image.Resampling.BILINEAR))
        contrast = 1 - shades[..., c] / np.maximum(level, 0.05)
        contrast -= np.median(contrast)
        weight = max(float(np.percentile(contrast, 99.9)), 0.01) ** 2
        ink, total = ink + weight * contrast, total + weight
    return (ink / total).astype(np.float32)


def without_lines(ink: Array) -> Array:
    """Ink without the long thin lines that the paper came with, [H, W]; strokes that cross them stay whole."""
    factor = max(1, round(max(ink.shape) / LINES_SIDE))
    small = np.asarray(Image.fromarray(ink).reduce(factor))
    drawn = small > max(0.04, 2.5 * _noise(small))
    thickest = max(3, round(0.02 * min(small.shape)))
    for turn in (False, True):
        view = (lambda array, turn=turn: array.T) if turn else (lambda array: array)
        rows, inked = view(ink).copy(), view(drawn)
        thin = inked & ~ndimage.binary_opening(inked, np.ones((thickest + 1, 1)))
        runs = _runs(thin, round(0.6 * inked.shape[1]))
        if not runs.any():
            continue
        level = 1.6 * np.median(view(small)[runs]) + 0.05
        runs = ndimage.binary_dilation(runs, np.ones((3, 1)))
        line = np.asarray(Image.fromarray(runs).resize(rows.shape[::-1], Image.Resampling.NEAREST))
        cleaned = np.where(line & (rows < level), 0, rows)
        closed = ndimage.grey_closing(cleaned, (2 * factor + thickest, 1))
        ink = view(np.where(line, np.maximum(cleaned, closed), cleaned))
    return ink


def _runs(mask: Mask, length: int) -> Mask:
    """Where a mask [H, W] has almost straight, almost horizontal runs of at least some length."""
    height, width = mask.shape
    columns, found = np.arange(width), np.zeros_like(mask)
    thick = ndimage.maximum_filter1d(mask, 3, axis=0)
    for slope in np.arange(-0.12, 0.121, 0.01):
        rows = np.arange(height)[:, None] + np.round(slope * (columns - width / 2)).astype(int)
        rows = rows.clip(0, height - 1)
        share = ndimage.uniform_filter1d(thick[rows, columns].astype(np.float32), length, axis=1, mode="constant")
        long = share[:, length // 2 : width - length // 2].max(1) > 0.8 if length < width else share.max(1) > 0.8
        if long.any():
            found[rows[long], columns] |= mask[rows[long], columns]
    return found


def _noise(ink: Array) -> float:
    """The standard deviation of what is not ink, from the median distance to the median."""
    return float(1.48 * np.median(np.abs(ink - np.median(ink))))


def _otsu(values: Array) -> float:
    """The threshold that parts values into two classes with the least variance within."""
    counts, edges = np.histogram(values, 64)
    centres = (edges[1:] + edges[:-1]) / 2
    below, total = counts.cumsum(), (counts * centres).cumsum()
    above = below[-1] - below
    between = (total[-1] * below / below[-1] - total) ** 2 / np.maximum(below * above, 1)
    return float(edges[1 + between[:-1].argmax()])


def _components(ink: Array) -> tuple[NDArray[np.int32], float, list[_Part]]:
    """Labels of connected ink [H, W], the strength of the pen, and the parts that may be digits or parts of such."""
    smooth = ndimage.gaussian_filter(ink, 0.8)
    sure = smooth[smooth > max(LEAST_CONTRAST, 5 * _noise(smooth))]
    if not len(sure):
        raise ValueError(NO_DIGIT)
    strength = float(np.median(sure[sure >= _otsu(sure)]))
    if _noise(smooth) > 0.12 * strength:
        raise ValueError(NO_DIGIT)
    labels, count = ndimage.label(smooth > 0.4 * strength, np.ones((3, 3)))
    peaks = ndimage.maximum(smooth, labels, range(1, count + 1))
    depth = ndimage.distance_transform_edt(np.pad(labels > 0, 1, "edge"))[1:-1, 1:-1]
    areas = ndimage.sum_labels(labels > 0, labels, range(1, count + 1))
    parts = []
    for label, where in enumerate(ndimage.find_objects(labels), 1):
        part = _Part((where[1].start, where[0].start, where[1].stop, where[0].stop), (label,))
        if peaks[label - 1] > 0.6 * strength and _is_stroke(labels[where] == label, depth[where]):
            parts.append(part)
    return labels, strength, parts


def _is_stroke(mask: Mask, depth: Array) -> bool:
    """Whether a component [H, W] may be written with a pen, by its thickness, its length and its holes.

    Args:
        mask: the component.
        depth: the distance of its pixels to what is not ink.
    """
    side = max(mask.shape)
    if side < LEAST_HEIGHT:
        return True
    length = mask.sum() / (4 * depth[mask].mean() - 1)
    if os.environ.get("DBG")=="2" and side>20: print(mask.shape, depth[mask].max(), length/side)
    if 2 * depth[mask].max() > 0.65 * side or length > 8 * side:
        return False
    holes, count = ndimage.label(~np.pad(mask, 1))
    return count == 1 or (np.bincount(holes.ravel())[2:] > 0.002 * mask.size).sum() <= 4


def _digits_of(parts: list[_Part]) -> list[_Part]:
    """The parts that are digits, those that belong to one digit united, specks left out.

    Raises:
        ValueError: none is one.
    """
    if not parts:
        raise ValueError(NO_DIGIT)
    heights = np.array([max(part.height, part.width / 2) for part in parts])
    order = np.argsort(heights)
    half = np.searchsorted(np.cumsum(heights[order] ** 2), (heights**2).sum() / 2)
    usual = heights[order][half]  # half of all ink is in digits at most so high
    parts = [part for part in parts if max(part.width, part.height) > 0.15 * usual]
    if len(parts) > MOST_PARTS:
        raise ValueError(NO_DIGIT)
    parts = sorted(parts, key=lambda part: part.height * part.width)
    whole: list[_Part] = []
    while parts:
        part = parts.pop(0)
        host = min((other for other in parts if _belongs(part, other, usual)), key=lambda o: _gap(part, o), default=None)
        if host is None:
            whole.append(part)
        else:
            parts[parts.index(host)] = host | part
    whole = [part for part in whole if part.height >= max(LEAST_HEIGHT, 0.4 * usual) and part.width < 2.5 * part.height]
    if not whole:
        raise ValueError(NO_DIGIT)
    return whole


def _gap(part: _Part, other: _Part) -> float:
    """The distance of two boxes in pixels, the larger of both directions."""
    return max(_apart(part, other, 0), _apart(part, other, 1))


def _apart(part: _Part, other: _Part, axis: int) -> int:
    """How far two boxes are apart in a direction (0: x, 1: y); below 0, by how much they overlap."""
    return max(part.box[axis], other.box[axis]) - min(part.box[axis + 2], other.box[axis + 2])


def _belongs(part: _Part, other: _Part, usual: float) -> bool:
    """Whether a part is a piece of the same digit as a larger one."""
    if _gap(part, other) > 0.2 * usual or (part | other).height > 1.5 * usual:
        return False
    beneath = -_apart(part, other, 0) > 0.5 * min(part.width, other.width)
    return beneath or part.height < 0.5 * usual


def _lines(parts: list[_Part]) -> list[list[_Part]]:
    """Digits in lines from top to bottom, each from left to right."""
    lines: list[list[_Part]] = []
    for part in sorted(parts, key=lambda part: part.box[0]):
        near = [line for line in lines if -_apart(part, line[-1], 1) > 0.4 * min(part.height, line[-1].height)]
        if near:
            max(near, key=lambda line: -_apart(part, line[-1], 1)).append(part)
        else:
            lines.append([part])
    return sorted(lines, key=lambda line: np.mean([part.box[1] + part.box[3] for part in line]))


def recipe(ink: Array) -> Tensor:
    """A digit's ink [H, W] as MNIST shows it, [28, 28]: fitted into 20 x 20, its centre of mass in the middle.

    Strokes much thinner than those of MNIST become as thick as its thinnest.
    """
    ink = np.pad(np.clip(ink, 0, 1), 1)
    seen = ink > 0.4
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
        seen = ink > 0.4
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
    border = np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))
    if not border.any() and grey.any():
        return torch.tensor(grey)
    paper = np.median(border)
    ink = paper - grey if paper > 0.5 else grey - paper
    if (peak := np.percentile(ink, 98)) < LEAST_CONTRAST:
        raise ValueError(NO_DIGIT)
    return recipe((ink / peak - 0.1) / 0.9)
