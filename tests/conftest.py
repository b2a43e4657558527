import pytest
import torch
from helpers import DATA

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
