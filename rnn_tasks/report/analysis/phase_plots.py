"""Figures of networks as dynamical systems: phase portraits, fixed points and their eigenvalues."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from rnn_tasks.report.analysis.dynamics import Dynamics
from rnn_tasks.report.analysis.fixed_points import KINDS, Points, settle
from rnn_tasks.report.analysis.portraits import NOWHERE, Field, basins, field, limits_of, view_of
from rnn_tasks.runs.plots import COLORS, styled

COLUMNS, SMALL_COLUMNS = 4, 8  # panels in a row
MOST_PANELS = 64  # of a grid with all replicates
EDGE = 1.15  # of a map of outputs, which lie between -1 and 1
SHOWN, PATHS, PATH_STEPS = 600, 24, 40  # visited states, trajectories under a constant input, their steps
ARROWS = 15  # of a side of a field
HUES = np.array([to_rgb(color) for color in (*COLORS[:6], "#999933", "#882255")])
SHADES = 0.35 * HUES + 0.65  # of the basins of stable points with these colours
NONE_SHADE = np.array((0.88, 0.88, 0.88))
MARKS = {"stable": "o", "saddle": "X", "unstable": "s", "slow": "d"}


class Inside(NamedTuple):
    """What is known of one network.

    Attributes:
        name: of its panel.
        dynamics: its map.
        visited: [M, S], states that it went through.
        inputs: [A, D], the constant inputs.
        input_names: of these.
        points: under each of them.
    """

    name: str
    dynamics: Dynamics
    visited: Tensor
    inputs: Tensor
    input_names: Sequence[str]
    points: Sequence[Points]


def input_colors(count: int) -> Any:
    """Return a colour for each of ``count`` inputs, [count, 3]."""
    if count <= len(COLORS):
        return np.array([to_rgb(color) for color in COLORS[:count]])
    return colormaps["tab20"](np.arange(count) % 20)[:, :3]


@styled
def portraits(inside: Inside) -> Figure:
    """Draw the phase portrait of one network, a panel for each constant input.

    In grey the states that it went through. Where the plane holds all states, arrows show the next step and colours the
    basin of each stable point; elsewhere lines show what becomes of states half-way between two visited ones.
    """
    count = len(inside.inputs)
    rows, columns, side = -(-count // COLUMNS), min(count, COLUMNS), 2.9 if count > 1 else 4.2
    figure = Figure(figsize=(0.8 + side * columns, 0.9 + side * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    draw = _map_panel if inside.dynamics.size == 1 else _plane_panel
    for number, axes in enumerate(panels.flat):
        axes.set_visible(number < count)
        if number < count:
            axes.set_title(f"input {inside.input_names[number]}", fontsize=9)
            draw(axes, inside, number)
    if inside.dynamics.size == 1:
        figure.supxlabel("output h before a step", fontsize=9)
        figure.supylabel("h after it", fontsize=9)
    else:
        names = view_of(inside.dynamics, inside.visited).plane.names
        figure.supxlabel(names[0], fontsize=9)
        figure.supylabel(names[1], fontsize=9)
    _legend(figure, [kind for kind in KINDS if any(kind in points.kinds for points in inside.points)])
    return figure


def _legend(
    figure: Figure,
    kinds: Sequence[str],
    colors: Sequence[tuple[str, Any]] = (),
    place: Any = "outside upper center",
) -> None:
    """Add a legend of the kinds of points and of colours."""
    style: dict[str, Any] = {"linestyle": "", "markeredgecolor": "black", "markersize": 7}
    handles = [Line2D([], [], marker=MARKS[kind], color=_face(kind, "grey"), label=kind, **style) for kind in kinds]
    handles += [Line2D([], [], color=color, linewidth=4, label=name) for name, color in colors]
    rows = -(-len(handles) // max(1, int(1.05 * figure.get_figwidth())))
    columns = -(-len(handles) // rows)  # in rows of about the same length
    figure.legend(handles=handles, loc=place, ncols=columns, fontsize=8)


def _face(kind: str, color: Any) -> Any:
    return "white" if kind == "unstable" else color


def _mark(axes: Axes, kinds: Sequence[str], places: Tensor, colors: Any, size: float) -> None:
    """Draw points [P, 2], a marker for each kind, each with its colour."""
    for kind in sorted(set(kinds), key=KINDS.index, reverse=True):
        own = [number for number, each in enumerate(kinds) if each == kind]
        style: dict[str, Any] = {"edgecolors": "black", "linewidths": 0.6, "zorder": 4, "clip_on": False}
        scale = {"slow": 0.5, "stable": 1.3}.get(kind, 1.0)
        faces = [_face(kind, colors[number]) for number in own]
        axes.scatter(places[own, 0], places[own, 1], size * scale, faces, marker=MARKS[kind], **style)


def _plane_panel(axes: Axes, inside: Inside, number: int) -> None:
    """Draw the states of a network in a plane under one input."""
    view, points, inputs = view_of(inside.dynamics, inside.visited), inside.points[number], inside.inputs[number]
    seen = view.plane.project(inside.visited)
    limits = limits_of(torch.cat((seen, *(view.plane.project(each.states) for each in inside.points))))
    axes.set(xlim=limits[:, 0].tolist(), ylim=limits[:, 1].tolist())
    if view.whole:
        _draw_field(axes, field(inside.dynamics, view, limits, inputs, points))
    else:
        starts = (inside.visited[:PATHS] + inside.visited[PATHS : 2 * PATHS]) / 2
        paths = inside.dynamics.trajectories(inputs.expand(len(starts), PATH_STEPS, -1), starts[None])[0]
        for path in view.plane.project(paths):
            axes.plot(*path.T, color=COLORS[0], linewidth=0.7, alpha=0.7)
            axes.plot(*path[0], ".", color=COLORS[0], markersize=4)
    axes.scatter(seen[:SHOWN, 0], seen[:SHOWN, 1], 5, "#444444", alpha=0.5, linewidths=0, rasterized=True)
    _mark(axes, points.kinds, view.plane.project(points.states), _colors(points), 45)


def _colors(points: Points) -> list[Any]:
    """Return the colours of points: of the stable ones, which come first, different ones; of others black."""
    return [HUES[number % len(HUES)] if kind == "stable" else (0, 0, 0) for number, kind in enumerate(points.kinds)]


def _draw_field(axes: Axes, shown: Field) -> None:
    (left, bottom), (right, top) = shown.places[0, 0].tolist(), shown.places[-1, -1].tolist()
    axes.grid(False)
    axes.imshow(
        _shades(shown.basins), origin="lower", extent=(left, right, bottom, top), aspect="auto", interpolation="nearest"
    )
    every = len(shown.places) // ARROWS
    places, moves = (part[every // 2 :: every, every // 2 :: every] for part in (shown.places, shown.moves))
    lengths = moves.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    scaled = moves / lengths * (lengths / lengths.max()).sqrt()  # short steps stay visible
    style: dict[str, Any] = {"color": "#444444", "scale": 1.1 * ARROWS, "width": 0.005, "zorder": 3}
    axes.quiver(*places.unbind(-1), *scaled.unbind(-1), **style)


def _map_panel(axes: Axes, inside: Inside, number: int) -> None:
    """Draw the map of a network with one number of a state under one input; basins are shaded."""
    points, (places, after) = inside.points[number], _map(inside, number)
    ends = settle(inside.dynamics, places[None, :, None], inside.inputs[number])[0]
    limits = torch.tensor([[-EDGE], [EDGE]])
    shades = _shades(basins(ends, points, limits))
    axes.grid(False)
    axes.imshow(shades[None], extent=(-EDGE, EDGE, -EDGE, EDGE), aspect="auto", interpolation="nearest")
    axes.plot(places, places, color="grey", linewidth=0.8, linestyle="--")
    axes.plot(places, after, color="black", linewidth=1.5)
    seen = inside.visited[:SHOWN, 0]
    axes.scatter(seen, torch.full_like(seen, -1.08), 4, "#444444", alpha=0.4, linewidths=0)
    _mark(axes, points.kinds, points.states.expand(-1, 2), _colors(points), 45)


def _shades(numbers: Tensor) -> np.ndarray:
    """Return the colour of each basin by its number: [...] -> [..., 3]."""
    colors = SHADES[numbers % len(SHADES)]
    colors[numbers == NOWHERE] = NONE_SHADE
    return colors


def _map(inside: Inside, number: int) -> tuple[Tensor, Tensor]:
    """Return outputs from -1 to 1 and those after a step, [G] each."""
    places = torch.linspace(-EDGE, EDGE, 200).double()
    return places, inside.dynamics.step(places[None, :, None], inside.inputs[number])[0, :, 0]


@styled
def all_replicates(networks: Sequence[Inside]) -> Figure:
    """Draw a small panel for each of many networks: visited states in grey, points of all inputs by their colours."""
    networks = networks[:MOST_PANELS]
    rows, columns = -(-len(networks) // SMALL_COLUMNS), min(len(networks), SMALL_COLUMNS)
    width, height = 0.2 + 1.35 * max(columns, 5), 0.55 + 1.5 * rows
    figure = Figure(figsize=(width, height))
    place = {"left": 0.1 / width, "right": 1 - 0.1 / width, "bottom": 0.1 / height, "top": 1 - 0.6 / height}
    panels = figure.subplots(rows, columns, squeeze=False, gridspec_kw=place | {"hspace": 0.2, "wspace": 0.08})
    colors = input_colors(len(networks[0].inputs))
    for number, axes in enumerate(panels.flat):
        axes.set_visible(number < len(networks))
        axes.set(xticks=[], yticks=[])
        if number < len(networks):
            _small_panel(axes, networks[number], colors)
    kinds = [kind for kind in KINDS if any(kind in points.kinds for each in networks for points in each.points)]
    names = [f"input {name}" for name in networks[0].input_names]
    _legend(figure, kinds, list(zip(names, colors, strict=True)), "upper center")
    return figure


def _small_panel(axes: Axes, inside: Inside, colors: Any) -> None:
    axes.grid(False)
    axes.set_title(inside.name, fontsize=8)
    kinds = [kind for points in inside.points for kind in points.kinds]
    own = [color for color, points in zip(colors, inside.points, strict=True) for _ in points.kinds]
    states = torch.cat([points.states for points in inside.points])
    if inside.dynamics.size == 1:
        for number, color in enumerate(colors):
            axes.plot(*_map(inside, number), color=color, linewidth=1)
        axes.plot((-1.1, 1.1), (-1.1, 1.1), color="grey", linewidth=0.6, linestyle="--")
        return _mark(axes, kinds, states.expand(-1, 2), own, 22)
    plane = view_of(inside.dynamics, inside.visited).plane
    seen = plane.project(inside.visited[: SHOWN // 2])
    axes.scatter(seen[:, 0], seen[:, 1], 2, "#999999", alpha=0.5, linewidths=0, rasterized=True)
    return _mark(axes, kinds, plane.project(states), own, 22)


@styled
def eigenvalues(inside: Inside) -> Figure:
    """Draw the eigenvalues of the Jacobian matrices at the fixed points of one network, and the unit circle."""
    figure = Figure(figsize=(4.6, 3.6), layout="constrained")
    axes = figure.subplots()
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.cos(turn), np.sin(turn), color="grey", linewidth=0.8)
    colors = input_colors(len(inside.inputs))
    for kind in reversed(KINDS):
        for points, color in zip(inside.points, colors, strict=True):
            values = points.eigenvalues[[each == kind for each in points.kinds]].flatten()
            style: dict[str, Any] = {"edgecolors": [color], "linewidths": 0.9, "alpha": 0.8}
            face = "none" if kind in ("stable", "unstable") else [color]
            axes.scatter(values.real, values.imag, 22, face, marker={"stable": "o"}.get(kind, MARKS[kind]), **style)
    axes.set(aspect="equal", xlabel="real part", ylabel="imaginary part")
    kinds = [kind for kind in KINDS if any(kind in points.kinds for points in inside.points)]
    _legend(figure, kinds, list(zip((f"input {name}" for name in inside.input_names), colors, strict=True)))
    return figure
