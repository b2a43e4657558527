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
from rnn_tasks.training.checkpoints import model_weights, read_checkpoint, save
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
    assert runs.read_config(Path("all")).model.weights == str(Path("one/checkpoints/last.ckpt").absolute())
    assert rnn_tasks.load("each").config.model.weights == str(Path("three/checkpoints/best.ckpt").absolute())


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
    trained("cut", *words)
    assert_equal_ends(Path("cut"), Path("whole"))
    shutil.copytree("cut", "later")
    (Path("later") / "result.json").unlink()
    trained("later", *words)  # from its last epoch
    assert_equal_ends(Path("later"), Path("whole"))


def stop(*_):
    raise Interrupted(15)


def test_weights_belong_to_the_configuration_of_a_run(workplace):
    older, none = config.compose([]), config.compose([])
    del older.model.weights
    assert fingerprint(older) == fingerprint(none)
    trained("source")
    shutil.copytree("source", "copy")
    trained("other", "seed=1")
    prints = [trained(f"{name}_run", f"model.weights={name}")["fingerprint"] for name in ("source", "copy", "other")]
    assert prints[0] == prints[1] != prints[2] and fingerprint(none) not in prints
    trained("run", "model.weights=source")
    with pytest.raises(
        UserError, match=r"with model\.weights=/.*/source/checkpoints/best\.ckpt, hash \w+ \(here null\); take"
    ):
        trained("run")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["model.weights=nix"], "model.weights=nix: no such run; give its directory, latest, the name of a task"),
        (["model.weights=nix.ckpt"], "model.weights=nix.ckpt: no such run; give its directory"),
        (["model.weights=empty"], "model.weights=empty: holds no run; give a directory that has a config.yaml"),
        (["model.weights=begun"], "model.weights=begun: begun/checkpoints/best.ckpt is missing; give a run that"),
        (
            ["model.weights=damaged.ckpt"],
            "model.weights=HERE/damaged.ckpt: is no checkpoint, or damaged; give a run or one",
        ),
        (["model.weights=[a]"], "model.weights=['a']: must be a word like outputs/adder/NAME"),
        (
            ["model.weights=source", "model.hidden=3"],
            "model.weights=HERE/source/checkpoints/best.ckpt: does not fit, recurrent.weight_ih_l0 is [1, 20, 2] there"
            " and [1, 12, 2] here",
        ),
        (
            ["model.weights=source", "model.replicates=3"],
            "model.weights=HERE/source/checkpoints/best.ckpt: holds 2 networks; model.replicates=3 must be 2, or 1",
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
    assert str(refused.value).startswith(problem.replace("HERE", str(workplace))), refused.value
    assert not Path("run").exists() or not any(Path("run").iterdir())


def test_the_name_of_a_run_of_a_sweep_needs_no_quotes(workplace):
    trained("outputs/adder/a/model.hidden=3,seed=1", "model.hidden=3", "seed=1")
    words = ["model.weights=outputs/adder/a/model.hidden=3,seed=1", "model.hidden=3", "name=b", *SMALL]
    assert command("train", *words).returncode == 0
    assert config.compose(words).model.weights == "outputs/adder/a/model.hidden=3,seed=1"


@pytest.mark.slow
def test_a_finished_run_needs_its_first_weights_no_more(workplace):
    trained("outputs/adder/source")
    words = [*SMALL, "--multirun", "model.weights=outputs/adder/source", "seed=1,2", "name=mine"]
    assert command("train", *words).returncode == 0
    results = [runs.read_result(Path("outputs/adder/mine", name)) for name in ("seed=1", "seed=2")]
    shutil.rmtree("outputs/adder/source")
    shutil.rmtree("outputs/adder/mine/seed=2/checkpoints")
    assert command("train", *words).returncode == 0
    assert command("train", "resume=outputs/adder/mine").returncode == 0
    assert [runs.read_result(Path("outputs/adder/mine", name)) for name in ("seed=1", "seed=2")] == results
    (elsewhere := workplace / "elsewhere").mkdir()
    assert command("train", "resume=../outputs/adder/mine", cwd=elsewhere).returncode == 0


def test_latest_is_one_run_in_a_whole_sweep(workplace):
    trained("outputs/adder/source")
    words = ["--multirun", *SMALL, "model.weights=latest", "seed=1,2", "name=mine"]
    assert command("train", *words).returncode == 0
    assert {runs.read_config(run).model.weights for run in Path("outputs/adder/mine").glob("seed=*")} == {
        str(Path("outputs/adder/source/checkpoints/best.ckpt").absolute())
    }


def test_a_sweep_over_runs_to_begin_with(workplace):
    names = [f"outputs/adder/a/model.hidden=5,seed={seed}" for seed in (1, 2)]
    for name in names:
        trained(name)
    located = runs.with_located_weights([f"model.weights={','.join(names)}", "+model.weights=nix", "seed=1,2"])
    first, second = (str(Path(name, "checkpoints/best.ckpt").absolute()) for name in names)
    assert located == [f"model.weights='{first}','{second}'", "+model.weights='nix'", "seed=1,2"]
    assert runs.with_located_weights(["model.weights=null"]) == ["model.weights=null"]
    ended = command("train", "--multirun", *SMALL, f"model.weights={','.join(names)}", "name=b")
    assert ended.returncode == 0, ended.stderr
    assert len(list(Path("outputs/adder/b").glob("*/result.json"))) == 2


def test_a_network_that_failed_is_not_the_best(workplace):
    trained("source", "model.replicates=2")
    path = Path("source/checkpoints/best.ckpt")
    checkpoint = read_checkpoint(path)
    checkpoint["score"], checkpoint["failed"] = [[1.0, 0.0], [0.0, -1.0]], [True, False]
    save(checkpoint, path)
    trained("one", *STILL, "model.weights=source")
    assert_equal(weights("one"), {key: value[1:] for key, value in weights("source", "best").items()})


def test_a_trial_keeps_no_weights_and_a_refused_run_nothing(workplace):
    trained("source")
    trained("trial", "model.weights=source", "trainer.fast_dev_run=true")
    assert not Path("trial/checkpoints/start.ckpt").exists()
    with pytest.raises(UserError, match=r"gpu|cuda"):
        trained("refused", "model.weights=source", "trainer.accelerator=gpu")
    assert not any(Path("refused").iterdir())


def test_weights_of_double_precision_keep_their_digits(workplace):
    trained("source", "trainer.precision=64-true", "optimizer.lr=0.1")
    trained("run", *STILL, "trainer.precision=64-true", "model.weights=source")
    assert weights("run")["head.weight"].dtype == torch.float64
    assert_equal(weights("run"), weights("source", "best"))


def test_a_strangers_run_reads_no_weights_from_elsewhere(workplace):
    trained("source")
    cfg = config.compose([*SMALL, "model.weights=source/checkpoints/best.ckpt"])
    Path("theirs").mkdir()
    runs.write_config(Path("theirs"), cfg)
    ended = command("train", "resume=theirs")
    assert ended.returncode == 2
    assert ended.stderr == "error: theirs: has not kept the weights that it begins with; give its own command again\n"
