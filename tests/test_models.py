"""The network: hand-computed answers, padding, both directions, dropout, seeds; every way to compute a recurrence."""

import pytest
import torch
from torch import nn

from rnn_tasks.models import CELLS, Network, cell, kernel, recurrence
from rnn_tasks.models.recurrence import layer

TORCH = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
WAYS = {
    "kernel": (10**9, 0),
    "alone": (0, 0),
    "stacked": (0, 10**9),
}  # up to which size and from which on they are taken


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Takes one way to compute recurrences, whatever their size."""
    if request.param == "kernel" and kernel.library() is None:
        pytest.skip("no C++ compiler")
    largest, large = WAYS[request.param]
    monkeypatch.setattr(kernel, "LARGEST", largest)
    monkeypatch.setattr(kernel, "FEW", 0)
    monkeypatch.setattr(recurrence, "LARGE", dict.fromkeys(CELLS, large))
    return request.param


def network(**values):
    return Network(**{"input_size": 2, "output_size": 3, "readout": "every_step", "hidden": 4, **values})


@pytest.mark.parametrize(("init", "limit"), [(None, 0.5), (2.0, 2.0)])
def test_the_scale_of_initial_weights(init, limit):
    weights = torch.cat([weight.flatten() for weight in network(cell="lstm", init=init, replicates=3).parameters()])
    assert 0.98 * limit < weights.abs().max() <= limit
    assert weights.std().item() == pytest.approx(limit / 3**0.5, rel=0.1)


@cell(gates=1)
def add(pre, state):
    return pre, state


def accumulator(readout, bidirectional):
    """One unit a direction that adds its inputs up (a linear RNN), read out as [forward + 100 * backward]."""
    net = Network(1, 1, readout, cell=f"{__name__}.add", hidden=1, bidirectional=bidirectional)
    with torch.no_grad():
        for name, parameter in net.recurrent.items():
            parameter.fill_(0 if "bias" in name else 1)
        net.head["weight"].copy_(torch.tensor([[[1.0, 100.0]]])[..., : 1 + bidirectional])
        net.head["bias"].zero_()
    return net


INPUTS = torch.tensor([[1, 2, 3, 4], [5, 6, 9, 9]], dtype=torch.float)[..., None]  # the second one's 9s are padding
LENGTHS = torch.tensor([4, 2])


@pytest.mark.parametrize(
    ("readout", "bidirectional", "expected"),
    [
        ("every_step", False, [[1, 3, 6, 10], [5, 11]]),
        ("last", False, [10, 11]),
        ("every_step", True, [[1001, 903, 706, 410], [1105, 611]]),
        ("last", True, [1010, 1111]),
    ],
)
def test_known_answers_of_variable_lengths(readout, bidirectional, expected):
    net = accumulator(readout, bidirectional)
    logits, (beside_states, _) = net(INPUTS, LENGTHS), net(INPUTS, LENGTHS, return_states=True)
    for found in (logits, beside_states):
        for answer, length, right in zip(found[0].squeeze(-1), LENGTHS, expected, strict=True):
            real = answer[:length] if readout == "every_step" else answer
            torch.testing.assert_close(real, torch.tensor(right).float())


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("readout", ["every_step", "last"])
def test_padding_changes_nothing_and_a_sequence_alone_answers_the_same(way, cell, bidirectional, readout):
    net = network(cell=cell, bidirectional=bidirectional, layers=2, readout=readout, replicates=1 + (way == "stacked"))
    lengths = torch.tensor([3, 6, 1])
    inputs = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0))
    garbage = torch.where(torch.arange(6)[None, :, None] < lengths[:, None, None], inputs, torch.tensor(1e6))
    logits, spoilt = net(inputs, lengths)[0], net(garbage, lengths)[0]
    for i, length in enumerate(lengths):
        alone = net(inputs[i : i + 1, :length], lengths[i : i + 1])[0, 0]
        real = slice(None, length) if readout == "every_step" else slice(None)
        assert torch.equal(logits[i][real], spoilt[i][real])
        torch.testing.assert_close(logits[i][real], alone)


@pytest.mark.parametrize("cell", CELLS)
def test_a_stack_computes_what_torch_computes(way, cell):
    net = network(cell=cell, layers=2, bidirectional=True, replicates=3)
    inputs = torch.randn(5, 7, 2)
    logits, states = net(inputs, torch.full((5,), 7), return_states=True)
    for replicate in range(3):
        peer = TORCH[cell](2, 4, num_layers=2, bidirectional=True, batch_first=True)
        peer.load_state_dict({name: value[replicate] for name, value in net.recurrent.items()})
        weight, bias = (net.head[name][replicate] for name in ("weight", "bias"))
        torch.testing.assert_close(states[replicate], peer(inputs)[0])
        torch.testing.assert_close(logits[replicate], nn.functional.linear(peer(inputs)[0], weight, bias))
    torch.testing.assert_close(logits, net(inputs, torch.full((5,), 7)))


def weights(cell, replicates, features, hidden, outputs, **kind):
    torch.manual_seed(0)
    rows = CELLS[cell].gates * hidden
    shapes = (rows, features), (rows, hidden), (rows,), (rows,), (outputs, hidden), (outputs,)
    drawn = [torch.randn(replicates, *shape, **kind, requires_grad=True) for shape in shapes]
    return tuple(drawn[:4]), tuple(drawn[4:])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients(way, cell, last):
    """Of the inputs and of all weights, against finite differences."""
    inputs = torch.randn(2, 3, 4, 2, dtype=torch.double, requires_grad=True)
    lengths = torch.tensor([[4, 1, 2], [3, 4, 4]]) if last else None
    recurrent, readout = weights(cell, 2, 2, 3, 2, dtype=torch.double)

    def out(inputs, *tensors):
        return layer(CELLS[cell], inputs, tensors[:4], tensors[4:], lengths)

    assert torch.autograd.gradcheck(out, (inputs, *recurrent, *readout))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (3, 2, 5, 4, 3), (17, 8, 11, 2, 5), (40, 1, 10, 10, 10)])
@pytest.mark.parametrize("cell", CELLS)
def test_the_kernel_and_pytorch_agree(monkeypatch, cell, shape, kind):
    replicates, batch, steps, features, hidden = shape
    inputs = torch.randn(replicates, batch, steps, features, dtype=kind, requires_grad=True)
    recurrent, readout = weights(cell, replicates, features, hidden, 2, dtype=kind)
    tensors = (inputs, *recurrent, *readout)
    found = []
    monkeypatch.setattr(kernel, "FEW", 0)
    for largest in (0, 10**9):
        monkeypatch.setattr(kernel, "LARGEST", largest)
        out = layer(CELLS[cell], inputs, recurrent, readout)
        found.append([out, *torch.autograd.grad(out.sin().sum(), tensors)])
    rounding = 1e-3 if kind == torch.float32 else 1e-10
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=rounding, atol=rounding)


def test_a_nan_stays_one_and_in_its_replicate(way):
    inputs = torch.randn(3, 2, 4, 2)
    recurrent, readout = weights("lstm", 3, 2, 4, 1)
    with torch.no_grad():
        recurrent[1][1, 0, 0] = torch.nan
    out = layer(CELLS["lstm"], inputs, recurrent, readout)
    assert out[1].isnan().any() and out[[0, 2]].isfinite().all()
    gradients = torch.autograd.grad(out.sum(), (*recurrent, *readout))
    assert all(gradient[[0, 2]].isfinite().all() for gradient in gradients) and gradients[0][1].isnan().any()


def test_extreme_inputs_do_not_overflow(way):
    inputs = torch.tensor([1e30, -1e30, torch.inf, -torch.inf, 0.0])[None, :, None, None]
    recurrent, readout = weights("lstm", 1, 1, 3, 1)
    assert layer(CELLS["lstm"], inputs, recurrent, readout).isfinite().all()


def test_inputs_of_another_precision_are_no_work_for_the_kernel():
    net = network(replicates=20)
    with pytest.raises(RuntimeError, match="type"):
        net(torch.randn(3, 4, 2, dtype=torch.double), torch.full((3,), 4))


@pytest.mark.parametrize(("lengths", "features"), [([0, 3], 2), ([5, 3], 2), ([3, 3], 3)])
def test_the_kernel_refuses_what_lies_outside_its_tensors(lengths, features):
    if kernel.library() is None:
        pytest.skip("no C++ compiler")
    with pytest.raises(ValueError, match=r"lengths must be from 1 to 4|do not fit"):
        network(readout="last")(torch.randn(2, 4, features), torch.tensor(lengths))


def test_without_a_compiler_pytorch_computes(monkeypatch):
    kernel.library.cache_clear()
    monkeypatch.setenv("RNN_TASKS_KERNEL", "off")
    assert kernel.library() is None
    assert network(replicates=2)(torch.randn(3, 4, 2), torch.full((3,), 4)).shape == (2, 3, 4, 3)
    monkeypatch.delenv("RNN_TASKS_KERNEL")
    kernel.library.cache_clear()


def test_a_kernel_that_cannot_be_built_is_done_without(monkeypatch, tmp_path):
    for compiler in ("false", "no-such-compiler"):
        kernel.library.cache_clear()
        monkeypatch.setenv("CXX", compiler)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert kernel.library() is None
    monkeypatch.undo()
    kernel.library.cache_clear()


def test_dropout_comes_from_its_key_alone_and_starts_alike_for_longer_batches():
    net = network(layers=2, dropout=0.5, replicates=2)
    inputs, lengths = torch.randn(3, 9, 2), torch.tensor([9, 4, 7])
    once = net(inputs, lengths, dropout_key=(1, 2))
    torch.manual_seed(7)
    assert torch.equal(once, net(inputs, lengths, dropout_key=(1, 2)))
    assert not torch.equal(once, net(inputs, lengths, dropout_key=(1, 3)))
    assert not torch.equal(once, net(inputs, lengths))
    longer = net(nn.functional.pad(inputs, (0, 0, 0, 2)), lengths, dropout_key=(1, 2))
    torch.testing.assert_close(once, longer[:, :, :9])


def test_dropout_keeps_the_mean():
    net = network(layers=2, dropout=0.3)
    mask = net._mask(torch.ones(200, 50, 10), torch.Generator().manual_seed(0))
    assert set(mask.unique().tolist()) == {0.0, torch.tensor(1 / 0.7).item()}
    assert abs(mask.mean() - 1) < 0.01


def test_a_seed_decides_the_weights_whatever_the_global_state():
    torch.manual_seed(1)
    first = network(seed=3, replicates=3)
    torch.manual_seed(2)
    same, other = network(seed=3), network(seed=5)
    for a, b, c in zip(first.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a[0], b[0]) and torch.equal(a[2], c[0]) and not torch.equal(a[0], a[2])
    assert max(parameter.abs().max() for parameter in first.parameters()) <= 0.5


@pytest.mark.parametrize("path", ["nothing", "torch.nn.Nothing", "torch.tanh"])
def test_a_cell_that_is_none(path):
    with pytest.raises(ValueError, match=f"cell={path}: "):
        network(cell=path)
