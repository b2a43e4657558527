"""Networks as dynamical systems whose fixed points, gradients and dimensions are known."""

import io
import itertools
import math

import numpy as np
import pytest
import torch

from rnn_tasks.models import Crnn, Network
from rnn_tasks.models.cells import cell
from rnn_tasks.report.analysis import phase_plots
from rnn_tasks.report.analysis.dynamics import Dynamics
from rnn_tasks.report.analysis.fixed_points import find_points, settle, slowest
from rnn_tasks.report.analysis.lags import gradient_by_lag
from rnn_tasks.report.analysis.portraits import NOWHERE, basins, view_of
from rnn_tasks.training.callbacks import participation_ratio


@cell(gates=2)
def leaky(pre, state):
    rate, candidate = pre.chunk(2, 1)
    state = state + rate.sigmoid() * (candidate.tanh() - state)
    return state.sin(), state


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def one_unit(recurrent, replicates=1):
    """Networks h = tanh(w h), which do not look at their one input."""
    network = Network(1, 1, "every_step", cell="rnn", hidden=1, replicates=replicates)
    for name, parameter in network.recurrent.items():
        parameter.data.fill_(0.0 if name != "weight_hh_l0" else 1.0)
    network.recurrent["weight_hh_l0"].data *= torch.tensor(recurrent).view(-1, 1, 1)
    return Dynamics(network)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm", f"{__name__}.leaky"])
def test_states_of_the_dynamics_are_those_of_the_network(kind):
    network = Network(3, 2, "every_step", cell=kind, hidden=4, layers=2, replicates=3, init=1.0)
    inputs, lengths = torch.randn(5, 7, 3, generator=stream()), torch.full((5,), 7)
    dynamics = Dynamics(network, [0, 2])
    states = dynamics.trajectories(inputs)
    assert states.shape == (2, 5, 8, 2 * 4 * dynamics.parts) and not states[:, :, 0].any()
    expected = network.states(inputs, lengths)[[0, 2]]
    places = states[:, :, 1:].unflatten(-1, (2, dynamics.parts, 4))[..., 0, :].movedim(3, 1)  # h of each layer
    torch.testing.assert_close(places.float(), expected, atol=1e-5, rtol=0)
    logits = dynamics.logits(states[:, :, 1:].flatten(1, 2)).view(2, 5, 7, 2)
    torch.testing.assert_close(logits.float(), network(inputs, lengths)[[0, 2]], atol=1e-5, rtol=0)
    torch.testing.assert_close(dynamics.of_one(1).trajectories(inputs), states[1:])


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm", f"{__name__}.leaky"])
def test_jacobians_are_those_of_autograd(kind):
    network = Network(2, 1, "every_step", cell=kind, hidden=3, layers=2, replicates=2, init=1.5)
    dynamics, inputs = Dynamics(network), torch.randn(4, 2, generator=stream())
    states = torch.randn(2, 4, dynamics.size, generator=stream(1)).double()
    after, found = dynamics.jacobians(states, inputs)
    torch.testing.assert_close(after, dynamics.step(states, inputs))
    for r, n in itertools.product(range(2), range(4)):
        one = dynamics.of_one(r)
        expected = torch.autograd.functional.jacobian(
            lambda state, one=one, n=n: one.step(state[None, None], inputs[n : n + 1])[0, 0], states[r, n]
        )
        torch.testing.assert_close(found[r, n], expected)


def test_networks_without_a_map_of_states_are_refused():
    with pytest.raises(ValueError, match="also reads from the end"):
        Dynamics(Network(1, 1, "every_step", bidirectional=True))
    with pytest.raises(ValueError, match="convolutions over several steps"):
        Dynamics(Crnn(8, [2], output_size=2, readout="last"))


def test_fixed_points_of_one_unit_are_those_of_the_closed_form():
    dynamics = one_unit([2.0, 0.5, -2.0], 3)
    visited = torch.linspace(-1, 1, 50).double().view(1, 50, 1).expand(3, -1, -1)
    bistable, single, cycle = (points for (points,) in find_points(dynamics, visited, torch.zeros(1, 1)))
    end = 0.5
    for _ in range(200):
        end = math.tanh(2 * end)
    assert bistable.kinds == ["stable", "stable", "unstable"]
    assert bistable.states.flatten().tolist() == pytest.approx([-end, end, 0], abs=1e-9)
    assert bistable.eigenvalues.flatten().tolist() == pytest.approx([2 * (1 - end**2)] * 2 + [2])
    assert bistable.largest == pytest.approx(2)
    assert (single.kinds, single.largest) == (["stable"], pytest.approx(0.5))
    assert (cycle.kinds, cycle.largest) == (["unstable"], pytest.approx(2))


def test_saddles_and_their_eigenvalues_in_two_units():
    network = Network(1, 1, "every_step", cell="rnn", hidden=2)
    for name, parameter in network.recurrent.items():
        parameter.data.copy_(torch.diag(torch.tensor([2.0, 0.5])) if name == "weight_hh_l0" else torch.tensor(0.0))
    visited = torch.rand(1, 60, 2, generator=stream()).double() * 2 - 1
    ((points,),) = find_points(Dynamics(network), visited, torch.zeros(1, 1))
    assert points.kinds == ["stable", "stable", "saddle"]
    assert points.states[2].tolist() == pytest.approx([0, 0], abs=1e-9)
    assert points.eigenvalues[2].real.tolist() == pytest.approx([2, 0.5])


def test_a_slow_point_is_where_the_speed_is_least():
    dynamics = one_unit([1.5])
    dynamics.weights = [(*dynamics.weights[0][:2], dynamics.weights[0][2] + 0.22, dynamics.weights[0][3])]
    places = torch.linspace(-0.9, -0.2, 100_000).double()
    speeds = (dynamics.step(places[None, :, None], torch.zeros(1)) - places[None, :, None]).abs().flatten()
    least = int(speeds.argmin())
    assert 1e-3 < speeds[least] < 0.05
    states, found = slowest(dynamics, places[None, ::10_000, None], torch.zeros(10, 1))
    near = (states.flatten() < 0).nonzero().flatten()  # the others came to the stable point
    assert len(near) and states.flatten()[near].tolist() == pytest.approx([float(places[least])] * len(near), abs=1e-3)
    assert found[0, near].tolist() == pytest.approx([float(speeds[least])] * len(near), rel=1e-6)
    visited = torch.cat((places[None, ::1000, None], torch.full((1, 300, 1), 5.0).double()), 1)
    ((points,),) = find_points(dynamics, visited, torch.zeros(1, 1))
    assert points.kinds == ["stable", "slow"] and not points.largest > 1


def test_basins_are_those_of_the_nearest_stable_point_and_cycles_have_none():
    for weight, expected in ((2.0, [0, 0, 1, 1]), (-2.0, [NOWHERE] * 4)):
        dynamics, places = one_unit([weight]), torch.tensor([-0.9, -0.1, 0.1, 0.9]).double().view(1, 4, 1)
        ((points,),) = find_points(dynamics, places, torch.zeros(1, 1))
        ends = settle(dynamics, places, torch.zeros(4, 1))[0]
        assert basins(ends, points, torch.tensor([[-1.0], [1.0]])).tolist() == expected


def test_participation_ratio_is_that_of_the_covariance_matrix():
    states = torch.randn(2, 500, 4, generator=stream()) * torch.tensor([3.0, 1.0, 1.0, 0.1])
    for own, found in zip(states.numpy(), participation_ratio(states).tolist(), strict=True):
        covariance = np.cov(own.T)
        assert found == pytest.approx(np.trace(covariance) ** 2 / np.trace(covariance @ covariance))
    line = torch.randn(1, 100, 1, generator=stream()) * torch.tensor([1.0, -2.0, 0.5])
    assert participation_ratio(line + 7).item() == pytest.approx(1)
    assert participation_ratio(torch.ones(1, 5, 3)).isnan().all()


@pytest.mark.parametrize("readout", ["every_step", "last"])
def test_gradients_by_lag_are_those_of_single_inputs(readout):
    network = Network(3, 2, readout, cell="gru", hidden=4, replicates=2, init=1.0).double()
    inputs, lengths = torch.randn(2, 5, 3, generator=stream()).double(), torch.tensor([5])
    found = gradient_by_lag(network, inputs)
    for r, lag in itertools.product(range(2), range(5)):
        norms = []
        for sequence in inputs:

            def answer(x, sequence=sequence, lag=lag, r=r):
                changed = torch.cat((sequence[: 4 - lag], x[None], sequence[5 - lag :]))
                logits = network(changed[None], lengths)[r, 0]
                return logits[-1] if readout == "every_step" else logits

            norms.append(torch.autograd.functional.jacobian(answer, sequence[4 - lag]).norm().item())
        assert found[r, lag].item() == pytest.approx(sum(norms) / len(norms))


@pytest.mark.parametrize(
    ("kind", "hidden", "whole"),
    [("rnn", 2, True), ("lstm", 1, True), ("lstm", 2, True), ("gru", 3, False), ("rnn", 1, None)],
)
def test_portraits_are_drawn_for_states_of_every_dimension(kind, hidden, whole):
    network = Network(2, 1, "every_step", cell=kind, hidden=hidden, replicates=2, init=1.0)
    dynamics, inputs = Dynamics(network), torch.eye(2)
    visited = dynamics.trajectories(torch.randn(20, 6, 2, generator=stream()))[:, :, 1:].flatten(1, 2)
    found = find_points(dynamics, visited, inputs)
    networks = [
        phase_plots.Inside(str(r), dynamics.of_one(r), visited[r], inputs, ["a", "b"], found[r]) for r in range(2)
    ]
    if whole is not None:
        view = view_of(networks[0].dynamics, visited[0])
        assert view.whole == whole
        if whole:
            places = visited[0, :, -2:] if kind == "lstm" and hidden == 2 else visited[0]
            torch.testing.assert_close(view.plane.project(visited[0]), places)
            torch.testing.assert_close(view.plane.project(view.lift(places)), places)
    for figure in (
        phase_plots.portraits(networks[0]),
        phase_plots.all_replicates(networks),
        phase_plots.eigenvalues(networks[1]),
    ):
        figure.savefig(io.BytesIO(), dpi=30)
