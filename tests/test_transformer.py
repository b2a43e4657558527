"""The transformer: against torch's own, causality, positions, replicates, and what commands do with its runs."""

import math

import pytest
import torch
from helpers import assert_equal_ends, train_with_stops, trained
from omegaconf import OmegaConf
from torch import nn

from rnn_tasks import config, runs
from rnn_tasks.config.targets import first_foreign
from rnn_tasks.models import Transformer

FEW = ["task.train_size=120", "task.batch_size=8", "trainer.max_epochs=1", "task.test_size=2"]
ATTENTION = ["model=transformer", "model.hidden=6", "model.heads=2", "model.dropout=0.2"]


def transformer(**values):
    values = {"input_size": 2, "output_size": 3, "readout": "every_step", "hidden": 8, "heads": 2, **values}
    return Transformer(**values).double()


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"heads": 3}, "heads=3: must be a divisor of hidden=8"),
        ({"heads": 0}, "heads=0: must be at least 1"),
        ({"feedforward": 0}, "feedforward=0: must be at least 1"),
        ({"feedforward": 1.5}, "feedforward=1.5: must be a whole number"),
        ({"positions": "learned"}, "positions='learned': must be sinusoidal or none"),
        ({"dropout": 1}, "dropout=1: must be at least 0 and less than 1"),
        ({"layers": 101}, "layers=101: must be from 1 to 100"),
        ({"readout": "first"}, "readout='first': must be every_step or last"),
        ({"replicates": 0}, "replicates=0: must be from 1 to 1,024"),
    ],
)
def test_values_that_are_refused(values, message):
    with pytest.raises(ValueError) as refused:
        transformer(**values)
    assert str(refused.value).startswith(message)


def torch_encoder(net, r):
    """Torch's own encoder with the weights of replicate r."""
    shape = {"dim_feedforward": net.feedforward * net.hidden, "batch_first": True, "norm_first": True, "dropout": 0.0}
    one = nn.TransformerEncoderLayer(net.hidden, net.heads, **shape)
    encoder = nn.TransformerEncoder(one, net.layers, nn.LayerNorm(net.hidden), enable_nested_tensor=False).double()
    names = {"attention_norm": "norm1", "attention_out": "self_attn.out_proj", "feedforward_norm": "norm2"}
    names |= {"feedforward_in": "linear1", "feedforward_out": "linear2"}
    state = {f"norm.{kind}": net.norm[kind][r] for kind in ("weight", "bias")}
    for i, block in enumerate(net.blocks):
        for kind in ("weight", "bias"):
            state[f"layers.{i}.self_attn.in_proj_{kind}"] = block.attention_in[kind][r]
            state |= {f"layers.{i}.{name}.{kind}": getattr(block, own)[kind][r] for own, name in names.items()}
    encoder.load_state_dict(state)
    return encoder


def written_positions(steps, width):
    """Positions as Vaswani et al. (2017) write them."""
    rows = [[0.0] * width for _ in range(steps)]
    for t in range(steps):
        for j in range(width):
            angle = t / 10000 ** (j // 2 * 2 / width)
            rows[t][j] = math.cos(angle) if j % 2 else math.sin(angle)
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("positions", ["sinusoidal", "none"])
@pytest.mark.parametrize(("hidden", "heads", "layers", "feedforward"), [(8, 2, 2, 4), (5, 1, 3, 2), (6, 6, 1, 1)])
def test_it_computes_what_torch_computes(hidden, heads, layers, feedforward, positions):
    shape = {"hidden": hidden, "heads": heads, "layers": layers, "feedforward": feedforward, "positions": positions}
    net = transformer(**shape, replicates=2)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if "norm" in name:  # which begin with ones and zeros
                parameter.add_(torch.randn_like(parameter) / 2)
    inputs = randn(2, 3, 7, 2)
    logits = net(inputs, torch.full((2, 3), 7))
    mask = nn.Transformer.generate_square_subsequent_mask(7, dtype=torch.float64)
    for r in range(2):
        embedded = nn.functional.linear(inputs[r], net.embedding["weight"][r], net.embedding["bias"][r])
        if positions == "sinusoidal":
            embedded = embedded + written_positions(7, hidden)
        encoded = torch_encoder(net, r)(embedded, mask=mask)
        torch.testing.assert_close(logits[r], nn.functional.linear(encoded, net.head["weight"][r], net.head["bias"][r]))


@pytest.mark.parametrize("step", [1, 4, 6])
def test_a_later_input_changes_no_earlier_logit_and_all_later_ones(step):
    net, inputs, lengths = transformer(replicates=2), randn(3, 7, 2), torch.full((3,), 7)
    changed = inputs.clone()
    changed[:, step] += 1
    before, after = net(inputs, lengths), net(changed, lengths)
    assert torch.equal(before[:, :, :step], after[:, :, :step])
    assert (before[:, :, step:] != after[:, :, step:]).any(-1).all()


@pytest.mark.parametrize("readout", ["every_step", "last"])
def test_padding_changes_no_logit(readout):
    net, inputs, lengths = transformer(readout=readout), randn(3, 6, 2), torch.tensor([3, 6, 1])
    garbage = torch.where(torch.arange(6)[None, :, None] < lengths[:, None, None], inputs, torch.tensor(1e6))
    logits, with_garbage = net(inputs, lengths)[0], net(garbage, lengths)[0]
    for i, length in enumerate(lengths):
        alone = net(inputs[i : i + 1, :length], lengths[i : i + 1])[0, 0]
        real = slice(None, length) if readout == "every_step" else slice(None)
        assert torch.equal(logits[i][real], with_garbage[i][real])
        torch.testing.assert_close(logits[i][real], alone)


def test_without_positions_one_layer_cannot_tell_the_order_of_former_steps():
    inputs, lengths = randn(4, 9, 2), torch.full((4,), 9)
    shuffled = torch.cat((inputs[:, :8].flip(1), inputs[:, 8:]), 1)
    for positions, same in (("none", True), ("sinusoidal", False)):
        net = transformer(layers=1, readout="last", positions=positions)
        assert torch.allclose(net(inputs, lengths), net(shuffled, lengths)) is same


def test_states_are_the_outputs_of_all_layers_without_dropout():
    net, inputs, lengths = transformer(layers=3, dropout=0.5, replicates=2), randn(4, 5, 2), torch.full((4,), 5)
    states = net.states(inputs, lengths)
    assert states.shape == (2, 3, 4, 5, 8)
    normed = nn.functional.layer_norm(states[1, -1], (8,))
    expected = nn.functional.linear(normed, net.head["weight"][1], net.head["bias"][1])
    torch.testing.assert_close(net(inputs, lengths)[1], expected)
    fewer = transformer(layers=1, seed=1)
    torch.testing.assert_close(fewer.states(inputs, lengths)[0, 0], states[1, 0])  # drawn first, so equal


def test_dropout_comes_from_its_key_and_seeds_and_starts_alike_for_longer_batches():
    net, inputs, lengths = transformer(dropout=0.5, replicates=2, seed=3), randn(3, 9, 2), torch.tensor([9, 4, 7])
    once = net(inputs, lengths, (1, 2))
    torch.manual_seed(7)
    assert torch.equal(once, net(inputs, lengths, (1, 2)))
    assert not torch.equal(once, net(inputs, lengths, (1, 3))) and not torch.equal(once, net(inputs, lengths))
    longer = net(nn.functional.pad(inputs, (0, 0, 0, 2)), lengths, (1, 2))
    torch.testing.assert_close(once, longer[:, :, :9])
    torch.testing.assert_close(once[1:], transformer(dropout=0.5, seed=4)(inputs, lengths, (1, 2)))
    net.rows = (1, 3)
    torch.testing.assert_close(once[:, 1:], net(inputs[1:], lengths[1:], (1, 2)))


def test_weights_are_those_of_the_seed_and_begin_as_those_of_torch():
    net, same = transformer(replicates=3, hidden=16), transformer(seed=2, hidden=16)
    for (name, several), one in zip(net.named_parameters(), same.parameters(), strict=True):
        assert torch.equal(several[2], one[0]), name
        if "norm" not in name and name.endswith("weight"):
            limit = several.shape[2] ** -0.5
            assert not torch.equal(several[0], several[2]) and 0.9 * limit < several.abs().max() <= limit


@pytest.mark.parametrize("what", ["task=adder", "task=memory trainer.precision=64-true"])
def test_a_replicate_is_the_run_of_its_seed(tmp_path, no_pictures, what):
    words = [*FEW, *ATTENTION, *what.split()]
    close = (
        {"rtol": 0, "atol": 1e-10} if "64" in what else {"rtol": 0, "atol": 1e-4}
    )  # a float32 sum may round otherwise
    together = trained(tmp_path / "all", *words, "model.replicates=3")["metrics"]
    alone = trained(tmp_path / "one", *words, "seed=2")["metrics"]
    many, one = runs.load(tmp_path / "all", "last", 2).model, runs.load(tmp_path / "one", "last").model
    for (name, a), (_, b) in zip(many.state_dict().items(), one.state_dict().items(), strict=True):
        torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}", **close)
    for split in ("train", "val", "test"):
        assert together[split]["loss"][2] == pytest.approx(alone[split]["loss"][0], abs=close["atol"])


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, no_pictures, monkeypatch):
    words = [*ATTENTION, "model.replicates=2", "task.lengths=[1,9]", "task.test_lengths=[1,2]"]
    trained(tmp_path / "reference", *words)
    train_with_stops(monkeypatch, tmp_path / "run", (3, 11), *words)
    assert_equal_ends(tmp_path / "run", tmp_path / "reference")


def test_a_run_answers_tells_its_states_and_gives_its_weights_to_another(workplace, no_pictures, call):
    trained("outputs/adder/one", *ATTENTION, "model.replicates=2", "trainer.precision=64-true", "task.test_size=2")
    run = runs.load("outputs/adder/one", replicate=1)
    assert set(run.ask("1011+110")[0]) <= {"0", "1"} and run.states("1011+110").shape == (2, 5, 6)
    assert call("evaluate", "adder", "--lengths", "30", "--samples", "10", "--replicate", "all")[0] == 0
    words = ["model.weights=outputs/adder/one", "model.replicates=2", "trainer.precision=64-true", "optimizer.lr=1e-30"]
    trained("two", *ATTENTION, *words, "trainer.max_epochs=1")
    before, after = (
        runs.load(place, which, "all").model for place, which in (("outputs/adder/one", "best"), ("two", "last"))
    )
    for a, b in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_stored_runs_may_name_it_and_it_says_what_it_is():
    cfg = config.compose(["model=transformer", "model.hidden=6", "model.heads=3"])
    assert first_foreign(OmegaConf.to_container(cfg, resolve=True)) is None
    _, net = config.build(cfg)
    assert net.description == "transformer, 2 layers of 6 units, 3 heads"
    assert repr(net).splitlines()[1].strip() == "transformer, 2 layers of 6 units, 3 heads; readout every_step"


def test_it_learns_to_recall_a_digit(tmp_path, no_pictures):
    words = ["task=memory", "task.lengths=[3,4]", "task.k=2", "task.train_size=1000", "trainer.max_epochs=4"]
    result = trained(tmp_path, *words, "model=transformer", "model.hidden=16", "model.replicates=2")
    assert min(result["metrics"]["val"]["accuracy"]) > 0.5  # chance is 0.1
