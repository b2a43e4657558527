"""Fixed and slow points of networks under a constant input (Sussillo and Barak 2013).

A fixed point is a state s that the network keeps: F(s) = s. The eigenvalues of the Jacobian matrix of F there say what
becomes of states nearby. At a slow point the speed q(s) = 1/2 |F(s) - s|^2 is small, but not 0.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from rnn_tasks.report.analysis.dynamics import Dynamics
from rnn_tasks.seeds import generator

STARTS = 150  # states from which the search begins, for each network and input
WORK = 3e6  # numbers of all Jacobian matrices of a search, beyond which there are fewer starts
ITERATIONS = 40
PRECISE, HOPELESS = 1e-11, 1e6  # |F(s) - s| and damping at which a search ends
STILL = 1e-7  # |F(s) - s| of a fixed point
SLOW = 0.01  # |F(s) - s| of a slow point, as a share of the median over the states that were visited
NEAR = 1e-3  # distance of points that count as one, as a share of the diagonal of the box around the visited states
FAR = 0.5  # greatest distance of a point from the box around the visited states, as a share of its diagonal
SETTLING = 200  # steps under a constant input, after which a network should have come to rest
KINDS = ("stable", "saddle", "unstable", "slow")


class Points(NamedTuple):
    """The P points of one network under one constant input, in the order of KINDS and of their first numbers.

    Attributes:
        states: [P, S].
        speeds: [P], |F(s) - s|.
        eigenvalues: [P, S], complex, of the Jacobian matrix, the largest first.
        kinds: of each point: "stable" if all eigenvalues lie within the unit circle, "unstable" if none does, "saddle"
            otherwise; "slow" if it is no fixed point.
    """

    states: Tensor
    speeds: Tensor
    eigenvalues: Tensor
    kinds: list[str]

    def of_kind(self, kind: str) -> Tensor:
        """Return the states of one kind, [P, S]."""
        return self.states[[each == kind for each in self.kinds]]

    @property
    def largest(self) -> float | None:
        """The largest absolute eigenvalue of all fixed points; None if there is none."""
        fixed = self.eigenvalues[[kind != "slow" for kind in self.kinds]]
        return float(fixed.abs().max()) if len(fixed) else None


def find_points(dynamics: Dynamics, visited: Tensor, inputs: Tensor, starts: int = STARTS) -> list[list[Points]]:
    """Return the fixed and slow points of each network under each constant input.

    The search begins at visited states, half-way between pairs of them, where saddles are, and where visited states
    come to rest. Points far from the visited states are left out.

    Args:
        dynamics: of the networks.
        visited: [R, N, S], states that they went through.
        inputs: [A, D].
        starts: about how many there are for each network and input.

    Returns:
        lists of A for each of R replicates.
    """
    starts = max(9, min(starts, int(WORK / (len(visited) * len(inputs) * dynamics.size**2))))
    first = _starts(dynamics, visited, inputs, starts)  # [R, A * N, S]
    each = inputs.double().repeat_interleave(first.shape[1] // len(inputs), 0)
    states, speeds = slowest(dynamics, first, each)
    jacobians = dynamics.jacobians(states, each)[1]
    pace = (dynamics.step(visited, inputs[:1]) - visited).norm(dim=-1).median(1).values
    shape = (len(inputs), -1)
    parts = zip(states.unflatten(1, shape), speeds.unflatten(1, shape), jacobians.unflatten(1, shape), strict=True)
    return [
        [_points(*each, own, SLOW * float(fast)) for each in zip(*of_network, strict=True)]
        for of_network, own, fast in zip(parts, visited, pace, strict=True)
    ]


def _starts(dynamics: Dynamics, visited: Tensor, inputs: Tensor, count: int) -> Tensor:
    """Return the starts under each input, a third of each kind, one input after the other: [R, A * N, S]."""
    stream = generator("fixed points")
    picks = torch.randint(visited.shape[1], (3, -(-count // 3)), generator=stream)
    a, b, settling = (visited[:, pick] for pick in picks)
    rest = settle(dynamics, settling.repeat(1, len(inputs), 1), inputs.repeat_interleave(picks.shape[1], 0))
    sets = torch.cat((a, (a + b) / 2), 1)[:, None].expand(-1, len(inputs), -1, -1)
    return torch.cat((sets, rest.unflatten(1, (len(inputs), -1))), 2).flatten(1, 2)


def settle(dynamics: Dynamics, states: Tensor, inputs: Tensor, steps: int = SETTLING) -> Tensor:
    """Return where states [R, N, S] come to under constant inputs [N, D] after many steps."""
    for _ in range(steps):
        before, states = states, dynamics.step(states, inputs)
        if (states - before).abs().max() < STILL:
            break
    return states


def slowest(dynamics: Dynamics, states: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Minimise the speed q from many states at once, by the method of Levenberg (1944) and Marquardt (1963).

    With r = F(s) - s and A = dF/ds - I the step is -(A'A + m I)^-1 A'r. The damping m of a state falls where q fell and
    rises where it did not.

    Args:
        dynamics: of the networks.
        states: [R, N, S], to start from.
        inputs: [N, D].

    Returns:
        the states [R, N, S] and |F(s) - s| there, [R, N].
    """
    states, inputs = states.clone(), inputs.expand(len(states), *inputs.shape)
    speeds = (dynamics.step(states, inputs) - states).norm(dim=-1)
    damping, live = torch.full_like(speeds, 0.01), torch.ones_like(speeds, dtype=torch.bool)
    for _ in range(ITERATIONS):
        first = live.argsort(dim=1, descending=True, stable=True)[:, : int(live.sum(1).max())]
        here, own = _taken(states, first), damping.gather(1, first)
        trial = here + _step(dynamics, here, _taken(inputs, first), own)
        before, after = speeds.gather(1, first), (dynamics.step(trial, _taken(inputs, first)) - trial).norm(dim=-1)
        better = after < before
        states.scatter_(1, first[..., None].expand_as(here), torch.where(better[..., None], trial, here))
        speeds.scatter_(1, first, torch.where(better, after, before))
        damping.scatter_(1, first, torch.where(better, own / 10, own * 4).clamp(1e-12, HOPELESS))
        live.scatter_(1, first, (torch.where(better, after, before) > PRECISE) & (own < HOPELESS))
        if not live.any():
            break
    return states, speeds


def _taken(values: Tensor, numbers: Tensor) -> Tensor:
    """Return some of the points of each network: [R, N, S], [R, M] -> [R, M, S]."""
    return values.gather(1, numbers[..., None].expand(-1, -1, values.shape[-1]))


def _step(dynamics: Dynamics, states: Tensor, inputs: Tensor, damping: Tensor) -> Tensor:
    """Return the steps of ``slowest`` from states with a damping [R, N] each: [R, N, S]."""
    after, jacobians = dynamics.jacobians(states, inputs)
    one = torch.eye(dynamics.size, dtype=states.dtype)
    slopes = jacobians - one
    normal = slopes.mT @ slopes + damping[..., None, None] * one
    return -torch.linalg.solve(normal, slopes.mT @ (after - states)[..., None]).squeeze(-1)


def _points(states: Tensor, speeds: Tensor, jacobians: Tensor, visited: Tensor, slow: float) -> Points:
    """Return the distinct points among N candidates, of one network under one input.

    Args:
        states: [N, S].
        speeds: [N].
        jacobians: [N, S, S].
        visited: [M, S].
        slow: the highest speed of a slow point.
    """
    low, high = visited.amin(0), visited.amax(0)
    spread = float((high - low).norm())
    outside = (low - states).clamp(min=0) + (states - high).clamp(min=0)
    candidates = ((speeds < max(slow, STILL)) & (outside.norm(dim=1) < FAR * spread)).nonzero().squeeze(1)
    candidates = candidates[speeds[candidates].argsort()]
    kept = []
    while len(candidates):
        kept.append(first := int(candidates[0]))
        candidates = candidates[(states[candidates] - states[first]).norm(dim=1) > NEAR * spread]
    eigenvalues = torch.linalg.eigvals(jacobians[kept])
    eigenvalues = eigenvalues.gather(1, eigenvalues.abs().argsort(descending=True))
    kinds = [_kind(float(speeds[i]), values) for i, values in zip(kept, eigenvalues.abs().tolist(), strict=True)]
    order = sorted(range(len(kept)), key=lambda i: (KINDS.index(kinds[i]), float(states[kept[i], 0])))
    kept = [kept[i] for i in order]
    return Points(states[kept], speeds[kept], eigenvalues[order], [kinds[i] for i in order])


def _kind(speed: float, sizes: list[float]) -> str:
    """Return the kind of a point from its speed and the absolute values of its eigenvalues."""
    if speed > STILL:
        return "slow"
    outside = sum(size > 1 for size in sizes)
    return "stable" if not outside else "unstable" if outside == len(sizes) else "saddle"
