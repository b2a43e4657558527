"""A wheel, installed elsewhere and used without the checkout."""

import os
import re
import subprocess
import sys

import pytest
from helpers import REPOSITORY, SMALL
from PIL import Image, ImageDraw


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Where the wheel has been installed to, and the environment that finds it there."""
    place = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", place, REPOSITORY], check=True)
    (wheel,) = place.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", place / "packages", wheel], check=True)
    return place, os.environ | {"PYTHONPATH": str(place / "packages")}


def run(installed, *words):
    place, environment = installed
    return subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=120)


def script(installed, name):
    return installed[0] / "packages" / "bin" / name


OWN = ["task._target_=own.Own", "model.hidden=2", "trainer.max_epochs=1"]


def own_task(place):
    """Write a module with a task into the working directory."""
    (place / "own.py").write_text("from rnn_tasks.tasks import Adder\n\n\nclass Own(Adder):\n    pass\n")


def test_training_works_without_the_checkout(installed):
    place, _ = installed
    where = run(installed, sys.executable, "-c", "import rnn_tasks; print(rnn_tasks.__file__)").stdout
    assert where.startswith(str(place))
    own_task(place)
    ended = run(installed, script(installed, "rnn-train"), *SMALL, *OWN)
    assert ended.returncode == 0, ended.stderr
    assert list(place.glob("outputs/adder/*/result.json"))


def test_the_kernels_source_and_the_reader_are_in_the_wheel(installed):
    package = installed[0] / "packages" / "rnn_tasks"
    assert (package / "models" / "kernel.cpp").is_file()
    assert (package / "pretrained" / "handwriting" / "checkpoints" / "best.ckpt").is_file()


@pytest.mark.slow
def test_the_report_is_in_the_wheel(installed):
    code = "from rnn_tasks.report import claims, page; print(len(claims.parts()), page.render('results.md.j2', {}))"
    ended = run(installed, sys.executable, "-c", code)
    assert "'quick' is undefined" in ended.stderr  # so the template is there


@pytest.mark.slow
def test_the_page_to_draw_on_is_in_the_wheel(installed):
    code = "from rnn_tasks.page.app import app; app(None, None)"  # reads its files
    assert run(installed, sys.executable, "-c", code).returncode == 0


@pytest.mark.slow
def test_a_digit_is_read_right_after_the_installation(installed):
    place, _ = installed
    image = Image.new("L", (200, 200), "white")
    ImageDraw.Draw(image).line([(60, 50), (140, 50), (90, 160)], "black", 14, "curve")
    image.save(place / "digit.png")
    ended = run(installed, sys.executable, "-m", "rnn_tasks.predict", "digit.png")
    assert (ended.returncode, ended.stdout) == (0, "7\n"), ended.stderr


def test_experiments_are_in_the_wheel(installed):
    ended = run(installed, sys.executable, "-m", "rnn_tasks.train", "experiment=mnist_rnn_sgd", "--cfg", "job")
    assert ended.returncode == 0 and "lr: 0.001" in ended.stdout


@pytest.mark.slow
def test_installed_commands_import_from_the_working_directory(installed):
    own_task(installed[0])
    ended = run(installed, script(installed, "rnn-tasks"), "train", *SMALL, *OWN)
    assert ended.returncode == 0, ended.stderr
    asked = run(installed, script(installed, "rnn-tasks"), "predict", "adder", "1+1")
    assert asked.returncode == 0 and re.fullmatch("[01]+\n", asked.stdout)


def test_installed_command_lists_all_commands(installed):
    ended = run(installed, script(installed, "rnn-tasks"), "--help")
    assert ended.returncode == 0 and ended.stdout.startswith("usage: rnn-tasks COMMAND ...\n")
    assert re.search(r"^  report +Write the report", ended.stdout, re.M)


@pytest.mark.parametrize(("name", "shown"), [("predict", "rnn-tasks predict"), ("report", "rnn-tasks report")])
def test_usage_shows_the_installed_command(installed, name, shown):
    ended = run(installed, script(installed, "rnn-tasks"), name, "--help")
    assert ended.returncode == 0 and ended.stdout.startswith(f"usage: {shown} [-h]")
    assert "python" not in ended.stdout
    wrong = run(installed, script(installed, "rnn-tasks"), name, "--nonsense")
    assert wrong.returncode == 2
    assert wrong.stderr == f"error: unrecognized arguments: --nonsense (see {shown} --help)\n"


COMPLETIONS = [
    ("task=m", {"task=memory", "task=mnist", "task=modular_arithmetic"}),
    ("model.hi", {"model.hidden="}),
    ("experiment=memory_hidden1", {"experiment=memory_hidden10"}),
]


def completed(installed, command, function, line):
    """What bash completes at the end of a line, after what a command prints for it has been evaluated."""
    words = line.split(" ")
    code = f"""
    PATH={installed[0] / "packages" / "bin"}:$PATH
    eval "$({command} -sc install=bash)"
    complete -p {command} | grep -q -- "-F {function}" || exit 1
    COMP_LINE="{line}" COMP_WORDS=({line}) COMP_CWORD={len(words) - 1}
    COMP_POINT=${{#COMP_LINE}}
    {function} 2>/dev/null
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return set(run(installed, "bash", "-c", code).stdout.split())


@pytest.mark.parametrize(("typed", "expected"), COMPLETIONS)
def test_tab_completion_of_training(installed, typed, expected):
    assert expected <= completed(installed, "rnn-train", "hydra_bash_completion", f"rnn-train {typed}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "rnn-tasks ",
            {"train", "sweep", "evaluate", "compare", "predict", "export", "show", "draw", "new", "reproduce"}
            | {"report", "look"},
        ),
        ("rnn-tasks re", {"reproduce", "report"}),
        *((f"rnn-tasks train {typed}", expected) for typed, expected in COMPLETIONS),
        ("rnn-tasks train task=memory model=bi", {"model=bilstm", "model=birnn"}),
        ("rnn-tasks predict task=", set()),  # is left to the shell, which completes file names
    ],
)
def test_tab_completion_of_all_commands(installed, line, expected):
    assert completed(installed, "rnn-tasks", "rnn_tasks_completion", line) == expected
