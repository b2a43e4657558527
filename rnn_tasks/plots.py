"""Figures of a run."""

from itertools import zip_longest
from statistics import mean
from typing import Any

from cycler import cycler
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rnn_tasks.metrics import spread, wilson

BANDS = "means of the replicates; bands from the least to the greatest"
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito's
SPLITS = {"train": ("training", COLORS[0], "-"), "val": ("validation", COLORS[1], "--")}

# Decorates what draws or saves a figure: told apart by the colour-blind and in print, text that can be selected.
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


@styled
def curves(history: list[dict[str, Any]]) -> Figure:
    """Loss and accuracy over the epochs, for training and validation; of replicates mean, least and greatest."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    epochs = sorted({row["epoch"] for row in history})
    if any(row["replicate"] for row in history):
        figure.suptitle(BANDS, fontsize="medium")
    for axes, kind in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for split, (label, color, line) in SPLITS.items():
            column = f"{split}_{kind}"
            values = {
                epoch: [row[column] for row in history if row["epoch"] == epoch and column in row] for epoch in epochs
            }
            points = {epoch + 1: numbers for epoch, numbers in values.items() if numbers}
            if points:
                _line(axes, points, color=color, linestyle=line, label=label)
        axes.set(xlabel="epoch", ylabel=kind, xlim=(0, len(epochs) + 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if axes.lines:
            axes.legend()
        if kind == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


@styled
def by_length(runs: dict[str, dict[str, Any]], chance: float) -> Figure:
    """Test accuracy over the length of the sequences: of whole sequences, and dashed of single answers.

    Of replicates there are the mean and, for whole sequences, a band from the least to the greatest.

    Args:
        runs: the metrics at each length of one or several runs, by their names.
        chance: what guessing reaches, of single answers.
    """
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    for i, (name, metrics) in enumerate(runs.items()):
        for kind, label, line in (("sequence_accuracy", "whole sequences", "-"), ("accuracy", "single answers", "--")):
            points = {int(length): [v for v in values[kind] if v is not None] for length, values in metrics.items()}
            label = f"{name} {label}".strip()
            _line(axes, points, band=line == "-", linestyle=line, color=f"C{i}", marker=".", label=label)
    if any(len(values["accuracy"]) > 1 for metrics in runs.values() for values in metrics.values()):
        axes.set_title(BANDS, fontsize="medium")
    axes.axhline(chance, color="grey", linestyle=":", label="single answers, chance")
    axes.set(xlabel="length", ylabel="test accuracy", ylim=(-0.03, 1.03))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside right center", fontsize="small")
    return figure


@styled
def by_number(key: str, lines: dict[str, dict[float, list[float | None]]]) -> Figure:
    """Test accuracy of whole sequences over a number that was swept, and how many replicates got all of them right.

    Means have 95 % bootstrap intervals, shares 95 % intervals of Wilson's.

    Args:
        key: what was swept.
        lines: the replicates' accuracies at each value, by the names of the lines.
    """
    several = any(len(numbers) > 1 for points in lines.values() for numbers in points.values())
    figure = Figure(figsize=(9 if several else 5, 3.5), layout="constrained")
    panels = figure.subplots(1, 1 + several, squeeze=False)[0]
    for name, points in lines.items():
        told = [spread(numbers) for numbers in points.values()]
        _errorbar(panels[0], points, [(one.mean, one.low, one.high) for one in told], name)
        if several:
            _errorbar(
                panels[1], points, [(one.perfect / one.count, *wilson(one.perfect, one.count)) for one in told], name
            )
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
        panels[0].legend()
    return figure


def _errorbar(axes: Axes, points: dict[float, Any], found: list[tuple[float, float, float]], name: str) -> None:
    below = [max(0, value - low) for value, low, _ in found]
    above = [max(0, high - value) for value, _, high in found]
    axes.errorbar(list(points), [value for value, *_ in found], (below, above), marker=".", capsize=3, label=name)


def _line(axes: Axes, points: dict[int, list[float]], color: str, band: bool = True, **style: Any) -> None:
    """The means of the numbers at each point, and a band from the least to the greatest."""
    axes.plot(list(points), [mean(numbers) for numbers in points.values()], color=color, **style)
    if band and any(len(numbers) > 1 for numbers in points.values()):
        low, high = [min(numbers) for numbers in points.values()], [max(numbers) for numbers in points.values()]
        axes.fill_between(list(points), low, high, color=color, alpha=0.15, linewidth=0)


@styled
def pictures(cases: list[dict[str, Any]]) -> Figure:
    """Verification cases that are pictures, each under its number, the network's answer and the right one."""
    columns = 5
    rows = -(-len(cases) // columns)
    figure = Figure(figsize=(9, 2.2 * rows), layout="constrained")
    for number, (axes, case) in enumerate(zip_longest(figure.subplots(rows, columns).flat, cases), 1):
        axes.axis("off")
        if case is not None:
            axes.imshow(case["inputs"], cmap="gray_r")
            said = f"{number}: {case['output']}" + ("" if case["right"] else f", not {case['target']}")
            axes.set_title(said, color="black" if case["right"] else "tab:red", fontsize="medium")
    return figure
