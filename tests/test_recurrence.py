"""Recurrent layers: every backend against torch.nn, finite differences and the others."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from rnn_tasks.models import CELLS, Network, cell, kernel
from rnn_tasks.models.recurrence import fastest_backend, layer

TORCH = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}

needs_compiler = pytest.mark.skipif(kernel.library() is None, reason="no C++ compiler")


@pytest.fixture(params=[pytest.param("kernel", marks=needs_compiler), "sequential", "stacked"])
def backend(request):
    return request.param


def network(backend=None, **values):
    net = Network(**{"input_size": 2, "output_size": 3, "readout": "every_step", "hidden": 4, **values})
    net.backend = backend
    return net


def weights(cell, replicates, features, hidden, outputs, **kind):
    torch.manual_seed(0)
    rows = CELLS[cell].gates * hidden
    shapes = (rows, features), (rows, hidden), (rows,), (rows,), (outputs, hidden), (outputs,)
    values = [torch.randn(replicates, *shape, **kind, requires_grad=True) for shape in shapes]
    return tuple(values[:4]), tuple(values[4:])


@cell(gates=1)
def add(pre, state):
    return pre, state


@pytest.mark.parametrize("cell", TORCH)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("readout", ["every_step", "last"])
def test_padding_changes_no_logit(backend, cell, bidirectional, readout):
    net = network(backend, cell=cell, bidirectional=bidirectional, layers=2, readout=readout)
    lengths = torch.tensor([3, 6, 1])
    inputs = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0))
    garbage = torch.where(torch.arange(6)[None, :, None] < lengths[:, None, None], inputs, torch.tensor(1e6))
    logits, with_garbage = net(inputs, lengths)[0], net(garbage, lengths)[0]
    for i, length in enumerate(lengths):
        alone = net(inputs[i : i + 1, :length], lengths[i : i + 1])[0, 0]
        real = slice(None, length) if readout == "every_step" else slice(None)
        assert torch.equal(logits[i][real], with_garbage[i][real])
        torch.testing.assert_close(logits[i][real], alone)


@pytest.mark.parametrize("cell", TORCH)
def test_a_network_computes_what_torch_computes(backend, cell):
    net = network(backend, cell=cell, layers=2, bidirectional=True, replicates=3)
    inputs = torch.randn(5, 7, 2)
    lengths = torch.full((5,), 7)
    logits, states = net(inputs, lengths), net.states(inputs, lengths)
    for replicate in range(3):
        peer = TORCH[cell](2, 4, num_layers=2, bidirectional=True, batch_first=True)
        peer.load_state_dict({name: value[replicate] for name, value in net.recurrent.items()})
        weight, bias = (net.head[name][replicate] for name in ("weight", "bias"))
        torch.testing.assert_close(states[replicate, 1], peer(inputs)[0])
        torch.testing.assert_close(logits[replicate], nn.functional.linear(peer(inputs)[0], weight, bias))


@needs_compiler
@pytest.mark.parametrize("cell", TORCH)
@pytest.mark.parametrize("steps", [1, 2, 3, 8])
def test_the_kernel_gives_the_same_bits_without_gradients(cell, steps):
    for readout in ("every_step", "last"):
        net = network("kernel", cell=cell, layers=2, bidirectional=True, readout=readout, replicates=9)
        lengths = torch.randint(1, steps + 1, (9, 5))
        inputs = torch.randn(9, 5, steps, 2)
        with torch.no_grad():
            alone = net(inputs, lengths)
        assert torch.equal(alone, net(inputs, lengths).detach())


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("cell", TORCH)
def test_gradients_of_inputs_and_weights_against_finite_differences(backend, cell, last):
    inputs = torch.randn(2, 3, 4, 2, dtype=torch.double, requires_grad=True)
    lengths = torch.tensor([[4, 1, 2], [3, 4, 4]]) if last else None
    recurrent, readout = weights(cell, 2, 2, 3, 2, dtype=torch.double)

    def out(inputs, *tensors):
        return layer(CELLS[cell], inputs, tensors[:4], tensors[4:], lengths, backend)

    assert torch.autograd.gradcheck(out, (inputs, *recurrent, *readout))


@needs_compiler
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (3, 2, 5, 4, 3), (17, 8, 11, 2, 5), (40, 1, 10, 10, 10)])
@pytest.mark.parametrize("cell", TORCH)
def test_the_kernel_and_torch_agree(cell, shape, kind):
    replicates, batch, steps, features, hidden = shape
    inputs = torch.randn(replicates, batch, steps, features, dtype=kind, requires_grad=True)
    assert_kernel_agrees(inputs, *weights(cell, replicates, features, hidden, 2, dtype=kind), cell=cell)


def assert_kernel_agrees(inputs, recurrent, readout, lengths=None, cell="lstm"):
    """Outputs and gradients of the kernel are those of the stacked loop."""
    results = []
    for backend in ("kernel", "stacked"):
        out = layer(CELLS[cell], inputs, recurrent, readout, lengths, backend)
        results.append([out, *torch.autograd.grad(out.sin().sum(), (inputs, *recurrent, *readout))])
    rounding = 1e-3 if inputs.dtype == torch.float32 else 1e-10
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=rounding, atol=rounding)


VIEWS = {
    "transposed replicates and batch": lambda x: x.transpose(0, 1),
    "transposed batch and steps": lambda x: x.transpose(1, 2),
    "transposed steps and features": lambda x: x.transpose(2, 3),
    "sliced replicates": lambda x: x[1:],
    "sliced batch": lambda x: x[:, ::2],
    "sliced steps": lambda x: x[:, :, 1:-1],
    "sliced features": lambda x: x[..., 1:3],
    "every second feature": lambda x: x[..., ::2],
    "expanded replicates": lambda x: x[:1].expand(3, -1, -1, -1),
    "expanded batch": lambda x: x[:, :1].expand(-1, 5, -1, -1),
    "expanded features": lambda x: x[..., :1].expand(-1, -1, -1, 6),
}


@needs_compiler
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("last", [False, True])
def test_the_kernel_reads_inputs_of_any_strides(view, last):
    inputs = VIEWS[view](torch.randn(4, 4, 5, 4, dtype=torch.double)).requires_grad_()
    replicates, batch, steps, features = inputs.shape
    recurrent, readout = weights("lstm", replicates, features, 3, 2, dtype=torch.double)
    lengths = torch.arange(replicates * batch).view(replicates, batch) % steps + 1 if last else None
    assert_kernel_agrees(inputs, recurrent, readout, lengths)


@needs_compiler
def test_the_kernel_reads_weights_lengths_and_gradients_of_any_strides():
    inputs = torch.randn(3, 4, 5, 2, dtype=torch.double, requires_grad=True)
    recurrent, (weight, bias) = weights("gru", 3, 2, 3, 2, dtype=torch.double)
    w_ih, w_hh = (w.detach().mT.contiguous().mT.requires_grad_() for w in recurrent[:2])
    b_ih = recurrent[2].detach()[:1].expand(3, -1).requires_grad_()
    lengths = torch.tensor([5, 1, 3, 2]).expand(3, 4)
    assert_kernel_agrees(inputs, (w_ih, w_hh, b_ih, recurrent[3]), (weight, bias), lengths, "gru")
    results = []
    for backend in ("kernel", "stacked"):
        out = layer(CELLS["gru"], inputs, recurrent, (weight, bias), lengths, backend)
        results.append(torch.autograd.grad(out, inputs, torch.arange(2.0).double().expand(3, 4, 2)))  # not contiguous
    torch.testing.assert_close(*results)


def test_a_nan_is_kept_and_stays_in_its_replicate(backend):
    inputs = torch.randn(3, 2, 4, 2)
    recurrent, readout = weights("lstm", 3, 2, 4, 1)
    with torch.no_grad():
        recurrent[1][1, 0, 0] = torch.nan
    out = layer(CELLS["lstm"], inputs, recurrent, readout, backend=backend)
    assert out[1].isnan().any() and out[[0, 2]].isfinite().all()
    gradients = torch.autograd.grad(out.sum(), (*recurrent, *readout))
    assert all(gradient[[0, 2]].isfinite().all() for gradient in gradients) and gradients[0][1].isnan().any()


def test_extreme_inputs_do_not_overflow(backend):
    inputs = torch.tensor([1e30, -1e30, torch.inf, -torch.inf, 0.0])[None, :, None, None]
    recurrent, readout = weights("lstm", 1, 1, 3, 1)
    assert layer(CELLS["lstm"], inputs, recurrent, readout, backend=backend).isfinite().all()


@pytest.mark.parametrize(
    ("name", "replicates", "batch", "hidden", "backend"),
    [
        pytest.param("lstm", 16, 8, 48, "kernel", marks=needs_compiler),
        pytest.param("lstm", 1, 8, 5, "kernel", marks=needs_compiler),
        ("lstm", 16, 8, 49, "sequential"),
        ("rnn", 15, 4, 48, "stacked"),
        ("rnn", 1, 4, 48, "sequential"),
        ("rnn", 2, 256, 64, "sequential"),
        ("rnn", 2, 255, 64, "stacked"),
        ("gru", 20, 2, 60, "stacked"),
        ("own", 1, 2, 3, "stacked"),
        ("own", 20, 1, 200, "stacked"),
    ],
)
def test_the_backend_that_is_chosen(name, replicates, batch, hidden, backend):
    chosen = CELLS.get(name, add)
    weight_hh = torch.empty(replicates, chosen.gates * hidden, hidden)
    assert fastest_backend(chosen, torch.empty(replicates, batch, 3, 2), weight_hh) == backend


@pytest.mark.parametrize(
    ("backend", "chosen", "kind", "message"),
    [
        ("fast", CELLS["rnn"], torch.float, "backend='fast': must be kernel or sequential or stacked"),
        ("sequential", add, torch.float, "backend='sequential': must be stacked"),
        ("kernel", add, torch.float, "backend='kernel': must be sequential or stacked"),
        ("kernel", CELLS["rnn"], torch.bfloat16, "backend='kernel': must be sequential or stacked"),
    ],
)
def test_backends_that_cannot_compute_a_layer(backend, chosen, kind, message):
    tensors = [torch.zeros(shape, dtype=kind) for shape in [(1, 2, 2), (1, 2, 2), (1, 2), (1, 2)]]
    with pytest.raises(ValueError, match=message):
        layer(chosen, torch.zeros(1, 3, 4, 2, dtype=kind), tensors, backend=backend)


def test_a_precision_other_than_the_weights_is_refused_by_torch():
    with pytest.raises(RuntimeError, match="type"):
        network(replicates=20)(torch.randn(3, 4, 2, dtype=torch.double), torch.full((3,), 4))


@needs_compiler
@pytest.mark.parametrize(("lengths", "features"), [([0, 3], 2), ([5, 3], 2), ([3, 3], 3)])
def test_the_kernel_refuses_lengths_and_sizes_outside_its_tensors(lengths, features):
    with pytest.raises(ValueError, match=r"lengths must be from 1 to 4|do not fit|must be \[B, T, 2\]"):
        network("kernel", readout="last")(torch.randn(2, 4, features), torch.tensor(lengths))


PROGRAM = """
import torch
from rnn_tasks.models import Network, kernel
net = Network(2, 3, "every_step", replicates=2)
for _ in range(2):
    assert net(torch.randn(3, 4, 2), torch.full((3,), 4)).shape == (2, 3, 4, 3)
print(kernel.library() is None)
"""


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"CXX": "false"}, "cannot be used (false cannot compile it: status 1)"),
        pytest.param(
            {"CXX": "no-such-compiler"}, "No such file or directory: 'no-such-compiler'", marks=pytest.mark.slow
        ),
        pytest.param({"CXX": "'"}, "cannot be used (No closing quotation)", marks=pytest.mark.slow),
        ({"CXX": "sh fake"}, "invalid ELF header|file too short"),
        pytest.param({"CXX": "false", "RNN_TASKS_KERNEL": "off"}, None, marks=pytest.mark.slow),
        pytest.param({"PATH": "/nowhere", "CXX": ""}, None, marks=pytest.mark.slow),
    ],
)
def test_without_the_kernel_torch_computes_and_a_failure_is_said_once(tmp_path, environment, message):
    (tmp_path / "fake").write_text('for word; do last="$word"; done; echo nonsense > "$last"')  # compiles to no library
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path), **environment}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=tmp_path, env=os.environ | environment
    )
    assert ended.returncode == 0 and ended.stdout == "True\n", ended.stderr
    if message is None:
        assert ended.stderr == ""
    else:
        assert ended.stderr.count("\n") == 1 and "PyTorch computes the recurrent layers" in ended.stderr
        assert any(part in ended.stderr for part in message.split("|")), ended.stderr
