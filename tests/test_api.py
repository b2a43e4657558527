"""The functions of ``import rnn_tasks``: what a notebook or a script does."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from forked import command
from helpers import SMALL, assert_equal_ends, stop_after

import rnn_tasks
import rnn_tasks.evaluate
import rnn_tasks.train
from rnn_tasks.errors import UserError
from rnn_tasks.runs import Run

TINY = [word for word in SMALL if "progress" not in word]


def test_importing_needs_no_torch_and_functions_stay_functions():
    code = (
        "import sys, rnn_tasks, rnn_tasks.train, rnn_tasks.evaluate, rnn_tasks.compare\n"
        "assert 'torch' not in sys.modules and set(rnn_tasks.__all__) <= set(dir(rnn_tasks))\n"
        "assert all(type(getattr(rnn_tasks, name)).__name__ == 'function' for name in rnn_tasks.FUNCTIONS)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr


def test_what_does_not_exist_is_named():
    with pytest.raises(AttributeError, match="module 'rnn_tasks' has no attribute 'tran'"):
        getattr(rnn_tasks, "tran")  # noqa: B009


@pytest.mark.parametrize("layers", [1, 2])
def test_a_run_is_trained_and_looked_into(workplace, capsys, layers):
    words = [*TINY, "model.replicates=2", f"model.layers={layers}", "model=bilstm"]
    run = rnn_tasks.train(*words, directory="outputs/adder/one")
    err = capsys.readouterr().err
    assert "bidirectional LSTM" in err and "epoch 2: val loss" in err
    assert run.path == Path("outputs/adder/one") and run.replicate in (0, 1) and run.result["replicates"] == 2
    history = run.history()
    assert list(zip(history["epoch"], history["replicate"], strict=True)) == [(1, 0), (1, 1), (2, 0), (2, 1)]
    states = run.states("1011+110")
    assert states.shape == (layers, 5, 2 * 5)
    everyone = rnn_tasks.load(run.path, replicate="all").states("1011+110")
    assert everyone.shape == (2, layers, 5, 2 * 5)
    torch.testing.assert_close(everyone[run.replicate], states)
    parts = run.to_torch()
    outputs, _ = parts["recurrent"](run.task.parse("1011+110")[None])
    torch.testing.assert_close(outputs[0], states[-1])
    assert f"bidirectional LSTM, {'2 layers of ' if layers == 2 else ''}5 units" in repr(run.model)


def test_a_run_that_has_finished_is_not_trained_again(workplace, capsys):
    first = rnn_tasks.train(*TINY, directory="here", progress=False)
    assert capsys.readouterr().err == ""
    changed = (first.path / "result.json").stat().st_mtime_ns
    assert rnn_tasks.train(*TINY, directory="here").result == first.result
    assert (first.path / "result.json").stat().st_mtime_ns == changed
    with pytest.raises(UserError, match="here: holds another run"):
        rnn_tasks.train(*TINY, "model.hidden=4", directory="here")


def test_without_a_directory_runs_get_new_ones(workplace):
    first, second = (rnn_tasks.train(*TINY, "trainer.max_epochs=1", progress=False) for _ in range(2))
    assert first.path.parent == second.path.parent == Path("outputs/adder") and first.path != second.path
    assert first.path.name == first.config.name  # the name in config.yaml is that of the directory


def test_a_directory_called_latest_is_not_searched_for_among_other_runs(workplace, no_pictures):
    words = [*TINY, "trainer.max_epochs=1"]
    assert rnn_tasks.train(*words, "seed=1", directory="latest", progress=False).path == Path("latest")
    newest = rnn_tasks.train(*words, "seed=2", progress=False)
    assert rnn_tasks.train(*words, "seed=1", directory="latest").config.seed == 1
    assert rnn_tasks.load(Path("latest")).config.seed == 1
    assert rnn_tasks.load("latest").path == newest.path


def test_a_run_of_a_sweep_is_loaded_from_its_directory(workplace, no_pictures):
    words = [*TINY, "trainer.max_epochs=1"]
    swept = rnn_tasks.sweep(*words, "seed=1,2", directory=".", progress=False)
    Path("seed=1").rename("latest")
    rnn_tasks.train(*words, "seed=3", progress=False)
    assert swept.load("latest").config.seed == 1
    with pytest.raises(UserError, match="seed=1: holds no run"):
        swept.load("seed=1")


def test_an_interrupt_stops_a_run_that_goes_on_as_if_nothing_had_been(workplace, monkeypatch):
    rnn_tasks.train(*TINY, directory="whole", progress=False)
    stop_after(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt, match="directory='stopped' goes on with it"):
        rnn_tasks.train(*TINY, directory="stopped", progress=False)
    rnn_tasks.train(*TINY, directory="stopped", progress=False)
    assert_equal_ends(Path("stopped"), Path("whole"))


def test_a_sweep_is_that_of_the_command_line(workplace, capsys):
    words = [*SMALL, "trainer.max_epochs=1", "model.hidden=1,3", "seed=range(2)"]
    swept = rnn_tasks.sweep(*words, directory="own", progress=False)
    assert command("train", "--multirun", *words, "hydra.sweep.dir=other").returncode == 0
    assert swept.names == sorted(swept.names) == [f"model.hidden={h},seed={s}" for h in (1, 3) for s in (0, 1)]
    for name in swept.names:
        assert (Path("own") / name / "history.csv").read_text() == (Path("other") / name / "history.csv").read_text()
    assert capsys.readouterr().out == ""
    table = swept.table()
    assert table["model.hidden"].tolist() == [1, 1, 3, 3] and table["seed"].tolist() == [0, 1, 0, 1]
    assert swept.load("model.hidden=3,seed=1").config.model.hidden == 3


def test_a_sweep_notes_what_cannot_be_trained(workplace, capsys):
    swept = rnn_tasks.sweep(*TINY, "trainer.max_epochs=1", "optimizer.lr=1e30,0.01", directory="own", progress=False)
    assert swept.names == ["optimizer.lr=0.01"]
    (failed,) = (row["note"] for row in swept.table().to_dict("records") if row["optimizer.lr"] == 1e30)
    assert "became infinite or NaN" in failed


@pytest.mark.parametrize("words", [["experiment=adder_loss", "loss=mse"], ["experiment=adder_hidden"]])
def test_values_of_ones_own_take_the_place_of_an_experiments(workplace, no_pictures, words):
    small = [*TINY, "trainer.max_epochs=1", "model.replicates=1"]
    swept = rnn_tasks.sweep(*small, *words, "model.hidden=1,2", directory="own", progress=False)
    assert swept.names == ["model.hidden=1", "model.hidden=2"]
    assert swept.load("model.hidden=2").config.loss._target_.endswith(".mse")


def test_a_stopped_sweep_has_a_summary_and_goes_on_in_its_directory(workplace, monkeypatch, no_pictures, capsys):
    words = [*TINY, "trainer.max_epochs=1", "model.hidden=1,2"]
    whole = rnn_tasks.sweep(*words, directory="whole", progress=False)
    rnn_tasks.sweep(*words[:-1], "model.hidden=1,1", directory="stopped", progress=False)
    stop_after(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt, match="directory='stopped' goes on with the sweep"):
        rnn_tasks.sweep(*words, directory="stopped", progress=False)
    summary = Path("stopped/summary.csv").read_text(encoding="utf-8").splitlines()
    assert summary[1].startswith("model.hidden=1,1,done,,") and summary[2].startswith("model.hidden=2,2,stopped,")
    assert Path("stopped/networks.csv").exists() and capsys.readouterr().out == ""
    swept = rnn_tasks.sweep(*words, directory="stopped", progress=False)
    assert_equal_ends(swept.path / "model.hidden=2", whole.path / "model.hidden=2")


def test_an_experiment_that_sweeps_is_a_sweep(workplace):
    swept = rnn_tasks.sweep(
        *TINY, "trainer.max_epochs=1", "model.replicates=1", "experiment=adder_loss", progress=False
    )
    assert swept.names == ["loss=bce", "loss=mse"] and swept.path.parent == Path("outputs/adder")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.hidden=3"], "model.hidden=3: must list the values of a key, like"),
        (["optimizer.lr=interval(0,1)"], r"optimizer.lr=interval\(0,1\): must list its values, like"),
        (["model.hidden=1,x"], "model.hidden=x: must be a whole number"),
        (["model.hidden=["], "no viable alternative"),
    ],
)
def test_a_sweep_that_cannot_begin_leaves_nothing(workplace, words, message):
    with pytest.raises(UserError, match=message):
        rnn_tasks.sweep(*words)
    assert not Path("outputs").exists()


def test_evaluate_takes_a_run_or_its_name(workplace):
    run = rnn_tasks.train(*TINY, "model.replicates=2", progress=False)
    found = rnn_tasks.evaluate(run, [3, 4], 10)
    assert list(found["by_length"]) == ["3", "4"] and found["n"] == 20 and found["answers"] == 10 * (4 + 5)
    assert rnn_tasks.evaluate("adder") == rnn_tasks.evaluate(rnn_tasks.load(run.path, "last"))


@pytest.mark.parametrize(
    ("replicate", "shown"), [("best", "replicate 1 of 3"), ("all", "all 3 replicates"), (0, "replicate 0 of 3")]
)
def test_a_run_shows_itself_in_one_line(replicate, shown):
    chosen = {"best": 1, "all": None}.get(replicate, replicate)
    run = Run(Path("outputs/x"), None, None, None, chosen, [False], None, "last", 3)
    assert repr(run) == f"Run('outputs/x', last weights of {shown})"
