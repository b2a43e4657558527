"""Networks of different sizes computed as one."""

import pytest
import torch

from rnn_tasks.models import Network, cell
from rnn_tasks.models.joined import Joined, ignores_empty_units

SHAPES = [
    {"cell": "rnn"},
    {"cell": "lstm"},
    {"cell": "gru"},
    {"cell": "mingru"},
    {"cell": "minlstm"},
    {"cell": "lstm", "layers": 2, "dropout": 0.3},
    {"cell": "minlstm", "layers": 2, "bidirectional": True, "dropout": 0.3},
    {"cell": "gru", "layers": 3, "bidirectional": True, "dropout": 0.5},
    {"cell": "rnn", "bidirectional": True, "readout": "last"},
    {"cell": "lstm", "readout": "last", "pooling": "mean"},
]


@cell(gates=1)
def shifted(pre, state):
    h = (pre + 1).tanh()
    return h, h


def networks(sizes=(3, 5, 2), **values):
    values = {"readout": "every_step", **values}
    return [
        Network(4, 3, hidden=hidden, replicates=2, seed=10 * i, **values).double() for i, hidden in enumerate(sizes)
    ]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_joined_networks_equal_each_alone_with_gradients_and_dropout(shape):
    parts = networks(**shape)
    joined = Joined(parts)
    inputs = torch.randn(6, 7, 9, 4, dtype=torch.float64)
    lengths = torch.randint(1, 10, (6, 7))
    lengths[:, 0] = 9
    logits = joined(inputs, lengths, (1, 2))
    logits.square().sum().backward()
    together = [[parameter.grad.clone() for parameter in part.parameters()] for part in parts]
    for i, (part, gradients) in enumerate(zip(parts, together, strict=True)):
        part.zero_grad()
        rows = slice(2 * i, 2 * i + 2)
        alone = part(inputs[rows], lengths[rows], (1, 2))
        torch.testing.assert_close(logits[rows], alone, rtol=0, atol=1e-12)
        alone.square().sum().backward()
        for gradient, parameter in zip(gradients, part.parameters(), strict=True):
            torch.testing.assert_close(gradient, parameter.grad, rtol=0, atol=1e-10)


def test_joined_networks_take_inputs_for_all_and_follow_the_mode():
    parts = networks()
    joined = Joined(parts)
    for part in parts:
        part.eval()
    inputs, lengths = torch.randn(7, 9, 4, dtype=torch.float64), torch.full((7,), 9)
    with pytest.raises(ValueError, match="lengths"):  # which are looked at in evaluation alone
        joined(inputs, lengths + 1)
    with torch.no_grad():
        logits = joined(inputs, lengths)
        torch.testing.assert_close(logits, torch.cat([part(inputs, lengths) for part in parts]))


def test_a_cell_whose_empty_units_do_something_is_joined_with_its_own_size_alone():
    assert all(ignores_empty_units(part.cell) for shape in SHAPES[:5] for part in networks(**shape))
    assert not ignores_empty_units(shifted)
    values = {"cell": f"{__name__}.shifted"}
    with pytest.raises(ValueError, match="shifted"):
        Joined(networks(**values))
    Joined(networks(sizes=(3, 3), **values))
