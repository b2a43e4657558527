"""Checks of values: what each accepts and refuses on both sides of its bounds, and the message."""

import math

import numpy as np
import pytest

from rnn_tasks import checks

CASES = {
    "whole": (lambda value: checks.whole_numbers(2, 5, x=value), [2, 5, np.int64(3)], [1, 6, 2.0, True, "2", None]),
    "at least": (lambda value: checks.whole_numbers(0, x=value), [0, 10**9], [-1, math.inf, False]),
    "fractions": (
        lambda value: checks.fractions(x=value),
        [0, 0.999, np.float32(0.5)],
        [-1e-9, 1, math.nan, True, "0"],
    ),
    "positive": (lambda value: checks.positive(x=value), [1e-9, 0.5, 1, 1e9], [0, -1, math.inf, math.nan, True, "1"]),
    "not negative": (lambda value: checks.not_negative(x=value), [0, 0.5, 1e9], [-1e-9, math.inf, math.nan, False]),
    "one of": (lambda value: checks.one_of(("a", "b"), x=value), ["a", "b"], ["c", "", None, 1, ["a"]]),
    "booleans": (lambda value: checks.booleans(x=value), [True, False], [0, 1, "True", None]),
    "ranges": (
        lambda value: checks.ranges(x=value),
        [(1, 1), [2, 9]],
        [(0, 1), (2, 1), (1,), (1, 2, 3), "12", 5, (1, 2.0)],
    ),
}


@pytest.mark.parametrize(("check", "good", "bad"), CASES.values(), ids=CASES)
def test_bounds(check, good, bad):
    for value in good:
        check(value)
    for value in bad:
        with pytest.raises(ValueError, match=r"^x=.*: must be "):
            check(value)


def test_message_gives_the_value_and_what_would_be_right():
    with pytest.raises(ValueError) as raised:
        checks.whole_numbers(1, 1024, hidden=8, replicates=2000)
    assert str(raised.value) == "replicates=2000: must be from 1 to 1,024"
