"""The report on small runs, and the command that makes the runs."""

import ast
import importlib
import inspect
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import suppress
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from forked import command
from helpers import REPOSITORY, trained, without_pictures

from rnn_tasks import config, reproduce, runs
from rnn_tasks.errors import UserError
from rnn_tasks.report import archive, experiments, jobs, judgement, page
from rnn_tasks.report.__main__ import check
from rnn_tasks.report.claims import parts
from rnn_tasks.report.contents import EXAMPLES, FIGURES, RULES, TABLES
from rnn_tasks.report.drawing import Drawing
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.finished import FULL, OLDER, OTHER, Missing
from rnn_tasks.runs import identity

CLAIMS = [claim for part in parts() for claim in part.claims]
FEW = ["model.replicates=3", "task.test_size=20"]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Small runs of some experiments."""
    root = tmp_path_factory.mktemp("outputs")
    small = ("memory_hidden2", ""), ("memory_hidden5", ""), ("adder_loss", "mse"), ("adder_loss", "bce")
    with without_pictures():
        for experiment, choice in small:
            overrides = [f"loss={choice}"] if choice else []
            trained(root / f"{experiment}{choice}", f"experiment={experiment}", *overrides, *FEW)
        trained(root / "own", "task=adder")
    return root


@pytest.fixture(scope="module")
def report(outputs):
    page.write(outputs, outputs / "report" / "index.html")
    return outputs / "report"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_claim_names_a_rule_and_its_arguments_and_experiments(claim):
    inspect.signature(RULES[claim.rule]).bind(None, claim.run, **claim.arguments)
    others = [claim.arguments.get("other", claim.run), *claim.arguments.get("others", [])]
    for selector in (claim.run, *others):
        experiment, *values = selector.split()
        assert (config.CONF / "experiment" / f"{experiment}.yaml").exists()
        assert experiment in experiments.EXPERIMENTS
        if values:
            config.compose([f"experiment={experiment}", *values])


def test_claims_have_distinct_ids_and_use_every_rule_and_rules_have_a_docstring():
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS) > 45
    assert {claim.rule for claim in CLAIMS} == set(RULES)
    assert all(rule.__doc__.strip().endswith(".") for rule in RULES.values())


def test_all_rules_figures_and_tables_are_listed():
    modules = [importlib.import_module(f"rnn_tasks.report.{name}") for name in ("rules", "network_rules")]
    functions = {
        name
        for module in modules
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert functions - {"correlation"} == set(RULES)
    names = {part.name for part in parts()}
    assert len(FIGURES) > 25 and {examples.part for examples in EXAMPLES} | set(TABLES) <= names


def test_the_drawing_page_does_not_import_the_report_or_scikit_learn():
    code = "import sys, rnn_tasks.page, rnn_tasks.draw; print({'sklearn', 'rnn_tasks.report'} & set(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert ended.stdout == "set()\n"


LAYERS = {"tasks": 0, "models": 0, "training": 1, "runs": 2, "report": 3, "reproduce": 4}


def imports(path):
    """The modules of the project that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rnn_tasks"):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if module_file(name)}


def module_file(name):
    path = REPOSITORY / name.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def test_imports_of_the_report_point_downwards_and_make_no_circle():
    files = [REPOSITORY / "rnn_tasks" / "reproduce.py", *(REPOSITORY / "rnn_tasks" / "report").rglob("*.py")]
    graph = {}
    for path in files:
        name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
        graph[name] = imports(path)
        layer = LAYERS[name.split(".")[1]]
        for other in graph[name]:
            package = other.split(".")[1] if "." in other else ""
            assert LAYERS.get(package, 0) <= layer, f"{name} imports {other}"
            assert package not in ("train", "evaluate", "predict", "draw", "export", "show"), f"{name} imports {other}"
    inner = {name: others & graph.keys() for name, others in graph.items()}
    list(TopologicalSorter(inner).static_order())  # raises CycleError


def test_every_experiment_that_the_report_has_is_run():
    files = {path.stem for path in (config.CONF / "experiment").glob("*.yaml")}
    others = {"optimizer_sweep", "adder_search", "mnist_search", "capacity", "learning_rates"}
    assert files == {*experiments.EXPERIMENTS, *experiments.SUITE, *others}
    assert set(experiments.FURTHER) < set(experiments.EXPERIMENTS)


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


def judged_claims(report):
    """The rows of claims.json by their ids."""
    return {row["id"]: row for row in json.loads((report / "claims.json").read_text())["claims"]}


def test_every_claim_is_judged_and_kept_for_programs(report):
    rows = judged_claims(report)
    assert list(rows) == [claim.id for claim in CLAIMS]
    for claim in CLAIMS:
        row = rows[claim.id]
        assert row["claim"] == claim.claim and row["why"] and row["verdict"] in page.MARKS
        measured = claim.run.split()[0] in ("memory_hidden2", "memory_hidden5", "adder_loss")
        if claim.rule == "accuracy":
            assert (row["verdict"] != judgement.MISSING) == measured
            assert not measured or (row["n"] == 3 and row["low"] <= row["value"] <= row["high"])
    assert rows["memory_hidden5.test"]["verdict"] == judgement.FAILS
    assert "experiment=mnist_rnn_sgd" in rows["mnist_rnn_sgd.test"]["why"]


def test_the_numbers_are_those_of_the_runs(report, outputs):
    accuracies = runs.read_result(outputs / "memory_hidden5")["metrics"]["test"]["accuracy"]
    assert judged_claims(report)["memory_hidden5.test"]["value"] == pytest.approx(sum(accuracies) / 3)
    table = page.experiments(Evidence(outputs))
    (row,) = [row for row in table.rows if row[0] == "`memory_hidden5`"]
    cells = dict(zip(table.headings, row, strict=True))
    assert cells["test: mean [95 %]"].startswith(f"{sum(accuracies) / 3 * 100:.2f}") and cells["reached it"] == "0 of 3"
    assert cells["claimed: test (validation)"] == "100" and cells["chance"] == "10"
    assert cells["test examples"] == "20"


def test_the_title_stands_first_and_commands_are_set_as_code(report):
    text = (report / "index.html").read_text()
    assert text.index("<h1>") < text.index("<nav") < text.index("<main")
    missing = text[text.index("Not shown") : text.index("</details>")]
    assert "<li>no finished run of <code>python -m rnn_tasks.train experiment=mnist_rnn_adam</code></li>" in missing
    assert "`" not in re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)


def test_every_table_can_be_scrolled(report):
    text = (report / "index.html").read_text()
    assert text.count("<table") == len(re.findall(r'<div class="scroll[^"]*"><table', text)) > 3


def test_progress_is_printed(outputs, tmp_path, unseen, capsys):
    page.write(outputs, tmp_path / "index.html")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "report: reading the runs" and lines[-1] == "report: writing the page"
    assert f"report: figures, {len(FIGURES)} of {len(FIGURES)}" in lines and "report: claims, part 1 of 4" in lines


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
    monkeypatch.setattr("rnn_tasks.report.finished._expected", lambda run: cfg)
    first = Evidence(tmp_path).run("memory_hidden5")
    assert (first.path.name, first.tier) == ("a", FULL)
    runs.write_result(tmp_path / "a", results["a"] | {"fingerprint": "of other numerics"})
    first = Evidence(tmp_path).run("memory_hidden5")
    assert (first.path.name, first.tier) == ("a", OLDER)
    monkeypatch.setattr("rnn_tasks.report.finished._expected", lambda run: None)
    assert Evidence(tmp_path).run("memory_hidden5").tier == OTHER
    with pytest.raises(
        Missing, match=r"no finished run with loss=mse of `python -m rnn_tasks\.train experiment=adder_loss`"
    ):
        Evidence(tmp_path).run("adder_loss loss=mse")


def test_a_sweep_is_complete_and_its_runs_have_the_same_size(tmp_path):
    runs_of = [("mse", "a"), ("bce", "b"), ("mse", "old")]
    for choice, name in reversed(runs_of):
        epochs = 1 if name == "old" else 2
        trained(tmp_path / name, "experiment=adder_loss", f"loss={choice}", *FEW, f"trainer.max_epochs={epochs}")
    sweep = Evidence(tmp_path).sweep("adder_loss")
    assert [(run.path.name, run.value("loss")) for run in sweep] == [("a", "mse"), ("b", "bce")]
    (tmp_path / "a" / "result.json").unlink()
    with pytest.raises(Missing, match="differ in their epochs"):
        Evidence(tmp_path).sweep("adder_loss")
    (tmp_path / "b" / "result.json").unlink()
    with pytest.raises(Missing, match=r"1 of 2 finished runs of `python -m rnn_tasks\.train experiment=adder_loss`"):
        Evidence(tmp_path).sweep("adder_loss")


def test_epochs_until_an_accuracy(outputs):
    run = Evidence(outputs).run("adder_loss loss=mse")
    run.__dict__["history"] = [
        {"epoch": epoch, "replicate": replicate, "val_accuracy": accuracy}
        for replicate, accuracies in enumerate([(0.5, 0.99, 1.0), (0.99, 0.5, 0.5), (0.5, 0.5, 0.98)])
        for epoch, accuracy in enumerate(accuracies)
    ]
    assert run.epochs_until(0.99, last=3) == [2, 1, 4]
    assert run.epochs_until(0.99, last=1) == [2, 1, 2]
    run.result["metrics"]["train"]["loss"][1] = None  # it failed
    assert run.epochs_until(0.99, last=3) == [2, None, 4]


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


@pytest.mark.usefixtures("no_pictures")
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
    selectors = ("memory_hidden5", "adder_loss loss=mse", "adder_loss loss=bce")
    losses = [evidence.run(selector).guess_loss() for selector in selectors]
    assert losses == pytest.approx([2.302585, 0.25, 0.693147])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "error: nowhere: no such directory; give one with runs, like outputs"),
        (["."], "error: .: holds no finished run of an experiment; make reproduce-quick makes some"),
        ([".", "--to", "page.pdf"], "error: --to page.pdf: must end in .html or .md"),
    ],
)
def test_bad_input_gets_one_line(workplace, arguments, message):
    ended = command("report", *arguments)
    assert ended.returncode == 2 and ended.stderr == f"{message}\n"


def test_the_configurations_of_a_sweep_are_those_that_hydra_makes():
    configs = experiments.configurations("adder_loss")
    assert len(configs) == 2 and len({runs.fingerprint(cfg) for cfg in configs}) == 2
    assert experiments.swept("mnist_rnn_adam_grid")["optimizer.weight_decay"] == [1e-07, 1e-06, 1e-05]
    assert [cfg.loss._target_.rpartition(".")[2] for cfg in configs] == ["mse", "bce"]


TINY = ["task.train_size=64", "task.val_size=32", "task.test_size=5", "trainer.max_epochs=1", "model.replicates=2"]


@pytest.fixture
def tiny(workplace, monkeypatch):
    """Jobs so small that all is over in seconds."""
    monkeypatch.setattr(reproduce, "EXPERIMENTS", ("adder_loss", "memory_hidden5"))
    monkeypatch.setattr(experiments, "QUICK", {"": TINY})
    monkeypatch.setattr(sys, "argv", ["reproduce", "--quick", "--jobs", "2"])
    return workplace / "outputs" / "quick"


@pytest.mark.slow
def test_reproduce_runs_what_is_not_done_and_writes_the_report(tiny, capsys, unseen):
    with pytest.raises(SystemExit) as ended:
        reproduce.main()
    assert not ended.value.code
    printed = capsys.readouterr().out
    assert "adder_loss: runs, see" in printed and "memory_hidden5: done, after" in printed
    assert "; 1 of 2 have ended\n" in printed and "; 2 of 2 have ended\n" in printed
    assert (tiny / "report" / "index.html").exists() and "does not hold: " in printed
    results = sorted(tiny.rglob("result.json"))
    assert len(results) == 3
    times = [path.stat().st_mtime_ns for path in results]
    results[0].unlink()  # as if a kill had come before it
    with pytest.raises(SystemExit) as ended:
        reproduce.main()
    assert not ended.value.code
    printed = capsys.readouterr().out
    assert "memory_hidden5: done before" in printed and "adder_loss: done" in printed
    assert [path.stat().st_mtime_ns for path in results[1:]] == times[1:] and results[0].exists()


@pytest.mark.slow
def test_a_job_that_fails_is_named_and_the_others_run(tiny, capsys, monkeypatch):
    monkeypatch.setattr(experiments, "QUICK", {"adder": TINY, "": [*TINY, "optimizer.lr=1e30"]})
    monkeypatch.setattr(page, "write", lambda root, file: {})
    with pytest.raises(SystemExit, match="2"):
        reproduce.main()
    printed = capsys.readouterr()
    assert "memory_hidden5: failed: error: the loss" in printed.out and "adder_loss: done" in printed.out
    assert printed.err == "error: memory_hidden5: failed; the same command tries again\n"


def test_a_quick_look_takes_less_of_every_experiment():
    for experiment in ("mnist_birnn_adam", "mnist_lstm_sgd", "memory_two_units", "memory_hidden5", "adder_length5"):
        full, quick = (
            experiments.configurations(experiment, words)[0] for words in ([], experiments.quick(experiment))
        )
        assert quick.trainer.max_epochs * quick.model.replicates < full.trainer.max_epochs * full.model.replicates
    assert all(map(experiments.quick, experiments.EXPERIMENTS))


def test_another_version_of_the_numerics_gets_another_directory(tmp_path, monkeypatch):
    before = jobs.Job("memory_hidden5", tmp_path, TINY).run
    assert jobs.Job("memory_hidden5", tmp_path, TINY).run == before
    monkeypatch.setattr(identity, "NUMERICS", 0)
    assert jobs.Job("memory_hidden5", tmp_path, TINY).run != before


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="only Linux tells a process of its parent's death")
@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_kill_ends_the_jobs_too_and_they_can_go_on(workplace, kill):
    line = [sys.executable, "-m", "rnn_tasks.reproduce", "--quick", "--jobs", "1"]
    process = subprocess.Popen(line, cwd=workplace, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: list(workplace.rglob("events*")))
    assert training(workplace)
    time.sleep(2)  # in the first epoch
    if kill == signal.SIGINT:
        os.killpg(process.pid, kill)  # as a terminal does
    else:
        process.send_signal(kill)
    printed = process.communicate(timeout=60)[1]
    wait_until(lambda: not training(workplace))
    assert process.returncode == {signal.SIGKILL: -signal.SIGKILL}.get(kill, 130)
    assert kill == signal.SIGKILL or "stopped; the same command goes on" in printed
    assert "stopped; go on with" in next(workplace.rglob("log.txt")).read_text()


def training(place):
    """The processes that train in a directory."""
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == place and b"rnn_tasks.report.child" in (
                process / "cmdline"
            ).read_bytes():
                processes.append(process)
    return processes


def wait_until(condition, seconds=120):
    """Wait until a condition holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_markdown_file_gets_its_images_alone(outputs, tmp_path, unseen):
    page.write(outputs, tmp_path / "docs" / "results.md")
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {"results.md", "results"}


@pytest.mark.slow
def test_a_report_is_written_again_from_the_archive_of_its_runs(outputs, tmp_path, unseen):
    first = tmp_path / "first" / "results.md"
    page.write(outputs, first, tmp_path / "runs.tar.xz")
    with tarfile.open(tmp_path / "runs.tar.xz") as packed:
        names = packed.getnames()
    runs_of_experiments = {"memory_hidden2", "memory_hidden5", "adder_lossmse", "adder_lossbce"}
    assert {name.partition("/")[0] for name in names} == runs_of_experiments
    assert "memory_hidden5/checkpoints/last.ckpt" in names  # whose network a figure shows
    assert "adder_lossmse/checkpoints/last.ckpt" not in names
    archive.unpack(tmp_path / "runs.tar.xz", tmp_path / "again")
    page.write(tmp_path / "again", tmp_path / "second" / "results.md", tmp_path / "again.tar.xz")
    second = tmp_path / "second" / "results.md"
    assert second.read_text(encoding="utf-8") == first.read_text(encoding="utf-8")
    assert (tmp_path / "again.tar.xz").read_bytes() == (tmp_path / "runs.tar.xz").read_bytes()
    assert not (tmp_path / "again" / "memory_hidden5" / "checkpoints" / "best.ckpt").exists()


KINDS = ["outside", "absolute", "link", "other", "part", "hidden", "cut", "text", "bomb", "header", "nul", "sparse"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_writes_runs_alone_and_nothing_outside(tmp_path, monkeypatch, kind):
    file, content = tmp_path / "runs.tar.xz", b"{}" * 1000
    names = {"outside": "../result.json", "absolute": "/tmp/out/result.json"}
    member = tarfile.TarInfo(names.get(kind, "run/result.json"))
    member.size = len(content)
    if kind == "link":
        member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0
    member.name = {"other": "run/model.py", "part": "my_result.json", "hidden": "x/.my_config.yaml"}.get(
        kind, member.name
    )
    if kind == "header":
        member.pax_headers = {"comment": "0" * (2 << 20)}
    if kind == "nul":
        member.pax_headers = {"path": "run/\0/result.json"}
    if kind == "sparse":
        member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 50)}
    if kind == "bomb":
        monkeypatch.setattr(archive, "LARGEST", 100)
    with tarfile.open(file, "w:xz") as packed:
        packed.addfile(member, io.BytesIO(content))
    if kind == "cut":
        file.write_bytes(file.read_bytes()[:60])
    if kind == "text":
        file.write_text("no archive")
    (place := tmp_path / "place").mkdir()
    if kind == "absolute":
        archive.unpack(file, place)
        assert [path.relative_to(place).as_posix() for path in place.rglob("*.json")] == ["tmp/out/result.json"]
    else:
        with pytest.raises(UserError, match=r"^.*runs\.tar\.xz: (holds|is no archive of runs, or damaged)"):
            archive.unpack(file, place)
    assert not (tmp_path / "result.json").exists() and not Path("/tmp/out/result.json").exists()


@pytest.mark.slow
def test_the_command_reads_and_writes_archives(outputs, workplace):
    words = ["--to", "page.md", "--pack", "runs.tar.xz"]
    assert command("report", str(outputs), *words).returncode == 0
    ended = command("report", "runs.tar.xz", "--to", "again/page.md")
    assert ended.returncode == 0, ended.stderr
    assert Path("again/page.md").read_text(encoding="utf-8") == Path("page.md").read_text(encoding="utf-8")
    refused = command("report", str(outputs), "--pack", "runs.zip")
    assert refused.returncode == 2 and refused.stderr == "error: --pack runs.zip: must end in .tar.xz\n"
