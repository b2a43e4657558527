"""Maps of a sweep over two numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from rnn_tasks.runs.arrangement import Arrangement, Place
from rnn_tasks.runs.settings import Setting
from rnn_tasks.runs.solving import Estimate, count_solved, share_solved
from rnn_tasks.runs.sweep_panels import QUANTITIES, Quantity, label, scale_numbers
from rnn_tasks.runs.sweep_tables import whole_percent

CELL = (0.72, 0.42)  # inches
WIDEST = 7  # inches of a map beside others
MOST_CELLS = 16  # along an axis of a map; more values are shown as points
SHARES, STEPS = "viridis", "viridis_r"  # colours: bright is good

Points = Mapping[Place, Setting]


class Colors(NamedTuple):
    """The colours of a quantity: of which range of values, and the name of matplotlib's map."""

    norm: Normalize
    name: str

    def of(self, value: float) -> tuple[float, float, float]:
        """Return the red, green and blue of a value."""
        red, green, blue, _ = colormaps[self.name](float(self.norm(value)))
        return red, green, blue


def maps(arrangement: Arrangement) -> Figure:
    """Draw each quantity over two numbers: a row of maps for each group, a column for each quantity.

    The maps of a single group that are wide lie below each other. Where the numbers have many values, or few of their
    pairs were tried, a map shows points instead of cells.
    """
    places = {place for points in arrangement.groups.values() for place in points}
    values = [sorted({place[i] for place in places}) for i in (0, 1)]
    sizes = [len(each) for each in values]
    sparse = max(sizes) > MOST_CELLS or 2 * len(places) < sizes[0] * sizes[1]
    width, height = (4.4, 2.9) if sparse else (1.4 + CELL[0] * max(3, sizes[0]), 1.0 + CELL[1] * max(3, sizes[1]))
    rows = len(arrangement.groups)
    shape = (3, 1) if rows == 1 and width > WIDEST else (rows, 3)
    size = (shape[1] * width, shape[0] * height + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(*shape, squeeze=False, sharex=True, sharey=True).reshape(rows, 3)
    for column, quantity in enumerate(QUANTITIES):
        colors = _colors(arrangement, quantity)
        for axes, (name, points) in zip(grid[:, column], arrangement.groups.items(), strict=True):
            (_points if sparse else _cells)(axes, quantity, points, values, colors)
            axes.set_title("\n".join(filter(None, (quantity.short, label(name)))), fontsize="medium")
            axes.grid(visible=False)
        if sparse:
            written = PercentFormatter(1) if quantity.is_share else FuncFormatter(lambda value, _: f"{value:,.0f}")
            figure.colorbar(ScalarMappable(*colors), ax=list(grid[:, column]), format=written)
    figure.supxlabel(label(arrangement.axes[0]), fontsize="medium")
    figure.supylabel(label(arrangement.axes[1]), fontsize="medium")
    return figure


def _colors(arrangement: Arrangement, quantity: Quantity) -> Colors:
    """Return the colours of a quantity, the same for all groups."""
    if quantity.is_share:
        return Colors(Normalize(0, 1), SHARES)
    settings = [setting for points in arrangement.groups.values() for setting in points.values()]
    estimates = [estimate for setting in settings if (estimate := quantity.estimate(setting.networks))]
    steps = [estimate.value for estimate in estimates] or [0, 1]
    return Colors(Normalize(min(steps), max(*steps, min(steps) + 1)), STEPS)


def _cells(axes: Axes, quantity: Quantity, points: Points, values: list[list[float]], colors: Colors) -> None:
    """Draw a cell for each setting, with its number; one that has not finished has its state."""
    numbers = np.full([len(values[1]), len(values[0])], np.nan)
    size = 8 if len(values[0]) <= 8 else 6
    for place, setting in points.items():
        x, y = (values[i].index(place[i]) for i in (0, 1))
        estimate = quantity.estimate(setting.networks)
        color = "dimgrey"
        if estimate:
            numbers[y, x] = estimate.value
            red, green, blue = colors.of(estimate.value)
            color = "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"
        text = _text(quantity, setting, estimate)
        axes.text(x, y, text, ha="center", va="center", fontsize=size, color=color)
    axes.imshow(np.ma.masked_invalid(numbers), colors.name, colors.norm, aspect="auto", origin="lower")
    for axis, each in ((axes.xaxis, values[0]), (axes.yaxis, values[1])):
        axis.set_ticks(range(len(each)), [f"{value:g}" for value in each])
    axes.set(xlim=(-0.5, len(values[0]) - 0.5), ylim=(-0.5, len(values[1]) - 0.5))
    axes.tick_params(length=0)


def _text(quantity: Quantity, setting: Setting, estimate: Estimate | None) -> str:
    """Return the text of a cell."""
    if not setting.networks:
        return setting.rows[0].state
    if estimate is None:
        return "unknown" if count_solved(setting.networks)[0] else "never" if not quantity.is_share else ""
    if not quantity.is_share:
        return f"{estimate.value:,.0f}"
    text = f"{whole_percent(estimate.value)} %"
    if quantity.estimate is share_solved and len(setting.networks) > 1:
        text += "\n{} of {}".format(*count_solved(setting.networks))
    return text


def _points(axes: Axes, quantity: Quantity, points: Points, values: list[list[float]], colors: Colors) -> None:
    """Draw a point for each setting; a hollow one where there is nothing to show."""
    estimates = {place: quantity.estimate(setting.networks) for place, setting in points.items() if setting.networks}
    for place, estimate in estimates.items():
        face = colors.of(estimate.value) if estimate else "none"
        axes.plot(*([each] for each in place), "o", markersize=8, color=face, markeredgecolor="grey")
    for which, each in zip("xy", values, strict=True):
        scale_numbers(axes, which, each)
