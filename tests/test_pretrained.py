"""The networks that come with the project."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import command
from strokes import written

from rnn_tasks import config, runs
from rnn_tasks.errors import UserError
from rnn_tasks.page.drawing import HEIGHT, WIDTH, digits_of
from rnn_tasks.runs.evaluation import evaluate

MIN_ACCURACY = {"handwriting": 0.995, "report": 0.98}


@pytest.mark.parametrize("name", MIN_ACCURACY)
def test_network_is_small_and_safe_to_load_and_its_readme_says_how_it_was_made(name):
    directory = runs.PRETRAINED / name
    assert sum(file.stat().st_size for file in directory.rglob("*")) < 3e6
    torch.load(directory / "checkpoints" / "best.ckpt", weights_only=True)
    readme = (directory / "README.md").read_text()
    (experiment,) = re.findall(r"python -m rnn_tasks\.train experiment=(\w+)", readme)
    assert config.compose([f"experiment={experiment}"]).task.name == "mnist"
    assert re.search(rf"rnn_tasks\.export RUN --run .*--to rnn_tasks/pretrained/{name}`", readme)


@pytest.mark.parametrize("name", MIN_ACCURACY)
def test_accuracy_on_the_test_set_is_that_of_the_readme(mnist, name):
    run = runs.load(name)
    (accuracy,) = evaluate(run)["accuracy"]
    assert accuracy >= MIN_ACCURACY[name]
    assert accuracy == pytest.approx(run.result["metrics"]["test"]["accuracy"][0], abs=2e-4)
    assert f"{run.result['metrics']['test']['accuracy'][0]:.2%}" in (run.path / "README.md").read_text()


def test_networks_are_found_by_name_unless_a_run_of_that_name_exists(workplace):
    ended = command("evaluate", "nothing")
    assert ended.returncode == 2 and ended.stderr.endswith("the name of a task, handwriting or report\n")
    assert runs.find("handwriting") == runs.PRETRAINED / "handwriting"
    (workplace / "outputs" / "report").mkdir(parents=True)  # where `make reproduce` writes its report
    (workplace / "report").mkdir()
    assert runs.find("report") == runs.PRETRAINED / "report"
    (workplace / "report" / "config.yaml").touch()  # the user's own run comes first
    assert runs.find("report") == Path("report")
    with pytest.raises(UserError, match=r"report/config\.yaml: is damaged"):
        runs.load("report")


def test_reader_reads_every_drawn_digit():
    drawings = [
        [np.array(stroke, np.float32) * (WIDTH, HEIGHT) for stroke in written(str(digit))] for digit in range(10)
    ]
    images = torch.stack([digits_of(strokes)[0][0].image for strokes in drawings])
    assert runs.load("handwriting").logits(images, torch.full((10,), 28)).argmax(-1).tolist() == list(range(10))
