"""Searches by Optuna: the same command makes the same trials again, and goes on where it was stopped."""

import os
import signal
import sys
from pathlib import Path

import pytest
import yaml
from forked import command, start
from helpers import wait_for

from rnn_tasks import config, runs
from rnn_tasks.runs import summaries
from rnn_tasks.training.recorder import RunRecorder

TINY = [
    *("task.train_size=64", "task.val_size=32", "task.test_size=4", "task.lengths=[1,2]", "task.test_lengths=[1,2]"),
    *("trainer.max_epochs=2", "logger=csv", "optimizer.lr=tag(log,interval(0.001,0.1))", "model.hidden=range(1,6)"),
    *("hydra/sweeper=optuna", "hydra.sweeper.sampler.n_startup_trials=2", "hydra.sweep.dir=search"),
]


@pytest.fixture
def search(workplace, call, no_pictures):
    """Search in this process: exit status, stdout and stderr."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    return lambda *words: call("train", "--multirun", *TINY, *words)


def values(place="search"):
    """The value of each trial, by the name of its directory."""
    found = {path.parent.name: runs.read_result(path.parent) for path in Path(place).glob("*/result.json")}
    return {name: result["metrics"]["val"]["sequence_accuracy"][0] for name, result in found.items()}


def best():
    return yaml.safe_load(Path("search/optimization_results.yaml").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_search_made_again_or_prolonged_trains_only_what_is_new(search, monkeypatch):
    trained, original = [], RunRecorder.on_train_start
    monkeypatch.setattr(
        RunRecorder, "on_train_start", lambda self, *args: (trained.append(self.file), original(self, *args))
    )
    status, _, errors = search("hydra.sweeper.n_trials=4")
    assert status == 0 and "Traceback" not in errors
    first, chosen = values(), best()
    assert len(trained) == len(first) == 4 and chosen["best_value"] == max(first.values())
    search("hydra.sweeper.n_trials=4")
    assert len(trained) == 4 and best() == chosen
    search("hydra.sweeper.n_trials=6")
    assert len(trained) == 6 and values().items() >= first.items()
    assert best()["best_value"] == max(values().values())


def test_a_trial_that_fails_does_not_end_the_search(search):
    status, output, errors = search("hydra.sweeper.n_trials=3", "trainer.gradient_clip_val=-1,1", "model.hidden=2")
    failed = list(Path("search").glob("*/error.txt"))
    assert status == 1 and "Traceback" not in output + errors
    assert 1 <= len(failed) <= 2 and len(values()) + len(failed) >= 2
    assert best()["best_params"]["trainer.gradient_clip_val"] == 1


def test_a_search_without_any_value_ends_in_one_line(search):
    status, output, errors = search("hydra.sweeper.n_trials=2", "trainer.limit_val_batches=0")
    assert status == 1 and "Traceback" not in output + errors
    assert errors.splitlines()[-1].startswith("error: hydra/sweeper=optuna: No trials are completed yet")
    assert len(list(Path("search").glob("*/result.json"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT])
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(workplace, signum):
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    words = ["--multirun", *TINY, "hydra.sweeper.n_trials=5", "task.train_size=2000", "trainer.max_epochs=4"]
    assert command("train", *words, "hydra.sweep.dir=whole").returncode == 0
    process = start("train", *words)
    wait_for(lambda: len(list(Path("search").glob("*/checkpoints/last.ckpt"))) == 3, process)
    process.send_signal(signum)
    assert process.wait(120).returncode != 0 and len(values()) == 2
    assert command("train", *words).returncode == 0
    assert values() == values("whole")


@pytest.mark.slow
def test_a_search_by_several_processes_is_made_again_in_the_same_way(workplace):
    for package in ("optuna_sweeper", "joblib_launcher"):
        pytest.importorskip(f"hydra_plugins.hydra_{package}")
    words = ["--multirun", *TINY, "hydra/launcher=joblib", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2"]
    assert command("train", *words).returncode == 0
    first = values()
    assert len(first) == 4
    os.remove(next(Path("search").glob("*/result.json")))
    assert command("train", *words).returncode == 0
    assert values() == first


def test_the_value_of_a_trial_is_the_mean_over_networks_in_validation():
    metrics = {"val": {"sequence_accuracy": [0.5, None, 0.7]}, "test": {"sequence_accuracy": [1.0, 1.0, 1.0]}}
    assert summaries.objective({"metrics": metrics}) == pytest.approx(0.6)


@pytest.mark.parametrize("name", ["adder_search", "mnist_search"])
def test_a_search_can_be_composed_without_optuna(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert config.compose([f"experiment={name}"]).experiment == name
