"""Figures of a run."""

from itertools import zip_longest
from statistics import mean
from typing import Any

from cycler import cycler
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rnn_tasks.training.intervals import summarize, wilson

MARKERS = "os^Dv*X"
BANDS = "means of the replicates; bands from the least to the greatest"
PANEL = (4.6, 3.4)  # inches
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
def curves(runs: dict[str, list[dict[str, Any]]], kinds: tuple[str, ...] = ("loss", "accuracy")) -> Figure:
    """Loss and accuracy over the epochs, for training and validation; of replicates mean, least and greatest.

    Args:
        runs: the histories of one or several runs, by their names.
        kinds: what to show, a panel each.
    """
    figure = Figure(figsize=(PANEL[0] * len(kinds), PANEL[1]), layout="constrained")
    if any(row["replicate"] for history in runs.values() for row in history):
        figure.suptitle(BANDS, fontsize="small")
    for axes, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for i, (name, history) in enumerate(runs.items()):
            for split, (label, color, line) in SPLITS.items():
                column, points = f"{split}_{kind}", {}
                for row in history:
                    if column in row:
                        points.setdefault(row["epoch"] + 1, []).append(row[column])
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


@styled
def by_length(runs: dict[str, dict[str, Any]], chance: float, trained: tuple[int, int]) -> Figure:
    """Test accuracy over the length of the sequences: of whole sequences, and dotted of single answers.

    Of replicates there are the mean and, for whole sequences, a band from the least to the greatest.

    Args:
        runs: the metrics at each length of one or several runs, by their names.
        chance: what guessing reaches, of single answers.
        trained: shortest and longest sequence in training, shaded.
    """
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    parts = any(v["accuracy"] != v["sequence_accuracy"] for metrics in runs.values() for v in metrics.values())
    lines = (("sequence_accuracy", "whole sequences", "-"), ("accuracy", "single answers", ":"))
    for i, (name, metrics) in enumerate(runs.items()):
        for kind, label, line in lines[: 1 + parts]:
            points = {int(length): [v for v in values[kind] if v is not None] for length, values in metrics.items()}
            style = {"linestyle": line, "color": COLORS[i], "marker": MARKERS[i], "markersize": 4}
            _line(axes, points, band=line == "-", label=f"{name} {label}".strip() if parts else name, **style)
    if any(len(values["accuracy"]) > 1 for metrics in runs.values() for values in metrics.values()):
        axes.set_title(BANDS, fontsize="medium")
    axes.axvspan(trained[0] - 0.5, trained[1] + 0.5, color="grey", alpha=0.12, linewidth=0, label="lengths in training")
    axes.axhline(
        chance, color="black", linestyle="--", linewidth=1, label="chance, single answers" if parts else "chance"
    )
    axes.set(xlabel="length", ylabel="test accuracy", ylim=(-0.03, 1.03))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside right center", fontsize="small")
    return figure


@styled
def by_number(key: str, lines: dict[str, dict[float, list[float | None]]]) -> Figure:
    """Test accuracy of whole sequences over a number that was swept, and how many replicates got all of them right.

    Means have 95 % intervals by metrics.interval, shares by metrics.wilson.

    Args:
        key: what was swept.
        lines: the replicates' accuracies at each value, by the names of the lines.
    """
    several = any(len(numbers) > 1 for points in lines.values() for numbers in points.values())
    figure = Figure(figsize=(9 if several else 5, 3.5), layout="constrained")
    panels = figure.subplots(1, 1 + several, squeeze=False)[0]
    for i, (name, points) in enumerate(lines.items()):
        told = [summarize(numbers) for numbers in points.values()]
        style = {"marker": MARKERS[i % 7], "linestyle": ("-", "--")[i % 2], "label": name}
        _errorbar(panels[0], points, [(one.mean, *one.within) for one in told], style)
        if several:
            shares = [(one.perfect / one.count, *wilson(one.perfect, one.count)) for one in told]
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
        panels[0].legend()
    return figure


def _errorbar(axes: Axes, points: dict[float, Any], found: list[tuple[float, float, float]], style: Any) -> None:
    below = [max(0, value - low) for value, low, _ in found]
    above = [max(0, high - value) for value, _, high in found]
    axes.errorbar(list(points), [value for value, *_ in found], (below, above), markersize=5, capsize=3, **style)


def _line(axes: Axes, points: dict[int, list[float]], color: str, band: bool = True, **style: Any) -> None:
    """The means of the numbers at each point, and a band from the least to the greatest."""
    axes.plot(list(points), [mean(numbers) for numbers in points.values()], color=color, **style)
    if band and any(len(numbers) > 1 for numbers in points.values()):
        low, high = [min(numbers) for numbers in points.values()], [max(numbers) for numbers in points.values()]
        axes.fill_between(list(points), low, high, color=color, alpha=0.15, linewidth=0)


@styled
def pictures(cases: list[dict[str, Any]]) -> Figure:
    """Cases that are pictures, each under its name or number, the answer and, where that is wrong, the truth."""
    columns = 5
    rows = -(-len(cases) // columns)
    figure = Figure(figsize=(9, 2.2 * rows), layout="constrained")
    for number, (axes, case) in enumerate(zip_longest(figure.subplots(rows, columns, squeeze=False).flat, cases), 1):
        axes.axis("off")
        if case is not None:
            axes.imshow(case["inputs"], cmap="gray_r")
            said = f"{case.get('name', number)}: {case['output']}" + (
                "" if case["right"] else f", not {case['target']}"
            )
            axes.set_title(said, color="black" if case["right"] else "tab:red", fontsize="medium")
    return figure
