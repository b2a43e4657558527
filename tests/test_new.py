"""The command new: what it writes can be tested, trained and asked as it is."""

import subprocess
import sys
from pathlib import Path

import pytest
from forked import command
from helpers import SMALL


def test_a_new_task_is_tested_trained_and_asked(workplace):
    ended = command("new", "task", "odd_ones")
    assert ended.returncode == 0, ended.stderr
    files, _, next_steps = ended.stdout.partition("\n\n")
    assert files.splitlines() == ["odd_ones.py", "conf/task/odd_ones.yaml", "test_odd_ones.py"]
    tested = subprocess.run([sys.executable, *next_steps.splitlines()[0].split()[1:]], capture_output=True, text=True)
    assert tested.returncode == 0 and "1 passed" in tested.stdout, tested.stdout
    trained = command("train", "--config-dir", "conf", "task=odd_ones", *SMALL)
    assert trained.returncode == 0, trained.stderr
    assert command("predict", "odd_ones", "1101").stdout in ("0\n", "1\n")


NAMES = ["1st", "class", "a-b", "../x", "report", "grün", ""]
NAMES += ["_", "__", "_1", "none"]  # no class could have the name
NAMES += ["random", "winreg", "torch", "tabulate", "rnn_tasks", "__main__", "adder"]  # are taken


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_no_task_can_have_writes_nothing(workplace, call, name):
    status, out, err = call("new", "task", name)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert not list(Path().rglob("*.py")) and not Path("conf").exists()


def test_nothing_is_overwritten(workplace):
    Path("test_mine.py").write_text("mine", encoding="utf-8")
    ended = command("new", "task", "mine")
    assert ended.returncode == 2 and ended.stderr == "error: test_mine.py: exists already; choose another name\n"
    assert not Path("mine.py").exists() and Path("test_mine.py").read_text(encoding="utf-8") == "mine"
