"""The ink in a photo of paper: uneven light divided out, ruled lines removed."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

LINES_SIDE = 800  # pixels of the longer side at which ruled lines are looked for
PAPER_SIDE = 800  # pixels of the longer side at which the paper's brightness is measured
STEEPEST = 0.3  # slope of a line: 17 degrees
BLOCKS = 10  # into which a line is cut
THICKEST = 0.25  # of a stroke, relative to the shorter side of the picture

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


def flatten(image: Image.Image) -> Array:
    """How much darker each pixel of an RGB picture is than the paper around it, [H, W]: 0 none, 1 black on white.

    The three colours count the more, the more contrast they have; bright ink on something dark is turned over.
    """
    factor = max(1, -(-max(image.size) // PAPER_SIDE))
    small = image.filter(ImageFilter.BoxBlur(1)).reduce(factor)
    coarse, shades = (np.asarray(picture, np.float32) / 255 for picture in (small, image))  # [h, w, 3], [H, W, 3]
    window = (max(5, round(THICKEST * min(small.size))),) * 2 + (1,)
    if _bright_ink(coarse, window):
        coarse, shades = 1 - coarse, 1 - shades
    paper = _paper(coarse, window)
    least = 0.3 * np.percentile(paper, 95)  # a dark desk's grain is not ink
    ink, total = np.zeros(shades.shape[:2], np.float32), 0.0
    for c in range(3):
        level = np.asarray(Image.fromarray(paper[..., c]).resize(image.size, Image.Resampling.BILINEAR))
        contrast = (level - shades[..., c]) / np.maximum(level, least)
        contrast -= np.median(contrast)
        weight = max(float(np.percentile(contrast, 99.9)), 0.01) ** 2
        ink, total = ink + weight * contrast, total + weight
    return (ink / total).astype(np.float32)


def _bright_ink(shades: Array, window: tuple[int, ...]) -> bool:
    """Whether in shades [H, W, 3] bright things, narrower than a window, stand out more than dark ones."""
    grey = ndimage.grey_closing(shades.mean(2), max(3, window[0] // 5))  # without lines
    middle, most = np.median(grey), grey.max()
    if np.percentile(grey, 75) > 0.5 * most:
        return False
    lit = grey > (middle + most) / 2
    if ndimage.grey_opening(lit.astype(np.uint8), window[:2]).sum() > 0.3 * lit.sum():  # light on paper
        return False
    grey = shades.mean(2)
    dark, bright = ndimage.black_tophat(grey, window[:2]), ndimage.white_tophat(grey, window[:2])
    dark, bright = (((kind - np.median(kind)).clip(0) ** 3).sum() for kind in (dark, bright))
    return bool(bright > dark)


def _paper(shades: Array, window: tuple[int, ...]) -> Array:
    """How bright the paper is in shades [H, W, 3], also beneath what is narrower than a window."""
    side = window[0]
    around = ((side, side), (side, side), (0, 0))
    mirrored = np.pad(shades, around, "symmetric")
    continued = np.pad(shades, around, "reflect", reflect_type="odd")  # light that fades goes on fading
    beyond = np.clip(continued, 0.7 * mirrored, mirrored)
    return ndimage.grey_closing(beyond, window)[side:-side, side:-side]


def without_lines(ink: Array) -> Array:
    """Ink without the long thin lines that the paper came with, [H, W]; strokes that cross them stay whole."""
    factor = max(1, -(-max(ink.shape) // LINES_SIDE))
    for turned in (False, True):
        rows = ink.T if turned else ink
        rough = np.asarray(Image.fromarray(rows).reduce(factor))
        thickest = max(3, round(0.04 * min(rough.shape)))
        rough = ndimage.white_tophat(rough, thickest + 1)
        rough -= np.median(rough)
        inked = rough > max(0.04, 2.5 * noise(rough))
        thin = inked & ~ndimage.binary_opening(inked, np.ones((thickest + 1, 1)))
        lines = _lines(thin, inked, 6)
        if _count(lines) < 1.5:  # one alone may be a stroke, unless it crosses the whole picture
            lines = _lines(thin, inked, BLOCKS)
        if not lines.any():
            continue
        ridge = lines & (rough == ndimage.maximum_filter1d(rough, 5, axis=0))
        level = 1.4 * np.median(rough[ridge]) + 0.05  # pens are darker than lines
        thickness = lines.mean(1).sum() / max(_count(lines), 0.1)
        stroke = ndimage.binary_opening(inked, np.ones((round(1.6 * thickness) + 2, 1)))
        lines = ndimage.binary_dilation(lines, np.ones((3, 1))) & ~stroke
        line = np.asarray(Image.fromarray(lines).resize(rows.shape[::-1], Image.Resampling.NEAREST))
        cleaned = np.where(line & (rows < level), 0, rows)
        closed = ndimage.grey_closing(cleaned, (factor * round(thickness + 2) + 2, 1))
        rows = np.where(line, np.maximum(cleaned, closed), cleaned)
        ink = np.ascontiguousarray(rows.T if turned else rows)
    return ink


def _count(lines: Mask) -> float:
    """How many almost horizontal lines [H, W] a column has, on average."""
    return float(np.diff(lines.astype(int), axis=0, prepend=0).clip(0).sum(0).mean())


def _lines(mask: Mask, inked: Mask, blocks: int) -> Mask:
    """Where a mask [H, W] has almost straight, almost horizontal lines across so many tenths of its width.

    Args:
        mask: what is thin.
        inked: all ink; beneath a thick stroke a line goes on.
        blocks: tenths.
    """
    step = 2 / mask.shape[1]  # lines of neighbouring slopes part by one pixel, at the ends
    whole = ndimage.binary_closing(mask, np.ones((1, max(3, round(0.02 * min(mask.shape))))))  # where others cross
    whole |= inked
    wide, close = (ndimage.maximum_filter1d(whole, tolerance, axis=0) for tolerance in (7, 3))
    coarse = [slope for slope in np.arange(-STEEPEST, STEEPEST, 4 * step) if len(_along(wide, slope, blocks)[0])]
    found = np.zeros_like(mask)
    for slope in sorted({slope + i * step for slope in coarse for i in (-2, -1, 0, 1)}):
        rows, columns = _along(close, slope, blocks)
        found[rows, columns] |= mask[rows, columns]
    return found


def _along(mask: Mask, slope: float, blocks: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows [N] and columns [N] of the pixels on those straight lines of a slope that a mask [H, W] mostly covers.

    Of lines across the whole width each tenth must be mostly covered, so that they do not end within the picture.
    """
    height, width = mask.shape
    columns = np.arange(width)
    shift = np.round(slope * (columns - width / 2)).astype(int)
    rows = np.arange(-shift.max(), height - shift.min())[:, None] + shift  # [H', W], from above to below the mask
    inside = (rows >= 0) & (rows < height)
    covered = mask[rows.clip(0, height - 1), columns] & inside
    edges = np.linspace(0, width, BLOCKS + 1).astype(int)[:-1]
    covered, whole = (np.add.reduceat(kind, edges, axis=1, dtype=np.int32) for kind in (covered, inside))  # [H', 10]
    everywhere = (covered >= 0.75 * whole).all(1, keepdims=True)
    covered, whole = (np.lib.stride_tricks.sliding_window_view(kind, blocks, 1).sum(2) for kind in (covered, whole))
    lines = ((covered > 0.8 * whole) & (whole > 0.05 * blocks * width) & (everywhere | (blocks < BLOCKS))).any(1)
    here = inside & lines[:, None]
    return rows[here], np.broadcast_to(columns, rows.shape)[here]


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
