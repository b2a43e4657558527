"""Which connected ink is a digit, and in what order digits are read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from rnn_tasks.photos.ink import Array, Mask, noise, otsu

MIN_CONTRAST = 0.12  # of ink to the paper around it: 0 none, 1 black on white
MIN_HEIGHT = 8  # pixels of a digit at the working size
MIN_SHARE = 0.4  # of all that looks like ink which must be in digits
EDGE = 8  # pixels along the edge of a picture in which remnants of lines do not count
MAX_PARTS = 500  # of a photo
NO_DIGIT = "no digit can be seen in the picture; give a photo of digits on plain, ruled or squared paper"

Box = tuple[int, int, int, int]
Labels = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class Part:
    """Connected ink, or several components that belong to one digit.

    Args:
        box: left, top, right, bottom in pixels; the last two lie just outside of the part.
        labels: of its components.
        stroke: width of its stroke in pixels, of the widest component.
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

    def touches_edge(self, shape: tuple[int, ...]) -> bool:
        """Return whether the part reaches the edge of a picture [H, W]."""
        return min(self.box[:2]) == 0 or self.box[2] == shape[1] or self.box[3] == shape[0]

    def __or__(self, other: "Part") -> "Part":
        (a, b, c, d), (e, f, g, h) = self.box, other.box
        box = (min(a, e), min(b, f), max(c, g), max(d, h))
        return Part(box, self.labels + other.labels, max(self.stroke, other.stroke))


@dataclass(frozen=True)
class Components:
    """The connected ink of a picture.

    Args:
        labels: [H, W], 0 for paper, 1 and more for the pixels of each component.
        strength: ink of the pen's strokes, 0 if there is none.
        parts: components that may be digits or pieces of digits.
        framing: labels of what frames the picture, such as the edge of a table or of a shadow.
    """

    labels: Labels
    strength: float
    parts: list[Part]
    framing: set[int]


def segment(ink: Array) -> tuple[Labels, float, list[list[Part]]]:
    """Return the digits in a picture's ink [H, W].

    Returns:
        labels [H, W] of the connected ink, the ink of the pen's strokes, and the digits: lines from top to bottom, each
        from left to right.

    Raises:
        ValueError: no digit can be seen, or there are more than 500 strokes.
    """
    components = _components(ink)
    labels = components.labels
    parts = _digits_of(components.parts, ink.shape)
    inner = labels[EDGE:-EDGE, EDGE:-EDGE]
    in_digits = np.isin(inner, [label for part in parts for label in part.labels])
    if in_digits.sum() < MIN_SHARE * (inner > 0).sum():
        raise ValueError(NO_DIGIT)
    return labels, components.strength, _lines(parts)


def _components(ink: Array) -> Components:
    """Return the connected ink [H, W]; what frames the picture is left out unless there is nothing else."""
    components = _labelled(ink)
    if components.framing:
        frame = ndimage.binary_dilation(np.isin(components.labels, list(components.framing)), iterations=3)
        inner = _labelled(np.where(frame, 0, ink))
        parts = [part for part in inner.parts if not set(part.labels) & inner.framing]
        if inner.strength > 0.3 * components.strength and any(part.height >= 1.5 * MIN_HEIGHT for part in parts):
            return Components(inner.labels, inner.strength, parts, set())
    return components


def _labelled(ink: Array) -> Components:
    """Return the connected ink [H, W]: pixels of at least 0.4 of the pen's ink that touch, also diagonally."""
    smooth = ndimage.gaussian_filter(ink, 0.8)
    certain = smooth[smooth > max(MIN_CONTRAST, 5 * noise(smooth))]
    strength = float(np.median(certain[certain >= otsu(certain)])) if len(certain) else 0.0
    if noise(smooth) > 0.12 * strength or not len(certain):
        return Components(np.zeros(ink.shape, np.int32), 0.0, [], set())
    labels, count = ndimage.label(smooth > 0.4 * strength, np.ones((3, 3), int))
    peaks = ndimage.maximum(smooth, labels, range(1, count + 1))
    depth = ndimage.distance_transform_edt(np.pad(labels > 0, 1, "edge"))[1:-1, 1:-1]
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    contacts = np.array([np.bincount(edge, minlength=count + 1) for edge in edges])  # [4, labels], in pixels
    parts, framing = [], set()
    for label, where in enumerate(ndimage.find_objects(labels), 1):
        if peaks[label - 1] <= 0.6 * strength:
            continue
        mask, contact = labels[where] == label, contacts[:, label]
        width = _stroke_width(mask, depth[where])
        if (contact > 0).sum() > 1 or contact.max() > 3 * width:
            framing.add(label)
        if max(mask.shape) < MIN_HEIGHT or _is_written(mask, depth[where], width):
            parts.append(Part((where[1].start, where[0].start, where[1].stop, where[0].stop), (label,), width))
    return Components(labels, strength, parts, framing)


def _stroke_width(mask: Mask, depth: Array) -> float:
    """Return the width in pixels of a component's stroke: within a long strip of width w the mean depth is about w / 4.

    Args:
        mask: [H, W], the component.
        depth: [H, W], the distance of each pixel to the nearest paper.
    """
    return max(1.0, 4 * float(depth[mask].mean()) - 1)


def _is_written(mask: Mask, depth: Array, width: float) -> bool:
    """Whether a pen may have written a component [H, W]: it is not too thick, not too long and has few holes."""
    side = max(mask.shape)
    holes = np.bincount(ndimage.label(~np.pad(mask, 1))[0].ravel())[2:] > 0.002 * mask.size
    return not (2 * depth[mask].max() > 0.65 * side or mask.sum() > 8 * width * side or holes.sum() > 4)


def _digits_of(parts: list[Part], shape: tuple[int, ...]) -> list[Part]:
    """Return the digits among parts of a picture [H, W]: pieces of one digit are joined, specks and dashes left out.

    Raises:
        ValueError: none is a digit, or there are too many parts.
    """
    if not parts:
        raise ValueError(NO_DIGIT)
    typical = _typical_height(parts)
    parts = [part for part in parts if max(part.width, part.height) > 0.15 * typical]
    if len(parts) > MAX_PARTS:
        raise ValueError(f"the picture shows more than {MAX_PARTS} strokes; give a part of it")
    parts = _joined(parts, typical)
    pen = np.median([part.stroke for part in parts if part.height > 0.5 * typical] or [0])
    parts = [part for part in parts if part.width < 2.5 * part.height and part.stroke > 0.55 * pen]
    lowest = {True: max(MIN_HEIGHT, 0.65 * typical), False: max(MIN_HEIGHT, 0.4 * typical)}
    parts = [part for part in parts if part.height >= lowest[part.touches_edge(shape)]]
    if not parts:
        raise ValueError(NO_DIGIT)
    return parts


def _typical_height(parts: list[Part]) -> float:
    """Return the digits' height in pixels: parts up to it have half of the sum of all squared heights."""
    heights = np.sort([max(part.height, part.width / 2) for part in parts])
    return float(heights[np.searchsorted(np.cumsum(heights**2), (heights**2).sum() / 2)])


def _joined(parts: list[Part], typical: float) -> list[Part]:
    """Join each part, the smallest first, with the nearest larger part that is a piece of the same digit."""
    waiting = sorted(parts, key=lambda part: part.height * part.width)
    joined: list[Part] = []
    while waiting:
        part = waiting.pop(0)
        hosts = [other for other in waiting if _belongs(part, other, typical)]
        if hosts:
            host = min(hosts, key=lambda other: _gap(part, other))
            waiting[waiting.index(host)] = host | part
        else:
            joined.append(part)
    return joined


def _gap(part: Part, other: Part) -> float:
    """Return the distance of two boxes in pixels, the larger of both directions."""
    return max(_axis_gap(part, other, 0), _axis_gap(part, other, 1))


def _axis_gap(part: Part, other: Part, axis: int) -> int:
    """Return the distance of two boxes along an axis (0: x, 1: y) in pixels; minus their overlap where they overlap."""
    return max(part.box[axis], other.box[axis]) - min(part.box[axis + 2], other.box[axis + 2])


def _belongs(part: Part, other: Part, typical: float) -> bool:
    """Whether a part is a piece of the same digit as a larger one, such as the upper bar of a 5."""
    joined = part | other
    if _gap(part, other) > 0.2 * typical or joined.height > max(1.5 * typical, 2 * joined.width):
        return False
    stacked = -_axis_gap(part, other, 0) > 0.5 * min(part.width, other.width)
    return stacked or part.height < 0.5 * typical


def _lines(parts: list[Part]) -> list[list[Part]]:
    """Digits in lines from top to bottom, each from left to right.

    A digit is in the line whose last digit it overlaps most in height, by at least 0.4 of the lower of both.
    """
    lines: list[list[Part]] = []
    for part in sorted(parts, key=lambda part: part.box[0]):
        near = [line for line in lines if -_axis_gap(part, line[-1], 1) > 0.4 * min(part.height, line[-1].height)]
        if near:
            max(near, key=lambda line: -_axis_gap(part, line[-1], 1)).append(part)
        else:
            lines.append([part])
    return sorted(lines, key=lambda line: float(np.mean([part.box[1] + part.box[3] for part in line])))
