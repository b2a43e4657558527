"""Commands as they are called: as one command, as modules and as files, and what they call themselves."""

import ast
import os
import re
import subprocess
import sys

import pytest
from forked import command
from helpers import REPOSITORY, SMALL

from rnn_tasks import __main__ as console
from rnn_tasks import arguments


def call(*words, cwd=None):
    """Run ``python`` with these words and return the ended process."""
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, cwd=cwd)


def test_all_commands_are_listed_with_a_line_each_without_torch():
    code = (
        "import sys; sys.argv[1:] = ['--help']\nfrom rnn_tasks.__main__ import main\n"
        "try: main()\nfinally: assert not {'torch', 'lightning', 'hydra'} & set(sys.modules)"
    )
    ended = call("-c", code)
    assert ended.returncode == 0, ended.stderr
    lines = [line.split(maxsplit=1) for line in ended.stdout.splitlines() if line.startswith("  ")]
    assert [name for name, _ in lines] == list(console.COMMANDS)
    assert dict(lines)["evaluate"] == "Measure a finished run again"
    assert call("-m", "rnn_tasks").stdout.startswith("usage: python -m rnn_tasks COMMAND ...\n")


def test_unknown_command_is_refused_in_one_line():
    ended = call("-m", "rnn_tasks", "nonsense")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"error: nonsense: no such command; there are {', '.join(console.COMMANDS)}\n"


@pytest.mark.parametrize("name", console.COMMANDS)
def test_every_command_has_a_module_with_a_summary(name):
    assert 10 < len(console.summary(name)) < 80
    assert (REPOSITORY / console.module(name).replace(".", "/")).with_suffix(".py").is_file()


def test_one_command_trains_and_calls_itself_by_its_name(workplace):
    ended = command("__main__", "train", *SMALL, "trainer.max_epochs=1", "name=one")
    assert ended.returncode == 0 and "outputs/adder/one" in ended.stdout, ended.stderr
    assert command("__main__", "predict", "adder", "1+1").returncode == 0
    shown = call("-m", "rnn_tasks", "predict", "--help").stdout
    assert shown.startswith("usage: python -m rnn_tasks predict [-h]") and "rnn_tasks.predict" not in shown


@pytest.mark.slow
def test_training_file_can_be_run_as_a_script(workplace):
    ended = call(REPOSITORY / "rnn_tasks" / "train.py", *SMALL, "trainer.max_epochs=1")
    assert ended.returncode == 0, ended.stderr
    assert list(workplace.glob("outputs/adder/*/result.json"))


@pytest.mark.parametrize(
    ("called", "own", "other"),
    [
        ("/somewhere/bin/rnn-train", "rnn-train", "rnn-tasks predict"),
        ("C:/bin/rnn-tasks.exe", "rnn-tasks", "rnn-tasks predict"),
        ("rnn-tasks evaluate", "rnn-tasks evaluate", "rnn-tasks predict"),
        ("python -m rnn_tasks evaluate", "python -m rnn_tasks evaluate", "python -m rnn_tasks predict"),
        (f"{REPOSITORY}/rnn_tasks/evaluate.py", "python -m rnn_tasks.evaluate", "python -m rnn_tasks.predict"),
        (f"{REPOSITORY}/rnn_tasks/report/__main__.py", "python -m rnn_tasks.report", "python -m rnn_tasks.predict"),
        (f"{REPOSITORY}/rnn_tasks/__main__.py", "python -m rnn_tasks", "python -m rnn_tasks.predict"),
        ("/somewhere/pytest.py", "pytest.py", "python -m rnn_tasks.predict"),
    ],
)
def test_commands_are_named_as_they_were_called(monkeypatch, called, own, other):
    monkeypatch.setattr(sys, "argv", [called])
    assert arguments.program() == own
    assert arguments.command_line("predict") == other
    assert arguments.command_line("predict", "1+1") == f"{other} 1+1"


def test_training_is_named_by_its_own_script(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/rnn-train"])
    assert arguments.command_line("train", "resume=x") == "rnn-train resume=x"


def test_help_works_without_docstrings():
    ended = call("-OO", "-m", "rnn_tasks.evaluate", "--help")
    assert ended.returncode == 0 and ended.stdout.startswith("usage: python -m rnn_tasks.evaluate [-h]"), ended.stderr
    assert "Measure a finished run again" in call("-OO", "-m", "rnn_tasks").stdout


def test_importing_commands_and_asking_for_help_need_no_torch():
    modules = ", ".join(f"rnn_tasks.{name}" for name in console.COMMANDS if name != "report")
    code = f"import sys, rnn_tasks, rnn_tasks.runs, {modules}, rnn_tasks.report.__main__\n"
    ended = call("-c", code + "assert not {'torch', 'lightning'} & set(sys.modules)")
    assert ended.returncode == 0, ended.stderr
    ended = command("train", "--help")
    assert (
        ended.returncode == 0
        and "model: bilstm, birnn, crnn, gru, lstm, mingru, minlstm, rnn, transformer" in ended.stdout
    )
    for word in ("--multirun", "--config-dir DIR", "--cfg job", "--trust", "resume=", "reference/configuration"):
        assert word in ended.stdout


def test_information_of_hydra_is_printed():
    ended = call("-m", "rnn_tasks.train", "--info", "searchpath", "seed=1")
    assert (ended.returncode, ended.stderr) == (0, "") and "Config search path" in ended.stdout


def test_help_into_a_pipe_that_is_closed_ends_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "rnn_tasks.train", "--hydra-help"]
    with os.fdopen(writing, "w") as pipe:
        ended = subprocess.run(words, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_search_path_of_the_command_line_is_that_of_the_training(tmp_path):
    (tmp_path / "scheduler").mkdir()
    text = "_target_: torch.optim.lr_scheduler.ExponentialLR\n_partial_: true\ngamma: 0.5\n"
    (tmp_path / "scheduler" / "mine.yaml").write_text(text)
    words = [*SMALL, "trainer.fast_dev_run=true", "hydra.run.dir=run", "scheduler=mine"]
    ended = command("train", f"hydra.searchpath=[file://{tmp_path}]", *words, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "gamma: 0.5" in (tmp_path / "run" / "config.yaml").read_text()


def test_a_run_is_named_by_a_path_that_holds_where_the_command_was_called(tmp_path):
    words = [*SMALL, "trainer.fast_dev_run=true", "name=one"]
    for further, shown in (([], "outputs/adder/one"), (["hydra.job.chdir=true"], f"{tmp_path}/outputs/adder/one")):
        ended = command("train", *words, *further, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.splitlines()[-1] == shown


@pytest.mark.parametrize("name", console.COMMANDS[1:])
def test_help_of_every_command_shows_an_example_in_one_line_and_the_defaults(name):
    shown = command(console.module(name).removeprefix("rnn_tasks.").removesuffix(".__main__"), "--help").stdout
    doc = ast.get_docstring(ast.parse((REPOSITORY / f"{console.module(name).replace('.', '/')}.py").read_text("utf-8")))
    assert re.fullmatch(rf"[^:`]+: ``python -m rnn_tasks\.{name}\b[^`]*``\.", doc.splitlines()[0])
    *_, title, example = shown.rstrip().splitlines()
    assert title == "example:" and example.startswith(f"  python -m rnn_tasks.{name}")
    for option in ("--weights", "--replicate", "--split", "--samples", "--metric", "--port", "--jobs"):
        described = re.search(rf"^  {option}\b(.*?)(?=^  -|\Z|^\n)", shown, re.DOTALL | re.MULTILINE)
        assert described is None or "default" in described[1], option
