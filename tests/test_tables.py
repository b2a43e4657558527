"""Tables of metrics, of one run and of a sweep, from numbers written by hand."""

import csv
import os
from math import log

import pytest
from helpers import write_result_by_hand

from rnn_tasks import config, runs
from rnn_tasks.errors import UserError
from rnn_tasks.runs import plots, summaries, sweep_tables, sweeps, tables
from rnn_tasks.runs.directory import InUse
from rnn_tasks.runs.tables import Row
from rnn_tasks.training.intervals import counted, summarize, wilson

ONE = {"n": 8, "loss": [0.25], "accuracy": [0.875], "sequence_accuracy": [0.5]}
EQUAL = {"n": 8, "loss": [0.25], "accuracy": [0.875], "sequence_accuracy": [0.875]}
THREE = {"n": 8, "loss": [0.1, 0.2, None], "accuracy": [1.0, 0.9, None], "sequence_accuracy": [1.0, 0.5, None]}


def cells(table, separator="  "):
    """The cells of each line of a table, without the line below its head."""
    lines = [line.split(separator) for line in table.splitlines() if "--" not in line]
    return [[cell.strip(" |") for cell in line if cell.strip(" |")] for line in lines]


def test_table_of_one_network():
    head, first, second = cells(tables.table({"a": ONE, "b": EQUAL}))
    assert head == ["sequences", "loss", "accuracy", "exact match"]
    assert first == ["a", "8", "0.25", "87.50%", "50.00%"]
    assert second == ["b", "8", "0.25", "87.50%", "87.50%"]


def test_table_leaves_out_exact_match_that_is_the_accuracy():
    assert cells(tables.table({"a": EQUAL}))[0] == ["sequences", "loss", "accuracy"]


def test_the_columns_do_not_depend_on_how_many_are_right():
    several = {"answers": 80, "loss": [0.0], "accuracy": [1.0], "sequence_accuracy": [1.0]}
    assert cells(tables.table({"a": EQUAL | several}))[0] == ["sequences", "loss", "accuracy", "exact match"]
    assert cells(tables.table({"a": EQUAL | several | {"answers": 8}}))[0] == ["sequences", "loss", "accuracy"]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([1.0], "100.00%"),
        ([0.999999], ">99.99%"),
        ([1.0, 1.0], "100.00% [100.00, 100.00]"),
        ([1.0, 0.999999], ">99.99% [>99.99, 100.00]"),
    ],
)
def test_a_share_below_one_is_never_shown_as_100(numbers, text):
    assert tables.percent(summarize(numbers)) == text
    assert tables.percent(summarize([0.999999, 0.999998]), best=True).endswith(", best >99.99")


def test_table_of_replicates_shows_interval_best_and_perfect():
    head, row = cells(tables.table({"a": THREE}))
    share = summarize([1.0, 0.5, None])
    low, high = share.within
    assert (low, high) == (0.0, 1.0)  # cut to what a share can be
    assert head == [
        *("sequences", "loss", "accuracy", "accuracy best", "exact match", "exact match best", "at 100 %"),
    ]
    assert row[0:3] == ["a", "8", "0.15"] and row[4] == "100.00%"
    assert row[5:] == ["75.00% [0.00, 100.00]", "100.00%", "1 of 3 (1 failed)"]


def test_table_shows_calibration_error_where_it_was_measured():
    head, first, second = cells(tables.table({"a": EQUAL | {"calibration_error": [0.0125]}, "b": EQUAL}))
    assert head[-1] == "calibration error"
    assert (first[-1], second[-1]) == ("1.25%", "87.50%")  # b has no cell there


def test_table_of_a_network_that_failed():
    failed = {"n": 8, "loss": [None], "accuracy": [None], "sequence_accuracy": [None]}
    assert cells(tables.table({"a": failed}))[1] == ["a", "8", "failed", "failed"]


def test_metrics_table_has_a_row_for_each_length():
    lengths = {"5": ONE, "10": EQUAL}
    table = tables.metrics_table(ONE | {"by_length": lengths, "chance": 0.125})
    assert [row[0] for row in cells(table)[1:5]] == ["length 5", "length 10", "all", "chance 12.50%"]
    assert "length" not in tables.metrics_table(ONE | {"by_length": {"5": ONE}, "chance": 0.125})


def test_the_loss_above_the_best_possible_is_shown_in_bits():
    metrics = THREE | {"chance": 0.5, "by_length": {}, "best_loss": 0.1}
    note = tables.metrics_table(metrics).splitlines()[-1]
    assert note == f"chance 50.00%, above the best possible: {0.05 / log(2):.4f} bits"
    assert tables.metrics_table(THREE | {"chance": 0.5, "by_length": {}}).endswith("\nchance 50.00%")


def test_print_result(capsys, tmp_path):
    metrics = {"train": ONE | {"n": 0}, "test": ONE | {"chance": 0.5}}
    tables.print_result({"metrics": metrics, "replicates": 2, "parameters": 82186, "seconds": 1.2}, tmp_path)
    table, facts, directory = capsys.readouterr().out.rstrip("\n").rsplit("\n", 2)
    assert [row[0] for row in cells(table)[1:]] == ["training", "test"]
    assert (facts, directory) == ("chance 50.00%, 82,186 parameters, each of 2 replicates, 1 second", str(tmp_path))


def test_things_are_counted_in_words():
    assert [counted(number, "step") for number in (0, 1, 1200)] == ["0 steps", "1 step", "1,200 steps"]


def write_run(sweep, key, value, metrics=None, failed=None):
    (run := sweep / f"{key}={value}").mkdir(parents=True)
    cfg = config.compose([])
    cfg.swept = {key: value}
    if failed:
        sweeps.note_failure(run, ValueError(failed))
    if metrics:
        write_result_by_hand(run, {"train": metrics["test"]} | metrics, cfg)
    else:
        runs.write_config(run, cfg)


@pytest.fixture
def sweep(tmp_path):
    """A sweep of three runs, of which one has failed and one has been stopped."""
    curve = {"by_length": {"5": THREE, "10": THREE}, "chance": 0.5}
    write_run(tmp_path, "model.hidden", 10, {"test": THREE | curve, "val": THREE})
    write_run(tmp_path, "model.hidden", 9, failed="no luck")
    write_run(tmp_path, "model.hidden", 1)
    (tmp_path / "model.hidden=1" / "history.csv").write_text("epoch,replicate\n1,0\n1,1\n2,0\n2,1\n3")
    return tmp_path


def test_rows_of_a_sweep_are_in_natural_order_with_reasons_of_failure(sweep):
    stopped, failed, ended = sweeps.sweep_rows(sweep)
    assert (stopped.run, str(stopped), stopped.splits) == ("model.hidden=1", "stopped: 2 of 10 epochs", {})
    assert (failed.run, str(failed), failed.seconds) == ("model.hidden=9", "failed: no luck", None)
    assert (ended.run, str(ended), ended.seconds) == ("model.hidden=10", "done", 2.5)
    assert [row.swept["model.hidden"] for row in (stopped, failed, ended)] == [1, 9, 10]
    assert ended.splits == {"test": Row.of("test", THREE), "val": Row.of("val", THREE)}


def test_a_sweep_in_the_place_of_a_run_is_refused_with_its_first_runs(tmp_path):
    for hidden in range(1, 11):
        (tmp_path / f"hidden={hidden}").mkdir()
        (tmp_path / f"hidden={hidden}" / "config.yaml").touch()
    names = "hidden=1, hidden=2, hidden=3, hidden=4, hidden=5 and 5 more"
    with pytest.raises(UserError, match=f"is a sweep, or a directory of runs; name one of them: {names}$"):
        runs.require(tmp_path)
    with pytest.raises(UserError, match=r"nowhere: holds no run; give a directory that has a config\.yaml"):
        runs.require(tmp_path / "nowhere")
    assert runs.require(tmp_path / "hidden=1") == tmp_path / "hidden=1"


def test_runs_of_a_sweep_that_have_not_begun_are_missing(sweep):
    sweeps.begin(sweep, config.Plan(["task=adder"], {"model.hidden": ["1", "9", "10", "100"]}))
    rows = {row.run: row for row in sweeps.sweep_rows(sweep)}
    assert list(rows) == ["model.hidden=1", "model.hidden=9", "model.hidden=10", "model.hidden=100"]
    (sweep / "model.hidden=100").mkdir()  # a launcher has made its place
    assert [str(row) for row in sweeps.sweep_rows(sweep)][3] == "missing"
    assert str(rows["model.hidden=100"]) == "missing" and rows["model.hidden=100"].swept == {"model.hidden": 100}
    assert sweep_tables.counted_states([*rows.values()]) == "4 runs: 1 done, 1 stopped, 1 failed, 1 missing"
    sweeps.begin(
        sweep, config.Plan(["task=adder"], {"model.hidden": "interval(1, 9)"})
    )  # chosen by a sweeper as it goes
    assert len(sweeps.sweep_rows(sweep)) == 3
    with pytest.raises(UserError, match=r"holds a sweep over model\.hidden, not over model\.hidden and seed; take"):
        sweeps.begin(sweep, config.Plan(["task=adder"], {"model.hidden": ["1"], "seed": ["1"]}))


def test_a_run_that_a_process_holds_is_running(sweep):
    run = sweep / "model.hidden=1"
    with runs.claimed(run):
        assert str(sweeps.sweep_rows(sweep)[0]) == "running: 2 of 10 epochs"
        with pytest.raises(InUse, match="is being trained by another process"), runs.claimed(run):
            pass
        sweeps.note_failure(run, InUse("elsewhere"))
    assert not (run / "error.txt").exists()  # the run of the other process has not failed
    assert str(sweeps.sweep_rows(sweep)[0]) == "stopped: 2 of 10 epochs"


def test_a_new_attempt_forgets_why_the_last_one_failed(sweep):
    with runs.claimed(sweep / "model.hidden=9"):
        pass
    assert sweeps.sweep_rows(sweep)[1].state == "stopped"


def test_a_finished_run_in_the_place_of_another_one_is_no_result_of_that(sweep):
    result = sweep / "model.hidden=10" / "result.json"
    os.utime(result, ns=(0, 0))
    sweeps.note_failure(sweep / "model.hidden=10", ValueError("holds another run"))
    ended = sweeps.sweep_rows(sweep)[2]
    assert (str(ended), ended.splits) == ("failed: holds another run", {}) and result.exists()
    os.utime(sweep / "model.hidden=10" / "error.txt", ns=(0, 0))
    os.utime(result)  # it has finished since
    assert sweeps.sweep_rows(sweep)[2].state == "done"


def test_damaged_result_is_a_failure(sweep):
    (sweep / "model.hidden=10" / "result.json").write_text("{")
    assert str(sweeps.sweep_rows(sweep)[-1]) == "failed: result.json is damaged"


def test_a_trial_is_neither_done_nor_failed(sweep):
    cfg = config.compose(["debug=fast"])
    runs.write_config(sweep / "model.hidden=1", cfg)
    assert str(sweeps.sweep_rows(sweep)[0]) == "trial: nothing is kept"


def test_sweep_table_of_replicates(sweep):
    head, *_, ended = cells(sweep_tables.sweep_table(sweeps.sweep_rows(sweep), "github"), "|")
    assert head == ["run", "solved", "steps until solved", "test exact match", "state", "seconds"]
    assert ended[:3] == ["model.hidden=10", "1 of 3, 33 % [6, 79], 1 failed", "unknown"]  # it has no history
    assert ended[3:] == ["75.00% [0.00, 100.00], best 100.00", "2.5"]


def test_sweep_table_of_single_networks_whose_accuracies_are_equal(tmp_path):
    write_run(tmp_path, "loss", "mse", {"test": EQUAL, "val": ONE})
    head, row = cells(sweep_tables.sweep_table(sweeps.sweep_rows(tmp_path), "github"), "|")
    assert head == ["run", "solved", "steps until solved", "test accuracy", "val accuracy", "seconds"]
    assert row == ["loss=mse", "no", "never", "87.50%", "87.50%", "2.5"]


def test_summary_files_of_a_sweep(sweep, capsys):
    assert not summaries.write_summary(sweep)  # not all have finished
    with (sweep / "summary.csv").open(newline="") as file:
        stopped, failed, ended = csv.DictReader(file)
    assert [row["state"] for row in (stopped, failed, ended)] == ["stopped", "failed", "done"]
    assert [row["note"] for row in (stopped, failed, ended)] == ["2 of 10 epochs", "no luck", ""]
    assert list(ended)[:4] == ["run", "model.hidden", "state", "note"] and ended["model.hidden"] == "10"
    assert ended["steps until solved"] == ""  # there is no history
    numbers = {title: float(text) for title, text in [*ended.items()][4:] if text}
    share = summarize(THREE["sequence_accuracy"])
    assert list(numbers)[-1] == "seconds" and numbers["seconds"] == 2.5
    assert numbers["test accuracy"] == pytest.approx(0.95) and numbers["val loss"] == pytest.approx(0.15)
    assert numbers["test exact match"] == share.mean and numbers["test exact match best"] == 1
    assert (numbers["test exact match low"], numbers["test exact match high"]) == share.within
    assert (numbers["test at 100 %"], numbers["test replicates"]) == (1, 3)
    assert (numbers["solved at"], numbers["solved"], numbers["not solved"]) == (1, 1, 2)
    assert (numbers["solved share low"], numbers["solved share high"]) == wilson(1, 3)
    assert (sweep / "summary.md").read_text().count("\n") == 5
    assert (sweep / "test_by_length.png").stat().st_size > 1000
    assert str(sweep) in capsys.readouterr().out


def test_summary_of_a_sweep_whose_runs_have_all_finished(tmp_path, capsys):
    for hidden in (1, 3, 5):
        write_run(tmp_path, "model.hidden", hidden, {"test": ONE | {"by_length": {}}, "val": ONE})
    assert summaries.write_summary(tmp_path)
    assert (tmp_path / "sweep.png").stat().st_size > 1000
    assert "test accuracy low" not in (tmp_path / "summary.csv").read_text()  # there are no replicates


@pytest.mark.parametrize(
    ("counts", "ends", "text"),
    [
        ([32, 32], plots.RANGE, "means of 32 replicates; bands from the least to the greatest"),
        ([3, 128, 32], plots.INTERVAL, "means of 3 to 128 replicates; bars: 95 % intervals"),
        ([3], "", "means of 3 replicates"),
    ],
)
def test_a_figure_says_what_its_points_and_bands_are(counts, ends, text):
    assert plots.means_of(counts, ends) == text
    lines = {str(i): {1: [0.5] * count, 2: [0.5] * count} for i, count in enumerate(counts)}
    assert plots.by_number("x", lines).get_suptitle() == plots.means_of(counts, plots.INTERVAL)
    runs = {str(i): [{"epoch": 1, "replicate": r, "train_loss": 1.0} for r in range(n)] for i, n in enumerate(counts)}
    assert plots.curves(runs).get_suptitle() == plots.means_of(counts, plots.RANGE)
