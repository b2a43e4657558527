"""The site under docs/: what is made from the code is complete, what is written by hand says what the code does."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from forked import command
from helpers import REPOSITORY, SMALL

import rnn_tasks
from rnn_tasks import __main__ as console
from rnn_tasks import config
from rnn_tasks.report import claims, page
from rnn_tasks.report.judgement import Judgement
from rnn_tasks.runs import summaries

DOCS = REPOSITORY / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md")}
TUTORIAL, HOWTO = PAGES["tutorial.md"], PAGES["howto.md"]
PYTHON, FILES = PAGES["reference/python.md"], PAGES["reference/files.md"]
OPTIONS = [
    f"{group}={path.stem}"
    for group in ("task", "model", "optimizer", "scheduler")
    for path in sorted((config.CONF / group).glob("*.yaml"))
]
OPTIONS += ["task=memory loss=ce", "loss=mse", "logger=[csv,tensorboard]", "callbacks=[weight_norms,participation]"]
OPTIONS += ["task=mnist task/augmentation=handwriting"]

mkdocs = pytest.importorskip("mkdocs", reason="the pages of the reference are made by mkdocs")
sys.path.insert(0, str(DOCS / "hooks"))
import generate  # noqa: E402


@pytest.fixture(scope="module")
def keys():
    """Key, meaning, default and rule of each row of the page on the configuration."""
    lines = [line for line in generate.configuration().splitlines() if line.startswith("| `")]
    return [[cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in lines]


def leaves(node, path=""):
    for key, value in node.items():
        full = f"{path}{key}"
        if hasattr(value, "items") and value and full not in ("task.lr", "task.states"):
            yield from leaves(value, f"{full}.")
        else:
            yield full


@pytest.mark.parametrize("words", OPTIONS)
def test_every_key_of_a_configuration_is_documented(keys, words):
    documented = {key for key, *_ in keys}
    assert set(leaves(config.compose(words.split()))) - {"experiment", "swept"} <= documented


def test_every_key_has_a_meaning_and_the_kind_of_its_value(keys):
    for key, meaning, _, rule in keys:
        assert meaning, key
        assert rule or key in ("trainer.devices", "trainer.fast_dev_run", "scheduler", "task.augmentation"), key


def test_rules_of_the_page_are_those_that_values_must_meet(keys):
    rows = {(key, default, rule) for key, _, default, rule in keys}
    for key, default, rule in (
        ("seed", "0", "a whole number, at least 0"),
        ("model.dropout", "0.0", "a finite number, at least 0 and less than 1"),
        ("model.bidirectional", "false", "true or false"),
        ("model.pooling", "last", "last, mean"),
        ("optimizer.lr", "${task.lr.sgd}", "a finite number, more than 0"),
        ("task.lengths", "[1, 20]", "the lowest and the highest length"),
        ("task.losses", "[bce, mse]", "a list"),
        ("trainer.max_time", "null", "days, hours, minutes and seconds like 00:01:30:00"),
    ):
        assert (key, default, rule) in rows, key


def test_every_command_is_on_the_page_of_commands():
    text = generate.commands()
    for name in console.COMMANDS:
        assert f"\n## {name}\n" in text
    assert "--lengths" in text and "--onnx" in text and "== Groups" in text and "Traceback" not in text


def table(text, heading):
    """The names in the first column below a heading, in the order of the page."""
    part = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[0].strip("| ") for line in part.splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    place = tmp_path_factory.mktemp("sweep")
    words = [*SMALL, "trainer.max_epochs=1", "model.replicates=2", "model.hidden=1,2"]
    return rnn_tasks.sweep(*words, directory=place / "sweep", progress=False)


def test_the_files_of_a_run_are_documented(sweep):
    run = sweep.load(sweep.names[0])
    with (run.path / "history.csv").open(newline="", encoding="utf-8") as file:
        assert next(csv.reader(file)) == [*table(FILES, "history.csv")[:2], *written(table(FILES, "history.csv")[2:])]
    result = json.loads((run.path / "result.json").read_text(encoding="utf-8"))
    documented = table(FILES, "result.json")
    assert set(result) <= set(documented)
    for split, values in result["metrics"].items():
        assert split in ("train", "val", "test") and set(values) <= set(documented)
    names = {path.name for path in run.path.iterdir()} - {".lock"}
    known = FILES.partition("\n## ")[0]
    assert all(name.split(".out.")[0] in known for name in names), names


def written(names):
    """The columns of a history in their order in the file: of training, then of validation."""
    return [name for split in ("train", "val") for name in names if name.startswith(split)]


def test_the_columns_of_a_summary_are_documented(sweep):
    summaries.write_summary(sweep.path, show=False)
    with (sweep.path / "summary.csv").open(newline="", encoding="utf-8") as file:
        columns = next(csv.reader(file))
    documented = table(FILES, "summary.csv")
    for column in columns:
        base = re.sub(r" (low|high|best)$", "", column)
        assert base in documented or column == "model.hidden", column


def test_the_columns_of_networks_are_documented(sweep):
    with (sweep.path / "networks.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) - {"model.hidden"} == set(table(FILES, "networks.csv"))
    assert [(row["model.hidden"], row["replicate"], row["seed"]) for row in rows] == [
        (hidden, str(number), str(number)) for hidden in "12" for number in (0, 1)
    ]
    shares = sweep.load(sweep.names[1]).result["metrics"]["test"]["sequence_accuracy"]
    assert [float(row["test exact match"]) for row in rows[2:]] == shares
    assert sweep.networks()["test exact match"].tolist()[2:] == shares


def test_the_keys_of_claims_are_documented():
    claim = claims.parts()[0].claims[0]
    row = claims.JudgedClaim(claim, Judgement("holds", "why")).as_json()
    assert set(row) == set(table(FILES, "claims.json")) - {"schema", "quick", "claims"}
    assert "claims.json" in Path(page.__file__).read_text(encoding="utf-8")


def test_the_training_commands_of_the_site_compose():
    lines = re.findall(
        r"^(?:\$ )?python -m rnn_tasks\.train(.*)$|`python -m rnn_tasks\.train([^`]*)`",
        (TUTORIAL + HOWTO + PAGES["index.md"] + PAGES["template.md"]).replace("\\\n", ""),
        re.M,
    )
    commands = [shlex.split(first or second, comments=True) for first, second in lines]
    assert len(commands) >= 5
    for words in commands:
        if any(word.startswith("resume=") for word in words):
            assert config.to_resume([], words)
            continue
        chosen = [word for word in words if not word.startswith(("--", "name=", "hydra")) and "(" not in word]
        config.compose([word if "[" in word else word.partition(",")[0] for word in chosen])


def test_the_python_of_the_site_runs(workplace, capsys):
    words = [*SMALL, "trainer.max_epochs=1", "model.replicates=2"]
    assert command("train", *words, "name=first").returncode == 0
    assert command("export", "outputs/adder/first", "--to", "model.pt").returncode == 0
    blocks = re.findall(r"```python\n(.*?)```", TUTORIAL + HOWTO + PYTHON, re.DOTALL)
    assert len(blocks) == 5
    names = {"rnn_tasks": rnn_tasks}
    for block in blocks:
        exec(block.replace('"trainer.max_epochs=3"', ", ".join(map(repr, words))), names)
    assert (workplace / "states.png").exists()
    printed = capsys.readouterr().out
    assert "torch.Size([1, 5, 5])" in printed
    assert re.search(r"print\(error\)  # (.*)", PYTHON)[1] in printed.splitlines()
    exported = "".join(map(str, (names["logits"] > 0).int().flatten().tolist()))
    answer, confidence = rnn_tasks.load("outputs/adder/first").ask("1011+110")
    assert int(exported[::-1], 2) == int(answer, 2)
    assert names["logits"].abs().min().sigmoid().item() == pytest.approx(confidence, abs=1e-4)


def test_configurations_of_ones_own_are_found_from_python(workplace):
    call = re.search(r"`rnn_tasks\.train\((\"hydra.searchpath.*?)\)`", PYTHON)[1]
    (workplace / "conf" / "optimizer").mkdir(parents=True)
    recipe = re.search(r"```yaml\n(_target_: torch\.optim\.RMSprop\n.*?)```", PAGES["extending.md"], re.DOTALL)[1]
    (workplace / "conf" / "optimizer" / "rmsprop.yaml").write_text(recipe, encoding="utf-8")
    cfg = rnn_tasks.compose(*re.findall(r'"(.*?)"', call))
    assert (cfg.optimizer._target_, cfg.optimizer.lr) == ("torch.optim.RMSprop", cfg.task.lr.adam)


def test_a_network_of_one_answer_is_used_elsewhere_as_documented(workplace):
    from torch import nn

    words = [*SMALL, "trainer.max_epochs=1", "task=memory"]
    for name, pooling, formula in (("a", "last", "head(states[:, -1])"), ("b", "mean", "head(states.mean(1))")):
        assert f"`{formula}`" in HOWTO
        run = rnn_tasks.train(*words, f"model.pooling={pooling}", f"name={name}", progress=False)
        assert command("export", str(run.path), "--to", "model.pt").returncode == 0
        recurrent, head = nn.LSTM(10, 10, batch_first=True), nn.Linear(10, 10)
        nn.ModuleDict({"recurrent": recurrent, "head": head}).load_state_dict(torch.load("model.pt"))
        names = {"head": head, "states": recurrent(nn.functional.one_hot(torch.tensor([[1, 3, 6]]), 10).float())[0]}
        share, digit = eval(formula, names).softmax(-1).max(-1)
        answer, confidence = run.ask("[1, 3, 6]")
        assert str(digit.item()) == answer and share.item() == pytest.approx(confidence, abs=1e-4)


@pytest.mark.slow
def test_commands_of_the_tutorial_that_are_no_training(workplace):
    words = [*SMALL, "trainer.max_epochs=1", "model.replicates=4"]
    assert command("train", "--multirun", *words, "model.hidden=1,3,5", "name=sizes").returncode == 0
    fifth = next(line for line in TUTORIAL.splitlines() if line.endswith("name=fifth"))
    assert command("train", *SMALL, *shlex.split(fifth)[4:]).returncode == 0
    others = re.findall(r"^\$ python -m rnn_tasks\.(?!train)(\w+) (.*)$", TUTORIAL, re.M)
    assert {name for name, _ in others} == {"show", "predict", "evaluate", "compare"}
    for name, rest in others:
        ended = command(name, *shlex.split(rest.replace("5000", "50")))
        assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # as in the Makefile
    ended = subprocess.run(line, capture_output=True, text=True, timeout=300, cwd=REPOSITORY, env=environment)
    assert ended.returncode == 0 and "WARNING" not in ended.stderr, ended.stderr
    built = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("index.html")}
    pages = {"index" if name == "index.md" else f"{name.removesuffix('.md')}/index" for name in PAGES}
    assert {f"{page}.html" for page in pages} <= built and len(built) == len(pages) + 4  # the generated ones
