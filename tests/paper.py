"""Synthetic photos: MNIST's digits, written with a pen on paper."""

import numpy as np
from PIL import Image
from scipy import ndimage

PENS = {
    "black": (0.12, 0.12, 0.14),
    "blue": (0.13, 0.22, 0.6),
    "red": (0.8, 0.15, 0.15),
    "green": (0.1, 0.5, 0.25),
    "pencil": (0.45, 0.45, 0.47),
}


def photo(
    images,
    columns=5,
    size=90,
    cell=150,
    margin=60,
    pen="black",
    paper="plain",
    line=(0.62, 0.74, 0.9),
    pitch=None,
    angle=0.0,
    shadow=0.0,
    noise=0.0,
    desk=0,
    inverted=False,
    seed=0,
):
    """An RGB photo of digits [N, 28, 28] on paper, in rows of ``columns``.

    Args:
        size: pixels of an image's height.
        cell: pixels from one digit to the next.
        margin: pixels of paper around the digits.
        paper: "plain", "ruled" or "squared".
        pitch: pixels between lines of the paper.
        angle: of these lines, in degrees.
        shadow: strength from 0 to 1.
        noise: standard deviation, of shades from 0 to 1.
        desk: pixels of a dark table on the left.
    """
    rng = np.random.default_rng(seed)
    rows = -(-len(images) // columns)
    height, width = 2 * margin + cell * (rows - 1) + size, 2 * margin + cell * (columns - 1) + size
    ink = np.zeros((height, width))
    for i, image in enumerate(images):
        y, x = margin + cell * (i // columns), margin + cell * (i % columns)
        large = np.asarray(
            Image.fromarray(np.asarray(image, np.float32)).resize((size, size), Image.Resampling.BICUBIC)
        )
        stroke = ((ndimage.gaussian_filter(large, size / 90) - 0.35) * size / 12 + 0.5).clip(0, 1)
        top, left = max(y, 0), max(x, 0)
        target = ink[top : y + size, left : x + size]
        np.maximum(target, stroke[top - y :, left - x :][: target.shape[0], : target.shape[1]], out=target)
    yy, xx = np.mgrid[:height, :width] - np.array([height / 2, width / 2])[:, None, None]
    turn = np.deg2rad(angle)
    u, v = xx * np.cos(turn) + yy * np.sin(turn), yy * np.cos(turn) - xx * np.sin(turn)
    pitch = pitch or size * 0.6
    thick = max(1.2, pitch / 30)
    lines = np.zeros((height, width))
    for along in {"plain": (), "ruled": (v,), "squared": (u, v)}[paper]:
        lines = np.maximum(lines, (thick / 2 + 0.5 - np.abs((along % pitch) - pitch / 2)).clip(0, 1))
    picture = np.array([0.95, 0.94, 0.9]) * np.ones((height, width, 1))
    picture *= 1 - lines[..., None] * (1 - np.array(line))
    picture *= 1 - ink[..., None] * (1 - np.array(PENS[pen]))
    if inverted:
        picture = 1 - picture
    if shadow:  # a lamp from the left, and the edge of a hand's shadow across
        across = 1 / (1 + np.exp(-(xx * 0.8 + yy * 0.6) / (0.02 * width)))
        picture *= ((1 - 0.4 * shadow * (xx / width + 0.5)) * (1 - shadow * 0.6 * across))[..., None]
    picture[:, :desk] = (0.25, 0.17, 0.1)
    picture += noise * rng.standard_normal(picture.shape)
    return Image.fromarray((picture.clip(0, 1) * 255).astype(np.uint8))
