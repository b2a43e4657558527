"""README.md and docs/extending.md: their examples run as printed, their figures are those of docs/results.md."""

import csv
import re
import shlex

import pytest
import torch
from forked import command
from helpers import REPOSITORY, SMALL

from rnn_tasks import config, runs

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
EXTENDING = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
RESULTS = (REPOSITORY / "docs" / "results.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:python|yaml)\n(.*?)```", README + EXTENDING, re.DOTALL)
FILES = {  # by a text that the block holds
    "largest.py": "class Largest",
    "conf/task/largest.yaml": "_target_: largest.Largest",
    "majority.py": "class Majority",
    "conf/task/majority.yaml": "_target_: majority.Majority",
    "from_file.py": "class FromFile",
    "conf/task/from_file.yaml": "_target_: from_file.FromFile",
    "mgu.py": "def mgu",
    "leaky.py": "def leaky",
    "window.py": "class Window",
    "conf/model/window.yaml": "_target_: window.Window",
    "conf/optimizer/rmsprop.yaml": "_target_: torch.optim.RMSprop",
    "conf/scheduler/decay.yaml": "_target_: torch.optim.lr_scheduler.ExponentialLR",
    "progress.py": "class Progress",
    "conf/callbacks/progress.yaml": "_target_: progress.Progress",
}
SCRIPTS = ("rnn_tasks.train(",)
OWN = ("largest", "majority", "from_file", "mgu", "leaky", "window", "progress", "rmsprop", "decay")
SIZES = {"lengths": (3, 10), "batch_size": 4, "data_seed": 0, "train_size": 60, "val_size": 30, "test_size": 10}


def block(text):
    """The code block that holds a text."""
    (only,) = [block for block in BLOCKS if text in block]
    return only


def documented_commands():
    """The arguments of each training command in the two pages, as a shell gives them."""
    code = re.findall(
        r"`(python -m rnn_tasks\.train[^`]*)`|^    \$? ?(python -m rnn_tasks\.train.*)$", README + EXTENDING, re.M
    )
    return [shlex.split(span or line, comments=True)[3:] for span, line in code]


def documented(name):
    """The training commands that use an example of the reader's own."""
    commands = {" ".join(words): words for words in documented_commands() if name in " ".join(words)}
    assert commands
    return list(commands.values())


def train_as_documented(words):
    ended = command("train", "--config-dir", "conf", *SMALL, *words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def examples(workplace, monkeypatch):
    """A directory with the files of all examples, also on the import path."""
    for name, text in FILES.items():
        (workplace / name).parent.mkdir(parents=True, exist_ok=True)
        (workplace / name).write_text(block(text), encoding="utf-8")
    monkeypatch.syspath_prepend(workplace)
    return workplace


def test_every_code_block_is_an_example_that_is_tested():
    texts = [*FILES.values(), *SCRIPTS]
    assert [sum(text in block for text in texts) for block in BLOCKS] == [1] * len(texts)


def test_largest_draws_lists_and_their_largest_digit(examples):
    from largest import Largest

    task = Largest(name="largest", k=3, **SIZES)
    inputs, targets = task.draw(torch.tensor([3, 10, 5]), torch.Generator().manual_seed(0))
    lists = [task.write_input(row[:length]) for row, length in zip(inputs, (3, 10, 5), strict=True)]
    assert targets.tolist() == [max(map(int, re.findall(r"\d", text))) for text in lists]


@pytest.mark.parametrize(("name", "problem"), [("largest", "[1, 3, 6]"), ("majority", "1101")])
def test_a_task_of_ones_own_is_trained_and_asked(examples, name, problem):
    for words in documented(name):
        train_as_documented(words)
    asked = command("predict", name, problem)
    assert asked.returncode == 0, asked.stderr
    assert re.fullmatch(r"\d\n", asked.stdout)


def test_a_wrong_value_of_a_task_of_ones_own_is_refused(examples):
    wrong = command("train", "--config-dir", "conf", "task=majority", "task.batch_size=x")
    assert wrong.returncode == 2
    assert "must be a whole number" in wrong.stderr


def write_rows(path, count):
    """Rows like 1101,1, all different."""
    rows = [(f"{number:b}", number.bit_count() % 2) for number in range(1, count + 1)]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return rows


def test_the_sets_of_a_file_do_not_overlap_and_hold_every_row(examples):
    from from_file import FromFile

    rows = write_rows(examples / "bits.csv", 100)
    task = FromFile("bits.csv", name="from_file", **SIZES)
    task.setup()
    sets = [task.train, task.val, *task.test]
    assert [len(examples) for examples in sets] == [60, 30, 10]
    held = [
        (task.write_input(inputs[:length]), int(target))
        for part in sets
        for inputs, length, target in zip(part.inputs, part.lengths, part.targets, strict=True)
    ]
    assert sorted(held) == sorted(rows)


def test_data_from_a_file_are_trained_on(examples):
    for words in documented("from_file"):
        for name in ("bits.csv", "other.csv"):
            write_rows(examples / name, 64 + 32 + 4)
        train_as_documented([*words, "task.test_size=4"])


def test_a_cell_of_ones_own(examples):
    for words in documented("mgu"):
        assert "32 replicates" in train_as_documented(words)
    for words in documented("leaky"):
        train_as_documented(words)
    deep = ["task=memory", "model.bidirectional=true", "model.layers=2"]
    sweep = command("train", "--multirun", *SMALL, *deep, "model.cell=gru,mgu.mgu")
    assert sweep.returncode == 0, sweep.stderr


@pytest.mark.slow
def test_a_cell_that_does_not_exist_is_refused_in_one_line(examples):
    wrong = command("train", *SMALL, "model.cell=mgu.nothing")
    assert wrong.returncode == 2
    assert "cell=mgu.nothing" in wrong.stderr
    assert wrong.stderr.count("\n") == 1


def test_a_model_of_ones_own_is_trained_and_asked(examples):
    for words in documented("window"):
        train_as_documented(words)
    asked = command("predict", "adder", "1+1")
    assert re.fullmatch(r"[01]+\n", asked.stdout), asked.stderr


def test_the_seed_decides_the_weights_of_the_model(examples):
    window = "++model={_target_:window.Window,hidden:4,window:3}"
    cfgs = [config.compose([window, f"seed={seed}"]) for seed in (0, 0, 1)]
    first, same, other = (config.build(cfg)[1].head.weight for cfg in cfgs)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ["rmsprop", "decay"])
def test_an_optimizer_and_a_scheduler_of_ones_own(examples, name):
    for words in documented(name):
        train_as_documented(words)


@pytest.mark.parametrize("label", ["best", "best of all"])
def test_a_callback_of_ones_own_prints_after_each_validation(examples, label):
    words = documented("progress.Progress" if label == "best" else "callbacks=[progress]")[-1]
    printed = re.findall(r"step (\d+): (.*) [01]\.\d{4}", train_as_documented(words))
    assert printed == [("8", label), ("16", label)]  # 64 examples in batches of 8, two epochs


@pytest.mark.slow
def test_several_loggers_write_each_its_files(examples):
    for number, words in enumerate(documented("logger=[")):
        train_as_documented([*words, f"name={number}"])
        run = examples / "outputs" / "adder" / str(number)
        assert list(run.glob("events.out.tfevents.*"))
        assert list(run.rglob("metrics.csv"))
        assert (run / "table").exists() is ("logger.csv.name=table" in words)


def test_a_network_is_trained_in_python(workplace, capsys):
    exec(block("rnn_tasks.train("), {})
    (path,) = workplace.glob("outputs/memory/*")
    accuracy, answer = capsys.readouterr().out.splitlines()
    assert accuracy == str(runs.read_result(path)["metrics"]["test"]["accuracy"])
    assert re.fullmatch(r"\('\d', [01]\.\d+\)", answer)


def test_every_training_command_composes():
    commands = [words for words in documented_commands() if not any(name in " ".join(words) for name in OWN)]
    assert ["task=memory", "model=gru", "model.hidden=8"] in commands
    assert ["--multirun", "model.hidden=1,3,5", "model.replicates=32"] in commands
    for words in commands:
        overrides = [word for word in words if not word.startswith(("--", "resume="))]
        config.compose([word if "[" in word else word.partition(",")[0] for word in overrides])


def rows(text):
    """The cells of the lines of a table."""
    lines = [line for line in text.splitlines() if line.startswith("|") and set(line) - set("|- ")]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_claims_is_that_of_the_results():
    shown = rows(README.partition("## What a student's report claimed")[2].partition("\n\nThe report gives")[0])
    measured = rows(RESULTS.partition("\n## ")[0])
    assert len(shown) == 15
    assert shown == measured


def test_the_numbers_of_test_examples_are_those_of_the_experiments():
    table = rows(README.partition("## What a student's report claimed")[2].partition("\n\nThe report gives")[0])
    column = table[0].index("test examples")
    for name, *_, number in (row[: column + 1] for row in table[1:]):
        task = config.compose([f"experiment={name.strip('`').partition(' ')[0]}"]).task
        low, high = task.get("test_lengths") or (1, 1)
        assert number == f"{task.test_size * (high - low + 1):,}", name


def test_the_numbers_of_claims_are_those_of_the_results():
    counts = re.search(r"^holds: (\d+), does not hold: (\d+), .*?: (\d+), not measured: 0\.$", RESULTS, re.M).groups()
    text = " ".join(README.split())
    assert (
        f"all {sum(map(int, counts))} claims with plots: {counts[0]} hold, {counts[1]} do not, {counts[2]} cannot"
        in text
    )


def test_the_figures_of_handwriting_are_those_of_the_results():
    table = rows(RESULTS.partition("## Handwriting from elsewhere")[2].partition("What each ingredient")[0])
    accuracy = {name: [cell.partition(" ")[0] for cell in cells] for name, *cells in table}
    *report, reader = accuracy["USPS as it is"]
    section = README.partition("## Handwriting")[2].partition("\n## ")[0]
    assert re.findall(r"(\d\d\.\d\d) %", section) == [max(report), reader, accuracy["MNIST"][-1]]


def test_make_targets_links_and_folders_exist():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"`make ([a-z-]+)|^    make ([a-z-]+)", README, re.M)
    assert len(targets) >= 4
    assert all(f"\n{first or second}:" in makefile for first, second in targets)
    links = [REPOSITORY / path for path in re.findall(r"\]\(([^)#]+)\)", README)]
    links += [REPOSITORY / "docs" / path for path in re.findall(r"\]\(([^)#]+)\)", EXTENDING)]
    design = (REPOSITORY / "docs" / "design.md").read_text(encoding="utf-8").partition("| folder | holds |")[2]
    folders = [f"rnn_tasks/{name}" for name in re.findall(r"`(\w+/)`", design.partition("\n\n")[0])]
    assert len(links) >= 6
    assert len(folders) >= 8
    assert [path for path in [*links, *(REPOSITORY / folder for folder in folders)] if not path.exists()] == []
