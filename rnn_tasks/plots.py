"""Figures of a run."""

from itertools import zip_longest
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

STYLE = {"train": ("training", "tab:blue"), "val": ("validation", "tab:orange")}


def curves(history: list[dict[str, Any]]) -> Figure:
    """Loss and accuracy over the epochs, for training and validation."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for split, (label, color) in STYLE.items():
            points = [(row["epoch"] + 1, row[f"{split}_{kind}"]) for row in history if f"{split}_{kind}" in row]
            if not points:
                continue
            axes.plot(*zip(*points, strict=True), label=label, color=color, marker="." if len(points) < 50 else None)
        axes.set(xlabel="epoch", ylabel=kind, xlim=(0, len(history) + 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
        if kind == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def by_length(runs: dict[str, dict[str, Any]], chance: float) -> Figure:
    """Test accuracy over the length of the sequences: of whole sequences, and dashed of single answers.

    Args:
        runs: the metrics at each length of one or several runs, by their names.
        chance: what guessing reaches, of single answers.
    """
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.subplots()
    for i, (name, metrics) in enumerate(runs.items()):
        lengths = [int(length) for length in metrics]
        for kind, label, line in (("sequence_accuracy", "whole sequences", "-"), ("accuracy", "single answers", "--")):
            shares = [values[kind][0] for values in metrics.values()]
            axes.plot(lengths, shares, line, color=f"C{i}", marker=".", label=f"{name} {label}".strip())
    axes.axhline(chance, color="grey", linestyle=":", label="single answers, chance")
    axes.set(xlabel="length", ylabel="test accuracy", ylim=(-0.03, 1.03))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right center", fontsize="small")
    return figure


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
