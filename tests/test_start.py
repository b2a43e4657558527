"""Runs that begin with the weights of another run: ``model.weights=RUN``."""

import shutil
from pathlib import Path

import pytest
import torch
from forked import command
from helpers import SMALL, assert_equal_ends, trained, without_pictures

import rnn_tasks
from rnn_tasks import config, runs
from rnn_tasks.errors import Interrupted, UserError
from rnn_tasks.runs.identity import fingerprint
from rnn_tasks.training.checkpoints import model_weights, read_checkpoint
from rnn_tasks.training.recorder import RunRecorder

STILL = ["optimizer.lr=1e-30", "optimizer.weight_decay=0", "scheduler=none", "trainer.max_epochs=1"]


@pytest.fixture(autouse=True)
def no_pictures():
    with without_pictures():
        yield


def weights(run, name="last"):
    return model_weights(read_checkpoint(Path(run) / "checkpoints" / f"{name}.ckpt"))[0]


def assert_equal(one, other):
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_replicates_begin_with_their_own_or_a_single_one_or_the_best_weights(workplace):
    trained("three", "model.replicates=3", "optimizer.lr=0.1")
    source = weights("three", "best")
    trained("each", *STILL, "model.replicates=3", "model.weights=three")
    assert_equal(weights("each"), source)
    trained("one", *STILL, "model.weights=three")
    best = rnn_tasks.load("three").replicate
    assert_equal(weights("one"), {key: value[best : best + 1] for key, value in source.items()})
    trained("all", *STILL, "model.replicates=2", "model.weights=one/checkpoints/last.ckpt")
    assert_equal(weights("all"), {key: value.repeat_interleave(2, 0) for key, value in weights("one").items()})
    assert runs.read_config(Path("all")).model.weights == "one/checkpoints/last.ckpt"
    assert rnn_tasks.load("each").config.model.weights == "three/checkpoints/best.ckpt"


def test_a_run_that_began_with_weights_is_resumed_without_them(workplace, monkeypatch):
    """Bit for bit, though it was stopped in its first epoch, before a checkpoint, and the other run has changed."""
    trained("source")
    words = [*SMALL, "model.weights=source", "optimizer.lr=0.02"]
    trained("whole", *words)
    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "on_train_start", stop)
        with pytest.raises(Interrupted):
            trained("cut", *words)
    assert not (Path("cut") / "checkpoints" / "last.ckpt").exists()
    (Path("source") / "checkpoints" / "best.ckpt").unlink()
    trained("cut", *words[:-2], "model.weights=source/checkpoints/best.ckpt", words[-1])
    assert_equal_ends(Path("cut"), Path("whole"))
    shutil.copytree("cut", "later")
    (Path("later") / "result.json").unlink()
    trained("later", *words[:-2], "model.weights=source/checkpoints/best.ckpt", words[-1])  # from its last epoch
    assert_equal_ends(Path("later"), Path("whole"))


def stop(*_):
    raise Interrupted(15)


def test_weights_belong_to_the_configuration_of_a_run(workplace):
    none, some, other = (config.compose([f"model.weights={name}"]) for name in ("null", "a", "b"))
    assert len({fingerprint(cfg) for cfg in (none, some, other)}) == 3
    older = none.copy()
    del older.model.weights
    assert fingerprint(older) == fingerprint(none)
    trained("source")
    trained("run", "model.weights=source")
    with pytest.raises(UserError, match=r"with model\.weights=source/checkpoints/best\.ckpt \(here null\); take"):
        trained("run")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["model.weights=nix"], "model.weights=nix: no such run; give its directory, latest, the name of a task"),
        (["model.weights=nix.ckpt"], "model.weights=nix.ckpt: no such checkpoint"),
        (["model.weights=empty"], "model.weights=empty: holds no run; give a directory with a config.yaml"),
        (["model.weights=begun"], "model.weights=begun: begun/checkpoints/best.ckpt is missing; give a run that"),
        (["model.weights=damaged.ckpt"], "damaged.ckpt: is damaged"),
        (["model.weights=[a]"], "model.weights=['a']: must be a word like outputs/adder/NAME"),
        (
            ["model.weights=source", "model.hidden=3"],
            "model.weights=source/checkpoints/best.ckpt: does not fit, recurrent.weight_ih_l0 is [1, 20, 2] there and"
            " [1, 12, 2] here",
        ),
        (
            ["model.weights=source", "model.replicates=3"],
            "model.weights=source/checkpoints/best.ckpt: holds 2 networks; model.replicates=3 must be 2, or 1",
        ),
    ],
)
def test_weights_that_cannot_be_taken_are_refused_in_one_line(workplace, words, problem):
    trained("source", "model.replicates=2")
    Path("empty").mkdir()
    Path("begun").mkdir()
    runs.write_config(Path("begun"), config.compose([]))
    Path("damaged.ckpt").write_bytes(b"PK")
    with pytest.raises(UserError) as refused:
        trained("run", *words)
    assert str(refused.value).startswith(problem), refused.value
    assert not Path("run").exists() or not any(Path("run").iterdir())


def test_the_name_of_a_run_of_a_sweep_needs_no_quotes(workplace):
    trained("outputs/adder/a/model.hidden=3,seed=1", "model.hidden=3", "seed=1")
    words = ["model.weights=outputs/adder/a/model.hidden=3,seed=1", "model.hidden=3", "name=b", *SMALL]
    assert command("train", *words).returncode == 0
    assert config.compose(words).model.weights == "outputs/adder/a/model.hidden=3,seed=1"
