"""The network: hand-computed answers, padding, both directions, dropout, seeds."""

import pytest
import torch
from torch import nn

from rnn_tasks.models import CELLS, Network
from rnn_tasks.models.recurrence import TanhRecurrence, vanilla


def network(**values):
    return Network(**{"input_size": 2, "output_size": 3, "readout": "every_step", "hidden": 4, **values})


def accumulator(readout, bidirectional):
    """One unit a direction that adds its inputs up (a linear RNN), read out as [forward + 100 * backward]."""
    net = Network(1, 1, readout, hidden=1, bidirectional=bidirectional)
    net.layers[0].nonlinearity = net.layers[0].mode = "RNN_RELU"
    with torch.no_grad():
        for name, parameter in net.layers[0].named_parameters():
            parameter.fill_(0 if "bias" in name else 1)
        net.head.weight.copy_(torch.tensor([[1.0, 100.0]])[:, : 1 + bidirectional])
        net.head.bias.zero_()
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
    logits = accumulator(readout, bidirectional)(INPUTS, LENGTHS).squeeze(-1)
    for answer, length, right in zip(logits, LENGTHS, expected, strict=True):
        torch.testing.assert_close(answer[:length] if readout == "every_step" else answer, torch.tensor(right).float())


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("readout", ["every_step", "last"])
def test_padding_changes_nothing_and_a_sequence_alone_answers_the_same(cell, bidirectional, readout):
    net = network(cell=cell, bidirectional=bidirectional, layers=2, readout=readout)
    lengths = torch.tensor([3, 6, 1])
    inputs = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0))
    garbage = torch.where(torch.arange(6)[None, :, None] < lengths[:, None, None], inputs, torch.tensor(1e6))
    logits, spoilt = net(inputs, lengths), net(garbage, lengths)
    for i, length in enumerate(lengths):
        alone = net(inputs[i : i + 1, :length], lengths[i : i + 1])[0]
        real = slice(None, length) if readout == "every_step" else slice(None)
        assert torch.equal(logits[i][real], spoilt[i][real])
        torch.testing.assert_close(logits[i][real], alone)


@pytest.mark.parametrize("cell", CELLS)
def test_a_stack_computes_what_torch_computes(cell):
    net = network(cell=cell, layers=2, bidirectional=True)
    peer = CELLS[cell](2, 4, num_layers=2, bidirectional=True, batch_first=True)
    peer.load_state_dict(
        {
            name.replace("l0", f"l{i}"): value
            for i, layer in enumerate(net.layers)
            for name, value in layer.state_dict().items()
        }
    )
    inputs = torch.randn(5, 7, 2)
    logits, states = net(inputs, torch.full((5,), 7), return_states=True)
    torch.testing.assert_close(states, peer(inputs)[0])
    torch.testing.assert_close(logits, net.head(peer(inputs)[0]))


def test_the_gradient_of_the_vanilla_recurrence():
    projected, weight = torch.randn(4, 3, 2, dtype=torch.double), torch.randn(2, 2, dtype=torch.double)
    assert torch.autograd.gradcheck(TanhRecurrence.apply, (projected.requires_grad_(), weight.requires_grad_()))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("steps", [1, 5])
def test_the_vanilla_recurrence_is_that_of_torch(bidirectional, steps):
    layer = nn.RNN(3, 4, batch_first=True, bidirectional=bidirectional).double()
    inputs = torch.randn(2, steps, 3, dtype=torch.double, requires_grad=True)
    ours, theirs = vanilla(layer, inputs), layer(inputs)[0]
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn_like(theirs)
    wanted = (inputs, *layer.parameters())
    for a, b in zip(
        torch.autograd.grad((ours * weights).sum(), wanted),
        torch.autograd.grad((theirs * weights).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_dropout_comes_from_its_key_alone_and_starts_alike_for_longer_batches():
    net = network(layers=2, dropout=0.5)
    inputs, lengths = torch.randn(3, 9, 2), torch.tensor([9, 4, 7])
    once = net(inputs, lengths, dropout_key=(0, 1, 2))
    torch.manual_seed(7)
    assert torch.equal(once, net(inputs, lengths, dropout_key=(0, 1, 2)))
    assert not torch.equal(once, net(inputs, lengths, dropout_key=(0, 1, 3)))
    assert not torch.equal(once, net(inputs, lengths))
    longer = net(nn.functional.pad(inputs, (0, 0, 0, 2)), lengths, dropout_key=(0, 1, 2))
    torch.testing.assert_close(once, longer[:, :9])


def test_dropout_keeps_the_mean():
    net = network(layers=2, dropout=0.3)
    mask = net._mask(torch.ones(200, 50, 10), torch.Generator().manual_seed(0))
    assert set(mask.unique().tolist()) == {0.0, torch.tensor(1 / 0.7).item()}
    assert abs(mask.mean() - 1) < 0.01


def test_a_seed_decides_the_weights_whatever_the_global_state():
    torch.manual_seed(1)
    first = network(seed=3)
    torch.manual_seed(2)
    same, other = network(seed=3), network(seed=4)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), same.parameters(), strict=True))
    assert not torch.equal(first.head.weight, other.head.weight)
    assert max(parameter.abs().max() for parameter in first.parameters()) <= 0.5
