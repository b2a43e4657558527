"""The table of the field: choosing in validation, lengths, rules of published figures, the page."""

import inspect
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from rnn_tasks import config, reproduce, runs
from rnn_tasks.errors import UserError
from rnn_tasks.report import __main__ as command
from rnn_tasks.report import archive, kept
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.experiments import SUITE, configurations, pieces, swept
from rnn_tasks.report.finished import Missing
from rnn_tasks.report.judgement import FAILS, HOLDS, MISSING, OPEN
from rnn_tasks.report.suite import entries, page, rules
from rnn_tasks.report.suite.published import figures
from rnn_tasks.runs import evaluation
from tests.helpers import trained

SMALL = ("model.replicates=3", "task.train_size=32", "task.val_size=20", "task.test_size=10", "trainer.max_epochs=1")
ROW = ("experiment=suite_temporal_order", "model=rnn", "task.lengths=[10,14]", *SMALL)
OTHER = ("experiment=suite", "task=hidden_coin", "model=gru", *SMALL)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Two rates of a cell on one task, and one of another on a task without certain answers."""
    root = tmp_path_factory.mktemp("suite") / "outputs"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root.parent)
        patch.setattr(entries, "LONGEST", 26)
        patch.setattr(entries, "FAR", 200)
        for rate in (0.003, 0.03):
            trained(f"outputs/temporal_order/{rate}", *ROW, f"optimizer.lr={rate}")
        trained("outputs/hidden_coin/run", *OTHER, "optimizer.lr=0.01")
        page.write(root, root / "suite.md", root / "runs.tar.xz")
    return root


@pytest.fixture
def found(outputs):
    return entries.entries(Evidence(outputs))


def test_every_experiment_of_the_suite_sweeps_cells_and_rates_with_32_networks():
    for experiment in SUITE:
        choices = swept(experiment)
        assert set(choices) >= {"model", "optimizer.lr"}
        assert OmegaConf.load(config.CONF / "experiment" / f"{experiment}.yaml").model.replicates == 32


def test_every_option_of_the_group_of_tasks_but_data_and_templates_is_in_the_suite():
    tasks = {path.stem for path in (config.CONF / "task").glob("*.yaml")}
    assert set(swept("suite")["task"]) == tasks - {"regular", "file", "mnist"}


@pytest.mark.parametrize("figure", figures(), ids=lambda figure: figure.claim[:60])
def test_a_published_figure_names_a_rule_its_arguments_and_rows_of_the_suite(figure):
    assert figure.source
    if not figure.run:
        assert not figure.rule and not figure.arguments
        return
    inspect.signature(rules.RULES[figure.rule]).bind([], **figure.arguments)
    experiment, *values = figure.run.split()
    assert experiment in SUITE
    choices = swept(experiment)
    for value in values:
        key, _, word = value.partition("=")
        assert word in map(str, choices[key])


def test_every_rule_is_used_and_says_what_it_demands():
    assert {figure.rule for figure in figures()} - {""} == set(rules.RULES)
    assert all(rule.__doc__ for rule in rules.RULES.values())


def test_the_rate_is_that_of_the_best_mean_exact_match_in_validation(found):
    rows, missing = found
    row = next(row for row in rows if row.experiment == "suite_temporal_order")
    exact = {run.value("optimizer.lr"): sum(run.metric("val", "sequence_accuracy")) for run in row.runs}
    loss = {run.value("optimizer.lr"): sum(run.metric("val", "loss")) for run in row.runs}
    assert set(exact) == {0.003, 0.03}
    assert row.run.value("optimizer.lr") == max(exact, key=lambda rate: (exact[rate], -loss[rate]))
    assert "of `experiment=suite_temporal_order` 3 of 3 rows lack runs" in missing
    assert (row.task, row.cell) == ("temporal_order", "rnn")


def test_what_is_told_of_lengths_is_what_evaluate_measures(outputs, found):
    row = next(row for row in found[0] if row.experiment == "suite_temporal_order")
    assert list(row.beyond) == [str(length) for length in range(15, 27)]
    run = runs.load(row.run.path, "last", "all")
    test = evaluation.evaluate(run, list(range(15, 27)), entries.SAMPLES)
    assert row.scores == test["mean_over_lengths"]
    assert row.best_of_ten == max(test["mean_over_lengths"])
    assert row.right_at_all == sum(error is None for error in test["first_error"])
    far = evaluation.evaluate(run, [200], entries.FAR_SAMPLES)
    both = zip(test["first_error"], far["first_error"], strict=True)
    assert row.right_far == sum(a is None and b is None for a, b in both)
    assert row.regular


def test_a_measurement_is_kept_in_the_run_and_belongs_to_its_weights(found, monkeypatch):
    row = found[0][0]
    monkeypatch.setattr(entries, "measure", lambda run: pytest.fail("is measured again"))
    assert kept.kept(row.run.path, kept.LENGTHS) == row.measured
    monkeypatch.setitem(kept.VERSIONS, kept.LENGTHS, 99)
    assert kept.kept(row.run.path, kept.LENGTHS) is None


def test_a_task_without_longer_sequences_is_measured_on_its_own_test_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained("run", "task=long_lag", "task.p=5", "model=rnn", *SMALL)
    run = runs.load(Path("run"), "last", "all")
    assert entries.measure(run) == {"regular": False, "beyond": evaluation.evaluate(run)["by_length"], "far": {}}


@pytest.mark.parametrize("count", [0, 1, 5, 15, 16, 17, 100])
def test_lengths_are_spread_from_the_first_to_the_last(count):
    numbers = list(range(41, 41 + count))
    spread = entries._spread(numbers)
    assert len(spread) == min(count, entries.SOME) == len(set(spread)) and spread == sorted(spread)
    assert not numbers or (spread[0], spread[-1]) == (numbers[0], numbers[-1])
    gaps = {after - before for before, after in pairwise(spread)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_the_page_has_a_row_for_each_cell_and_the_archive_gives_the_same_page(outputs, tmp_path, monkeypatch):
    text = (outputs / "suite.md").read_text()
    assert "| temporal_order | rnn" in text and "| hidden_coin | gru" in text and "bits above the optimum" in text
    assert (outputs / "suite" / "survival.png").exists()
    monkeypatch.setattr(entries, "measure", lambda run: pytest.fail("is measured again"))
    archive.unpack(outputs / "runs.tar.xz", tmp_path)
    page.write(tmp_path, tmp_path / "suite.md")
    assert (tmp_path / "suite.md").read_text() == text


def test_the_command_writes_text_only(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["report", "--suite", "--to", "page.html"])
    with pytest.raises(UserError, match=r"page\.html: must end in \.md with --suite"):
        command.arguments()


class Entry:
    """What rules look at of a row."""

    def __init__(self, exact=(), accuracy=(), loss=(), steps=(), val=1.0):
        test = {"sequence_accuracy": [*exact], "accuracy": [*accuracy], "loss": [*loss]}
        self.metrics = {"test": test, "val": {"sequence_accuracy": [val], "loss": [1 - val]}}
        self.run = self
        self.networks = [
            type("", (), {"solved": share == 1, "steps": step})() for share, step in zip(exact, steps, strict=False)
        ]
        self.config = type("", (), {"task": type("", (), {"batch_size": 10})})

    def metric(self, split, kind="accuracy"):
        return self.metrics[split][kind]


@pytest.mark.parametrize(
    ("solved", "published", "verdict"),
    [
        (32, (18, 18), HOLDS),
        (0, (0, 18), HOLDS),
        (31, (148, 150), HOLDS),
        (10, (148, 150), FAILS),
        (32, (0, 18), FAILS),
    ],
)
def test_shares_of_networks_are_compared_by_fishers_test(solved, published, verdict):
    entry = Entry(exact=[1.0] * solved + [0.5] * (32 - solved), steps=[5] * 32)
    judgement = rules.solves([entry], *published)
    assert judgement.verdict == verdict and judgement.value == solved / 32
    assert f"{solved} of 32" in judgement.why


def test_sequences_are_steps_times_the_batch_size():
    entry = Entry(exact=[1.0] * 6, steps=[90, 95, 100, 105, 110, None])
    for published, verdict in ((1200, HOLDS), (800, FAILS), (1000, OPEN)):
        judgement = rules.sequences_needed([entry], published)
        assert judgement.verdict == verdict and "a mean of 1,000 sequences" in judgement.why and judgement.n == 5
    assert rules.sequences_needed([Entry(exact=[0.5], steps=[None])], 10).verdict == OPEN


def test_the_best_of_ten_is_of_the_first_ten_of_the_row_that_is_best_in_validation():
    good = Entry(accuracy=[0.5] * 9 + [0.9] + [1.0] * 22)
    worse = Entry(accuracy=[1.0] * 32, val=0.5)
    for figure, verdict in ((90, HOLDS), (90.4, FAILS), (99.8, FAILS)):
        assert rules.best_reaches([worse, good], figure).verdict == verdict
    assert rules.best_reaches([good], 90.04).verdict == FAILS


def test_a_figure_without_rows_is_not_measured():
    judged = [figure.judged([]) for figure in figures()]
    assert {judgement.verdict for judgement in judged} == {MISSING}


def test_rows_are_picked_by_any_value_of_their_configuration(found):
    rows = found[0]
    assert entries.chosen(rows, "suite_temporal_order model=rnn") == [rows[-1]]
    with pytest.raises(Missing, match="no finished run"):
        entries.chosen(rows, "suite_temporal_order model=lstm")


@pytest.mark.parametrize("experiment", SUITE)
def test_the_pieces_of_a_sweep_are_the_whole_sweep(monkeypatch, experiment):
    monkeypatch.setattr(config, "compose", frozenset)  # of the words
    cut = [words for piece in pieces(experiment) for words in configurations(experiment, piece)]
    assert len(set(cut)) == len(cut) and set(cut) == set(configurations(experiment))


@pytest.mark.slow
def test_make_suite_trains_what_is_not_done_and_writes_the_table(tmp_path, monkeypatch, capsys, no_pictures):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reproduce, "SUITE", ("suite_few_sums",))
    monkeypatch.setattr(entries, "SUITE", ("suite_few_sums",))
    monkeypatch.setattr(reproduce, "pieces", lambda experiment: [["task.train_size=100", *SMALL, "model=rnn"]])
    monkeypatch.setattr(sys, "argv", ["reproduce", "--suite"])
    for done in ("suite_few_sums task.train_size=100 model=rnn: runs", "done before"):
        with pytest.raises(SystemExit) as ended:
            reproduce.main()
        assert not ended.value.code and done in capsys.readouterr().out
    assert "| adder, train_size 100" in Path("outputs/report/suite.md").read_text(encoding="utf-8")


def test_in_range_counts_the_lengths_of_training_alone():
    by_length = {
        "2": {"sequence_accuracy": [1.0, 1.0, None, 0.9]},
        "8": {"sequence_accuracy": [1.0, 1.0, None, 1.0]},
        "9": {"sequence_accuracy": [0.0, 1.0, None, 1.0]},
    }
    for lengths, count in (([2, 8], 2), ([2, 9], 1)):
        run = SimpleNamespace(config=OmegaConf.create({"task": {"lengths": lengths}}), by_length=lambda: by_length)
        assert entries.Entry("suite", {}, run, ()).right_in_range == count
