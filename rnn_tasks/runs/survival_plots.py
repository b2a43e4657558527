"""The picture of length generalization: the share of replicates without an error, over the length."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, ScalarFormatter

from rnn_tasks.errors import tell
from rnn_tasks.runs.plots import COLORS, MARKERS, save, styled
from rnn_tasks.runs.sweep_panels import spread_like_powers
from rnn_tasks.training.lengths import ByLength, Survival, survival

MOST_MARKERS = 50  # lengths that are marked one by one
LINES = ("-", "--", ":")
HALF = 0.5


@styled
def survival_curves(runs: Mapping[str, ByLength], trained: tuple[int, int]) -> Figure:
    """Plot the share of replicates that make no error at a length and at all shorter ones, as steps.

    The bands are 95 % intervals (Wilson 1927).

    Args:
        runs: the metrics at each length of one or several runs, by their names.
        trained: shortest and longest sequence in training, shaded.
    """
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    curves = {name: survival(by_length) for name, by_length in runs.items()}
    for number, (name, curve) in enumerate(curves.items()):
        _draw(axes, curve, name, number)
    axes.axhline(HALF, color="black", linestyle="--", linewidth=1, alpha=0.5)
    axes.axvspan(trained[0] - 0.5, trained[1] + 0.5, color="grey", alpha=0.12, linewidth=0, label="lengths in training")
    counts = sorted({curve.replicates for curve in curves.values()})
    several = " to ".join(str(count) for count in (counts[0], counts[-1])[: len(counts)])
    axes.set_title(f"{several} replicates; bands: 95 % intervals", fontsize="medium")
    axes.set(xlabel="length", ylabel="share of replicates without\nan error up to this length", ylim=(-0.03, 1.03))
    _scale(axes, sorted({length for curve in curves.values() for length in curve.lengths}))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside right center", fontsize="small")
    return figure


def _draw(axes: Axes, curve: Survival, name: str, number: int) -> None:
    color = COLORS[number % len(COLORS)]
    low, high = zip(*curve.intervals, strict=True)
    label = f"{name}\nmedian of the first error:\n{curve.described_median}".strip()
    style: dict[str, Any] = {"linestyle": LINES[number % len(LINES)], "linewidth": 2.2, "label": label}
    if len(curve.lengths) <= MOST_MARKERS:
        style |= {"marker": MARKERS[number % len(MARKERS)], "markersize": 4}
    axes.plot(curve.lengths, curve.shares, color=color, drawstyle="steps-post", **style)
    axes.fill_between(curve.lengths, low, high, step="post", color=color, alpha=0.15, linewidth=0)


def _scale(axes: Axes, lengths: list[int]) -> None:
    """Scale the axis of the lengths, by powers where these are spread so."""
    if spread_like_powers(lengths):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
    else:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def save_survival(by_length: ByLength, trained: tuple[int, int], file: Path) -> None:
    """Write the curve of a run as a PNG file, and say so on stderr."""
    save(survival_curves({"": by_length}, trained), file)
    tell(str(file))
