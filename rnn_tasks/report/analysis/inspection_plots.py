"""Figures of what finished networks do inside; those of an adder's automaton are in automaton_plots.py."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from rnn_tasks.report.analysis.inspection import Answered, Retention
from rnn_tasks.runs.plots import COLORS, PANEL, Picture, image_grid, styled

WIDTH = PANEL[0]
MOST_ROWS = 30  # of units with room of their own
WIDEST, LETTER = 11.0, 0.065  # inches: of a figure, and of a letter below a step
DIGITS = colormaps["tab10"](range(10))  # [10, RGBA]
DISC = {"boxstyle": "circle,pad=0.1", "facecolor": "white", "linewidth": 0.5}


def list_gates(lstm: dict[str, Tensor], digits: list[int], k: int) -> Figure:
    """Draw the gates, cell states and outputs of an LSTM, of one replicate and one list.

    Args:
        lstm: its gates, each [1, 1, T, H].
        digits: of the list.
        k: number of the digit that is to be remembered.
    """
    label = f"digits, step by step; framed: number {k}, to be remembered"
    figure = gates({name: values[0, 0] for name, values in lstm.items()}, list(map(str, digits)), label)
    for axes in figure.axes[: len(lstm)]:
        units = next(iter(lstm.values())).shape[-1]
        frame = Rectangle((k - 1.5, -0.5), 1, units, fill=False, edgecolor=COLORS[1], linewidth=2, clip_on=False)
        axes.add_patch(frame)
    return figure


@styled
def gates(values: dict[str, Tensor], steps: list[str], label: str) -> Figure:
    """Draw the gates, states and outputs of one network over one sequence.

    Args:
        values: by their names, each [T, H]; a gate lies between 0 and 1, an output between -1 and 1.
        steps: what stands below each step.
        label: what that is.
    """
    units = next(iter(values.values())).shape[-1]
    height = 1.2 + len(values) * (0.35 + 0.11 * min(units, MOST_ROWS))
    letters = len(steps) * (1 + max(len(line) for step in steps for line in step.split("\n")))
    width = min(WIDEST, max(WIDTH, 1 + LETTER * letters))
    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(len(values), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (title, numbers) in zip(panels, values.items(), strict=True):
        limit = 1.0 if title == "output" else float(numbers.abs().max())
        _heatmap(axes, numbers, (0, 1) if title.endswith("gate") else (-limit, limit), title)
    every = int(-(-LETTER * letters // (width - 1)))
    panels[-1].set_xticks(range(0, len(steps), every), steps[::every], fontsize=8)
    panels[-1].set_xlabel(label)
    return figure


def _heatmap(axes: Axes, values: Tensor, limits: tuple[float, float], title: str) -> None:
    """Values [T, H] with the steps on x and the units on y, and their colours."""
    image = axes.imshow(values.T, "cividis", vmin=limits[0], vmax=limits[1], aspect="auto")  # brighter is more
    units = range(0, values.shape[1], 1 if values.shape[1] <= 5 else 3 * -(-values.shape[1] // MOST_ROWS))
    axes.set_yticks(units, [str(unit + 1) for unit in units])
    axes.grid(False)
    axes.set_title(title, fontsize=9)
    axes.set_ylabel("unit", fontsize=8)
    ticks = [limits[0], sum(limits) / 2, limits[1]]
    bar = axes.figure.colorbar(image, ax=axes, pad=0.02, ticks=ticks, format="{x:.2g}")
    for scale in (axes, bar.ax):
        scale.tick_params(labelsize=8)


@styled
def retention(retained: Retention, k: int) -> Figure:
    """Plot where the k-th digit is stored, unit by unit, and how well it can be read from the state at each step."""
    units = retained.cell.shape[1]
    figure = Figure(figsize=(WIDTH, 2.2 + 2 * (0.35 + 0.14 * units)), layout="constrained")
    *maps, axes = figure.subplots(3, 1, sharex=True, height_ratios=(units + 4, units + 4, 10))
    for panel, values, name in zip(maps, (retained.hidden, retained.cell), ("output", "cell state"), strict=True):
        _heatmap(panel, values, (0, 1), f"{name}: share of variance that the digit explains")
    axes.plot([np.nan if share is None else share for share in retained.probe_accuracy], "o-")
    axes.axhline(0.1, color="grey", linestyle=":")
    axes.set_title("linear classifier from the state to the digit (dotted: chance)", fontsize=9)
    axes.set(ylim=(0, 1.08), yticks=(0, 0.5, 1), xlabel="step of the list")
    axes.set_ylabel("accuracy", fontsize=8)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    steps = len(retained.probe_accuracy)
    axes.set_xticks(range(steps), [str(k + step) for step in range(steps)])
    axes.tick_params(labelsize=8)
    return figure


@styled
def digit_plane(
    points: Tensor, digits: Tensor, names: tuple[str, str], head: tuple[Tensor, Tensor] | None = None
) -> Figure:
    """Plot states of two numbers, each drawn as the digit that is to be remembered, and the mean of each digit.

    Args:
        points: [N, 2], the states.
        digits: [N].
        names: of the axes.
        head: weight [C, 2] and bias [C] of the output layer, to shade the region of each answer.
    """
    figure = Figure(figsize=(WIDTH, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.grid(False)
    margin = 0.06 * (points.amax(0) - points.amin(0))
    (left, bottom), (right, top) = (points.amin(0) - margin).tolist(), (points.amax(0) + margin).tolist()
    axes.set(xlabel=names[0], ylabel=names[1], xlim=(left, right), ylim=(bottom, top))
    if head is not None:
        place = np.stack(np.meshgrid(np.linspace(left, right, 300), np.linspace(bottom, top, 300)), -1)
        answers = (place @ head[0].detach().numpy().T + head[1].detach().numpy()).argmax(-1)
        for digit in np.unique(answers):
            region = digit == answers
            axes.contourf(*place.T, region.T, [0.5, 1.5], colors=[DIGITS[digit]], alpha=0.2)
            axes.contour(*place.T, region.T, [0.5], colors="grey", linewidths=0.6)
            x, y = place[region].mean(0)
            axes.text(x, y, digit, ha="center", va="center", fontsize=24, alpha=0.35)
    for digit in digits.unique().tolist():
        own = points[digits == digit]
        style: dict[str, Any] = {"color": DIGITS[digit], "alpha": 0.8, "linewidths": 0, "rasterized": True}
        axes.scatter(own[:, 0], own[:, 1], 30, marker=f"${digit}$", **style)
        x, y = own.mean(0).tolist()
        axes.text(x, y, digit, ha="center", va="center", bbox=DISC)
    return figure


@styled
def prefix_predictions(images: Tensor, probabilities: Tensor, truth: Sequence[int]) -> Figure:
    """Plot images, and beside each row the probabilities of the classes if the image ended there.

    A class whose probability exceeds 50 % after some row has a labelled line, the others are grey.

    Args:
        images: [N, 28, 28].
        probabilities: [N, 28, C].
        truth: [N].
    """
    figure = Figure(figsize=(WIDTH, 0.4 + 1.9 * len(images)), layout="constrained")
    panels = figure.subplots(len(images), 2, squeeze=False, width_ratios=(1, 1.5), sharey=True)
    rows = np.arange(1, images.shape[1] + 1)
    for (shown, axes), image, lines, digit in zip(panels, images, probabilities.mT.numpy(), truth, strict=True):
        shown.imshow(image, "gray_r", extent=(0.5, 28.5, 28.5, 0.5), aspect="auto")
        shown.set(xticks=[], ylabel="row", title=f"a {digit}")
        shown.grid(False)
        for label, line in enumerate(lines):
            if line.max() <= 0.5:
                axes.plot(line, rows, color="0.8", zorder=1)
                continue
            axes.plot(line, rows, color=DIGITS[label], linestyle=("-", "--", "-.", ":")[label % 4])
            at = int(np.median(np.flatnonzero(line >= 0.95 * line.max())))
            axes.text(line[at], rows[at], label, ha="center", va="center", fontsize=9, bbox=DISC)
        axes.set(xlim=(0, 1.08), ylim=(28.5, 0.5), xticks=(0, 0.5, 1))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("probability after the row")
    return figure


@styled
def confusion(counts: Tensor) -> Figure:
    """Draw a confusion matrix [10, 10] of digits, the mistakes coloured."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.subplots()
    mistakes = counts.numpy() * (1 - np.eye(len(counts)))
    axes.imshow(np.ma.masked_equal(mistakes, 0), "Oranges", vmin=0, vmax=max(1.6 * mistakes.max(), 1))
    for (i, j), count in np.ndenumerate(counts.numpy()):
        if i == j:
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor="0.88", linewidth=0))
        if count:
            axes.text(j, i, count, ha="center", va="center", fontsize=8, color="0.4" if i == j else "black")
    axes.set(xticks=range(10), yticks=range(10), xlabel="answer of the network", ylabel="digit shown")
    axes.grid(False)
    return figure


def answered_images(answered: Answered, which: Tensor) -> Figure:
    """Draw some of the images, four a row, each with the answer, its probability and, if that is wrong, the truth.

    Args:
        answered: images and answers.
        which: indices of those to be shown.
    """
    pictures = []
    for i in which.tolist():
        answer, truth = int(answered.answers[i]), int(answered.batch.targets[i])
        title = f"{answer} ({answered.confidences[i]:.1%})" + ("" if answer == truth else f"\ntruth: {truth}")
        pictures.append(Picture(answered.batch.inputs[i], title, answer == truth))
    return image_grid(pictures, columns=4, width=WIDTH, row_height=1.45)
