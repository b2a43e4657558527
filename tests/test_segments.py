"""Which ink counts as a digit: for each rule a picture that only this rule decides."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from rnn_tasks.photos import segments
from rnn_tasks.photos.segments import segment

SIZE = 400, 200  # width and height of a picture
PEN = 8  # pixels


def ink(*strokes, size=SIZE):
    """Ink [H, W] of strokes (points, width, level)."""
    picture = Image.new("L", size)
    for points, width, level in strokes:
        ImageDraw.Draw(picture).line(points, fill=round(255 * level), width=width, joint="curve")
    return np.asarray(picture, np.float32) / 255


def stroke(*points, width=PEN, level=1.0):
    return list(points), width, level


def seven(x, y=50, height=90, width=PEN, level=1.0):
    """A 7 with its upper left end at (x, y)."""
    points = (x, y), (x + 0.5 * height, y), (x + 0.2 * height, y + height)
    return stroke(*points, width=width, level=level)


def zigzag(x, y, side, passes, width):
    """A square filled by vertical strokes that hang together."""
    corners = [(x + side * i / passes, y + side * (i % 4 in (1, 2))) for i in range(2 * passes + 1)]
    return stroke(*((x + side * (i // 2) / passes, corner[1]) for i, corner in enumerate(corners)), width=width)


def grid(x, y, columns, rows, cell=30, width=4):
    """The lines around some cells."""
    upright = [stroke((x + cell * i, y), (x + cell * i, y + cell * rows), width=width) for i in range(columns + 1)]
    across = [stroke((x, y + cell * i), (x + cell * columns, y + cell * i), width=width) for i in range(rows + 1)]
    return upright + across


def dot(x, y, radius):
    """A filled disc."""
    turns = np.linspace(0, 2 * np.pi, 8 * radius)
    return stroke(*[(x + radius / 2 * np.cos(turn), y + radius / 2 * np.sin(turn)) for turn in turns], width=radius + 1)


def boxes(*strokes, size=SIZE):
    """The boxes of the digits, line by line; none where no digit can be seen."""
    try:
        return [[part.box for part in line] for line in segment(ink(*strokes, size=size))[2]]
    except ValueError as error:
        assert str(error) == segments.NO_DIGIT
        return []


THREE = [seven(40), seven(120), seven(200)]
PICTURES = {
    "digits": (THREE, [3]),
    # contrast
    "ink of contrast 0.15": ([seven(40, level=0.15)], [1]),
    "ink of contrast 0.10": ([seven(40, level=0.10)], []),
    "weaker ink beside strong": ([*THREE, seven(280, level=0.7)], [4]),
    "much weaker ink beside strong": ([*THREE, seven(280, level=0.5)], [3]),
    "stroke with a weak middle": (
        [*THREE, *(stroke((320, y), (320, y + 30), level=level) for y, level in ((50, 1), (80, 0.5), (110, 1)))], [4]
    ),
    # what a pen may have written
    "disc": ([dot(100, 100, 40)], []),
    "ring": ([stroke(*[(100 + 40 * np.cos(a), 100 + 40 * np.sin(a)) for a in np.linspace(0, 6.4, 60)])], [1]),
    "scribble of 20 passes": ([zigzag(100, 10, 180, 20, 4)], []),
    "scribble of 5 passes": ([zigzag(100, 10, 180, 5, 4)], [1]),
    "four cells": (grid(100, 50, 2, 2), [1]),
    "six cells": (grid(100, 50, 2, 3), []),
    # shape and size
    "shallow v": ([*THREE, stroke((260, 80), (320, 120), (380, 80))], [3]),
    "steep v": ([*THREE, stroke((280, 50), (320, 120), (360, 50))], [4]),
    "small v": ([*THREE, stroke((300, 80), (315, 105), (330, 80))], [3]),
    "larger v": ([*THREE, stroke((300, 80), (320, 120), (340, 80))], [4]),
    "thin stroke": ([*THREE, seven(300, width=2)], [3]),
    "less thin stroke": ([*THREE, seven(300, width=6)], [4]),
    "digits of 6 pixels": ([seven(40 + 20 * i, height=5, width=1) for i in range(5)], []),
    "digits of 12 pixels": ([seven(40 + 20 * i, height=12, width=2) for i in range(5)], [5]),
    "cut off by the edge": ([*THREE, stroke((300, -20), (310, 50))], [3]),
    "as high as what the edge cuts off": ([*THREE, stroke((300, 60), (310, 115))], [4]),
    "cut off, but high": ([*THREE, stroke((300, -20), (310, 75))], [1, 3]),
    # pieces of a digit
    "bar close to its digit": ([*THREE, stroke((280, 40), (330, 40)), stroke((285, 62), (300, 140))], [4]),
    "two ones": ([stroke((100, 50), (100, 140)), stroke((117, 50), (117, 140))], [2]),
    "two lines close to each other": ([seven(40, 10, 80), seven(40, 105, 80)], [1, 1]),
    "two halves, one above the other": ([*THREE, stroke((300, 20), (330, 70)), stroke((330, 90), (300, 145))], [4]),
    # what frames the picture
    "line across a corner": ([*THREE, stroke((330, -5), (405, 90))], [3]),
    "dark desk on the left": ([*THREE, stroke((5, 0), (5, 200), width=20)], [3]),
    "triangle on the edge": ([*THREE, stroke((270, 2), (360, 2), (315, 80), (270, 2))], [3]),
    "triangle within": ([*THREE, stroke((270, 42), (360, 42), (315, 120), (270, 42))], [4]),
    "digit from edge to edge": ([seven(100, 2, 195)], [1]),
    "smudge within a large digit": ([seven(100, 2, 195), seven(280, 60, 80, level=0.2)], [1]),
    "specks beside a digit from edge to edge": (
        [seven(100, 2, 195), *(seven(x, 60, 8, 1) for x in (270, 310, 350))], [1]
    ),
    # all that is not a digit
    "mostly other ink": ([seven(40), dot(250, 100, 60)], []),
    "some other ink": ([seven(40), seven(120), dot(250, 100, 25)], [2]),
    "remnants along the edge": (
        [seven(180), *(stroke((x, y), (x + 40, y), width=4) for x in range(10, 360, 50) for y in (4, 195))], [1]
    ),
    "remnants within": (
        [seven(180), *(stroke((x, y), (x + 40, y), width=4) for x in range(10, 360, 50) for y in (20, 180))], []
    ),
    # lines
    "ascending line": ([seven(40, 94), seven(140, 50), seven(240, 6)], [3]),
    "two lines": ([seven(40, 5, 70), seven(240, 5, 70), seven(140, 65, 70), seven(340, 65, 70)], [2, 2]),
    "digit between two lines": ([seven(40, 5, 70), seven(100, 85, 70), seven(180, 40, 90)], [1, 2]),
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_digits_in_each_line(name):
    strokes, expected = PICTURES[name]
    lines = boxes(*strokes)
    assert [len(line) for line in lines] == expected
    lefts = [[left for left, *_ in line] for line in lines]
    assert lefts == [sorted(line) for line in lefts]


ONE = stroke((300, 50), (300, 140))
PIECES = {  # strokes beside a 1 and the box that both share
    "nothing": ([], (296, 50, 305, 141)),
    "bar above": ([stroke((280, 32), (320, 32))], (280, 28, 321, 141)),
    "bar farther above": ([stroke((280, 15), (320, 15))], (296, 50, 305, 141)),
    "short stroke on the left": ([stroke((280, 60), (280, 90))], (276, 50, 305, 141)),
    "speck": ([stroke((295, 152), (305, 152), width=4)], (296, 50, 305, 141)),
}


@pytest.mark.parametrize("name", PIECES)
def test_pieces_of_a_digit(name):
    pieces, expected = PIECES[name]
    ((*_, box),) = boxes(seven(100), ONE, *pieces)
    assert np.allclose(box, expected, atol=2)


def test_small_dot_belongs_to_a_small_digit():
    ((box,),) = boxes(seven(100, 50, 30, width=4), dot(106, 88, 2))
    assert abs(box[3] - 91) <= 2


def test_strong_digit_that_frames_the_picture_wins_over_a_pale_one():
    ((box,),) = boxes(seven(100, 2, 195), seven(280, 60, 80, level=0.2))
    assert box[0] < 110


def test_more_than_500_strokes_are_refused():
    digits = [seven(10 + 20 * (i % 30), 5 + 20 * (i // 30), 12, width=2) for i in range(510)]
    with pytest.raises(ValueError, match="more than 500 strokes"):
        segment(ink(*digits, size=(620, 350)))
    lines = segment(ink(*digits[:480], size=(620, 350)))[2]
    assert [len(line) for line in lines] == [30] * 16


def test_empty_picture_shows_no_digit():
    with pytest.raises(ValueError, match="no digit can be seen"):
        segment(np.zeros((100, 100), np.float32))
