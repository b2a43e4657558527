"""Which connected ink is a digit, and in what order one reads them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rnn_tasks.photos.ink import Array, Mask, noise, otsu

LEAST_CONTRAST = 0.12  # of ink to the paper around it: 0 none, 1 black on white
LEAST_HEIGHT = 8  # pixels of a digit at the working size
LEAST_SHARE = 0.4  # of all that looks like ink which must be in digits
EDGE = 8  # pixels at the edge of a picture, where remnants of lines do not count
MOST_PARTS = 500  # of a photo
NO_DIGIT = "no digit can be seen in the picture; give a photo of digits on plain, ruled or squared paper"

Box = tuple[int, int, int, int]
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Part:
    """Connected ink, or several pieces of it that belong to one digit.

    Args:
        box: left, top, right, bottom in pixels.
        labels: those of its components.
        stroke: how wide its stroke is, in pixels.
    """

    box: Box
    labels: tuple[int, ...]
    stroke: float

    @property
    def width(self) -> int:
        return self.box[2] - self.box[0]

    @property
    def height(self) -> int:
        return self.box[3] - self.box[1]

    def cut(self, shape: tuple[int, ...]) -> bool:
        """Whether it reaches the edge of a picture [H, W]."""
        return min(self.box[:2]) == 0 or self.box[2] == shape[1] or self.box[3] == shape[0]

    def __or__(self, other: "Part") -> "Part":
        (a, b, c, d), (e, f, g, h) = self.box, other.box
        return Part(
            (min(a, e), min(b, f), max(c, g), max(d, h)), self.labels + other.labels, max(self.stroke, other.stroke)
        )


def segment(ink: Array) -> tuple[Labels, float, list[list[Part]]]:
    """Labels of connected ink [H, W], the strength of the pen, and the digits, line by line, from left to right.

    Raises:
        ValueError: no digit can be seen.
    """
    labels, strength, parts = _components(ink)
    whole = _digits_of(parts, ink.shape)
    inner = labels[EDGE:-EDGE, EDGE:-EDGE]
    own = np.isin(inner, [label for part in whole for label in part.labels])
    if own.sum() < LEAST_SHARE * (inner > 0).sum():
        raise ValueError(NO_DIGIT)
    return labels, strength, _lines(whole)


def _components(ink: Array) -> tuple[Labels, float, list[Part]]:
    """Labels of connected ink [H, W], the strength of the pen, and the parts that may be digits or parts of such.

    What frames the picture, as the edge of a table or of a shadow does, is left out unless there is nothing else.
    """
    labels, strength, parts, framing = _labelled(ink)
    if framing:
        frame = ndimage.binary_dilation(np.isin(labels, list(framing)), iterations=3)
        within = _labelled(np.where(frame, 0, ink))
        inner = [part for part in within[2] if not set(part.labels) & within[3]]
        if within[1] > 0.3 * strength and any(part.height >= 1.5 * LEAST_HEIGHT for part in inner):
            return within[0], within[1], inner
    return labels, strength, parts


def _labelled(ink: Array) -> tuple[Labels, float, list[Part], set[int]]:
    """Labels of connected ink [H, W], the strength of the pen, possible parts of digits, labels of what frames all."""
    smooth = ndimage.gaussian_filter(ink, 0.8)
    sure = smooth[smooth > max(LEAST_CONTRAST, 5 * noise(smooth))]
    if not len(sure):
        return np.zeros(ink.shape, np.int32), 0.0, [], set()
    strength = float(np.median(sure[sure >= otsu(sure)]))
    if noise(smooth) > 0.12 * strength:
        return np.zeros(ink.shape, np.int32), 0.0, [], set()
    labels, count = ndimage.label(smooth > 0.4 * strength, np.ones((3, 3)))
    peaks = ndimage.maximum(smooth, labels, range(1, count + 1))
    depth = ndimage.distance_transform_edt(np.pad(labels > 0, 1, "edge"))[1:-1, 1:-1]
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    contacts = np.array([np.bincount(side, minlength=count + 1) for side in sides])  # [4, labels]
    parts, framing = [], set()
    for label, where in enumerate(ndimage.find_objects(labels), 1):
        if peaks[label - 1] > 0.6 * strength:
            stroke, width = _stroke(labels[where] == label, depth[where])
            contact = contacts[:, label]
            if (contact > 0).sum() > 1 or contact.max() > 3 * width:
                framing.add(label)
            if stroke:
                box = (where[1].start, where[0].start, where[1].stop, where[0].stop)
                parts.append(Part(box, (label,), width))
    return labels, strength, parts, framing


def _stroke(mask: Mask, depth: Array) -> tuple[bool, float]:
    """Whether by thickness, length and holes a pen may have written a component, and its stroke's width in pixels.

    Args:
        mask: the component [H, W].
        depth: the distance of its pixels to what is not ink.
    """
    side = max(mask.shape)
    width = max(1.0, 4 * depth[mask].mean() - 1)
    holes = np.bincount(ndimage.label(~np.pad(mask, 1))[0].ravel())[2:] > 0.002 * mask.size
    solid = 2 * depth[mask].max() > 0.65 * side or mask.sum() > 8 * width * side or holes.sum() > 4
    return not (solid and side >= LEAST_HEIGHT), width


def _digits_of(parts: list[Part], shape: tuple[int, ...]) -> list[Part]:
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
        raise ValueError(f"the picture shows more than {MOST_PARTS} strokes; give a part of it")
    parts = sorted(parts, key=lambda part: part.height * part.width)
    whole: list[Part] = []
    while parts:
        part = parts.pop(0)
        host = min(
            (other for other in parts if _belongs(part, other, usual)), key=lambda o: _gap(part, o), default=None
        )
        if host is None:
            whole.append(part)
        else:
            parts[parts.index(host)] = host | part
    pen = np.median([part.stroke for part in whole if part.height > 0.5 * usual] or [0])
    whole = [part for part in whole if part.width < 2.5 * part.height and part.stroke > 0.55 * pen]
    whole = [part for part in whole if part.height >= max(LEAST_HEIGHT, (0.65 if part.cut(shape) else 0.4) * usual)]
    if not whole:
        raise ValueError(NO_DIGIT)
    return whole


def _gap(part: Part, other: Part) -> float:
    """The distance of two boxes in pixels, the larger of both directions."""
    return max(_apart(part, other, 0), _apart(part, other, 1))


def _apart(part: Part, other: Part, axis: int) -> int:
    """How far two boxes are apart in a direction (0: x, 1: y); below 0, by how much they overlap."""
    return max(part.box[axis], other.box[axis]) - min(part.box[axis + 2], other.box[axis + 2])


def _belongs(part: Part, other: Part, usual: float) -> bool:
    """Whether a part is a piece of the same digit as a larger one."""
    whole = part | other
    if _gap(part, other) > 0.2 * usual or whole.height > max(1.5 * usual, 2 * whole.width):
        return False
    beneath = -_apart(part, other, 0) > 0.5 * min(part.width, other.width)
    return beneath or part.height < 0.5 * usual


def _lines(parts: list[Part]) -> list[list[Part]]:
    """Digits in lines from top to bottom, each from left to right."""
    lines: list[list[Part]] = []
    for part in sorted(parts, key=lambda part: part.box[0]):
        near = [line for line in lines if -_apart(part, line[-1], 1) > 0.4 * min(part.height, line[-1].height)]
        if near:
            max(near, key=lambda line: -_apart(part, line[-1], 1)).append(part)
        else:
            lines.append([part])
    return sorted(lines, key=lambda line: np.mean([part.box[1] + part.box[3] for part in line]))
