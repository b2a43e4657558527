"""Checks of the values that constructors take: a ValueError of one line with the value and what would be right.

Values are given by name, so that the message can repeat them: ``whole_numbers(1, hidden=0)`` raises
``hidden=0: must be at least 1``. True and False are no numbers. None of this imports torch.
"""

import math
import re
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

MOST_REPLICATES, MOST_LAYERS = 1024, 100
DIRECTORY = r"(?!\.\.?$)[^/\\\s\0]{1,200}"
DIRECTORY_RULE = "the name of a directory, without slashes and spaces"
# what commands take for something else, or keep below outputs/ themselves
RESERVED = ("answers", "handwriting", "latest", "look", "quick", "report", "sweeps")
TASK = rf"(?!({'|'.join(RESERVED)})$){DIRECTORY}"
TASK_RULE = f"{DIRECTORY_RULE}, and none of {', '.join(RESERVED)}, which mean something else"
LONGEST = 100_000  # steps of a sequence


def require(valid: bool, name: str, value: Any, rule: str) -> None:
    """Raise a ValueError that says what ``value`` must be, unless it is valid."""
    if not valid:
        raise ValueError(f"{name}={value!r}: must be {rule}")


def whole_numbers(low: int, high: int | None = None, /, **values: Any) -> None:
    """Refuse all but whole numbers of at least ``low``, and of at most ``high`` where it is given."""
    rule = f"at least {low}" if high is None else f"from {low} to {high:,}"
    for name, value in values.items():
        require(isinstance(value, Integral) and not isinstance(value, bool), name, value, "a whole number")
        require(low <= value and (high is None or value <= high), name, value, rule)


def fractions(**values: Any) -> None:
    """Refuse all but numbers of at least 0 and less than 1."""
    _numbers(values, lambda value: 0 <= value < 1, "at least 0 and less than 1")


def positive(**values: Any) -> None:
    """Refuse all but finite numbers of more than 0."""
    _numbers(values, lambda value: 0 < value < math.inf, "more than 0 and finite")


def not_negative(**values: Any) -> None:
    """Refuse all but finite numbers of at least 0."""
    _numbers(values, lambda value: 0 <= value < math.inf, "at least 0 and finite")


def _numbers(values: dict[str, Any], valid: Callable[[Any], bool], rule: str) -> None:
    for name, value in values.items():
        require(isinstance(value, Real) and not isinstance(value, bool), name, value, "a number")
        require(valid(value), name, value, rule)


def one_of(choices: Sequence[str], /, **values: Any) -> None:
    """Refuse all but words that are among the choices."""
    for name, value in values.items():
        require(isinstance(value, str) and value in choices, name, value, " or ".join(choices))


def task_names(**values: Any) -> None:
    """Refuse all but names of a directory that a task can have below outputs/."""
    for name, value in values.items():
        require(isinstance(value, str) and bool(re.fullmatch(TASK, value)), name, value, TASK_RULE)


def booleans(**values: Any) -> None:
    """Refuse values that are neither True nor False."""
    for name, value in values.items():
        require(isinstance(value, bool), name, value, "True or False")


def ranges(**values: Any) -> None:
    """Refuse all but pairs of the lowest and the highest length, both of at least 1."""
    for name, value in values.items():
        pair = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
        whole = len(pair) == 2 and all(isinstance(end, Integral) and not isinstance(end, bool) for end in pair)
        rule = f"the lowest and the highest length, like (1, 20), at most {LONGEST:,}"
        require(whole and 1 <= pair[0] <= pair[1] <= LONGEST, name, value, rule)
