"""What people type after training: show, evaluate, predict, and what they are told when it is wrong."""

import json
import os
import shutil
from pathlib import Path

import pytest
from forked import command
from helpers import trained, write_result_by_hand

from rnn_tasks import config, runs

WRONG = {
    ("evaluate", "nowhere"): "nowhere: no such run",
    ("evaluate", "adder", "--lengths", "5-3"): "'5-3' is no range",
    ("evaluate", "adder", "--lengths", "x"): "'x' is no list of lengths like 1-40,100,1000",
    ("evaluate", "adder", "--samples", "0"): "'0' is no whole number of at least 1",
    ("evaluate", "adder", "--weights", "worst"): "invalid choice",
    ("evaluate", "adder", "--samples", "\u0663"): "is no whole number of at least 1",
    ("evaluate", "adder", "--lengths", "\u0663"): "is no list of lengths like 1-40,100,1000",
    ("evaluate", "adder", "--replicate", "\u0663"): "is no replicate",
    ("draw", "--port", "\u0663"): "is no port",
    ("draw", ""): "holds no run",
    **{
        (name, "outputs/adder", *words): "outputs/adder: is a sweep, or a directory of runs; name one of them: "
        for name, *words in (("evaluate",), ("show",), ("export", "--to", "x.pt"), ("draw",))
    },
    ("evaluate", "memory", "--lengths", "2"): "length 2",
    ("evaluate", "adder", "--lengths", "1-9999999999"): "is no range within 1-100000",
    ("show", "--nonsense"): "unrecognized arguments: --nonsense",
    ("show", "task=nothing"): "task=nothing: no such task; there are adder, adding, copy, ",
    ("show", "model.hidden=x"): "model.hidden=x: must be a whole number",
}


@pytest.mark.parametrize("words", WRONG, ids=lambda words: " ".join(words)[:60])
def test_bad_input_is_refused_in_one_line(ask, words):
    status, out, err = ask(*words)
    assert status == 2 and out == ""
    assert err.startswith("error: ") and WRONG[words] in err and err.count("\n") == 1


def test_evaluate_gives_the_metrics_of_the_result(ask):
    said = json.loads(ask("evaluate", "adder", "--json")[1])["test"]
    assert said.items() >= runs.load("adder").result["metrics"]["test"].items()
    best = json.loads(ask("evaluate", "adder", "--json", "--weights", "best")[1])["test"]
    assert best["n"] == 2000 and best["accuracy"] != [0.0]


def test_evaluate_in_double_precision(ask):
    result = trained("outputs/adder/double", "trainer.precision=64-true", "model=rnn")
    said = json.loads(ask("evaluate", "outputs/adder/double", "--json")[1])["test"]
    assert said.items() >= result["metrics"]["test"].items()
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


def test_show_takes_runs_and_configurations_of_ones_own(ask, tmp_path):
    status, out, _ = ask("show", "memory")
    assert status == 0 and "chance: 10.00%" in out
    (tmp_path / "task").mkdir()
    text = "# @package _global_\ndefaults: [memory]\ntask: {lengths: [4, 4]}\n"
    (tmp_path / "task" / "four.yaml").write_text(text, encoding="utf-8")
    out = ask("show", "--config-dir", str(tmp_path), "task=four")[1]
    assert out.count("step 3:") == 5 and "step 4:" not in out
    for words, message in (
        (["nothing"], "nothing: neither a run nor of the form key=value"),
        (["--config-dir", "nowhere", "task=memory"], "--config-dir nowhere: no such directory"),
    ):
        status, out, err = ask("show", *words)
        assert (status, out, err.count("\n")) == (2, "", 1) and message in err


def test_refused_training_leaves_no_files(workplace):
    for words in (["model.hidden=x"], ["loss=ce"], ["task=memory", "task.k=9"], ["model.hiden=3"], ["resume=nowhere"]):
        ended = command("train", *words)
        assert ended.returncode == 2 and ended.stderr.count("\n") == 1 and "Traceback" not in ended.stderr
    assert not [path for path in workplace.rglob("*") if path.is_file()]


def test_the_name_of_a_task_means_its_best_run_and_latest_the_newest(workplace):
    for number, shares in enumerate(([0.5, 1.0], [0.9, 0.9], [None, 1.0], [0.2, 0.1])):
        split = dict.fromkeys(("loss", "accuracy", "sequence_accuracy"), shares)
        cfg = config.compose(["model.replicates=2"])
        run = Path(f"outputs/adder/{number}")
        write_result_by_hand(run, {"train": split, "val": split}, cfg)
        runs.write_config(run, cfg)
        os.utime(run / "result.json", (number, number))
    assert runs.find("adder") == Path("outputs/adder/2")  # as good as run 0, and newer
    assert runs.find("latest") == Path("outputs/adder/3")
    Path("outputs/adder/2/result.json").write_text("{", encoding="utf-8")
    assert runs.find("adder") == Path("outputs/adder/0")


def test_a_run_that_is_gone_does_not_hide_the_others(workplace):
    there, gone = Path("outputs/adder/there"), Path("outputs/adder/gone")
    split = {kind: [0.5] for kind in ("loss", "accuracy", "sequence_accuracy")}
    write_result_by_hand(there, {"train": split, "val": split})
    runs.write_config(there, config.compose())
    gone.mkdir()
    (gone / "result.json").symlink_to("nowhere")
    (gone / "config.yaml").symlink_to("nowhere")
    assert runs.find("latest") == runs.find("adder") == there
    assert runs.find_to_resume("latest") == runs.find_to_resume("adder") == there
