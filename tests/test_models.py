"""Networks: answers computed by hand, values that are refused, initial weights, dropout, seeds."""

import pytest
import torch
from torch import nn

from rnn_tasks.models import Crnn, Network, cell


def network(**values):
    return Network(**{"input_size": 2, "output_size": 3, "readout": "every_step", "hidden": 4, **values})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden": 0}, "hidden=0: must be at least 1"),
        ({"hidden": 2.5}, "hidden=2.5: must be a whole number"),
        ({"hidden": True}, "hidden=True: must be a whole number"),
        ({"layers": 0}, "layers=0: must be from 1 to 100"),
        ({"input_size": 0}, "input_size=0: must be at least 1"),
        ({"output_size": -1}, "output_size=-1: must be at least 1"),
        ({"replicates": 0}, "replicates=0: must be from 1 to 1,024"),
        ({"replicates": 1025}, "replicates=1025: must be from 1 to 1,024"),
        ({"seed": -1}, "seed=-1: must be at least 0"),
        ({"dropout": 1.5}, "dropout=1.5: must be at least 0 and less than 1"),
        ({"dropout": 1}, "dropout=1: must be at least 0 and less than 1"),
        ({"dropout": -0.1}, "dropout=-0.1: must be at least 0 and less than 1"),
        ({"dropout": float("nan")}, "dropout=nan: must be at least 0 and less than 1"),
        ({"dropout": False}, "dropout=False: must be a number"),
        ({"init": 0}, "init=0: must be more than 0 and finite"),
        ({"init": float("inf")}, "init=inf: must be more than 0 and finite"),
        ({"init": "1"}, "init='1': must be a number"),
        ({"pooling": "max"}, "pooling='max': must be last or mean"),
        ({"readout": "first"}, "readout='first': must be every_step or last"),
        ({"bidirectional": "yes"}, "bidirectional='yes': must be True or False"),
        ({"cell": "nothing"}, "cell=nothing: must be one of rnn, lstm, gru, mingru, minlstm or like my_module.my_cell"),
        ({"cell": "torch.nn.Nothing"}, "cell=torch.nn.Nothing: must be one of rnn, lstm, gru"),
        ({"cell": "torch.tanh"}, "cell=torch.tanh: must be a cell; put @cell"),
    ],
)
def test_values_that_a_network_refuses(values, message):
    with pytest.raises(ValueError) as refused:
        network(**values)
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"channels": []}, "channels=[]: must be at least one number of features, at most 4 for 28 columns"),
        ({"channels": [1] * 5}, "channels=[1, 1, 1, 1, 1]: must be at least one number of features, at most 4"),
        ({"channels": [4, 0]}, "channels=0: must be at least 1"),
        ({"channels": [4, 2.5]}, "channels=2.5: must be a whole number"),
        ({"input_size": 0}, "input_size=0: must be at least 1"),
        ({"dropout": 2}, "dropout=2: must be at least 0"),
    ],
)
def test_values_that_a_convolutional_network_refuses(values, message):
    with pytest.raises(ValueError) as refused:
        Crnn(**{"input_size": 28, "output_size": 10, "readout": "last", "channels": [2], **values})
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(("init", "limit"), [(None, 0.5), (2.0, 2.0)])
def test_the_scale_of_initial_weights(init, limit):
    weights = torch.cat([weight.flatten() for weight in network(cell="lstm", init=init, replicates=3).parameters()])
    assert 0.98 * limit < weights.abs().max() <= limit
    assert weights.std().item() == pytest.approx(limit / 3**0.5, rel=0.1)


def test_the_scale_of_initial_weights_is_that_of_torch_for_each_part():
    net = network(bidirectional=True, layers=2, hidden=16, replicates=20)
    assert 0.98 * 16**-0.5 < max(weight.abs().max() for weight in net.recurrent.values()) <= 16**-0.5
    assert 0.98 * 32**-0.5 < net.head["weight"].abs().max() <= 32**-0.5
    crnn = Crnn(28, [8, 4], output_size=10, readout="last", replicates=5)
    for i, before in enumerate((1, 8)):
        limit = (before * 15) ** -0.5
        assert 0.9 * limit < crnn.convolutions[f"weight_{i}"].abs().max() <= limit


@cell(gates=1)
def add(pre, state):
    return pre, state


def accumulator(readout, bidirectional, pooling="last"):
    """One unit in each direction that adds up its inputs (a linear RNN), read out as forward + 100 * backward."""
    net = Network(1, 1, readout, cell=f"{__name__}.add", hidden=1, bidirectional=bidirectional, pooling=pooling)
    with torch.no_grad():
        for name, parameter in net.recurrent.items():
            parameter.fill_(0 if "bias" in name else 1)
        net.head["weight"].copy_(torch.tensor([[[1.0, 100.0]]])[..., : 1 + bidirectional])
        net.head["bias"].zero_()
    return net


INPUTS = torch.tensor([[1, 2, 3, 4], [5, 6, 9, 9]], dtype=torch.float)[..., None]  # the second one's 9s are padding
LENGTHS = torch.tensor([4, 2])


@pytest.mark.parametrize(
    ("readout", "bidirectional", "pooling", "expected"),
    [
        ("every_step", False, "last", [[1, 3, 6, 10], [5, 11]]),
        ("last", False, "last", [10, 11]),
        ("last", False, "mean", [5, 8]),
        ("every_step", True, "last", [[1001, 903, 706, 410], [1105, 611]]),
        ("last", True, "last", [1010, 1111]),
        ("last", True, "mean", [5 + 750, 8 + 850]),
    ],
)
def test_answers_computed_by_hand(readout, bidirectional, pooling, expected):
    net = accumulator(readout, bidirectional, pooling)
    for answer, length, right in zip(net(INPUTS, LENGTHS)[0].squeeze(-1), LENGTHS, expected, strict=True):
        real = answer[:length] if readout == "every_step" else answer
        torch.testing.assert_close(real, torch.tensor(right).float())


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


def layers_that_add(layers, dropout):
    """Layers of 400 linear units; each unit's weight from the same unit below is 1, all others are 0."""
    net = Network(400, 400, "every_step", cell=f"{__name__}.add", hidden=400, layers=layers, dropout=dropout)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for weight in [net.recurrent[f"weight_ih_l{i}"] for i in range(layers)] + [net.head["weight"]]:
            weight.copy_(torch.eye(400))
    return net


def test_dropout_hides_its_share_between_layers_and_keeps_the_mean():
    ones, length = torch.ones(20, 1, 400), torch.ones(20, dtype=torch.long)
    seen = layers_that_add(2, 0.3)(ones, length, dropout_key=(0,))
    values = seen.unique()
    torch.testing.assert_close(values, torch.tensor([0, 1 / 0.7]))
    assert (seen == 0).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert torch.equal(layers_that_add(1, 0.3)(ones, length, dropout_key=(0,)), ones[None])  # inputs are not dropped
    twice = layers_that_add(3, 0.3)(ones, length, dropout_key=(0,))  # another mask in each layer
    assert (twice == 0).float().mean().item() == pytest.approx(1 - 0.7**2, abs=0.02)


def test_a_seed_decides_the_weights_whatever_the_global_state():
    torch.manual_seed(1)
    first = network(seed=3, replicates=3)
    torch.manual_seed(2)
    same, other = network(seed=3), network(seed=5)
    for a, b, c in zip(first.parameters(), same.parameters(), other.parameters(), strict=True):
        assert torch.equal(a[0], b[0]) and torch.equal(a[2], c[0]) and not torch.equal(a[0], a[2])


@pytest.mark.parametrize("lengths", [[0, 3], [1, 4], [-1, 2]])
def test_lengths_that_are_no_steps_are_refused(lengths):
    network = Network(2, 3, "last", pooling="mean").eval()
    with pytest.raises(ValueError, match=r"lengths from .*: must be from 1 to 3"):
        network(torch.zeros(2, 3, 2), torch.tensor(lengths))


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 3), (3,)])
def test_inputs_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"inputs \[.*\]: must be \[B, T, 2\]"):
        Network(2, 3, "last")(torch.zeros(shape), torch.tensor([1, 1]))


def test_cells_and_channels_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"cell=\[1\]: must be one of rnn, lstm, gru"):
        Network(2, 3, "last", cell=[1])
    with pytest.raises(ValueError, match="channels=5: must be a list"):
        Crnn(28, 5, output_size=10, readout="last")
    with pytest.raises(ValueError, match="gates=0: must be at least 1"):
        cell(gates=0)
