import os
import sys
from importlib import import_module

import pytest
import torch
from helpers import DATA, without_pictures

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def own_state(tmp_path_factory):
    """A directory of the tests' own for the key that signs runs."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty current directory, with the data where they are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RNN_TASKS_DATA", str(DATA.resolve()))
    return tmp_path


@pytest.fixture
def mnist(workplace):
    """As workplace; the test is skipped where MNIST is not there and cannot be downloaded."""
    from rnn_tasks.errors import UserError
    from rnn_tasks.tasks.mnist import Mnist

    try:
        Mnist(str(DATA), name="mnist", batch_size=1, data_seed=0, train_size=1, val_size=1, test_size=1).setup()
    except UserError as error:
        pytest.skip(str(error))
    return workplace


@pytest.fixture
def no_pictures():
    with without_pictures():
        yield


@pytest.fixture(scope="session")
def trained_runs(tmp_path_factory):
    """A directory with an adder and a memory model that have learned their tasks; the memory model is the newest."""
    from rnn_tasks import config
    from rnn_tasks.train import train

    place = tmp_path_factory.mktemp("trained")
    quick = ["trainer.enable_progress_bar=false"]
    train(config.compose([*quick, "trainer.max_epochs=3"]), place / "outputs" / "adder" / "one")
    train(config.compose([*quick, "task=memory", "trainer.max_epochs=10"]), place / "outputs" / "memory" / "two")
    return place


@pytest.fixture
def call(monkeypatch, capsys):
    """Call a command in this process: its exit status, its stdout and its stderr."""

    def call(module, *words):
        monkeypatch.setattr(sys, "argv", [module, *words])
        with pytest.raises(SystemExit) as ended:
            import_module(f"rnn_tasks.{module}").main()
        return ended.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture
def ask(trained_runs, monkeypatch, call):
    """Call a command in the directory of the trained runs."""
    monkeypatch.chdir(trained_runs)
    return call
