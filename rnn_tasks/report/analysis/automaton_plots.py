"""Figures of what an adder does inside."""

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from rnn_tasks.report.analysis.automata import Automaton, Sums
from rnn_tasks.report.analysis.inspection import project_2d
from rnn_tasks.report.analysis.inspection_plots import WIDTH
from rnn_tasks.report.verdicts import percent
from rnn_tasks.runs.plots import COLORS, styled

SUMS = ("0+0", "0+1", "1+1")  # the two bits of a position, by how many are 1
RADIUS = 0.6  # of a state in a graph
RARE = 0.01  # share of the steps, below which one is not drawn


@styled
def carries(found: Sums, replicate: int = 0) -> Figure:
    """The states of an adder after every position of the test set, and the start, told apart by the carry."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    points, names = project_2d(found.states[replicate][found.real])
    carry, start = found.carries[found.real], points[0]
    axes.set_axisbelow(True)
    for value, marker, face in ((0, "o", COLORS[0]), (1, "^", "none")):
        own = points[carry == value].T
        style = {"edgecolors": COLORS[value], "linewidths": 0.7, "alpha": 0.5, "rasterized": True}
        axes.scatter(*own, 18, face, marker, **style, label=f"carry {value}")
    axes.plot(*start, "*", color="black", markersize=11, label="start")
    axes.set(xlabel=names[0], ylabel=names[1])
    figure.legend(loc="outside upper center", ncols=3)
    return figure


@styled
def automaton(found: Automaton) -> Figure:
    """The automaton: its states with the carry and their share of visits, its steps with the bits and the answer.

    One or two states are drawn as a graph, without steps that are rarer than one in a hundred; more as a table.
    """
    k, start = len(found.successor), found.start
    figure = Figure(figsize=(WIDTH, 2.7 if k <= 2 else 1 + 0.3 * k), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    title = f"{k} state{'s' * (k > 1)}: {percent(found.explained)} of steps explained"
    names = [f"carry {carry}\n{share:.0%}" for carry, share in zip(found.carries, found.visits, strict=True)]
    names[start] = f"start\n{names[start]}"
    if k > 2:
        axes.set_title(f"{title}\nits answer and next state for the bits of a position", fontsize="medium")
        names = [f"{number}: {name}".replace("\n", ", ") for number, name in enumerate(names, 1)]
        pairs = torch.stack((found.output, found.successor + 1), 2).tolist()
        cells = [[f"{bit}, to {to}" for bit, to in row] for row in pairs]
        axes.table(cells, rowLabels=names, colLabels=SUMS, bbox=(0.4, 0, 0.6, 1), cellLoc="center").set_fontsize(9)
        return figure
    axes.set_title(title, fontsize="medium")
    axes.set(aspect="equal", xlim=(-2.3, 2.3), ylim=(-0.75, 1.8))
    places = np.array([[-1.4, 0], [1.4, 0]] if k == 2 else [[0, 0]])
    often = found.counts.sum((2, 3)) >= RARE * found.counts.sum()
    for i, place in enumerate(places):
        axes.add_patch(Circle(place, RADIUS, fill=False, edgecolor=COLORS[0], linewidth=3 if i == start else 1))
        axes.text(*place, names[i], ha="center", va="center", fontsize=9)
        for j, other in enumerate(places):
            inputs = (often[i] & (found.successor[i] == j)).nonzero().flatten().tolist()
            if inputs:
                _arrow(axes, place, other, "\n".join(f"{SUMS[n]} → {found.output[i, n]}" for n in inputs))
    return figure


def _arrow(axes: Axes, place: np.ndarray, other: np.ndarray, text: str) -> None:
    """An arrow between states that stand side by side, bent to its left, or from a state to itself; with a label."""
    aside = np.sign(other[0] - place[0])
    tail, tip = ((0.9 * aside, 0.43 * aside), (-0.9 * aside, 0.43 * aside)) if aside else ((0.5, 0.87), (-0.5, 0.87))
    tail, tip = place + RADIUS * np.array(tail), other + RADIUS * np.array(tip)
    style = {"connectionstyle": f"arc3,rad={-0.3 if aside else 2.2}", "arrowstyle": "-|>", "mutation_scale": 11}
    axes.add_patch(FancyArrowPatch(tail, tip, color="black", **style))
    x, y = (tail + tip) / 2 + (0, 0.15 * aside * abs(tip[0] - tail[0]) if aside else 0.72)
    white = {"facecolor": "white", "linewidth": 0, "pad": 1}
    axes.text(x, y, text, ha="center", va="center" if aside else "bottom", fontsize=9, bbox=white)
