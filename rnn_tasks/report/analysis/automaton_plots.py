"""Figures of the automata that networks run, and of their states by those of the rule."""

from math import cos, pi, sin
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from torch import Tensor

from rnn_tasks.report.analysis.automata import Extracted, Trace
from rnn_tasks.report.analysis.inspection import principal_plane
from rnn_tasks.report.analysis.inspection_plots import WIDTH
from rnn_tasks.report.analysis.languages import short
from rnn_tasks.report.formatting import percent
from rnn_tasks.runs.plots import COLORS, MARKERS, literal, styled
from rnn_tasks.tasks.automata import NONE, Automaton

RADIUS = 0.6  # of a state in a graph
RARE = 0.01  # share of all steps, below which a step is not drawn
MOST_STATES, MOST_ARROWS = 6, 14  # of a graph; a larger automaton is drawn as a table
MOST_CELLS = 700  # of a table
LISTED = 4  # symbols in a label of an arrow


@styled
def rule_states(trace: Trace, noun: str, replicate: int = 0) -> Figure:
    """Draw the states of a network after every step, and the start, coloured by the state of the rule.

    Args:
        trace: of the network.
        noun: what the state of the rule is, such as "carry".
        replicate: number of the network in the trace.
    """
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    states = trace.states[replicate][trace.real]
    plane = principal_plane(states)
    points, rules = plane.project(states), trace.rule_states[trace.real]
    axes.set_axisbelow(True)
    for number, value in enumerate(rules.unique().tolist()):
        own, color = points[rules == value], COLORS[number % len(COLORS)]
        face = color if number % 2 == 0 else "none"
        style: dict[str, Any] = {"edgecolors": color, "linewidths": 0.7, "alpha": 0.5, "rasterized": True}
        axes.scatter(own[:, 0], own[:, 1], 18, face, marker=MARKERS[number % 7], label=f"{noun} {value}", **style)
    axes.plot(*points[0].tolist(), "*", color="black", markersize=11, label="start")
    axes.set(xlabel=plane.names[0], ylabel=plane.names[1])
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def extracted(found: Extracted, answer_names: list[str], noun: str) -> Figure:
    """Draw an automaton extracted from a network, its states with that of the rule and their share of visits.

    Steps that are rarer than one in a hundred are left out of a graph.

    Args:
        found: the automaton.
        answer_names: of its answers.
        noun: what the state of the rule is, such as "carry".
    """
    count = len(found.visits)
    title = f"{count} state{'s' * (count > 1)}: {percent(found.explained)} of steps explained"
    names = [f"{noun} {rule}\n{share:.0%}" for rule, share in zip(found.rule_states, found.visits, strict=True)]
    frequent = found.counts >= RARE * found.counts.sum()
    return automaton(found.machine, names, answer_names, title, frequent)


@styled
def automaton(
    machine: Automaton, names: list[str], answer_names: list[str], title: str, drawn: Tensor | None = None
) -> Figure:
    """Draw an automaton: as a graph if it is small, else as a table.

    Args:
        machine: the automaton.
        names: of its states.
        answer_names: of its answers.
        title: of the figure.
        drawn: [S, A], the steps that are drawn in a graph; None for all.
    """
    names = [f"start\n{name}" if state == machine.start else name for state, name in enumerate(names)]
    arrows = _arrows(machine, answer_names, machine.possible if drawn is None else drawn & machine.possible)
    if len(names) <= MOST_STATES and len(arrows) <= MOST_ARROWS:
        return _graph(machine, names, arrows, title)
    return _table(machine, names, answer_names, title)


def _arrows(machine: Automaton, answer_names: list[str], drawn: Tensor) -> dict[tuple[int, int], str]:
    """Return the label of the arrow from each state to each other: the symbols and the answer after them."""
    symbols: dict[tuple[int, int], dict[int, list[str]]] = {}
    for state, number in drawn.nonzero().tolist():
        answers = symbols.setdefault((state, int(machine.next_states[state, number])), {})
        answers.setdefault(int(machine.outputs[state, number]), []).append(_label(machine.alphabet[number]))
    return {
        ends: "\n".join(
            _list(own) + ("" if answer == NONE else f" → {_label(answer_names[answer])}") for answer, own in each
        )
        for ends, answers in symbols.items()
        for each in [sorted(answers.items())]
    }


def _label(name: str) -> str:
    return literal(short(name))


def _list(symbols: list[str]) -> str:
    more = [f"… ({len(symbols)})"] if len(symbols) > LISTED else []
    return ", ".join([*symbols[: LISTED - len(more)], *more])


def _graph(machine: Automaton, names: list[str], arrows: dict[tuple[int, int], str], title: str) -> Figure:
    """Draw a circle for each state, the start's line thick, and an arrow for all steps from one state to another."""
    count = len(names)
    size = {1: 0.0, 2: 1.4}.get(count, 1.0 + 0.32 * count)
    turns = [pi * (1 - 2 * number / count) for number in range(count)]
    places = [size * np.array((cos(turn), sin(turn))) for turn in turns]
    low, high = (-0.75, 1.8) if count <= 2 else (-size - 1.7, size + 1.7)
    wide = 2.3 if count <= 2 else size + 2.2
    figure = Figure(
        figsize=(WIDTH, 2.7 if count <= 2 else WIDTH * (high - low) / (2 * wide) + 0.3), layout="constrained"
    )
    axes = figure.subplots()
    axes.axis("off")
    axes.set_title(title, fontsize="medium")
    axes.set(aspect="equal", xlim=(-wide, wide), ylim=(low, high))
    font = 9 if count <= 2 else 7
    for number, place in enumerate(places):
        width = 3 if number == machine.start else 1
        axes.add_patch(Circle(tuple(place), RADIUS, fill=False, edgecolor=COLORS[0], linewidth=width))
        axes.text(place[0], place[1], names[number], ha="center", va="center", fontsize=font)
    for (tail, tip), label in arrows.items():
        outwards = np.array((0.0, 1.0)) if count <= 2 else places[tail] / size
        _arrow(axes, places[tail], places[tip], label, outwards, font)
    return figure


def _arrow(axes: Axes, tail: np.ndarray, tip: np.ndarray, label: str, outwards: np.ndarray, font: float) -> None:
    """Draw an arrow with a label between two states, bent to its left, or outwards from a state to itself."""
    loop = bool((tail == tip).all())
    along = np.array((-outwards[1], outwards[0])) if loop else (tip - tail) / np.linalg.norm(tip - tail)
    left = outwards if loop else np.array((-along[1], along[0]))
    begin, end = ((-0.5, 0.87), (0.5, 0.87)) if loop else ((0.9, 0.43), (-0.9, 0.43))
    first, last = (place + RADIUS * (x * along + y * left) for place, (x, y) in ((tail, begin), (tip, end)))
    bend = 2.2 if loop else -0.3
    style: dict[str, Any] = {"connectionstyle": f"arc3,rad={bend}", "arrowstyle": "-|>"}
    axes.add_patch(FancyArrowPatch(tuple(first), tuple(last), color="black", mutation_scale=11, **style))
    x, y = (first + last) / 2 + left * (0.78 if loop else 0.15 * float(np.linalg.norm(last - first)))
    white = {"facecolor": "white", "linewidth": 0, "pad": 1}
    beside = [("center", "bottom"), ("left", "center"), ("center", "top"), ("right", "center")]
    turn = round(float(np.arctan2(left[0], left[1])) / (pi / 2)) % 4 if loop else None
    align = ("center", "center") if turn is None else beside[turn]
    axes.text(x, y, label, ha=align[0], va=align[1], fontsize=font, bbox=white)


def _table(machine: Automaton, names: list[str], answer_names: list[str], title: str) -> Figure:
    """Draw a row for each state, a column for each symbol, and in each cell the answer and the next state."""
    count, symbols = machine.next_states.shape
    figure = Figure(figsize=(max(WIDTH, 1.6 + 0.5 * symbols), 1.1 + 0.34 * count), layout="constrained")
    axes = figure.subplots()
    axes.set_title(f"{title}\nin each cell the answer, and the next state", fontsize="medium")
    axes.grid(False)
    shades = colormaps["tab20"](np.arange(20))[:, :3] * 0.4 + 0.6
    axes.imshow(
        np.where((machine.next_states == NONE).numpy()[..., None], 1, shades[machine.next_states % 20]), aspect="auto"
    )
    rows = [f"{number}: {name}".replace("\n", ", ") for number, name in enumerate(names)]
    axes.set_yticks(range(count), rows, fontsize=8)
    axes.set_xticks(range(symbols), map(_label, machine.alphabet), fontsize=8, rotation=90 if symbols > 14 else 0)
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for row, column in machine.possible.nonzero().tolist():
        answer, after = int(machine.outputs[row, column]), int(machine.next_states[row, column])
        text = ("" if answer == NONE else _label(answer_names[answer])) + f" → {after}"
        axes.text(column, row, text.strip(), ha="center", va="center", fontsize=6.5)
    return figure


def can_be_drawn(machine: Automaton) -> bool:
    """Return whether an automaton is small enough for a figure."""
    return int(torch.tensor(machine.next_states.shape).prod()) <= MOST_CELLS
