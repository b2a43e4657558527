"""What the panels of a sweep's picture have in common: the quantities that they show, and their scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from statistics import fmean, pstdev

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from rnn_tasks.errors import printable
from rnn_tasks.runs.solving import Estimate, Network, judged_numbers, mean_of, share_solved, steps_until_solved

MOST_TICKS = 12  # of an axis that has one at each value
WIDE_RANGE = 10  # from here on an axis of steps is logarithmic


@dataclass(frozen=True)
class Quantity:
    """What one panel shows of networks.

    Attributes:
        title: of a panel with intervals.
        short: of a map, which has none.
        estimate: of the networks of a setting, with its interval; None if there is nothing to estimate.
        is_share: whether it lies between 0 and 1, and is written in per cent.
        best: the best of the networks, where it is shown.
    """

    title: str
    short: str
    estimate: Callable[[Sequence[Network]], Estimate | None]
    is_share: bool = True
    best: Callable[[Sequence[Network]], float | None] = lambda networks: None


def _mean(networks: Sequence[Network]) -> Estimate | None:
    return mean_of(judged_numbers(networks, "sequence_accuracy"))


def _best(networks: Sequence[Network]) -> float | None:
    numbers = judged_numbers(networks, "sequence_accuracy")
    return max((number for number in numbers if number is not None), default=None) if len(numbers) > 1 else None


QUANTITIES = (
    Quantity("share of networks that solve the task", "share solved", share_solved),
    Quantity("exact match: mean, and best network (hollow)", "mean exact match", _mean, best=_best),
    Quantity("optimizer steps until solved: median", "median steps until solved", steps_until_solved, is_share=False),
)


def label(text: str) -> str:
    """Return a text as matplotlib shows it: a dollar sign would begin a formula."""
    return printable(text).replace("$", r"\$")


def scale_values(axes: Axes, quantity: Quantity, which: str = "y") -> None:
    """Title a panel and scale the axis of its values."""
    axes.set_title(quantity.title, fontsize="medium")
    axis = axes.yaxis if which == "y" else axes.xaxis
    if quantity.is_share:
        axes.set(**{f"{which}lim": (-0.03, 1.03)})
        axis.set_major_formatter(PercentFormatter(1))
        return
    low, high = axes.dataLim.intervaly if which == "y" else axes.dataLim.intervalx
    if low > high:  # no network has solved the task
        axis.set_ticks([])
    elif low > 0 and high >= WIDE_RANGE * low:
        axes.set(**{f"{which}scale": "log"})
    else:
        axes.set(**{f"{which}lim": (0, None)})
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def scale_numbers(axes: Axes, which: str, values: Sequence[float]) -> None:
    """Scale the axis of a swept number, with a tick at each value where these are few."""
    if spread_like_powers(values):
        axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    if len(values) <= MOST_TICKS:
        axis.set_ticks(list(values), [f"{value:g}" for value in values])
        axis.set_ticks([], minor=True)
    else:
        axis.set_minor_formatter(NullFormatter())


def spread_like_powers(values: Sequence[float]) -> bool:
    """Return whether sorted numbers are more evenly spaced by their logarithms than by themselves.

    >>> spread_like_powers([1, 2, 4, 8]), spread_like_powers([1, 3, 5]), spread_like_powers([0, 1, 10])
    (True, False, False)
    """
    if values[0] <= 0 or len(values) < 3:
        return False
    gaps = [high - low for low, high in pairwise(values)]
    ratios = [log(high) - log(low) for low, high in pairwise(values)]
    return pstdev(ratios) / fmean(ratios) < pstdev(gaps) / fmean(gaps)
