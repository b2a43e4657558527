"""The networks that come with the project."""

import re

import numpy as np
import pytest
import torch
from helpers import command
from strokes import written

from rnn_tasks import config, runs
from rnn_tasks.errors import UserError
from rnn_tasks.page.networks import HEIGHT, WIDTH, drawn
from rnn_tasks.runs.evaluation import evaluate

LEAST = {"handwriting": 0.995, "report": 0.98}


@pytest.mark.parametrize("name", LEAST)
def test_it_is_small_safe_to_load_and_says_who_made_it(name):
    directory = runs.PRETRAINED / name
    assert sum(file.stat().st_size for file in directory.rglob("*")) < 3e6
    torch.load(directory / "checkpoints" / "best.ckpt", weights_only=True)
    said = (directory / "README.md").read_text()
    (experiment,) = re.findall(r"python -m rnn_tasks\.train experiment=(\w+)", said)
    assert config.compose([f"experiment={experiment}"]).task.name == "mnist"
    assert re.search(rf"rnn_tasks\.export RUN --run .*--to rnn_tasks/pretrained/{name}`", said)


@pytest.mark.parametrize("name", LEAST)
def test_its_accuracy_on_the_test_set_is_what_it_says(mnist, name):
    run = runs.load(name)
    (accuracy,) = evaluate(run)["accuracy"]
    assert accuracy >= LEAST[name]
    assert accuracy == pytest.approx(run.result["metrics"]["test"]["accuracy"][0], abs=2e-4)
    assert f"{run.result['metrics']['test']['accuracy'][0]:.2%}" in (run.path / "README.md").read_text()


def test_both_are_runs_by_name(workplace):
    ended = command("evaluate", "nothing")
    assert ended.returncode == 2 and ended.stderr.endswith("the name of a task, handwriting or report\n")
    assert runs.find("handwriting") == runs.PRETRAINED / "handwriting"
    (workplace / "outputs" / "report").mkdir(parents=True)  # where the page of the report is left
    (workplace / "report").mkdir()
    assert runs.find("report") == runs.PRETRAINED / "report"
    (workplace / "report" / "config.yaml").touch()  # a run of one's own comes first
    with pytest.raises(UserError, match=r"report/config\.yaml: is damaged"):
        runs.find("report")


def test_the_reader_knows_every_digit_when_it_is_drawn():
    hands = [[np.array(stroke, np.float32) * (WIDTH, HEIGHT) for stroke in written(str(digit))] for digit in range(10)]
    images = torch.stack([drawn(strokes)[0][0].image for strokes in hands])
    assert runs.load("handwriting").logits(images, torch.full((10,), 28)).argmax(-1).tolist() == list(range(10))
