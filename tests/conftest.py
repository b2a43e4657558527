import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rnn_tasks import config
from rnn_tasks.train import train

REPOSITORY = Path(__file__).parent.parent
DATA = Path(os.environ.get("RNN_TASKS_DATA", REPOSITORY / "data"))
SMALL = [
    "task.train_size=64",
    "task.val_size=32",
    "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false",
    "threads=1",
]

torch.set_num_threads(1)


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


def trained(run, *overrides):
    """Train in this process and return the result."""
    return train(config.compose([*SMALL, *overrides]), Path(run))


def command(module, *words, **kwargs):
    """Run a command of the project as a person would and return the ended process."""
    words = [sys.executable, "-m", f"rnn_tasks.{module}", *words]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, **kwargs)
