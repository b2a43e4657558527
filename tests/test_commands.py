"""What people type after training: show, evaluate, predict, and what they are told when it is wrong."""

import json
import shutil
import sys
from importlib import import_module
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import DATA, command, trained
from paper import photo
from PIL import Image
from torchvision.datasets import MNIST

from rnn_tasks import config, runs
from rnn_tasks.train import train


@pytest.fixture(scope="module")
def trained_runs(tmp_path_factory):
    """A directory with an adder and a memory model that have learned their tasks; the memory model is the newest."""
    place = tmp_path_factory.mktemp("trained")
    quick = ["trainer.enable_progress_bar=false"]
    train(config.compose([*quick, "trainer.max_epochs=3"]), place / "outputs" / "adder" / "one")
    train(config.compose([*quick, "task=memory", "trainer.max_epochs=10"]), place / "outputs" / "memory" / "two")
    return place


@pytest.fixture
def here(trained_runs, monkeypatch):
    monkeypatch.chdir(trained_runs)


@pytest.fixture
def ask(here, call):
    """Call a command where trained runs are."""
    return call


@pytest.fixture
def call(monkeypatch, capsys):
    """Call a command in this process: its exit status and what it printed."""

    def call(module, *words):
        monkeypatch.setattr(sys, "argv", [module, *words])
        with pytest.raises(SystemExit) as ended:
            import_module(f"rnn_tasks.{module}").main()
        return ended.value.code or 0, *capsys.readouterr()

    return call


# the lists printed in the report, each with its third number
LISTS = {
    (1, 3, 6): 6, (9, 0, 8): 8, (5, 0, 7, 4): 7, (4, 2, 8, 7): 8, (3, 0, 6, 2, 2): 6, (0, 5, 4, 0, 4): 4,
    (6, 8, 7, 4, 6, 9): 7, (4, 4, 7, 7, 0, 7): 7, (0, 2, 2, 1, 8, 4, 3): 2, (1, 2, 2, 2, 0, 6, 2): 2,
    (7, 9, 5, 6, 9, 8, 6, 0): 5, (5, 0, 1, 4, 3, 7, 9, 1): 1, (0, 9, 8, 5, 1, 2, 6, 7, 2): 8,
    (3, 9, 5, 0, 3, 5, 9, 3, 1): 5, (5, 6, 0, 0, 3, 6, 3, 4, 0, 3): 0, (0, 2, 4, 3, 8, 2, 3, 5, 3, 9): 4,
}  # fmt: skip


def test_the_lists_of_the_report(ask):
    status, out, err = ask("predict", "memory", *(str(list(digits)) for digits in LISTS))
    assert status == 0 and err == ""
    assert out.split() == [str(answer) for answer in LISTS.values()]


def test_sums_as_text_and_as_json(ask):
    assert ask("predict", "outputs/adder/one", "1011+110", "0+0", "1+1111111")[1].split() == ["10001", "0", "10000000"]
    answers = json.loads(ask("predict", "adder", "1011+110", "--json")[1])
    assert [(answer["input"], answer["output"]) for answer in answers] == [("1011+110", "10001")]
    loaded = runs.load("adder")
    logits = loaded.logits(loaded.task.parse("1011+110")[None], torch.tensor([5]))
    assert answers[0]["confidence"] == pytest.approx(logits.abs().sigmoid().min().item())
    assert 0.5 < answers[0]["confidence"] < 1


def test_without_a_run_the_newest_that_fits_is_asked_and_named(ask):
    assert ask("predict", "[1, 3, 6]") == (0, "6\n", "asking outputs/memory/two\n")
    assert ask("predict", "1011+110", "1+1") == (0, "10001\n10\n", "asking outputs/adder/one\n")
    assert ask("predict", "latest", "[1, 3, 6]")[1] == "6\n"
    assert ask("predict", "1" * 3000 + "+1")[1] == "1" + "0" * 3000 + "\n"


WRONG = {
    ("predict", "adder", "[1, 2]"): "'[1, 2]' is no sum of two binary numbers like 1011+110",
    ("predict", "memory", "[1, x, 3]"): "'[1, x, 3]' is no list of digits like [1, 3, 6]",
    ("predict", "memory", "[1, 2]"): "has 2 digits",
    ("predict", "memory", "[" * 50_000): "is no list of digits",
    ("predict", "nowhere", "1+1"): "'nowhere': is no run, no photo like digit.png",
    ("predict", "outputs"): "outputs: holds neither a run nor images",
    ("evaluate", "nowhere"): "nowhere: no such run",
    ("evaluate", "adder", "--lengths", "5-3"): "'5-3' is no range",
    ("evaluate", "adder", "--lengths", "x"): "'x' is no list of lengths like 1-40,100,1000",
    ("evaluate", "adder", "--samples", "0"): "'0' is no whole number of at least 1",
    ("evaluate", "adder", "--weights", "worst"): "invalid choice",
    ("evaluate", "memory", "--lengths", "2"): "length 2",
    ("evaluate", "adder", "--lengths", "1-9999999999"): "is no range within 1-100000",
    ("predict", "1" * 300 + "+x"): "is no run, no photo like digit.png",
    ("show", "--nonsense"): "unrecognized arguments: --nonsense",
    ("show", "task=nothing"): "task=nothing: no such task; there are adder, memory, mnist",
    ("show", "model.hidden=x"): "model.hidden=x: must be a whole number",
}


@pytest.mark.parametrize("words", WRONG, ids=lambda words: " ".join(words)[:60])
def test_bad_input_is_refused_in_one_line(ask, words):
    status, out, err = ask(*words)
    assert status == 2 and out == ""
    assert err.startswith("error: ") and WRONG[words] in err and err.count("\n") == 1


def test_evaluate_gives_the_metrics_of_the_result(ask):
    said = json.loads(ask("evaluate", "adder", "--json")[1])["test"]
    assert said == runs.load("adder").result["metrics"]["test"]
    best = json.loads(ask("evaluate", "adder", "--json", "--weights", "best")[1])["test"]
    assert best["n"] == 2000 and best["accuracy"] != [0.0]


def test_evaluate_in_double_precision(ask):
    result = trained("outputs/adder/double", "trainer.precision=64-true", "model=rnn")
    said = json.loads(ask("evaluate", "outputs/adder/double", "--json")[1])["test"]
    assert said == result["metrics"]["test"]
    assert ask("predict", "outputs/adder/double", "1+1")[0] == 0
    shutil.rmtree("outputs/adder/double")


def test_evaluate_at_other_lengths(ask):
    test = json.loads(ask("evaluate", "adder", "--lengths", "1-3,40", "--samples", "50", "--json")[1])["test"]
    assert {length: values["n"] for length, values in test["by_length"].items()} == dict.fromkeys(
        ["1", "2", "3", "40"], 50
    )
    table = ask("evaluate", "memory", "--lengths", "3,12", "--samples", "50")[1]
    assert "length 12" in table and "100.00%" in table


def test_show_prints_examples(ask):
    status, out, _ = ask("show", "task=memory", "task.lengths=[3,3]")
    assert status == 0 and out.count(" -> ") == 5 and out.count("step 2:") == 5 and "chance: 10.00%" in out
    assert ask("show", "task.train_size=2")[1].count("step 0:") == 2
    assert ask("show", "--help")[0] == 0
    out = ask("show", "task=adder")[1]
    first, second = out.split("\n\n")[1].splitlines()[0].split(" -> ")[0].split("+")
    assert f"-> {int(first, 2) + int(second, 2):b}" in out and "chance: 50.00%" in out


def test_a_digit_in_an_image(mnist, call):
    words = ["task=mnist", "task.train_size=1000", "task.val_size=200", "model=gru", "task.batch_size=8"]
    trained("outputs/mnist/three", *words, "trainer.max_epochs=1")
    digits = runs.load("mnist").task
    digits.setup()
    image = (digits.test[0].inputs[0].numpy() * 255).astype(np.uint8)
    Image.fromarray(image).save("digit.png")
    status, out, err = call("predict", "digit.png")
    assert (status, out) == (0, "7\n") and err.startswith("asking handwriting, which comes with the package")
    answer = json.loads(call("predict", "mnist", "digit.png", "--json")[1])[0]
    logits = runs.load("mnist").logits(digits.test[0].inputs[:1], torch.tensor([28]))
    assert answer["output"] == str(logits.argmax().item())
    assert call("evaluate", "mnist", "--lengths", "3")[2].startswith("error: --lengths: an image has 28 rows")
    for name, content in (("bad.png", "nothing"), ("empty.png", "")):
        (mnist / name).write_text(content)
        status, _, err = call("predict", "mnist", name)
        assert status == 2 and f"{name!r} is no image" in err and err.count("\n") == 1

    (mnist / "photos").mkdir()
    for number in (1, 2):
        Image.fromarray(image).save(f"photos/{number}.png")
    status, out, err = call("predict", "mnist", "photos")
    assert status == 0 and out == f"photos/1.png: {answer['output']}\nphotos/2.png: {answer['output']}\n"
    assert call("predict", "photos")[1] == "photos/1.png: 7\nphotos/2.png: 7\n"
    grid = Path(err.splitlines()[-1])
    assert grid.name == "answers.png" and min(Image.open(grid).size) > 100
    assert call("predict", "mnist", "digit.png", "photos")[1].count("png: ") == 3
    (mnist / "photos" / "damaged.png").write_text("nothing")
    status, out, err = call("predict", "mnist", "photos")
    assert status == 2 and out.count("png: ") == 2
    assert err.count("error: ") == 1 and "error: 'photos/damaged.png' is no image" in err


def test_a_photo_of_several_digits(mnist, call):
    images = MNIST(DATA.resolve(), train=False).data[:6].float() / 255  # 7 2 1 0 4 1
    photo(images, columns=3, size=90, cell=70, margin=80).crop((0, 0, 400, 170)).save("row.png")
    photo(images, columns=3, cell=150, pen="blue", paper="squared").save("lines.png")
    network = str(runs.PRETRAINED / "handwriting")
    status, out, err = call("predict", network, "row.png", "lines.png")
    assert status == 0 and out == "721\n7 2 1\n0 4 1\n"
    drawn = [Path(line) for line in err.splitlines()]
    assert drawn == [Path("outputs/answers/row.png"), Path("outputs/answers/lines.png")]
    assert all(Image.open(path).size == Image.open(path.name).size for path in drawn)
    (answer,) = json.loads(call("predict", network, "lines.png", "--json")[1])
    assert answer["output"] == "7 2 1\n0 4 1" and [len(line) for line in answer["lines"]] == [3, 3]
    first = answer["lines"][0][0]
    assert first["digit"] == "7" and 0.3 < answer["confidence"] <= first["confidence"] <= 1
    left, top, right, bottom = first["box"]
    assert 60 <= left < right <= 150 and 60 <= top < bottom <= 150
    with pytest.raises(ValueError, match=r"'lines\.png' shows 6 digits"):
        runs.load(network).ask("lines.png")
    Image.new("RGB", (300, 300), "white").save("empty.png")
    status, out, err = call("predict", network, "empty.png")
    assert (status, out) == (2, "") and err.startswith("error: 'empty.png': no digit can be seen")


def test_without_inputs_they_are_asked_for(ask, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO("1011+110\n1+1\n\n0+0\n"))
    assert ask("predict", "adder")[1:] == ("10001\n10\n", "problems of adder, like 1011+110; an empty line ends\n")
    monkeypatch.setattr("sys.stdin", StringIO("[1, 3, 6]"))
    assert ask("predict")[:2] == (0, "6\n")
    monkeypatch.setattr("sys.stdin", StringIO("1011+11x\n1+1\n"))
    status, out, err = ask("predict", "adder")
    assert (status, out) == (2, "") and "error: '1011+11x' is no sum of two binary numbers" in err
    monkeypatch.setattr("sys.stdin", terminal := StringIO("1011+11x\n1+1\n"))
    terminal.isatty = lambda: True
    status, out, err = ask("predict", "adder")
    assert (status, out) == (0, "10\n") and "> error: '1011+11x' is no sum" in err


def test_refused_training_leaves_no_files(workplace):
    for words in (["model.hidden=x"], ["loss=ce"], ["task=memory", "task.k=9"], ["model.hiden=3"], ["resume=nowhere"]):
        ended = command("train", *words)
        assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and "Traceback" not in ended.stderr
    assert not [path for path in workplace.rglob("*") if path.is_file()]
