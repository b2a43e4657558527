"""Figures of what an adder does inside."""

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.transforms import Bbox

from rnn_tasks.report.analysis.automata import Automaton, Trace
from rnn_tasks.report.analysis.inspection import principal_plane
from rnn_tasks.report.analysis.inspection_plots import WIDTH
from rnn_tasks.report.formatting import percent
from rnn_tasks.runs.plots import COLORS, styled

SUMS = ("0+0", "0+1", "1+1")  # the two bits of a position, by how many are 1
RADIUS = 0.6  # of a state in a graph
RARE = 0.01  # share of all steps, below which a step is not drawn


@styled
def carries(trace: Trace, replicate: int = 0) -> Figure:
    """Draw the states of an adder after every position of the test set, and the start, coloured by the carry."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    states = trace.states[replicate][trace.real]
    plane = principal_plane(states)
    points = plane.project(states)
    carry, start = trace.carries[trace.real], points[0].tolist()
    axes.set_axisbelow(True)
    for value, marker, face in ((0, "o", COLORS[0]), (1, "^", "none")):
        own = points[carry == value]
        style: dict[str, Any] = {"edgecolors": COLORS[value], "linewidths": 0.7, "alpha": 0.5, "rasterized": True}
        axes.scatter(own[:, 0], own[:, 1], 18, face, marker=marker, label=f"carry {value}", **style)
    axes.plot(*start, "*", color="black", markersize=11, label="start")
    axes.set(xlabel=plane.names[0], ylabel=plane.names[1])
    figure.legend(loc="outside upper center", ncols=3)
    return figure


@styled
def automaton(machine: Automaton) -> Figure:
    """Draw an automaton: its states with the carry and their share of visits, its steps with the bits and the answer.

    One or two states are drawn as a graph, without steps that are rarer than one in a hundred; more as a table.
    """
    k = len(machine.successor)
    figure = Figure(figsize=(WIDTH, 2.7 if k <= 2 else 1 + 0.3 * k), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    title = f"{k} state{'s' * (k > 1)}: {percent(machine.explained)} of steps explained"
    names = [f"carry {carry}\n{share:.0%}" for carry, share in zip(machine.carries, machine.visits, strict=True)]
    names[machine.start] = f"start\n{names[machine.start]}"
    if k > 2:
        axes.set_title(f"{title}\nits answer and next state for the bits of a position", fontsize="medium")
        _table(axes, machine, names)
    else:
        axes.set_title(title, fontsize="medium")
        _graph(axes, machine, names)
    return figure


def _table(axes: Axes, machine: Automaton, names: list[str]) -> None:
    """Draw a row for each state, a column for each input."""
    row_names = [f"{number}: {name}".replace("\n", ", ") for number, name in enumerate(names, 1)]
    pairs = torch.stack((machine.output, machine.successor + 1), 2).tolist()
    cells = [[f"{bit}, to {to}" for bit, to in row] for row in pairs]
    box = Bbox.from_bounds(0.4, 0, 0.6, 1)
    axes.table(cells, rowLabels=row_names, colLabels=SUMS, bbox=box, cellLoc="center").set_fontsize(9)


def _graph(axes: Axes, machine: Automaton, names: list[str]) -> None:
    """Draw a circle for each of at most two states, the start's line thick, and an arrow for each kind of step."""
    axes.set(aspect="equal", xlim=(-2.3, 2.3), ylim=(-0.75, 1.8))
    places = [(-1.4, 0.0), (1.4, 0.0)] if len(names) == 2 else [(0.0, 0.0)]
    frequent = machine.counts.sum((2, 3)) >= RARE * machine.counts.sum()
    for i, place in enumerate(places):
        width = 3 if i == machine.start else 1
        axes.add_patch(Circle(place, RADIUS, fill=False, edgecolor=COLORS[0], linewidth=width))
        axes.text(*place, names[i], ha="center", va="center", fontsize=9)
        for j, other in enumerate(places):
            inputs = (frequent[i] & (machine.successor[i] == j)).nonzero().flatten().tolist()
            if inputs:
                label = "\n".join(f"{SUMS[ones]} → {machine.output[i, ones]}" for ones in inputs)
                _arrow(axes, np.array(place), np.array(other), label)


def _arrow(axes: Axes, place: np.ndarray, other: np.ndarray, label: str) -> None:
    """Draw an arrow with a label between neighbouring states, bent to its left, or from a state to itself."""
    aside = np.sign(other[0] - place[0])
    ends = ((0.9 * aside, 0.43 * aside), (-0.9 * aside, 0.43 * aside)) if aside else ((0.5, 0.87), (-0.5, 0.87))
    tail, tip = place + RADIUS * np.array(ends[0]), other + RADIUS * np.array(ends[1])
    style: dict[str, Any] = {"connectionstyle": f"arc3,rad={-0.3 if aside else 2.2}", "arrowstyle": "-|>"}
    axes.add_patch(FancyArrowPatch(tuple(tail), tuple(tip), color="black", mutation_scale=11, **style))
    x, y = (tail + tip) / 2 + np.array((0, 0.15 * aside * abs(tip[0] - tail[0]) if aside else 0.72))
    white = {"facecolor": "white", "linewidth": 0, "pad": 1}
    axes.text(x, y, label, ha="center", va="center" if aside else "bottom", fontsize=9, bbox=white)
