"""The command predict: problems as text, as JSON, from stdin; photos and directories of photos; bad input."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import DATA, trained
from paper import photo
from PIL import Image
from torchvision.datasets import MNIST

from rnn_tasks import config, runs
from rnn_tasks.photos.files import FORMATS, images_in, is_image_name

# the lists printed in the report, each with its third number
LISTS = {
    (1, 3, 6): 6, (9, 0, 8): 8, (5, 0, 7, 4): 7, (4, 2, 8, 7): 8, (3, 0, 6, 2, 2): 6, (0, 5, 4, 0, 4): 4,
    (6, 8, 7, 4, 6, 9): 7, (4, 4, 7, 7, 0, 7): 7, (0, 2, 2, 1, 8, 4, 3): 2, (1, 2, 2, 2, 0, 6, 2): 2,
    (7, 9, 5, 6, 9, 8, 6, 0): 5, (5, 0, 1, 4, 3, 7, 9, 1): 1, (0, 9, 8, 5, 1, 2, 6, 7, 2): 8,
    (3, 9, 5, 0, 3, 5, 9, 3, 1): 5, (5, 6, 0, 0, 3, 6, 3, 4, 0, 3): 0, (0, 2, 4, 3, 8, 2, 3, 5, 3, 9): 4,
}  # fmt: skip


def test_lists_of_the_report(ask):
    status, out, err = ask("predict", "memory", *(str(list(digits)) for digits in LISTS))
    assert status == 0 and err == "outputs/memory/two, best weights\n"
    assert out.split() == [str(answer) for answer in LISTS.values()]


def test_sums_as_text_and_as_json(ask):
    assert ask("predict", "outputs/adder/one", "1011+110", "0+0", "1+1111111")[1].split() == ["10001", "0", "10000000"]
    (answer,) = json.loads(ask("predict", "adder", "1011+110", "--json")[1])
    assert (answer["input"], answer["output"]) == ("1011+110", "10001")
    loaded = runs.load("adder")
    logits = loaded.logits(loaded.task.parse("1011+110")[None], torch.tensor([5]))
    assert answer["confidence"] == pytest.approx(logits.abs().sigmoid().min().item())
    assert 0.5 < answer["confidence"] < 1


def test_newest_fitting_run_answers_where_none_is_named(ask):
    assert ask("predict", "[1, 3, 6]") == (0, "6\n", "outputs/memory/two, best weights\n")
    assert ask("predict", "1011+110", "1+1") == (0, "10001\n10\n", "outputs/adder/one, best weights\n")
    assert ask("predict", "latest", "[1, 3, 6]")[1] == "6\n"
    assert ask("predict", "1" * 3000 + "+1")[1] == "1" + "0" * 3000 + "\n"


WRONG = {
    ("adder", "[1, 2]"): "'[1, 2]' is no sum of two binary numbers like 1011+110",
    ("memory", "[1, x, 3]"): "'[1, x, 3]' is no list of digits like [1, 3, 6]",
    ("memory", "[1, 2]"): "has 2 digits",
    ("memory", "[" * 50_000): "is no list of digits",
    ("nowhere", "1+1"): "'nowhere': is no run, no photo like digit.png",
    ("outputs",): "outputs: holds neither a run nor images",
    ("1" * 300 + "+x",): "is no run, no photo like digit.png",
    ("adder", "1+1", "--replicate", "all"): "--replicate all: one must answer",
}


@pytest.mark.parametrize("words", WRONG, ids=lambda words: " ".join(words)[:60])
def test_bad_input_gets_one_line(ask, words):
    status, out, err = ask("predict", *words)
    assert status == 2 and out == ""
    assert err.startswith("error: ") and WRONG[words] in err and err.count("\n") == 1


def test_problems_from_stdin(ask, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO("\ufeff1011+110\n1+1\n\n0+0\n"))
    assert ask("predict", "adder")[1:] == ("10001\n10\n0\n", "outputs/adder/one, best weights\n")
    monkeypatch.setattr("sys.stdin", StringIO("[1, 3, 6]"))
    assert ask("predict") == (0, "6\n", "outputs/memory/two, best weights\n")


def test_bad_problem_from_a_file_ends_and_at_a_terminal_does_not(ask, monkeypatch):
    monkeypatch.setattr("sys.stdin", StringIO("1011+11x\n1+1\n"))
    status, out, err = ask("predict", "adder")
    assert (status, out) == (2, "") and "error: '1011+11x' is no sum of two binary numbers" in err
    monkeypatch.setattr("sys.stdin", terminal := StringIO("1011+11x\n1+1\n"))
    terminal.isatty = lambda: True
    status, out, err = ask("predict", "adder")
    assert (status, out) == (0, "10\n") and "> error: '1011+11x' is no sum" in err
    assert "problems of adder, like 1011+110; an empty line ends" in err


@pytest.mark.parametrize("name", ["adder", "memory"])
def test_example_of_a_task_is_one_of_its_problems(name):
    task = config.build_task(config.compose([f"task={name}"]))
    assert task.write_input(task.parse(task.example)) == task.example
    assert not task.reads_photos


def test_example_of_mnist_is_a_photo():
    task = config.build_task(config.compose(["task=mnist"]))
    assert task.reads_photos and is_image_name(task.example)


@pytest.fixture
def seven(mnist):
    """The first test image of MNIST, which shows a 7, as digit.png."""
    image = MNIST(DATA.resolve(), train=False).data[0]
    Image.fromarray(image.numpy()).save("digit.png")
    return image / 255


@pytest.fixture
def reader(mnist):
    """A network that has hardly learned to read MNIST, as the newest run."""
    words = ["task=mnist", "task.train_size=1000", "task.val_size=200", "model=gru", "task.batch_size=8"]
    trained("outputs/mnist/three", *words, "trainer.max_epochs=1")


def test_photo_of_one_digit(call, seven):
    status, out, err = call("predict", "digit.png")
    assert (status, out) == (0, "7\n")
    assert err.count("\n") == 1 and err.startswith("handwriting, which comes with the package, best weights")


def test_photo_is_read_by_the_named_run(call, seven, reader):
    (answer,) = json.loads(call("predict", "mnist", "digit.png", "--json")[1])
    probabilities = runs.load("mnist").logits(seven[None], torch.tensor([28])).softmax(-1)[0]
    assert answer["output"] == str(probabilities.argmax().item())
    assert answer["confidence"] == pytest.approx(probabilities.max().item(), abs=1e-5)


@pytest.mark.parametrize("content", ["nothing", ""])
def test_damaged_photo_gets_one_line(call, workplace, content):
    Path("bad.png").write_text(content, encoding="utf-8")
    status, out, err = call("predict", "handwriting", "bad.png")
    assert (status, out) == (2, "") and err.startswith("error: 'bad.png' is no image") and err.count("\n") == 1


def test_photo_without_digits_gets_one_line(call, workplace):
    Image.new("RGB", (300, 300), "white").save("empty.png")
    status, out, err = call("predict", "handwriting", "empty.png")
    assert (status, out) == (2, "") and err.startswith("error: 'empty.png': no digit can be seen")


def test_directory_of_photos(call, seven):
    Path("photos").mkdir()
    for number in (2, 1):
        Path(f"photos/{number}.png").write_bytes(Path("digit.png").read_bytes())
    Path("photos/notes.txt").write_text("no photo", encoding="utf-8")
    status, out, err = call("predict", "photos")
    assert (status, out) == (0, "photos/1.png: 7\nphotos/2.png: 7\n")
    assert err.splitlines()[:-1] == ["outputs/answers/answers.png"]
    assert min(Image.open("outputs/answers/answers.png").size) > 100
    assert call("predict", "handwriting", "digit.png", "photos")[1] == f"digit.png: 7\n{out}"
    Path("photos/damaged.png").write_text("nothing", encoding="utf-8")
    status, out, err = call("predict", "photos")
    assert status == 2 and out.count("png: 7\n") == 2
    assert err.count("error: ") == 1 and "error: 'photos/damaged.png' is no image" in err


@pytest.fixture
def photos(mnist):
    """Photos of 721, and of 7 2 1 above 0 4 1."""
    images = MNIST(DATA.resolve(), train=False).data[:6].float() / 255
    photo(images, columns=3, size=90, cell=70, margin=80).crop((0, 0, 400, 170)).save("row.png")
    photo(images, columns=3, cell=150, pen="blue", paper="squared").save("lines.png")


def test_an_answer_does_not_depend_on_the_place_for_its_picture(call, photos):
    Path("outputs").mkdir(exist_ok=True)
    Path("outputs/answers").write_text("", encoding="utf-8")  # where the directory would be
    status, out, err = call("predict", "handwriting", "row.png")
    assert (status, out) == (0, "721\n")
    told, run = err.splitlines()
    assert told.startswith("no picture of the answers: outputs/answers: cannot be written or read (File exists)")
    assert "handwriting" in run


def test_photos_of_several_digits_leave_pictures_with_boxes(call, photos):
    Path("other").mkdir()
    Path("other/row.png").write_bytes(Path("row.png").read_bytes())
    status, out, err = call("predict", "handwriting", "row.png", "lines.png", "other/row.png")
    assert (status, out) == (0, "721\n7 2 1\n0 4 1\n721\n")
    assert err.splitlines()[:-1] == [f"outputs/answers/{name}.png" for name in ("row", "lines", "row-2")]
    for path in err.splitlines()[:-1]:
        picture = np.asarray(Image.open(path))
        original = np.asarray(Image.open(Path(path).name.replace("-2", "")))
        assert picture.shape == original.shape and 0.005 < (picture != original).any(2).mean() < 0.3


def test_photo_of_several_digits_as_json(call, photos):
    (answer,) = json.loads(call("predict", "handwriting", "lines.png", "--json")[1])
    assert (answer["input"], answer["output"]) == ("lines.png", "7 2 1\n0 4 1")
    assert [[digit["digit"] for digit in line] for line in answer["lines"]] == [["7", "2", "1"], ["0", "4", "1"]]
    confidences = [digit["confidence"] for line in answer["lines"] for digit in line]
    assert answer["confidence"] == min(confidences) > 0.3 and max(confidences) <= 1
    left, top, right, bottom = answer["lines"][0][0]["box"]
    assert 60 <= left < right <= 150 and 60 <= top < bottom <= 150


def test_run_refuses_to_answer_a_photo_of_several_digits_at_once(photos):
    with pytest.raises(ValueError, match=r"'lines\.png' shows 6 digits"):
        runs.load("handwriting").ask("lines.png")


def test_names_of_images(tmp_path):
    for name in ("b.jpg", "a.PNG", "c.txt", "d", "e.pdf", "f.webp"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [Path(path).name for path in images_in(tmp_path)] == ["a.PNG", "b.jpg", "f.webp"]
    assert all(is_image_name(f"x.{kind.lower()}") for kind in FORMATS)
