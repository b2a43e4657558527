"""The README and what it leads to: examples run as they stand, its commands exist, its links lead somewhere."""

import re

import pytest
from helpers import REPOSITORY, SMALL, command

from rnn_tasks import config
from rnn_tasks.train import train

README = (REPOSITORY / "README.md").read_text()
EXAMPLES = README + (REPOSITORY / "docs" / "extending.md").read_text()


def block(language, containing):
    """The code block that holds a text."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", EXAMPLES, re.S) if containing in text]
    return found


WINDOW = re.search(r"`({_target_: window\.Window.*?})`", EXAMPLES)[1]


def test_an_example_of_a_cell(workplace):
    (workplace / "mgu.py").write_text(block("python", "def mgu"))
    assert len(block("python", "def mgu").splitlines()) < 15
    words = ["model.cell=mgu.mgu", "model.replicates=3", "model.bidirectional=true", "model.layers=2"]
    ended = command("train", *SMALL, *words)
    assert ended.returncode == 0 and "3 replicates" in ended.stdout, ended.stderr
    assert command("train", "--multirun", *SMALL, "task=memory", "model.cell=gru,mgu.mgu").returncode == 0
    wrong = command("train", *SMALL, "model.cell=mgu.nothing")
    assert (
        wrong.returncode == 2
        and "cell=mgu.nothing: must be one of rnn, lstm, gru or like my_module.my_cell" in wrong.stderr
    )
    assert wrong.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("group", "name", "overrides", "question"),
    [("task", "parity", ["task=parity"], "1101"), ("model", "window", ["model=window", "model.window=4"], "1+1")],
)
def test_an_example_of_a_task_and_of_a_model(workplace, group, name, overrides, question):
    (workplace / f"{name}.py").write_text(block("python", f"class {name.title()}"))
    (workplace / "conf" / group).mkdir(parents=True)
    values = WINDOW if name == "window" else block("yaml", f"{name}.{name.title()}")
    (workplace / "conf" / group / f"{name}.yaml").write_text(values)
    ended = command("train", "--config-dir", "conf", *SMALL, *overrides)
    assert ended.returncode == 0, ended.stderr
    asked = command("predict", overrides[0].removeprefix("task=") if group == "task" else "adder", question)
    assert asked.returncode == 0 and set(asked.stdout.strip()) <= {"0", "1"}
    wrong = command(
        "train", "--config-dir", "conf", *overrides, f"{group}.{'batch_size' if group == 'task' else 'window'}=x"
    )
    assert wrong.returncode == 2 and "must be a whole number" in wrong.stderr


def test_the_example_in_python(workplace, capsys):
    train(config.compose([*SMALL]), workplace / "outputs" / "adder" / "one")
    exec(block("python", "runs.load"), {})
    accuracy, answer = capsys.readouterr().out.strip().splitlines()
    assert accuracy.startswith("[") and re.fullmatch(r"\('[01]+', 0\.\d+\)", answer)


def test_every_training_command_composes():
    commands = re.findall(
        r"python -m rnn_tasks\.train ([^`#\n|]*)", EXAMPLES.replace("experiment=NAME", "experiment=adder_loss")
    )
    assert len(commands) >= 5
    for words in commands:
        overrides = [word for word in words.split() if not word.startswith("--")]
        if "resume=" not in words and "parity" not in words and "window" not in words:
            config.compose([word if "," not in word else word.split(",")[0] for word in overrides])


def test_the_figures_of_handwriting_are_those_of_the_results():
    def rows(text):
        return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]

    results = (REPOSITORY / "docs" / "results.md").read_text().partition("## Handwriting from elsewhere")[2]
    measured = {}
    for name, *numbers in rows(results.partition("![")[0]):  # of two tables, one below the other
        measured.setdefault(name, []).extend(number.partition(" ")[0] for number in numbers)
    names = ["MNIST", "USPS as it is", "USPS", "UCI"]
    shown = rows(README.partition("| read  ")[2].partition("\n\n")[0])[-len(names) :]
    for name, (_, *numbers) in zip(names, shown, strict=True):
        report, *_, reader = measured[name][2:6]  # from lstm_sgd to handwriting
        assert numbers == [report, *measured[name][6:], reader]


def test_make_targets_and_files_named_exist():
    targets = (REPOSITORY / "Makefile").read_text()
    for target in re.findall(r"make ([a-z-]+)", README):
        assert f"\n{target}:" in targets
    for path in re.findall(r"\]\((docs/[^)]+)\)", README):
        assert (REPOSITORY / path).is_file()
    assert len(README.splitlines()) <= 150
