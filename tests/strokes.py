"""Digits as a hand draws them: strokes of points, x and y from 0 to 1."""

import math


def arc(x, y, wide, high, begin, end, count=24):
    """Points of an arc of an ellipse around (x, y); angles are in degrees, clockwise from the right."""
    angles = [math.radians(begin + (end - begin) * i / count) for i in range(count + 1)]
    return [(x + wide * math.cos(angle), y + high * math.sin(angle)) for angle in angles]


DIGITS = {
    0: [arc(0.5, 0.5, 0.24, 0.4, -90, 270)],
    1: [[(0.5, 0.1), (0.48, 0.9)]],
    2: [[*arc(0.5, 0.32, 0.2, 0.22, -170, 40), (0.45, 0.68), (0.3, 0.88), (0.72, 0.87)]],
    3: [[*arc(0.48, 0.3, 0.19, 0.2, -150, 85), *arc(0.48, 0.7, 0.22, 0.2, -85, 150)]],
    4: [[(0.4, 0.1), (0.28, 0.58), (0.72, 0.56)], [(0.62, 0.3), (0.58, 0.92)]],
    5: [[(0.68, 0.12), (0.38, 0.13), (0.35, 0.45), *arc(0.48, 0.65, 0.22, 0.24, -125, 150)]],
    6: [[(0.6, 0.1), (0.42, 0.3), (0.33, 0.55), *arc(0.49, 0.7, 0.17, 0.2, -180, 180)]],
    7: [[(0.28, 0.13), (0.72, 0.14), (0.58, 0.5), (0.45, 0.9)]],
    8: [[*arc(0.5, 0.3, 0.17, 0.19, 90, -270), *arc(0.5, 0.7, 0.2, 0.21, -90, 270)]],
    9: [[*arc(0.48, 0.3, 0.18, 0.19, -20, -380), (0.66, 0.6), (0.6, 0.9)]],
}


def written(number):
    """The strokes of a number's digits, side by side over the full width."""
    cell, high = 1 / len(number), min(1, 1.6 / len(number))
    return [
        [(cell * (place + x), 0.5 + high * (y - 0.5)) for x, y in stroke]
        for place, digit in enumerate(number)
        for stroke in DIGITS[int(digit)]
    ]


def sent(strokes, width=840, height=630):
    """Strokes as the page sends them: x, y, x, y, ... of each, in units of the canvas."""
    return [[round(value) for x, y in stroke for value in (x * width, y * height)] for stroke in strokes]
