"""minGRU, minLSTM and linear cells of one's own: against loops over steps, gates that vanish, a task."""

import math

import pytest
import torch
from helpers import trained
from omegaconf import OmegaConf

from rnn_tasks import config
from rnn_tasks.config.targets import CELLS as ALLOWED
from rnn_tasks.config.targets import first_foreign
from rnn_tasks.models import CELLS, Network, cell
from rnn_tasks.models.recurrence import layer
from rnn_tasks.runs.stacking import sizes_may_differ

MINIMAL = ["mingru", "minlstm"]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def new_state(name, pre, h):
    """The state of one unit after a step, as Feng et al. (2024) write it."""
    if name == "mingru":
        z = sigmoid(pre[0])
        return (1 - z) * h + z * pre[1]
    f, i = sigmoid(pre[0]), sigmoid(pre[1])
    return f / (f + i) * h + i / (f + i) * pre[2]


def outputs(name, steps, weight, bias, hidden):
    """The outputs of one layer for one sequence: a list of numbers for each step."""
    h, results = [0.0] * hidden, []
    for x in steps:
        pre = [b + sum(w * value for w, value in zip(row, x, strict=True)) for row, b in zip(weight, bias, strict=True)]
        h = [new_state(name, pre[unit::hidden], h[unit]) for unit in range(hidden)]
        results.append(h)
    return results


@pytest.mark.parametrize("name", MINIMAL)
def test_layers_in_both_directions_are_those_of_a_loop_over_steps(name):
    net = Network(
        2, 1, "every_step", cell=name, hidden=3, layers=2, bidirectional=True, replicates=2, init=2.0
    ).double()
    inputs = torch.randn(2, 4, 6, 2, dtype=torch.float64)
    states = net.states(inputs, torch.full((2, 4), 6))
    for r in range(2):
        for n in range(4):
            below = inputs[r, n].tolist()
            for number in range(2):
                halves = []
                for suffix, order in (("", 1), ("_reverse", -1)):
                    weight, bias = (net.recurrent[f"{kind}_ih_l{number}{suffix}"][r] for kind in ("weight", "bias"))
                    halves.append(outputs(name, below[::order], weight.tolist(), bias.tolist(), 3)[::order])
                below = [forwards + backwards for forwards, backwards in zip(*halves, strict=True)]
                torch.testing.assert_close(states[r, number, n], torch.tensor(below, dtype=torch.float64))


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("name", MINIMAL)
def test_gradients_against_finite_differences(name, steps):
    stream, rows = torch.Generator().manual_seed(0), CELLS[name].gates * 3
    shapes = (2, 3, steps, 2), (2, rows, 2), (2, rows)
    tensors = [torch.randn(shape, generator=stream, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(lambda inputs, *weights: layer(CELLS[name], inputs, weights), tensors)


@pytest.mark.parametrize("readout", ["every_step", "last"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", MINIMAL)
def test_padding_changes_no_logit(name, bidirectional, readout):
    net = Network(2, 3, readout, cell=name, hidden=4, layers=2, bidirectional=bidirectional)
    inputs, lengths = torch.randn(3, 6, 2), torch.tensor([3, 6, 1])
    garbage = torch.where(torch.arange(6)[None, :, None] < lengths[:, None, None], inputs, torch.tensor(1e6))
    logits, with_garbage = net(inputs, lengths)[0], net(garbage, lengths)[0]
    for i, length in enumerate(lengths):
        alone = net(inputs[i : i + 1, :length], lengths[i : i + 1])[0, 0]
        real = slice(None, length) if readout == "every_step" else slice(None)
        assert torch.equal(logits[i][real], with_garbage[i][real])
        torch.testing.assert_close(logits[i][real], alone)


@pytest.mark.parametrize(("name", "gates"), [("mingru", 2), ("minlstm", 3)])
def test_their_parameters_read_inputs_alone(name, gates):
    net = Network(7, 2, "last", cell=name, hidden=5, layers=2, replicates=3, init=0.25)
    shapes = {key: tuple(value.shape) for key, value in net.recurrent.items()}
    rows = 5 * gates
    assert shapes == {
        **{"weight_ih_l0": (3, rows, 7), "bias_ih_l0": (3, rows)},
        **{"weight_ih_l1": (3, rows, 5), "bias_ih_l1": (3, rows)},
    }
    assert 0.24 < max(weight.abs().max() for weight in net.parameters()) <= 0.25


def test_a_minlstm_whose_gates_both_vanish_takes_their_shares_and_has_finite_gradients():
    pre = torch.tensor([[-300.0, -300.0, 2.0], [-300.0, -301.0, 2.0]], requires_grad=True)  # of two sequences
    h, _ = CELLS["minlstm"].step(pre.T[None], torch.tensor([[[1.0, 1.0]]]))
    torch.testing.assert_close(h[0, 0], torch.tensor([1.5, 1 + sigmoid(-1)]))
    h.sum().backward()
    assert pre.grad.isfinite().all() and pre.grad.abs().min() > 0.1


@cell(gates=1, linear=True)
def total(pre):
    return torch.ones_like(pre), pre


def test_a_linear_cell_of_ones_own_adds_up_its_inputs():
    net = Network(1, 1, "every_step", cell=f"{__name__}.total", hidden=1)
    with torch.no_grad():
        net.recurrent["weight_ih_l0"].fill_(1)
        net.recurrent["bias_ih_l0"].fill_(0)
    inputs = torch.randn(4, 50, 1)
    torch.testing.assert_close(net.states(inputs, torch.full((4,), 50))[0, 0], inputs.cumsum(1))
    with pytest.raises(ValueError, match="linear=1: must be True or False"):
        cell(gates=1, linear=1)


def test_cells_that_the_project_has_are_allowed_in_stored_runs_and_may_differ_in_size_in_a_stack():
    assert set(ALLOWED) == set(CELLS) and all(map(sizes_may_differ, CELLS))
    assert sizes_may_differ(f"{__name__}.total")
    for name in MINIMAL:
        cfg = config.compose([f"model={name}"])
        assert cfg.model.cell == name and first_foreign(OmegaConf.to_container(cfg, resolve=True)) is None


@pytest.mark.parametrize("name", MINIMAL)
def test_two_layers_learn_to_recall_a_digit(tmp_path, no_pictures, name):
    words = ["task=memory", "task.lengths=[3,4]", "task.k=2", "task.train_size=1000", "trainer.max_epochs=6"]
    result = trained(tmp_path, *words, f"model={name}", "model.layers=2", "optimizer.lr=0.02", "model.replicates=2")
    assert min(result["metrics"]["val"]["accuracy"]) > 0.3  # chance is 0.1
