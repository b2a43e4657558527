"""Replicates: each is the run that its seed alone would give, whatever happens to the others."""

import json
import math
import sys
from importlib import import_module

import pytest
import torch
from helpers import assert_equal_ends, points, spoil, train_with_stops, trained

from rnn_tasks import config, runs
from rnn_tasks.errors import UserError
from rnn_tasks.models import CELLS
from rnn_tasks.runs import tables
from rnn_tasks.runs.evaluation import evaluate
from rnn_tasks.tasks import schedule
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training.history import read_history
from rnn_tasks.training.intervals import summarize
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.losses import mse
from rnn_tasks.training.recorder import RunRecorder

pytestmark = pytest.mark.usefixtures("no_pictures")
FIFTY = ["task.train_size=400", "task.batch_size=8", "trainer.max_epochs=1", "trainer.log_every_n_steps=10"]
WHAT = ["task=adder loss=bce", "task=adder loss=mse", "task=memory loss=ce", "task=memory loss=mse"]
OTHERS = {
    "clipped by value": ["optimizer=sgd", "trainer.gradient_clip_algorithm=value", "trainer.gradient_clip_val=0.01"],
    "two layers, both directions": ["model=birnn", "model.layers=2", "model.dropout=0.3"],
    "wide lstm": ["model=lstm", "model.hidden=70"],
    "wide rnn": ["model=rnn", "model.hidden=70", "model.layers=2", "model.dropout=0.3"],
    "wide gru": ["model=gru", "model.hidden=70"],
    "accumulated": ["task=memory", "model=gru", "trainer.accumulate_grad_batches=3"],
    "all at once": ["task=memory", "model=bilstm", "model.layers=2", "model.dropout=0.5", "scheduler=cosine"],
    "middle": ["task=memory", "model=rnn", "model.hidden=40", "optimizer=sgd"],
}
CLOSE = {"rtol": 0, "atol": 3e-5}  # a float32 product of another shape may round otherwise


def losses(run):
    """history.csv as a table of its numbers, by replicate."""
    rows = read_history(run / "history.csv")
    return {
        replicate: torch.tensor(
            [[v for k, v in row.items() if k != "replicate"] for row in rows if row["replicate"] == replicate]
        )
        for replicate in {row["replicate"] for row in rows}
    }


def assert_alone(together, alone, replicate, **tolerance):
    """Replicate ``replicate`` of one run is the other, of its seed."""
    for kind in ("best", "last"):
        many, one = runs.load(together, kind, replicate).model, runs.load(alone, kind).model
        for (name, a), (_, b) in zip(many.state_dict().items(), one.state_dict().items(), strict=True):
            torch.testing.assert_close(a, b, msg=lambda text, name=name: f"{name}: {text}", **tolerance)
    torch.testing.assert_close(losses(together)[replicate], losses(alone)[0], **tolerance)
    ours, theirs = (json.loads((run / "result.json").read_text())["metrics"] for run in (together, alone))
    for split in ("train", "val", "test"):
        for kind in ("loss", "accuracy", "sequence_accuracy"):
            slack = tolerance["atol"] if kind == "loss" else 30 * tolerance["atol"]  # an answer near 1/2 may change
            assert ours[split][kind][replicate] == pytest.approx(theirs[split][kind][0], abs=slack, rel=0)


@pytest.mark.parametrize("optimizer", ["adam", pytest.param("sgd", marks=pytest.mark.slow)])
@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("cell", CELLS)
def test_a_replicate_is_the_run_of_its_seed(tmp_path, cell, what, optimizer):
    words = [*what.split(), f"optimizer={optimizer}", f"model={cell}"]
    trained(tmp_path / "all", *FIFTY, *words, "model.replicates=2")
    trained(tmp_path / "one", *FIFTY, *words, "seed=1")
    assert_alone(tmp_path / "all", tmp_path / "one", 1, **CLOSE)


@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
def test_a_replicate_is_the_run_of_its_seed_under_other_settings(tmp_path, words):
    trained(tmp_path / "all", *FIFTY, *words, "model.replicates=3")
    trained(tmp_path / "one", *FIFTY, *words, "seed=2")
    assert_alone(tmp_path / "all", tmp_path / "one", 2, **CLOSE)


@pytest.mark.parametrize("words", [["model=rnn"], ["model=gru", "model.hidden=40"], ["task=memory", "loss=mse"]])
def test_a_replicate_is_the_run_of_its_seed_in_double_precision(tmp_path, words):
    words = ["task.train_size=2000", "trainer.max_epochs=1", "trainer.precision=64-true", *words]
    trained(tmp_path / "all", *words, "model.replicates=3")
    trained(tmp_path / "one", *words, "seed=1")
    assert_alone(tmp_path / "all", tmp_path / "one", 1, rtol=0, atol=1e-10)


FAILING = ["model.replicates=4", "trainer.max_epochs=3"]


def test_a_replicate_that_fails_is_frozen_and_counted_and_the_others_go_on(tmp_path, monkeypatch, capsys):
    trained(tmp_path / "whole", *FAILING)
    spoil(monkeypatch, [1], step=11)
    result = trained(tmp_path / "failed", *FAILING)
    whole = json.loads((tmp_path / "whole" / "result.json").read_text())
    for split in ("train", "val", "test"):
        for kind in ("loss", "accuracy", "sequence_accuracy"):
            values = list(whole["metrics"][split][kind])
            values[1] = None
            assert result["metrics"][split][kind] == values
    assert {row["epoch"] for row in read_history(tmp_path / "failed" / "history.csv") if row["replicate"] == 1} == {1}
    tables.print_result(result, tmp_path)
    assert "of 4 (1 failed)" in capsys.readouterr().out
    assert runs.load(tmp_path / "failed", "last").replicate != 1
    tags = points(tmp_path / "failed")
    assert all(math.isfinite(value) for values in tags.values() for _, value in values)


def test_a_failure_is_the_same_after_a_resume(tmp_path, monkeypatch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "CHUNK_BATCHES", 3)
        spoil(monkeypatch, [0, 2], step=10)
        trained(tmp_path / "reference", *FAILING)
        train_with_stops(monkeypatch, tmp_path / "run", (7, 13, 21), *FAILING)
    assert_equal_ends(tmp_path / "run", tmp_path / "reference")


def test_a_run_fails_when_all_replicates_fail(tmp_path, monkeypatch):
    spoil(monkeypatch, slice(None), step=5)
    with pytest.raises(UserError, match=r"the loss of all 4 replicates became infinite or NaN at step 6 \(epoch 0\)"):
        trained(tmp_path, *FAILING)
    assert not (tmp_path / "result.json").exists()


@pytest.mark.slow
def test_patience_stops_each_replicate_where_it_stops_alone(tmp_path):
    words = ["task=memory", "trainer.patience=1", "trainer.max_epochs=9", "optimizer.lr=0.02", "task.train_size=400"]
    trained(tmp_path / "all", *words, "model.replicates=4")
    ends = {rows.shape[0] for rows in losses(tmp_path / "all").values()}
    assert len(ends) > 1
    for replicate in range(4):
        trained(tmp_path / str(replicate), *words, f"seed={replicate}")
        assert_alone(tmp_path / "all", tmp_path / str(replicate), replicate, **CLOSE)


def test_summary_of_replicates():
    told = summarize([1.0, 0.5, None, 1.0, 0.9])
    assert (told.mean, told.least, told.most) == (pytest.approx(0.85), 0.5, 1.0)
    assert (told.perfect, told.count, told.failed) == (2, 5, 1)
    assert told.low < told.mean < told.high and told.within == (told.low, 1.0)
    many = summarize(torch.randn(400, generator=torch.Generator().manual_seed(0)).tolist())
    assert many.high - many.low == pytest.approx(2 * 1.96 / 20, rel=0.1)  # of a mean of 400 normal numbers


def test_the_best_replicate_answers_and_any_other_can_be_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trained("outputs/adder/three", "model.replicates=3", "task.test_lengths=[1,4]", "trainer.max_epochs=4")
    scores = torch.load("outputs/adder/three/checkpoints/best.ckpt", weights_only=True)["score"]
    best = max(range(3), key=lambda replicate: scores[replicate])

    def ask(module, *words):
        monkeypatch.setattr(sys, "argv", [module, *words])
        with pytest.raises(SystemExit):
            import_module(f"rnn_tasks.{module}").main()
        return capsys.readouterr()

    capsys.readouterr()
    assert ask("predict", "adder", "1+1").err.endswith(
        f"three, best weights, replicate {best}, of 3 the best in validation\n"
    )
    assert ask("predict", "adder", "1+1", "--replicate", str(best)).err == "outputs/adder/three, best weights\n"
    for replicate in range(3):
        measured = json.loads(ask("evaluate", "adder", "--json", "--replicate", str(replicate)).out)["test"]
        whole = runs.load("adder").result["metrics"]["test"]
        assert measured["accuracy"] == [whole["accuracy"][replicate]]
    everything = json.loads(ask("evaluate", "adder", "--json", "--replicate", "all").out)["test"]
    assert {key: everything[key] for key in whole} == whole
    assert "at 100 %" in ask("evaluate", "adder", "--replicate", "all", "--lengths", "3,9").out
    assert (
        "--replicate 3: outputs/adder/three has 3, counted from 0"
        in ask("predict", "adder", "1+1", "--replicate", "3").err
    )
    assert "one must answer" in ask("predict", "adder", "1+1", "--replicate", "all").err
    assert "no replicate" in ask("evaluate", "adder", "--replicate", "x").err


def test_validation_chooses_the_same_replicate_for_the_last_weights(tmp_path):
    val = trained(tmp_path, "model.replicates=5")["metrics"]["val"]
    best = max(range(5), key=lambda replicate: (val["sequence_accuracy"][replicate], -val["loss"][replicate]))
    assert runs.load(tmp_path, "last").replicate == best


@pytest.mark.parametrize("replicates", ["0", "1025", "x", "1.5"])
def test_too_few_or_too_many_replicates_are_refused(replicates):
    with pytest.raises(UserError, match=f"model.replicates={replicates}: must be"):
        config.compose([f"model.replicates={replicates}"])


def test_an_optimizer_that_couples_replicates_is_refused():
    task, model = config.build(config.compose(["model.replicates=2"]))
    with pytest.raises(UserError, match="Adafactor couples the elements of a parameter"):
        Learner(model, task, TrainSchedule(4, 2), mse, torch.optim.Adafactor).configure_optimizers()


def test_stalled_replicates_keep_their_weights_when_all_others_fail(tmp_path, monkeypatch):
    """Replicate 0 stalls in its first epochs, the others fail later: nobody's weights are lost."""
    original = RunRecorder.on_train_epoch_end

    def stall(self, trainer, learner):
        original(self, trainer, learner)
        learner.freeze_replicates(torch.tensor([True, False, False]))

    monkeypatch.setattr(RunRecorder, "on_train_epoch_end", stall)
    spoil(monkeypatch, [1, 2], step=20)
    result = trained(tmp_path, "model.replicates=3", "trainer.max_epochs=5", "trainer.log_every_n_steps=1")
    assert [loss is None for loss in result["metrics"]["test"]["loss"]] == [False, True, True]
    assert {row["replicate"] for row in read_history(tmp_path / "history.csv") if row["epoch"] > 1} == {1, 2}


def test_patience_counts_from_the_least_number_of_epochs(tmp_path):
    words = ["trainer.patience=1", "trainer.min_epochs=4", "trainer.max_epochs=9", "optimizer.lr=0.5"]
    trained(tmp_path, *words, "model.replicates=3")
    assert len(losses(tmp_path)[0]) >= 4


def test_patience_counts_epochs_with_a_validation(tmp_path):
    words = ["trainer.patience=3", "trainer.check_val_every_n_epoch=2", "trainer.max_epochs=7"]
    trained(tmp_path, *words, "optimizer.lr=1e-3", "model.replicates=2")
    assert len({row["epoch"] for row in read_history(tmp_path / "history.csv")}) == 7


@pytest.mark.parametrize("words", [[], ["trainer.limit_val_batches=0"]])
def test_replicates_whose_weights_are_nan_after_the_last_step_fail(tmp_path, monkeypatch, words):
    spoil(monkeypatch, [2], step=16)
    result = trained(tmp_path / "some", "model.replicates=3", *words)
    assert result["metrics"]["test"]["loss"][2] is None and result["metrics"]["train"]["loss"][2] is None
    spoil(monkeypatch, slice(None), step=16)
    with pytest.raises(UserError, match="after step 16"):
        trained(tmp_path / "all", "model.replicates=3", *words)


@pytest.mark.parametrize("replicates", [1, 2])
def test_without_validation_the_best_weights_are_the_last(tmp_path, replicates):
    trained(tmp_path, "trainer.limit_val_batches=0", "trainer.max_epochs=3", f"model.replicates={replicates}")
    best, last = (runs.load(tmp_path, which, "all").model.state_dict() for which in ("best", "last"))
    for name, weights in best.items():
        assert torch.equal(weights, last[name])


def test_a_failed_replicate_cannot_be_loaded(tmp_path, monkeypatch):
    spoil(monkeypatch, [0], step=11)
    whole = trained(tmp_path, "model.replicates=2", "trainer.max_epochs=3")["metrics"]["test"]
    for weights in ("best", "last"):
        assert runs.load(tmp_path, weights).replicate == 1
        with pytest.raises(UserError, match="--replicate 0: has failed"):
            runs.load(tmp_path, weights, 0)
    everything = evaluate(runs.load(tmp_path, "last", "all"))
    assert {key: everything[key] for key in whole} == whole
    (tmp_path / "result.json").unlink()
    assert runs.load(tmp_path, "last").replicate == 1


def test_replicates_of_a_model_without_them_are_refused(tmp_path):
    (model := tmp_path / "lax.py").write_text(
        "import torch\n\n\nclass Lax(torch.nn.Linear):\n    def __init__(self, input_size, output_size, **further):\n"
        "        super().__init__(input_size, output_size)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(model.parent)
        with pytest.raises(UserError, match=r"model.replicates=3: lax.Lax has none"):
            trained(tmp_path / "run", "model._target_=lax.Lax", "model.replicates=3")
