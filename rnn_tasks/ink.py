"""The ink in a photo of paper: uneven light divided out, ruled lines removed."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

LINES_SIDE = 800  # pixels of the longer side at which ruled lines are looked for
PAPER_SIDE = 200  # pixels at which the paper's brightness is measured

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


def flatten(image: Image.Image) -> Array:
    """How much darker each pixel of an RGB picture is than the paper around it, [H, W]: 0 none, 1 black on white.

    The three colours count the more, the more contrast they have; bright ink on something dark is turned over.
    """
    small = image.resize(
        [max(1, round(s * min(1, PAPER_SIDE / max(image.size)))) for s in image.size], Image.Resampling.BOX
    )
    coarse = ndimage.gaussian_filter(np.asarray(small, np.float32) / 255, (0.7, 0.7, 0))  # [h, w, 3]
    window = (max(5, min(small.size) // 4),) * 2 + (1,)
    grey = coarse[::2, ::2].mean(2)
    off = grey - ndimage.median_filter(grey, window[0])
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
    least = max(0.04, 2.5 * noise(small))
    thickest = max(3, round(0.02 * min(small.shape)))
    for turn in (False, True):
        view = (lambda array, turn=turn: array.T) if turn else (lambda array: array)
        rows, rough = view(ink), view(np.asarray(Image.fromarray(ink).reduce(factor)))
        inked = rough > least
        thin = inked & ~ndimage.binary_opening(inked, np.ones((thickest + 1, 1)))
        runs = _runs(thin, round(0.6 * inked.shape[1]))
        if not runs.any():
            continue
        level = 1.4 * np.percentile(rough[runs], 80) + 0.05  # pens are darker than lines
        thickness = runs.sum() / max(1, np.diff(runs.astype(int), axis=0, prepend=0).clip(0).sum())
        stroke = ndimage.binary_opening(inked, np.ones((round(1.6 * thickness) + 2, 1)))
        runs = ndimage.binary_dilation(runs, np.ones((3, 1))) & ~stroke
        line = np.asarray(Image.fromarray(runs).resize(rows.shape[::-1], Image.Resampling.NEAREST))
        cleaned = np.where(line & (rows < level), 0, rows)
        closed = ndimage.grey_closing(cleaned, (factor * round(thickness + 2) + 2, 1))
        ink = np.ascontiguousarray(view(np.where(line, np.maximum(cleaned, closed), cleaned)))
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


def noise(ink: Array) -> float:
    """The standard deviation of what is not ink, from the median distance to the median."""
    return float(1.48 * np.median(np.abs(ink - np.median(ink))))


def otsu(values: Array) -> float:
    """The threshold that parts values into two classes with the least variance within."""
    counts, edges = np.histogram(values, 64)
    centres = (edges[1:] + edges[:-1]) / 2
    below, total = counts.cumsum(), (counts * centres).cumsum()
    above = below[-1] - below
    between = (total[-1] * below / below[-1] - total) ** 2 / np.maximum(below * above, 1)
    return float(edges[1 + between[:-1].argmax()])
