"""Phase portraits of one network: its plane of states, where each state goes under a constant input, and where it ends.

Axes: S numbers of a state, M visited states, G points of a side of the grid, P fixed points.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rnn_tasks.report.analysis.dynamics import Dynamics
from rnn_tasks.report.analysis.fixed_points import Points, settle
from rnn_tasks.report.analysis.inspection import Plane, principal_plane

GRID, MARGIN = 90, 0.15  # points of a side, and how much wider it is than the visited states
REACHED = 0.02  # distance from a stable point at which a state counts as arrived, as a share of the grid's side
NOWHERE = -1


class View(NamedTuple):
    """How the states of a network are drawn.

    Attributes:
        plane: two axes.
        gates: [S - 2], of a view of cell states: what the outputs are, as multiples of tanh c; None for other views.
        whole: whether each point of the plane is a state, so that fields and basins can be drawn in it.
    """

    plane: Plane
    gates: Tensor | None
    whole: bool

    def lift(self, points: Tensor) -> Tensor:
        """Return the states that points of the plane stand for: [..., 2] -> [..., S]."""
        if self.gates is None:
            return points
        return torch.cat((self.gates * points.tanh(), points), -1)


def view_of(dynamics: Dynamics, visited: Tensor) -> View:
    """Return how the states of a network are drawn, which has two numbers of a state or more.

    Two numbers are drawn as they are: the two units of an RNN or GRU, or output and cell state of an LSTM's one unit.
    Of an LSTM of two units the plane is that of the cell states; the outputs are h = o tanh c with the mean output gate
    o of the visited states. Otherwise the plane is that of the first two principal components.

    Args:
        dynamics: of one network.
        visited: [M, S].
    """
    lstm = dynamics.cell.name == "lstm" and dynamics.layers == 1
    if dynamics.size == 2:
        names = ["output h", "cell state c"] if dynamics.parts == 2 else ["unit 1", "unit 2"]
        return View(principal_plane(visited)._replace(names=names), None, True)
    if lstm and dynamics.width == 2:
        output, cell = visited[:, :2], visited[:, 2:]
        gates = (output * cell.tanh()).sum(0) / cell.tanh().square().sum(0)
        names = [f"cell state of unit {unit}" for unit in (1, 2)]
        axes = torch.eye(4, dtype=visited.dtype)[2:]
        return View(Plane(visited.new_zeros(4), axes, names), gates, True)
    return View(principal_plane(visited), None, False)


class Field(NamedTuple):
    """What a constant input does to the states of a plane.

    Attributes:
        places: [G, G, 2], of the grid.
        moves: [G, G, 2], of one step.
        basins: [G, G], number of the stable point that each state comes to; -1 for none within fixed_points.SETTLING
            steps, as with a cycle.
    """

    places: Tensor
    moves: Tensor
    basins: Tensor


def field(dynamics: Dynamics, view: View, limits: Tensor, inputs: Tensor, points: Points) -> Field:
    """Return the field and the basins of attraction of one network under one input.

    Args:
        dynamics: of the network.
        view: in which each point is a state.
        limits: [2, 2], the lowest and the highest corner of the plane.
        inputs: [D].
        points: of this input.
    """
    lines = [torch.linspace(float(low), float(high), GRID).double() for low, high in limits.T]
    places = torch.stack(torch.meshgrid(*lines, indexing="xy"), -1)  # [G, G, 2]
    states = view.lift(places.flatten(0, 1))[None]
    moves = view.plane.project(dynamics.step(states, inputs)) - view.plane.project(states)
    ends = settle(dynamics, states, inputs)[0]
    return Field(places, moves[0].view_as(places), basins(ends, points, limits).view(GRID, GRID))


def basins(ends: Tensor, points: Points, limits: Tensor) -> Tensor:
    """Return the number of the stable point at which states have arrived, -1 for none: [N, S] -> [N]."""
    stable = points.of_kind("stable")
    if not len(stable):
        return torch.full((len(ends),), NOWHERE)
    distances, nearest = torch.cdist(ends, stable).min(1)
    return torch.where(distances < REACHED * float((limits[1] - limits[0]).max()), nearest, NOWHERE)


def limits_of(points: Tensor) -> Tensor:
    """Return the lowest and the highest corner of a plane around points, [N, 2] -> [2, 2]."""
    low, high = points.amin(0), points.amax(0)
    margin = MARGIN * (high - low).clamp(min=1e-3)
    return torch.stack((low - margin, high + margin))
