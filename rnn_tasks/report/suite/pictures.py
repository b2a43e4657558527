"""The picture of the suite: how long networks stay right, a panel for each task."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from rnn_tasks.report.suite.entries import Entry
from rnn_tasks.runs.plots import COLORS, save, styled
from rnn_tasks.training.lengths import survival

COLUMNS, PANEL = 4, (2.9, 1.9)  # inches
LINES = ("-", "--", ":")


def survival_grid(rows: Sequence[Entry], file: Path) -> None:
    """Write the share of networks that make no error at a length and at all shorter ones, as PNG.

    Args:
        rows: of the table; those of a task share a panel. Tasks with a single tested length are left out.
        file: the picture.
    """
    tasks: dict[str, list[Entry]] = {}
    for entry in rows:
        if len(entry.beyond) > 1:
            tasks.setdefault(f"{entry.experiment} {entry.task}", []).append(entry)
    if tasks:
        save(_grid(list(tasks.values())), file)


@styled
def _grid(tasks: Sequence[Sequence[Entry]]) -> Figure:
    height = ceil(len(tasks) / COLUMNS)
    figure = Figure(figsize=(COLUMNS * PANEL[0], height * PANEL[1] + 0.6), layout="constrained")
    panels = figure.subplots(height, COLUMNS, squeeze=False, sharey=True).flatten()
    for axes, own in zip(panels, tasks, strict=False):
        for number, entry in enumerate(own):
            curve = survival(entry.beyond)
            style = {"color": COLORS[number % len(COLORS)], "linestyle": LINES[number % len(LINES)]}
            axes.plot(curve.lengths, curve.shares, drawstyle="steps-post", label=entry.cell, linewidth=1.8, **style)
        axes.set_title(own[0].task, fontsize="small")
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.tick_params(labelsize="small")
    for axes in panels[len(tasks) :]:
        axes.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    figure.supxlabel("length of the sequences", fontsize="medium")
    figure.supylabel("networks without an error up to this length", fontsize="medium")
    return figure
