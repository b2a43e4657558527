"""The report on small runs, and the command that makes the runs."""

import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from helpers import REPOSITORY, command, trained

from rnn_tasks import config, reproduce, runs
from rnn_tasks.report import experiments, jobs, page, verdicts
from rnn_tasks.report.__main__ import check
from rnn_tasks.report.evidence import FULL, OLDER, OTHER, Evidence, Missing
from rnn_tasks.report.figures import Drawing
from rnn_tasks.report.rules import RULES
from rnn_tasks.runs import identity

CLAIMS = [claim for part in page.claims() for claim in part["claims"]]
FEW = ["model.replicates=3", "task.test_size=20"]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Small runs of some experiments."""
    root = tmp_path_factory.mktemp("outputs")
    for experiment, choice in [
        ("memory_hidden2", ""),
        ("memory_hidden5", ""),
        ("adder_loss", "mse"),
        ("adder_loss", "bce"),
    ]:
        overrides = [f"loss={choice}"] if choice else []
        trained(root / f"{experiment}{choice}", f"experiment={experiment}", *overrides, *FEW)
    trained(root / "own", "task=adder")
    return root


@pytest.fixture(scope="module")
def report(outputs):
    page.write(outputs, outputs / "report" / "index.html")
    return outputs / "report"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim["id"])
def test_a_claim_names_a_rule_and_its_arguments_and_experiments(claim):
    rule = RULES[claim["rule"]]
    inspect.signature(rule).bind(None, **{key: value for key, value in claim.items() if key not in page.NOT_ARGUMENTS})
    others = [claim.get("other", claim["run"]), *claim.get("others", [])]
    for words in (claim["run"], *others):
        experiment, *values = words.split()
        assert (config.CONF / "experiment" / f"{experiment}.yaml").exists()
        assert experiment in (*experiments.EXPERIMENTS, *experiments.FURTHER)
        if values:
            config.compose([f"experiment={experiment}", *values])


def test_claims_have_names_of_their_own_and_rules_say_what_they_do():
    assert len({claim["id"] for claim in CLAIMS}) == len(CLAIMS) > 45
    assert {claim["rule"] for claim in CLAIMS} == set(RULES)
    assert all(rule.__doc__.strip().endswith(".") for rule in RULES.values())


def test_every_experiment_that_the_report_has_is_run():
    files = {path.stem for path in (config.CONF / "experiment").glob("*.yaml")}
    assert files == {*experiments.EXPERIMENTS, *experiments.FURTHER, "optimizer_sweep"}


def test_the_page_stands_alone(report):
    text = (report / "index.html").read_text()
    assert not re.search(r"<script|<link|@import|src=[\"']?http|url\(http", text)
    links = {link for link in re.findall(r'href="([^"]*)"', text) if not link.startswith(("#", "data:image/png"))}
    assert links == {"claims.json", "results.md"}
    assert text.count("<svg") == text.count('<svg role="img" aria-label="') >= 3
    assert "<text" in text  # which can be selected
    anchors = re.findall(r' id="([^"]+)"', text)
    assert len(set(anchors)) == len(anchors)
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(anchors)


def test_the_page_says_that_it_is_a_quick_look(report):
    for name in ("index.html", "results.md"):
        assert "runs have other values than their experiments" in (report / name).read_text()
    assert json.loads((report / "claims.json").read_text())["quick"] is True


def test_every_claim_is_judged_and_kept_for_programs(report):
    told = {claim["id"]: claim for claim in json.loads((report / "claims.json").read_text())["claims"]}
    assert list(told) == [claim["id"] for claim in CLAIMS]
    for claim in CLAIMS:
        one = told[claim["id"]]
        assert one["claim"] == claim["claim"] and one["why"] and one["verdict"] in page.MARKS
        measured = claim["run"].split()[0] in ("memory_hidden2", "memory_hidden5", "adder_loss")
        if claim["rule"] == "accuracy":
            assert (one["verdict"] != verdicts.MISSING) == measured
            assert not measured or (one["n"] == 3 and one["low"] <= one["value"] <= one["high"])
    assert told["memory_hidden5.test"]["verdict"] == verdicts.FAILS
    assert "experiment=mnist_rnn_sgd" in told["mnist_rnn_sgd.test"]["why"]


def test_the_numbers_are_those_of_the_runs(report, outputs):
    told = {claim["id"]: claim for claim in json.loads((report / "claims.json").read_text())["claims"]}
    accuracies = runs.read_result(outputs / "memory_hidden5")["metrics"]["test"]["accuracy"]
    assert told["memory_hidden5.test"]["value"] == pytest.approx(sum(accuracies) / 3)
    (row,) = [row for row in page.experiments(Evidence(outputs)) if row["experiment"] == "`memory_hidden5`"]
    assert row["test: mean [95 %]"].startswith(f"{sum(accuracies) / 3 * 100:.2f}") and row["reached it"] == "0 of 3"


def test_plots_are_left_as_png_beside_the_text_and_in_the_run_directories(report, outputs):
    linked = re.findall(r"^!\[.+\]\((.+?)\)$", (report / "results.md").read_text(), re.MULTILINE)
    assert linked and all((report / name).read_bytes()[:4] == b"\x89PNG" for name in linked)
    assert {path.name for path in (report / "results").iterdir()} == {name.split("/")[1] for name in linked}
    assert (outputs / "memory_hidden5" / "loss_memory_hidden5.png").exists()


def test_runs_in_full_come_before_others_and_the_newest_of_equal_ones_first(tmp_path, monkeypatch):
    small = ["experiment=memory_hidden5", *FEW]
    results = {name: trained(tmp_path / name, *small, f"seed={seed}") for name, seed in [("a", 0), ("b", 1), ("c", 2)]}
    assert Evidence(tmp_path).run("memory_hidden5").path.name == "c"
    cfg = runs.read_config(tmp_path / "a")
    monkeypatch.setattr("rnn_tasks.report.evidence._expected", lambda experiment: {runs.fingerprint(cfg): cfg})
    first = Evidence(tmp_path).run("memory_hidden5")
    assert (first.path.name, first.tier) == ("a", FULL)
    runs.write_result(tmp_path / "a", results["a"] | {"fingerprint": "of other code"})
    first = Evidence(tmp_path).run("memory_hidden5")
    assert (first.path.name, first.tier) == ("a", OLDER)
    monkeypatch.setattr("rnn_tasks.report.evidence._expected", lambda experiment: {})
    assert Evidence(tmp_path).run("memory_hidden5").tier == OTHER
    with pytest.raises(
        Missing, match=r"no finished run with loss=mse of python -m rnn_tasks\.train experiment=adder_loss"
    ):
        Evidence(tmp_path).run("adder_loss loss=mse")


def test_a_sweep_is_whole_and_of_one_extent(tmp_path):
    runs_of = [("mse", "a"), ("bce", "b"), ("mse", "old")]
    for choice, name in reversed(runs_of):
        epochs = 1 if name == "old" else 2
        trained(tmp_path / name, "experiment=adder_loss", f"loss={choice}", *FEW, f"trainer.max_epochs={epochs}")
    found = Evidence(tmp_path).sweep("adder_loss")
    assert [(run.path.name, run.value("loss")) for run in found] == [("a", "mse"), ("b", "bce")]
    (tmp_path / "a" / "result.json").unlink()
    with pytest.raises(Missing, match="differ in their epochs"):
        Evidence(tmp_path).sweep("adder_loss")
    (tmp_path / "b" / "result.json").unlink()
    with pytest.raises(Missing, match=r"1 of 2 finished runs of python -m rnn_tasks\.train experiment=adder_loss"):
        Evidence(tmp_path).sweep("adder_loss")


def test_epochs_until_an_accuracy(outputs):
    found = Evidence(outputs).run("adder_loss loss=mse")
    found.__dict__["history"] = [
        {"epoch": epoch, "replicate": replicate, "val_accuracy": accuracy}
        for replicate, accuracies in enumerate([(0.5, 0.99, 1.0), (0.99, 0.5, 0.5), (0.5, 0.5, 0.98)])
        for epoch, accuracy in enumerate(accuracies)
    ]
    assert found.epochs_until(0.99, last=3) == [2, 1, 4]
    assert found.epochs_until(0.99, last=1) == [2, 1, 2]


@pytest.fixture
def unseen(monkeypatch):
    """Figures are drawn, but not rendered, which takes most of the time."""
    monkeypatch.setattr(Drawing, "png", lambda self, path: path.write_bytes(b""))
    monkeypatch.setattr(Drawing, "svg", lambda self: self.alt)


ODD = {
    "other numbers of networks": [("memory_hidden10", ["model.replicates=2"])],
    "no test": [
        ("memory_hidden10", ["trainer.limit_test_batches=0"]),
        ("adder_hidden", ["trainer.limit_test_batches=0"]),
    ],
    "no validation": [("memory_hidden10", ["trainer.limit_val_batches=0"])],
    "one epoch, one network": [("memory_hidden10", ["trainer.max_epochs=1", "model.replicates=1"])],
    "another cell": [("memory_hidden10", ["model=rnn"]), ("memory_hidden2", ["model=birnn", "model.hidden=2"])],
    "another size": [("memory_two_units", ["model.hidden=4"])],
}


@pytest.mark.parametrize("odd", [odd if odd == "no test" else pytest.param(odd, marks=pytest.mark.slow) for odd in ODD])
def test_a_report_is_drawn_from_whatever_there_is(outputs, tmp_path, unseen, odd):
    shutil.copytree(outputs / "memory_hidden5", tmp_path / "runs" / "whole")
    for number, (experiment, overrides) in enumerate(ODD[odd]):
        trained(tmp_path / "runs" / str(number), f"experiment={experiment}", *FEW, *overrides)
    page.write(tmp_path / "runs", tmp_path / "index.html")
    assert "memory_hidden5" in (tmp_path / "index.html").read_text()


def test_a_report_leaves_out_what_is_damaged(outputs, tmp_path, unseen):
    root = tmp_path / "runs"
    for name, file in [("whole", ""), ("a", "result.json"), ("b", "checkpoints/best.ckpt"), ("c", "history.csv")]:
        shutil.copytree(outputs / "memory_hidden5", root / name)
        if file:
            (root / name / file).write_text("x")
    (root / "c" / "history.csv").unlink()
    page.write(root, tmp_path / "index.html")
    assert f"{root / 'a'} is damaged" in (tmp_path / "index.html").read_text()
    check(root, tmp_path / "index.html")


def test_the_loss_of_guessing(outputs):
    evidence = Evidence(outputs)
    found = {
        words: evidence.run(words).guess_loss()
        for words in ("memory_hidden5", "adder_loss loss=mse", "adder_loss loss=bce")
    }
    assert list(found.values()) == pytest.approx([2.302585, 0.25, 0.693147])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "error: nowhere: no such directory; give one with runs, like outputs"),
        (["."], "error: .: holds no finished run of an experiment; make reproduce-quick makes some"),
        ([".", "--to", "page.pdf"], "error: --to page.pdf: must end in .html or .md"),
    ],
)
def test_bad_input_gets_one_line(workplace, words, said):
    ended = command("report", *words)
    assert ended.returncode == 2 and ended.stderr == f"{said}\n"


def test_the_configurations_of_a_sweep_are_those_that_hydra_makes():
    found = experiments.configurations("adder_loss")
    assert len(found) == 2 and len({runs.fingerprint(cfg) for cfg in found}) == 2
    assert experiments.swept("mnist_rnn_adam_grid")["optimizer.weight_decay"] == [1e-07, 1e-06, 1e-05]
    assert [cfg.loss._target_.rpartition(".")[2] for cfg in found] == ["mse", "bce"]


TINY = ["task.train_size=64", "task.val_size=32", "task.test_size=5", "trainer.max_epochs=1", "model.replicates=2"]


@pytest.fixture
def tiny(workplace, monkeypatch):
    """Jobs so small that all is over in seconds."""
    monkeypatch.setattr(reproduce, "EXPERIMENTS", ("adder_loss", "memory_hidden5"))
    monkeypatch.setattr(experiments, "QUICK", {"": TINY})
    monkeypatch.setattr(sys, "argv", ["reproduce", "--quick", "--jobs", "2"])
    return workplace / "outputs" / "quick"


def test_reproduce_runs_what_is_not_done_and_writes_the_report(tiny, capsys, unseen):
    with pytest.raises(SystemExit, match="0"):
        reproduce.main()
    said = capsys.readouterr().out
    assert "adder_loss: runs, see" in said and "memory_hidden5: done, after" in said
    assert (tiny / "report" / "index.html").exists() and "does not hold: " in said
    results = sorted(tiny.rglob("result.json"))
    assert len(results) == 3
    times = [path.stat().st_mtime_ns for path in results]
    results[0].unlink()  # as if a kill had come before it
    with pytest.raises(SystemExit, match="0"):
        reproduce.main()
    said = capsys.readouterr().out
    assert "memory_hidden5: has been done" in said and "adder_loss: done" in said
    assert [path.stat().st_mtime_ns for path in results[1:]] == times[1:] and results[0].exists()


def test_a_job_that_fails_is_named_and_the_others_run(tiny, capsys, monkeypatch):
    monkeypatch.setattr(experiments, "QUICK", {"adder": TINY, "": [*TINY, "optimizer.lr=1e30"]})
    monkeypatch.setattr(page, "write", lambda root, file: {})
    with pytest.raises(SystemExit, match="2"):
        reproduce.main()
    said = capsys.readouterr()
    assert "memory_hidden5: failed: error: the loss" in said.out and "adder_loss: done" in said.out
    assert said.err == "error: memory_hidden5: failed; the same command tries again\n"


def test_a_quick_look_takes_less_of_every_experiment():
    for experiment in ("mnist_birnn_adam", "mnist_lstm_sgd", "memory_two_units", "memory_hidden5", "adder_length5"):
        full, quick = (
            experiments.configurations(experiment, words)[0] for words in ([], experiments.quick(experiment))
        )
        assert quick.trainer.max_epochs * quick.model.replicates < full.trainer.max_epochs * full.model.replicates
    assert all(map(experiments.quick, experiments.EXPERIMENTS))


def test_other_code_gets_another_directory(tmp_path, monkeypatch):
    before = jobs.Job("memory_hidden5", tmp_path, TINY).run
    assert jobs.Job("memory_hidden5", tmp_path, TINY).run == before
    monkeypatch.setattr(identity, "NUMERICS", 0)
    assert jobs.Job("memory_hidden5", tmp_path, TINY).run != before


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="a parent's death is told by Linux alone")
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_kill_ends_the_jobs_too_and_they_can_go_on(workplace, kill):
    line = [sys.executable, "-m", "rnn_tasks.reproduce", "--quick", "--jobs", "1"]
    process = subprocess.Popen(line, cwd=workplace, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: list(workplace.rglob("events*")))
    time.sleep(2)  # in the first epoch
    if kill == signal.SIGINT:
        os.killpg(process.pid, kill)  # as a terminal does
    else:
        process.send_signal(kill)
    said = process.communicate(timeout=60)[1]
    wait_until(lambda: not training(workplace))
    assert process.returncode == {signal.SIGKILL: -signal.SIGKILL}.get(kill, 130)
    assert kill == signal.SIGKILL or "stopped; the same command goes on" in said
    assert "stopped; go on with" in next(workplace.rglob("log.txt")).read_text()


def training(place):
    """The processes that train in a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == place and b"rnn_tasks.train" in (process / "cmdline").read_bytes():
                found.append(process)
    return found


def wait_until(condition, seconds=120):
    """Until something is so."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_the_table_of_the_readme_is_that_of_the_results():
    tables = [
        [line for line in (REPOSITORY / name).read_text().splitlines() if line.startswith(("| experiment", "| `"))]
        for name in ("README.md", "docs/results.md")
    ]
    measured = [[line for line in table if re.match(r"\| `(mnist|memory|adder)_", line)] for table in tables]
    assert measured[0] and measured[0] == measured[1][: len(measured[0])]


def test_a_file_of_text_alone(outputs, tmp_path, unseen):
    page.write(outputs, tmp_path / "docs" / "results.md")
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {"results.md", "results"}
