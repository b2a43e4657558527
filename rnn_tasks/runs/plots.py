"""Figures of runs: curves over epochs, accuracy over lengths and over what was swept, images with their answers."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
from cycler import cycler
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rnn_tasks.files import replacing
from rnn_tasks.training.intervals import summarize, wilson

MARKERS = "os^Dv*X"
RANGE, INTERVAL = "bands from the least to the greatest", "bars: 95 % intervals"
PANEL, BETWEEN = (4.6, 3.4), 1.0  # inches
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito 2008
SPLITS = {"train": ("training", COLORS[0], "-"), "val": ("validation", COLORS[1], "--")}

# Decorates functions that draw or save a figure: colours for the colour-blind, line styles for print, text as text.
styled = rc_context(
    {
        "axes.prop_cycle": cycler(color=COLORS),
        "axes.grid": True,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "grid.alpha": 0.3,
        "legend.frameon": False,
        "savefig.dpi": 120,
        "svg.fonttype": "none",
        "svg.hashsalt": "rnn_tasks",
    }
)


def literal(text: str) -> str:
    """Return a text whose dollar signs are drawn as they are, and begin no formula."""
    return text.replace("$", r"\$")


def pixels(figure: Figure) -> np.ndarray:
    """Draw a figure and return its pixels, [height, width, 3] from 0 to 255."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@styled
def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, see files.replacing."""
    with replacing(path) as file:
        figure.savefig(file, format="png")


@styled
def curves(runs: dict[str, list[dict[str, Any]]], kinds: tuple[str, ...] = ("loss", "accuracy")) -> Figure:
    """Plot metrics over the epochs, for training and validation; of several replicates mean and extremes.

    Args:
        runs: the histories of one or several runs, by their names.
        kinds: the metrics, with a panel for each.
    """
    figure = Figure(figsize=(PANEL[0] * len(kinds), PANEL[1]))
    counts = [len({row["replicate"] for row in history}) for history in runs.values() if history]
    if max(counts, default=0) > 1:
        figure.suptitle(means_of(counts, RANGE), fontsize="small")
    panels = figure.subplots(1, len(kinds), squeeze=False)[0]
    _set_margins(figure, len(kinds))
    for axes, kind in zip(panels, kinds, strict=True):
        for i, (name, history) in enumerate(runs.items()):
            for split, (label, color, line) in SPLITS.items():
                points = _by_epoch(history, f"{split}_{kind}")
                if points:
                    color = color if len(runs) == 1 else COLORS[i]
                    _line(axes, points, color=color, linestyle=line, label=f"{name} {label}".strip())
        axes.set(xlabel="epoch", ylabel=kind)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes.lines:
            axes.legend(fontsize="small")
        if kind == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        else:
            axes.set_ylim(bottom=0)
    return figure


def _set_margins(figure: Figure, columns: int = 1) -> None:
    """Leave room for labels and a title: far faster than matplotlib's own layout, which draws everything for it."""
    width, height = figure.get_size_inches()
    panel = (width - 1 - BETWEEN * (columns - 1)) / columns
    top = 0.35 if figure.get_suptitle() else 0.2
    figure.subplots_adjust(0.8 / width, 0.55 / height, 1 - 0.2 / width, 1 - top / height, BETWEEN / panel)


def means_of(counts: Iterable[int], ends: str = "") -> str:
    """Return what the points of a figure are, like "means of 3 to 32 replicates; bars: 95 % intervals".

    Args:
        counts: the replicates behind each point.
        ends: what its bands or bars are.
    """
    low, high = min(counts := list(counts)), max(counts)
    several = f"{low} to {high}" if low < high else f"{high}"
    return "; ".join(text for text in (f"means of {several} replicates", ends) if text)


def _by_epoch(history: list[dict[str, Any]], column: str) -> dict[int, list[float]]:
    """Return the values of a column of history.csv in each epoch, counted from 1."""
    points: dict[int, list[float]] = {}
    for row in history:
        if column in row:
            points.setdefault(row["epoch"], []).append(row[column])
    return points


@styled
def by_length(runs: dict[str, dict[str, Any]], chance: float, trained: tuple[int, int]) -> Figure:
    """Plot the test accuracy over the length: of whole sequences and, where these differ, of single answers.

    Of several replicates the mean is drawn, for whole sequences with a band from the least to the greatest.

    Args:
        runs: the metrics at each length of one or several runs, by their names.
        chance: accuracy of guessing single answers.
        trained: shortest and longest sequence in training, shaded.
    """
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    parts = any(v["accuracy"] != v["sequence_accuracy"] for metrics in runs.values() for v in metrics.values())
    lines = (("sequence_accuracy", "whole sequences", "-"), ("accuracy", "single answers", ":"))
    for i, (name, metrics) in enumerate(runs.items()):
        for kind, label, line in lines[: 1 + parts]:
            points = {int(length): [v for v in values[kind] if v is not None] for length, values in metrics.items()}
            style: dict[str, Any] = {"linestyle": line, "marker": MARKERS[i], "markersize": 4}
            label = f"{name} {label}".strip() if parts else name
            _line(axes, points, COLORS[i], band=line == "-", label=label, **style)
    counts = [len(values["accuracy"]) for metrics in runs.values() for values in metrics.values()]
    if max(counts, default=0) > 1:
        axes.set_title(means_of(counts, RANGE), fontsize="medium")
    axes.axvspan(trained[0] - 0.5, trained[1] + 0.5, color="grey", alpha=0.12, linewidth=0, label="lengths in training")
    guessing = "chance, single answers" if parts else "chance"
    axes.axhline(chance, color="black", linestyle="--", linewidth=1, label=guessing)
    axes.set(xlabel="length", ylabel="test accuracy", ylim=(-0.03, 1.03))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside right center", fontsize="small")
    return figure


class _Estimate(NamedTuple):
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


@styled
def by_number(key: str, lines: dict[str, dict[float, list[float | None]]]) -> Figure:
    """Plot the test accuracy of whole sequences over a number that was swept, and the share of perfect replicates.

    Error bars are 95 % intervals: intervals.interval for means, intervals.wilson for shares.

    Args:
        key: name of the number.
        lines: the replicates' accuracies at each value, by the names of the lines.
    """
    counts = [len(numbers) for points in lines.values() for numbers in points.values()]
    several = max(counts, default=0) > 1
    figure = Figure(figsize=(9 if several else 5, 3.7), layout="constrained")
    panels = figure.subplots(1, 1 + several, squeeze=False)[0]
    if several:
        figure.suptitle(means_of(counts, INTERVAL), fontsize="small")
    for i, (name, points) in enumerate(lines.items()):
        summaries = [summarize(numbers) for numbers in points.values()]
        size = 5 + 2 * min(5, len(lines) - 1 - i)  # so that none hides another one
        style = {"marker": MARKERS[i % 7], "markersize": size, "linestyle": ("-", "--")[i % 2], "label": name}
        _errorbar(panels[0], points, [_Estimate(each.mean, *each.within) for each in summaries], style)
        if several:
            shares = [_Estimate(each.perfect / each.count, *wilson(each.perfect, each.count)) for each in summaries]
            _errorbar(panels[1], points, shares, style)
    titles = ("test accuracy of whole sequences", "share of replicates at 100 %")
    for axes, title in zip(panels, titles, strict=False):
        values = sorted({value for points in lines.values() for value in points})
        if values[0] > 0 and values[-1] / values[0] >= 8:
            axes.set_xscale("log", base=2)
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
        axes.set(xlabel=key, title=title, ylim=(-0.03, 1.03))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    if any(lines):
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2 if len(lines) > 1 else 1, frameon=False)
    return figure


def _errorbar(axes: Axes, points: Mapping[float, Any], estimates: list[_Estimate], style: dict[str, Any]) -> None:
    below = [max(0, each.value - each.low) for each in estimates]
    above = [max(0, each.high - each.value) for each in estimates]
    values = [each.value for each in estimates]
    axes.errorbar(list(points), values, (below, above), capsize=3, **style)


def _line(axes: Axes, points: dict[int, list[float]], color: str, band: bool = True, **style: Any) -> None:
    """Draw the means of the numbers at each point, and a band from the least to the greatest."""
    axes.plot(list(points), [mean(numbers) for numbers in points.values()], color=color, **style)
    if band and any(len(numbers) > 1 for numbers in points.values()):
        low, high = [min(numbers) for numbers in points.values()], [max(numbers) for numbers in points.values()]
        axes.fill_between(list(points), low, high, color=color, alpha=0.15, linewidth=0)


class Picture(NamedTuple):
    """An image [H, W] with a title, and whether the answer in the title is right."""

    image: Any
    title: str
    right: bool


@styled
def image_grid(pictures: Sequence[Picture], columns: int = 5, width: float = 9, row_height: float = 2.2) -> Figure:
    """Plot images in rows of ``columns``, titles of wrong answers coloured; width and height of a row in inches."""
    rows = -(-len(pictures) // columns)
    figure = Figure(figsize=(width, row_height * rows), layout="constrained")
    for axes, picture in zip_longest(figure.subplots(rows, columns, squeeze=False).flat, pictures):
        axes.axis("off")
        if picture is not None:
            axes.imshow(picture.image, "gray_r")
            axes.set_title(picture.title, fontsize=9, color="black" if picture.right else COLORS[1])
    return figure
