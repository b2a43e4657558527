"""The command that looks inside networks: its page, and what it refuses."""

import hashlib
import re
import sys
from pathlib import Path

import pytest
import torch
from helpers import SMALL, composed, hand_set_adder, spoil, trained

from rnn_tasks import runs
from rnn_tasks.config import build_task
from rnn_tasks.errors import UserError
from rnn_tasks.models import Network
from rnn_tasks.report.analysis.fixed_points import find_points
from rnn_tasks.report.analysis.languages import language_of
from rnn_tasks.report.analysis.logged import logged_curves
from rnn_tasks.report.looking import machines, page
from rnn_tasks.report.looking.subject import Subject
from rnn_tasks.tasks import Task

SIZES = ["task.train_size=50", "task.val_size=20", "task.test_size=200"]


class Noise(Task):
    """Inputs that are numbers."""

    input_size, output_size, readout = 1, 1, "last"

    def draw(self, lengths, stream):
        inputs = torch.randn(len(lengths), int(lengths.max()), 1, generator=stream)
        return inputs, (inputs.sum((1, 2)) > 0).float()


def content(directory):
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).digest()) for path in files}


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    place = tmp_path_factory.mktemp("look")
    words = ["model.hidden=2", "model.replicates=3", "callbacks=[participation]", "task.test_size=60"]
    trained(place / "run", *words)
    return place / "run"


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made, but not drawn, which takes the most time."""
    monkeypatch.setattr(page.plots, "save", lambda _, path: path.write_bytes(b""))


def looked(call, *words):
    """The exit status, stdout, stderr and the page of a look into the directory "page"."""
    status, printed, told = call("look", *map(str, words), "--to", "page")
    assert status == 0, told
    return status, printed, told, Path("page/index.html").read_text(encoding="utf-8")


def test_a_look_leaves_the_run_as_it_is(workplace, small_run, call):
    before = content(small_run)
    status, printed, _, text = looked(call, small_run)
    assert status == 0 and content(small_run) == before
    pictures = {path.stem for path in Path("page").glob("*.png")}
    assert pictures >= {
        "gradients",
        "participation",
        "portraits",
        "replicates",
        "eigenvalues",
        "automaton_own",
        "example",
    }
    assert text.count("data:image/png;base64,") == len(pictures)
    assert not re.search(r"(?:src|href)=.(?!data:)", text)
    for heading in ("Replicates", "Fixed points", "Automata", "One example"):
        assert f"<h2>{heading}</h2>" in text
    assert printed.splitlines()[-1] == str(Path("page/index.html"))
    assert [line.split()[0] for line in printed.splitlines() if re.match(r"\d", line)] == ["0", "1", "2"] * 3


def test_one_replicate_is_looked_at_as_among_all(workplace, small_run, call, undrawn):
    everything = looked(call, small_run)[1]
    status, alone, _, text = looked(call, small_run, "--replicate", "1")
    assert status == 0 and "1 of 3 replicates" in text
    rows = [[line.split() for line in printed.splitlines() if line.startswith("1 ")] for printed in (everything, alone)]
    assert len(rows[1]) == 3 and rows[0] == rows[1]


def test_replicates_that_have_failed_are_left_out(workplace, call, monkeypatch, undrawn):
    spoil(monkeypatch, [0], 1)
    trained("run", "model.hidden=2", "model.replicates=2", "task.test_size=60")
    status, printed, _, text = looked(call, "run")
    assert status == 0 and "1 of 2 replicates" in text and "1 have failed" in text
    assert {line.split()[0] for line in printed.splitlines() if re.match(r"\d", line)} == {"1"}
    assert "nan" not in printed.lower()


def test_names_of_others_are_no_markup(workplace, call, undrawn):
    hostile = Path("<script>alert(1)<") / "img onerror='x'>"
    words = ["task=regular", "task.regex='(<b>)*'", "task.lengths=[3,3]", "task.test_size=27", "model.hidden=2"]
    trained(hostile, *words)
    status, _, _, text = looked(call, hostile)
    assert status == 0 and "&lt;" in text and "onerror" in text
    assert not re.search(r"<(?:script|[<>]|b>|img (?!src))", text)


def test_without_aalpy_a_look_says_so_and_goes_on(workplace, small_run, call, monkeypatch, undrawn):
    monkeypatch.setitem(sys.modules, "aalpy", None)
    status, printed, _, text = looked(call, small_run)
    assert status == 0 and "the package aalpy is not installed; pip install" in text
    assert "L*: states" not in printed and "own: states" in printed
    assert Path("page/automaton_own.png").exists() and not Path("page/automaton_lstar.png").exists()


def test_places_that_a_look_must_not_write_to_are_refused(workplace, small_run, call):
    Path("file").write_text("", encoding="utf-8")
    for place, reason in (
        (small_run / "look", "is in the directory of the run"),
        (small_run, "is in the directory of the run"),
        (Path("file"), "is a file"),
    ):
        status, _, told = call("look", str(small_run), "--to", str(place))
        assert status == 2 and reason in told and len(told.splitlines()) == 1
    assert call("look", "nothing")[0] == 2


def test_event_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "events.out.tfevents.1").mkdir()
    with pytest.raises(UserError, match="are no ordinary files"):
        logged_curves(tmp_path, ("participation",))


def test_a_task_without_symbols_is_looked_at_without_automata(workplace, undrawn):
    task = Noise(name="noise", batch_size=1, data_seed=0, train_size=50, val_size=2, test_size=40, lengths=(2, 6))
    run = hand_set_adder(1)
    run.task, run.model = task, Network(1, 1, "last", cell="lstm", hidden=2)
    run.config = composed("x")
    task.setup()
    assert language_of(task) is None
    titles = [section.title for section in page.write(run, 0, Path("page"))]
    assert titles == ["Replicates", "Fixed points", "One example"]
    assert "not finitely many symbols" in Path("page/index.html").read_text(encoding="utf-8")


def test_mean_pooling_makes_no_automaton(workplace):
    run = hand_set_adder(1)
    run.task = build_task(composed("x", *SIZES, "task=memory"))
    run.model = Network(10, 10, "last", cell="rnn", hidden=2, pooling="mean")
    with pytest.raises(UserError, match="from the mean of all states"):
        machines.automata_section(Subject.of(run, 0))


@pytest.mark.slow
def test_a_flip_flop_of_three_bits_has_eight_stable_points(workplace):
    words = ["task=flip_flop", "model.hidden=16", "model.replicates=2", "task.train_size=3000", "optimizer.lr=0.01"]
    trained(Path("run"), *SMALL[1:2], *words, "trainer.max_epochs=6")
    run = runs.load("run", "best", "all")
    subject = Subject.of(run, 0)
    found = find_points(subject.dynamics, subject.visited, torch.zeros(1, 3))
    solved = [share == 1 for share in run.result["metrics"]["test"]["sequence_accuracy"]]
    assert any(solved)
    for (points,), own, dynamics in zip(found, solved, (subject.dynamics.of_one(r) for r in range(2)), strict=True):
        if own:
            stable = points.of_kind("stable")
            assert len(stable) == 8
            assert len({tuple(bits) for bits in (dynamics.logits(stable[None])[0] > 0).tolist()}) == 8
