"""The ink in photos: the paper's brightness, ruled lines, noise, thresholds."""

import numpy as np
import pytest
from PIL import Image

from rnn_tasks.photos.ink import flatten, noise, otsu, without_lines

HEIGHT, WIDTH = 200, 300
Y, X = np.mgrid[:HEIGHT, :WIDTH]


def ruled(slope, level=0.3, pitch=40, thickness=2, width=WIDTH):
    """Ink [HEIGHT, WIDTH] of parallel lines from the left edge to a column."""
    offset = (Y - slope * (X - WIDTH / 2) - HEIGHT / 2) % pitch
    return np.where((offset < thickness) & (width > X), level, 0).astype(np.float32)


def stem(left, width=8, top=40, bottom=160):
    """A mask of a vertical stroke."""
    return (left <= X) & (left + width > X) & (top <= Y) & (bottom > Y)


@pytest.mark.parametrize("slope", [-0.28, -0.15, 0.0, 0.15, 0.28])
@pytest.mark.parametrize("turned", [False, True])
def test_lines_of_up_to_16_degrees_are_removed(slope, turned):
    lines = ruled(slope)
    ink = lines.T if turned else lines
    cleaned = without_lines(np.ascontiguousarray(ink))
    assert cleaned.shape == ink.shape
    assert cleaned.sum() < 0.1 * ink.sum()


@pytest.mark.parametrize("slope", [-0.45, 0.45])
def test_steeper_lines_stay(slope):
    lines = ruled(slope)
    assert without_lines(lines).sum() > 0.9 * lines.sum()


def test_strokes_across_lines_stay_whole():
    lines, strokes = ruled(0.1), stem(100) | stem(200)
    cleaned = without_lines(np.maximum(lines, strokes.astype(np.float32)))
    assert cleaned[strokes].min() > 0.9
    assert cleaned[~strokes].sum() < 0.1 * lines.sum()


def test_strokes_along_lines_stay():
    lines, bar = ruled(0), stem(100, width=80, top=98, bottom=106)
    cleaned = without_lines(np.maximum(lines, bar.astype(np.float32)))
    assert cleaned[bar].mean() > 0.9


def test_dark_thin_strokes_along_lines_stay():
    lines, bar = ruled(0), stem(100, width=60, top=100, bottom=102)
    cleaned = without_lines(np.maximum(lines, bar.astype(np.float32)))
    assert cleaned[bar].mean() > 0.9


def test_short_thin_strokes_stay():
    dashes = ruled(0, width=100)
    assert np.array_equal(without_lines(dashes), dashes)


def test_single_line_is_removed_only_where_it_crosses_the_picture():
    line = ruled(0, pitch=1000)
    assert without_lines(line).sum() < 0.05 * line.sum()
    shorter = ruled(0, pitch=1000, width=220)
    assert np.array_equal(without_lines(shorter), shorter)


def paper(brightness, ink=None, strength=0.5):
    """A grey photo of paper with ink that takes a share of its light."""
    shades = brightness * (1 - strength * (np.zeros((HEIGHT, WIDTH)) if ink is None else ink))
    return Image.fromarray((255 * shades).round().astype(np.uint8)).convert("RGB")


@pytest.mark.parametrize("brightness", [0.9 + 0 * X, 0.3 + 0.6 * X / WIDTH, 0.9 - 0.5 * Y / HEIGHT])
def test_ink_is_the_same_in_uneven_light(brightness):
    strokes = stem(100) | stem(200)
    ink = flatten(paper(brightness, strokes))
    assert np.allclose(ink[strokes], 0.5, atol=0.08)
    assert np.abs(ink[~strokes]).max() < 0.08


def test_bright_ink_on_a_dark_ground_is_inverted():
    strokes = stem(100) | stem(200)
    photo = Image.fromarray((255 * np.where(strokes, 0.9, 0.1)).astype(np.uint8)).convert("RGB")
    ink = flatten(photo)
    assert ink[strokes].min() > 0.7 and np.abs(ink[~strokes]).max() < 0.1


def test_colour_with_contrast_counts_most():
    strokes, shades = stem(100) | stem(200), np.full((HEIGHT, WIDTH, 3), 230, np.uint8)
    shades[strokes] = (230, 60, 60)  # red ink hardly shows in the red
    ink = flatten(Image.fromarray(shades))
    assert ink[strokes].mean() > 0.7


def test_noise_is_the_standard_deviation_in_spite_of_ink():
    values = np.random.default_rng(0).normal(0, 0.1, (200, 200))
    assert noise(values) == pytest.approx(0.1, rel=0.03)
    values[:20] = 1
    assert noise(values) == pytest.approx(0.1, rel=0.2)


def test_otsu_separates_two_classes():
    stream = np.random.default_rng(0)
    values = np.concatenate([stream.normal(0.2, 0.05, 3000), stream.normal(0.8, 0.05, 1000)])
    assert 0.35 < otsu(values) < 0.65
    assert otsu(3 * values) == pytest.approx(3 * otsu(values))
