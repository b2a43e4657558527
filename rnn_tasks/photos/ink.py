"""The ink in a photo of paper: uneven light is divided out, ruled lines are removed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

LINES_SIDE = 800  # pixels of the longer side at which ruled lines are searched
PAPER_SIDE = 800  # pixels of the longer side at which the brightness of the paper is measured
STEEPEST = 0.3  # largest slope of a ruled line: 17 degrees
BLOCKS = 10  # that the width of a picture is cut into when lines are searched
THICKEST = 0.25  # of a pen's strokes, relative to the shorter side of the picture

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


def flatten(image: Image.Image) -> Array:
    """Return how much darker each pixel is than the paper around it.

    The brightness of the paper is a grey-scale closing of the photo (Serra 1982): it fills whatever is dark and
    narrower than a window. The photo is divided by it. Each colour is weighted by its squared contrast. A photo of
    bright ink on a dark ground is inverted first.

    Args:
        image: an RGB photo of width W and height H.

    Returns:
        [H, W] ink: 0 for paper, 1 for black on white; below 0 where a pixel is brighter than the paper.
    """
    factor = max(1, -(-max(image.size) // PAPER_SIDE))
    coarse = _shades(image.filter(ImageFilter.BoxBlur(1)).reduce(factor))  # [h, w, 3]
    shades = _shades(image)  # [H, W, 3]
    window = max(5, round(THICKEST * min(coarse.shape[:2])))
    if _is_bright_ink(coarse, window):
        coarse, shades = 1 - coarse, 1 - shades
    paper = _paper(coarse, window)
    darkest = 0.3 * np.percentile(paper, 95)  # so that the grain of a dark desk is not ink
    ink, total = np.zeros(shades.shape[:2], np.float32), 0.0
    for c in range(3):
        level = np.asarray(Image.fromarray(paper[..., c]).resize(image.size, Image.Resampling.BILINEAR))
        contrast = (level - shades[..., c]) / np.maximum(level, darkest)
        contrast -= np.median(contrast)
        weight = max(float(np.percentile(contrast, 99.9)), 0.01) ** 2
        ink, total = ink + weight * contrast, total + weight
    return (ink / total).astype(np.float32)


def _shades(image: Image.Image) -> Array:
    """Return an RGB picture as [H, W, 3], from 0 (black) to 1 (white)."""
    return np.asarray(image, np.float32) / 255


def _is_bright_ink(shades: Array, window: int) -> bool:
    """Whether bright structures stand out more than dark ones in a picture [H, W, 3].

    Structures are what the white and the black top-hat (Meyer 1979) find: brighter or darker than their surroundings
    and narrower than the window.
    """
    size = (window, window)
    grey = shades.mean(2)
    without_rulings = ndimage.grey_closing(grey, (max(3, window // 5),) * 2)
    median, maximum = np.median(without_rulings), without_rulings.max()
    if np.percentile(without_rulings, 75) > 0.5 * maximum:
        return False
    lit = without_rulings > (median + maximum) / 2
    if ndimage.grey_opening(lit.astype(np.uint8), size).sum() > 0.3 * lit.sum():  # a light on paper
        return False
    tophats = ndimage.black_tophat(grey, size), ndimage.white_tophat(grey, size)
    dark, bright = (((tophat - np.median(tophat)).clip(0) ** 3).sum() for tophat in tophats)
    return bool(bright > dark)


def _paper(shades: Array, window: int) -> Array:
    """Estimate the brightness of the paper [H, W, 3], also beneath dark structures narrower than the window."""
    around = ((window, window), (window, window), (0, 0))
    mirrored = np.pad(shades, around, "symmetric")
    extrapolated = np.pad(shades, around, "reflect", reflect_type="odd")  # light that fades goes on fading
    padded = np.clip(extrapolated, 0.7 * mirrored, mirrored)
    return ndimage.grey_closing(padded, (window, window, 1))[window:-window, window:-window]


def without_lines(ink: Array) -> Array:
    """Remove printed lines of ruled or squared paper: they are long, thin and paler than a pen's strokes.

    Strokes that cross a line stay whole. Lines may be turned by up to 17 degrees.

    Args:
        ink: [H, W], 0 for paper, 1 for black on white.

    Returns:
        [H, W].
    """
    ink = _without_horizontal_lines(ink)
    return np.ascontiguousarray(_without_horizontal_lines(ink.T).T)


def _without_horizontal_lines(ink: Array) -> Array:
    """As ``without_lines``, for lines that are almost horizontal."""
    factor = max(1, -(-max(ink.shape) // LINES_SIDE))
    coarse = np.asarray(Image.fromarray(ink).reduce(factor))
    thickest = max(3, round(0.04 * min(coarse.shape)))
    coarse = ndimage.white_tophat(coarse, thickest + 1)
    coarse -= np.median(coarse)
    inked = coarse > max(0.04, 2.5 * noise(coarse))
    thin = inked & ~ndimage.binary_opening(inked, _column(thickest + 1))
    lines = _straight_lines(thin, inked, 6)
    if _lines_per_column(lines) < 1.5:  # a single line may be a stroke, unless it crosses the whole picture
        lines = _straight_lines(thin, inked, BLOCKS)
    if not lines.any():
        return ink
    ridge = lines & (coarse == ndimage.maximum_filter1d(coarse, 5, axis=0))
    darkest = 1.4 * np.median(coarse[ridge]) + 0.05  # pens are darker than lines
    thickness = lines.mean(1).sum() / max(_lines_per_column(lines), 0.1)
    strokes = ndimage.binary_opening(inked, _column(round(1.6 * thickness) + 2))
    lines = ndimage.binary_dilation(lines, _column(3)) & ~strokes
    line = np.asarray(Image.fromarray(lines).resize(ink.shape[::-1], Image.Resampling.NEAREST))
    cleaned = np.where(line & (ink < darkest), 0, ink)
    closed = ndimage.grey_closing(cleaned, (factor * round(thickness + 2) + 2, 1))
    return np.where(line, np.maximum(cleaned, closed), cleaned)


def _column(height: int) -> Mask:
    """Return a structuring element [height, 1]."""
    return np.ones((height, 1), bool)


def _lines_per_column(lines: Mask) -> float:
    """How many almost horizontal lines [H, W] a column crosses on average."""
    return float(np.diff(lines.astype(int), axis=0, prepend=0).clip(0).sum(0).mean())


def _straight_lines(mask: Mask, inked: Mask, blocks: int) -> Mask:
    """Mark the pixels on straight, almost horizontal lines that cover ``blocks`` tenths of the width in a row.

    The slopes are tried coarsely with some tolerance, those around a line then finely.

    Args:
        mask: [H, W], thin ink.
        inked: [H, W], all ink, thick strokes included: a line goes on beneath them.
        blocks: from 1 to BLOCKS.

    Returns:
        [H, W].
    """
    step = 2 / mask.shape[1]  # lines of neighbouring slopes are one pixel apart at both ends
    bridged = ndimage.binary_closing(mask, np.ones((1, max(3, round(0.02 * min(mask.shape)))), bool))  # over crossings
    bridged |= inked
    tolerant, precise = (ndimage.maximum_filter1d(bridged, rows, axis=0) for rows in (7, 3))
    slopes = np.arange(-STEEPEST, STEEPEST, 4 * step)
    coarse = [slope for slope in slopes if len(_pixels_of_lines(tolerant, slope, blocks)[0])]
    lines = np.zeros_like(mask)
    for slope in sorted({slope + i * step for slope in coarse for i in (-2, -1, 0, 1)}):
        rows, columns = _pixels_of_lines(precise, slope, blocks)
        lines[rows, columns] |= mask[rows, columns]
    return lines


def _pixels_of_lines(mask: Mask, slope: float, blocks: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixels of those straight lines of one slope that a mask mostly covers.

    The mask is summed along all lines of the slope, as in a discrete Radon transform, but over tenths of the width. A
    line of all ten must be covered in each of them, so that a stroke which ends within the picture is none.

    Args:
        mask: [H, W].
        slope: rows per column.
        blocks: tenths of the width, side by side, over which a line must be covered by 80 %.

    Returns:
        rows [N] and columns [N].
    """
    height, width = mask.shape
    columns = np.arange(width)
    shift = np.round(slope * (columns - width / 2)).astype(int)
    rows = np.arange(-shift.max(), height - shift.min())[:, None] + shift  # [H', W], from above to below the mask
    inside = (rows >= 0) & (rows < height)
    on_mask = mask[rows.clip(0, height - 1), columns] & inside
    # [H', W] -> [H', 10]
    starts = np.linspace(0, width, BLOCKS + 1).astype(int)[:-1]
    covered, possible = (
        np.add.reduceat(kind, starts, axis=1, dtype=np.int32) for kind in (on_mask, inside)
    )  # [H', 10]
    in_each_block = (covered >= 0.75 * possible).all(1, keepdims=True)
    windows = np.lib.stride_tricks.sliding_window_view
    covered, possible = (windows(counts, blocks, 1).sum(2) for counts in (covered, possible))
    is_line = (covered > 0.8 * possible) & (possible > 0.05 * blocks * width) & (in_each_block | (blocks < BLOCKS))
    on_line = inside & is_line.any(1)[:, None]
    return rows[on_line], np.broadcast_to(columns, rows.shape)[on_line]


def noise(ink: Array) -> float:
    """Return the standard deviation of the paper's noise, from the median absolute deviation (Hampel 1974).

    The factor 1.48 makes it that of normal noise (Rousseeuw and Croux 1993); ink on less than half of the pixels hardly
    changes it.
    """
    return float(1.48 * np.median(np.abs(ink - np.median(ink))))


def otsu(values: Array) -> float:
    """Return the threshold that separates values into two classes of the largest variance between them (Otsu 1979).

    Args:
        values: [N], of which a histogram of 64 bins is made.
    """
    counts, edges = np.histogram(values, 64)
    centres = (edges[1:] + edges[:-1]) / 2
    below, total = counts.cumsum(), (counts * centres).cumsum()
    above = below[-1] - below
    between = (total[-1] * below / below[-1] - total) ** 2 / np.maximum(below * above, 1)
    return float(edges[1 + between[:-1].argmax()])
