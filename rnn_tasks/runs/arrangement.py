"""How the settings of a sweep are arranged in its picture: over one swept number, over two, or by their names."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf
from statistics import fmean
from typing import Any

from rnn_tasks.config.naming import run_name
from rnn_tasks.runs.settings import Setting, merged
from rnn_tasks.runs.solving import judged_numbers, share_solved
from rnn_tasks.runs.sweeps import natural_order

MOST_GROUPS = {0: 40, 1: 7, 2: 6}  # names, lines over one number, maps over two

Place = tuple[float, ...]


@dataclass(frozen=True)
class Arrangement:
    """Settings by their places in a picture.

    Attributes:
        axes: the keys of the numbers that they are shown over: none, one or two, of which the first has more values.
        groups: for each choice of all else its settings, by the values of these numbers, in order.
        pooled: the keys over which settings are pooled, since there are too many choices to show each.
        left_out: how many settings have no place, since there are too many names.
    """

    axes: tuple[str, ...]
    groups: dict[str, dict[Place, Setting]]
    pooled: tuple[str, ...] = ()
    left_out: int = 0


def arrange(settings: Sequence[Setting]) -> Arrangement:
    """Arrange the settings of a sweep.

    Two swept numbers are the axes of maps, one number that of lines. Of more numbers those with the most values are
    axes, and there is a group for each choice of all else. Where that would be too many groups, the settings are pooled
    over all but what tells most, see ``information``.
    """
    numbers, words = _varied(settings)
    keys = [*numbers, *words]
    if not numbers:
        return _by_name(settings)
    count = min(2, len(numbers))
    axes = max(combinations(numbers, count), key=lambda pair: _count_choices(settings, pair))
    rest = [key for key in keys if key not in axes]
    if _count_choices(settings, rest) > MOST_GROUPS[count]:
        axes = max(combinations(numbers, count), key=lambda pair: sum(information(settings, key) for key in pair))
        rest = _telling(settings, [key for key in keys if key not in axes]) if count == 1 else []
    axes = tuple(sorted(axes, key=lambda key: -_count_choices(settings, [key])))
    return _grouped(settings, axes, rest, keys)


def _varied(settings: Sequence[Setting]) -> tuple[list[str], list[str]]:
    """Return the keys with several values, those of numbers and all others; none if the settings have other keys."""
    keys = list(settings[0].choices)
    if any(set(setting.choices) != set(keys) for setting in settings):
        return [], []
    varied = [key for key in keys if _count_choices(settings, [key]) > 1]
    numbers = [key for key in varied if all(_is_number(setting.choices[key]) for setting in settings)]
    return numbers, [key for key in varied if key not in numbers]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _by_name(settings: Sequence[Setting]) -> Arrangement:
    shown = settings[: MOST_GROUPS[0]]
    return Arrangement((), {each.name: {(): each} for each in shown}, left_out=len(settings) - len(shown))


def _telling(settings: Sequence[Setting], rest: Sequence[str]) -> list[str]:
    """Return the key that tells most and has few enough values for lines, as a list; an empty one without any."""
    few = [key for key in rest if _count_choices(settings, [key]) <= MOST_GROUPS[1]]
    return sorted(few, key=lambda key: -information(settings, key))[:1]


def _grouped(settings: Sequence[Setting], axes: Sequence[str], rest: Sequence[str], keys: Sequence[str]) -> Arrangement:
    cells: dict[str, dict[Place, list[Setting]]] = {}
    for setting in settings:
        name = run_name({key: setting.choices[key] for key in rest}) if rest else ""
        place = tuple(float(setting.choices[key]) for key in axes)
        cells.setdefault(name, {}).setdefault(place, []).append(setting)
    groups = {
        name: {place: merged(cells[name][place], [*axes, *rest]) for place in sorted(cells[name])}
        for name in sorted(cells, key=natural_order)
    }
    return Arrangement(tuple(axes), groups, tuple(key for key in keys if key not in (*axes, *rest)))


def _count_choices(settings: Sequence[Setting], keys: Sequence[str]) -> int:
    return len({json.dumps([setting.choices[key] for key in keys], default=str) for setting in settings})


def information(settings: Sequence[Setting], key: str) -> float:
    """Return how much the value of a key tells of how many networks solve the task: the F of a one-way analysis.

    It is the variance between the values of the key, over that within them (Fisher 1925). Where all settings are solved
    alike it is that of the mean exact match. -1 if each setting has a value of its own, so that it cannot be told.
    """
    finished = [setting for setting in settings if setting.networks]
    groups: dict[str, list[float]] = {}
    for setting, outcome in zip(finished, _outcomes(finished), strict=True):
        groups.setdefault(json.dumps(setting.choices[key], default=str), []).append(outcome)
    count, values = len(finished), len(groups)
    if not 1 < values < count:
        return -1.0
    center = fmean(outcome for group in groups.values() for outcome in group)
    between = sum(len(group) * (fmean(group) - center) ** 2 for group in groups.values()) / (values - 1)
    within = sum((outcome - fmean(group)) ** 2 for group in groups.values() for outcome in group) / (count - values)
    if within:
        return between / within
    return inf if between else 0.0


def _outcomes(settings: Sequence[Setting]) -> list[float]:
    shares = [share_solved(setting.networks) for setting in settings]
    outcomes = [share.value if share else 0.0 for share in shares]
    if len(set(outcomes)) > 1:
        return outcomes
    numbers = [judged_numbers(setting.networks, "sequence_accuracy") for setting in settings]
    valid = [[value for value in values if value is not None] for values in numbers]
    return [fmean(values) if values else 0.0 for values in valid]
