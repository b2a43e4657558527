"""A wheel, installed elsewhere and used without the checkout."""

import os
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


def test_training_works_without_the_checkout(installed):
    place, _ = installed
    where = run(installed, sys.executable, "-c", "import rnn_tasks; print(rnn_tasks.__file__)").stdout
    assert where.startswith(str(place))
    ended = run(installed, place / "packages" / "bin" / "rnn-train", *SMALL, "model.hidden=3")
    assert ended.returncode == 0, ended.stderr
    asked = run(installed, sys.executable, "-m", "rnn_tasks.predict", "adder", "1+1")
    assert asked.returncode == 0 and set(asked.stdout.strip()) <= {"0", "1"}
    assert list(place.glob("outputs/adder/*/result.json"))


def test_the_source_of_the_kernel_is_in_the_wheel(installed):
    assert (installed[0] / "packages" / "rnn_tasks" / "models" / "kernel.cpp").is_file()


def test_the_report_is_in_the_wheel(installed):
    code = "from rnn_tasks.report import claims, page; print(len(claims.parts()), page.render('results.md.j2', {}))"
    ended = run(installed, sys.executable, "-c", code)
    assert "'quick' is undefined" in ended.stderr  # so the template is there


def test_the_page_to_draw_on_is_in_the_wheel(installed):
    code = "from rnn_tasks.page.app import app; app(None, None)"  # reads its files
    assert run(installed, sys.executable, "-c", code).returncode == 0


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


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("task=", {"task=adder", "task=memory", "task=mnist"}),
        ("model.hi", {"model.hidden="}),
        ("experiment=memory_hidden1", {"experiment=memory_hidden10"}),
    ],
)
def test_tab_completion(installed, typed, completed):
    place, _ = installed
    script = f"""
    PATH={place / "packages" / "bin"}:$PATH
    eval "$(rnn-train -sc install=bash)"
    COMP_LINE="rnn-train {typed}" COMP_WORDS=(rnn-train {typed}) COMP_CWORD=1
    COMP_POINT=${{#COMP_LINE}}
    hydra_bash_completion 2>/dev/null
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert completed <= set(run(installed, "bash", "-c", script).stdout.split())
