"""Which networks of a sweep have solved their task, after how many steps, and the table and picture of that."""

import copy
import csv
import importlib
import json
import math
import statistics
import sys
from itertools import product
from pathlib import Path

import pandas
import pytest
from helpers import SMALL, composed, trained, without_pictures, write_result_by_hand

import rnn_tasks
from rnn_tasks import config, runs
from rnn_tasks.runs import arrangement, solving, summaries, sweep_panels, sweep_plots, sweep_tables, sweeps
from rnn_tasks.runs.settings import settings_of
from rnn_tasks.training.history import COLUMNS, read_history
from rnn_tasks.training.recorder import RunRecorder

sweep_command = importlib.import_module("rnn_tasks.sweep")  # rnn_tasks.sweep is the function
NEVER = None


def write_run(sweep, choices, solved_at, seed=0, steps=10, **facts):
    """Write a finished run of one network for each epoch in ``solved_at``, None for one that never solves its task.

    An epoch has ``steps`` optimizer steps. A network that has not solved it gets half of the test right.
    """
    cfg = copy.deepcopy(composed(str(sweep)))
    cfg.swept, cfg.seed, cfg.task.batch_size = choices, seed, 8
    shares = [0.5 if epoch is None else 1.0 for epoch in solved_at]
    values = {"answers": 80, "loss": [1 - share for share in shares], "accuracy": shares, "sequence_accuracy": shares}
    run = sweep / config.run_name(choices)
    metrics = {"train": values | {"n": 8 * steps}, "test": values, "val": values}
    write_result_by_hand(run, metrics, cfg, seed=seed, **facts)
    runs.write_config(run, cfg)
    write_history(run, solved_at)
    return run


def write_history(run, solved_at, epochs=5):
    with (run / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for epoch, (replicate, at) in product(range(1, epochs + 1), enumerate(solved_at)):
            share = 1.0 if at is not None and epoch >= at else 0.5
            row = {f"{split}_{kind}": share for split in ("train", "val") for kind in ("accuracy", "sequence_accuracy")}
            writer.writerow({"epoch": epoch, "replicate": replicate, "train_loss": 1, "val_loss": 1, **row})


def wilson_by_hand(solved, count, z=1.959963984540054):
    """The interval of Wilson 1927, from the formula as it is usually printed."""
    share = solved / count
    center = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return center - half, center + half


def run_command(monkeypatch, capsys, *words):
    """What ``python -m rnn_tasks.sweep`` prints, and its status."""
    monkeypatch.setattr(sys, "argv", ["sweep", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        sweep_command.main()
    return capsys.readouterr(), ended.value.code or 0


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["task.batch_size=5"],  # the last batch of an epoch is smaller
        ["task.batch_size=5", "trainer.accumulate_grad_batches=3"],
        ["task.batch_size=4", "trainer.accumulate_grad_batches=3", "trainer.val_check_interval=7"],
        ["trainer.val_check_interval=0.5"],
        ["trainer.limit_train_batches=0.4", "task.batch_size=5"],
        ["trainer.limit_train_batches=3"],
        ["trainer.check_val_every_n_epoch=2"],
        ["trainer.max_steps=13", "trainer.val_check_interval=2", "trainer.accumulate_grad_batches=2"],
    ],
)
def test_steps_of_a_validation_are_those_that_training_has_made(tmp_path, monkeypatch, words):
    made = {}
    original = RunRecorder.on_validation_end

    def note(self, trainer, learner):
        made[trainer.current_epoch + 1] = learner.global_step
        original(self, trainer, learner)

    monkeypatch.setattr(RunRecorder, "on_validation_end", note)
    with without_pictures():
        result = trained(tmp_path / "run", "trainer.max_epochs=4", *words)
    history = read_history(tmp_path / "run" / "history.csv")
    assert made and {row["epoch"] for row in history if "val_loss" in row} == set(made)
    for epoch, steps in made.items():
        later = [row for row in history if row["epoch"] >= epoch]
        (network,) = solving.networks_of(result, later, bar=0.0)
        (so_far,) = solving.networks_so_far(result["config"], later, bar=0.0)
        assert network.steps == so_far.steps == steps


def test_only_networks_that_solve_the_task_at_the_end_have_steps(tmp_path):
    run = write_run(tmp_path, {"model.hidden": 1}, [2, NEVER, 4, 1])
    result = runs.read_result(run)
    result["metrics"]["test"]["sequence_accuracy"][3] = 0.99  # it was perfect in validation
    networks = solving.networks_of(result, read_history(run / "history.csv"))
    assert [network.solved for network in networks] == [True, False, True, False]
    assert [network.steps for network in networks] == [20, None, 40, None]
    assert [network.seed for network in networks] == [0, 1, 2, 3]
    lower = solving.networks_of(result, read_history(run / "history.csv"), bar=0.99)
    assert [network.steps for network in lower] == [20, None, 40, 10]
    del result["metrics"]["test"]  # then validation decides
    assert [network.solved for network in solving.networks_of(result, [])] == [True, False, True, True]
    del result["metrics"]["val"]
    networks = solving.networks_of(result, [])
    assert {network.solved for network in networks} == {None} and solving.share_solved(networks) is None


def test_a_failed_network_has_not_solved_the_task(tmp_path):
    run = write_run(tmp_path, {"model.hidden": 1}, [2, 3])
    result = runs.read_result(run)
    for metrics in result["metrics"].values():
        for kind in ("loss", "accuracy", "sequence_accuracy"):
            metrics[kind][1] = None
    networks = solving.networks_of(result, read_history(run / "history.csv"))
    assert [(each.failed, each.solved, each.steps) for each in networks] == [(False, True, 20), (True, False, None)]
    assert solving.share_solved(networks) == pytest.approx((0.5, *wilson_by_hand(1, 2)))


@pytest.mark.parametrize("count", [1, 7, 32])
def test_share_and_steps_of_networks(count):
    for solved in range(count + 1):
        networks = [solving.Network(i, False, {}, i < solved, 7 * i * i if i < solved else None) for i in range(count)]
        assert solving.share_solved(networks) == pytest.approx((solved / count, *wilson_by_hand(solved, count)))
        steps = [7 * i * i for i in range(solved)]
        if solved > 1:
            low, median, high = statistics.quantiles(steps, n=4, method="inclusive")
            assert solving.steps_until_solved(networks) == pytest.approx((median, low, high))
        else:
            assert solving.steps_until_solved(networks) == ((0, 0, 0) if solved else None)


@pytest.mark.parametrize(
    "history",
    ["", "epoch\n1\n", f"{','.join(COLUMNS)}\n{10**400},0,1,1,1,1,1,1\n", f"{','.join(COLUMNS)}\n1,99,1,1,1,1,1,1\n"],
)
def test_steps_are_unknown_where_the_history_cannot_be_used(tmp_path, history):
    run = write_run(tmp_path, {"model.hidden": 1}, [2, 3])
    (run / "history.csv").write_text(history, encoding="utf-8")
    (row,) = sweeps.sweep_rows(tmp_path)
    assert [(network.solved, network.steps) for network in row.networks] == [(True, None)] * 2
    assert "unknown" in sweep_tables.sweep_table([row], "simple")


def test_a_run_that_has_not_finished_tells_its_validation_so_far(tmp_path):
    write_run(tmp_path, {"model.hidden": 1}, [2, NEVER])
    run = write_run(tmp_path, {"model.hidden": 2}, [2, NEVER, 5])
    (run / "result.json").unlink()
    write_history(run, [2, NEVER, 5], epochs=3)
    _, row = sweeps.sweep_rows(tmp_path)
    assert (row.state, [network.solved for network in row.networks]) == ("stopped", [True])  # as config.yaml has it
    cfg = runs.read_config(run)
    cfg.model.replicates, cfg.task.train_size = 3, 80
    runs.write_config(run, cfg)
    done, row = sweeps.sweep_rows(tmp_path)
    assert [(network.solved, network.steps) for network in row.networks] == [(True, 20), (False, None), (False, None)]
    cells = sweep_tables.csv_row(row)
    assert (cells["state"], cells["solved"], cells["not solved"], cells["val exact match"]) == (
        *("stopped", 1, 2),
        pytest.approx(2 / 3),
    )
    table = sweep_tables.sweep_table([done, row], "simple").splitlines()
    assert "1 of 3 so far" in table[3] and "stopped: 3 of 10 epochs" in table[3]
    assert {network["run"] for network in sweep_tables.network_rows([done, row])} == {"model.hidden=1"}
    groups = arrangement.arrange(settings_of([done, row])).groups[""]
    assert [len(setting.networks) for setting in groups.values()] == [2, 0]  # it does not count in the picture


def test_runs_that_differ_in_their_seed_alone_count_as_one_setting(tmp_path):
    for hidden, seed in product((1, 3), (0, 1, 2)):
        write_run(tmp_path, {"model.hidden": hidden, "seed": seed}, [seed + 1, NEVER][: 1 + hidden // 3], seed)
    one, three = settings_of(sweeps.sweep_rows(tmp_path))
    assert (one.name, [network.steps for network in one.networks]) == ("model.hidden=1", [10, 20, 30])
    # Runs of two networks with the seeds 0 and 1, 1 and 2, 2 and 3: each seed counts once.
    assert [network.seed for network in three.networks] == [0, 1, 2, 3] and three.seconds == 7.5
    (tmp_path / "model.hidden=1,seed=2" / "result.json").unlink()
    one, _ = settings_of(sweeps.sweep_rows(tmp_path))
    assert (len(one.networks), one.state) == (2, "2 done, 1 stopped")
    first = sweep_tables.sweep_table(sweeps.sweep_rows(tmp_path), "simple").splitlines()[2]
    assert "2 of 2, 100 % [34, 100]" in first and "15 [12, 18]" in first


def test_the_table_is_at_most_120_columns_wide(tmp_path):
    for hidden, rate, loss in product((1, 100), (0.001, 0.1), ("bce", "mse")):
        solved_at = [1, 2, 3, 4, 5, NEVER] * 5 + [1, 2]
        write_run(tmp_path, {"loss": loss, "model.hidden": hidden, "optimizer.lr": rate}, solved_at, steps=12_345)
    table = sweep_tables.sweep_table(sweeps.sweep_rows(tmp_path), "simple").splitlines()
    assert max(map(len, table)) <= 120
    assert table[0].split()[:4] == ["loss", "hidden", "lr", "solved"]
    assert table[2].split()[:3] == ["bce", "1", "0.001"] and "27 of 32, 84 % [68, 93]" in table[2]
    assert "37,035 [24,690, 49,380]" in table[2]


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["model.hidden", "optimizer.lr"], ["hidden", "lr"]),
        (["a.lr", "b.lr", "task/augmentation"], ["a.lr", "b.lr", "augmentation"]),
        (["a.state"], ["a.state"]),  # is a column already
    ],
)
def test_short_names_of_keys(keys, names):
    assert list(sweep_tables.short_names(keys).values()) == names


@pytest.mark.parametrize(("share", "text"), [(0, "0"), (1, "100"), (0.9999, ">99"), (0.0001, "<1"), (0.28, "28")])
def test_shares_in_whole_per_cent(share, text):
    assert sweep_tables.whole_percent(share) == text


GRIDS = [
    # swept values, axes, number of groups, keys that are pooled
    ({"model.hidden": [1, 3]}, ["model.hidden"], 1, []),
    ({"loss": ["bce", "mse"]}, [], 2, []),
    ({"seed": [1, 2, 3]}, [], 1, []),
    ({"model.hidden": [1, 3], "loss": ["bce", "mse"]}, ["model.hidden"], 2, []),
    ({"optimizer.lr": [0.1, 1], "model.hidden": [1, 2, 3]}, ["model.hidden", "optimizer.lr"], 1, []),
    (
        {"optimizer.lr": [0.1, 1], "model.hidden": [1, 2, 3], "loss": ["a", "b"]},
        *(["model.hidden", "optimizer.lr"], 2, []),
    ),
    ({"a": [1, 2], "b": [1, 2, 3], "c": [1, 2, 3, 4]}, ["c", "b"], 2, []),
    ({"model.hidden": [1, 3], "task.lengths": [[1, 2], [1, 3]]}, ["model.hidden"], 2, []),
    ({"model.hidden": [1, True]}, [], 2, []),  # truth is no number
    ({"model.hidden": [1, math.inf]}, [], 2, []),
    ({"model.hidden": [1, 3], "loss": list("abc"), "cell": list("xyz")}, ["model.hidden"], 3, ["cell"]),
    ({"a": [1, 2, 3], "b": [1, 2, 3], "loss": list("abcdefg")}, ["a", "b"], 1, ["loss"]),
]


@pytest.mark.parametrize(("grid", "axes", "groups", "pooled"), GRIDS)
def test_arrangement_of_a_sweep(grid, axes, groups, pooled):
    """Whether a network of a setting solves its task depends on the loss alone, where there is one."""
    rows = []
    for number, values in enumerate(product(*grid.values())):
        choices = dict(zip(grid, values, strict=True))
        chance = list(grid["loss"]).index(choices["loss"]) if "loss" in grid else number
        seeds = [100 * choices.get("seed", 0) + i for i in range(8)]  # the same in all settings
        networks = [solving.Network(seed, False, {}, i < chance, None) for i, seed in enumerate(seeds)]
        rows.append(sweeps.SweepRow(config.run_name(choices), "done", choices, networks=networks))
    arranged = arrangement.arrange(settings_of(rows))
    assert (list(arranged.axes), len(arranged.groups), list(arranged.pooled)) == (axes, groups, pooled)
    shown = [network for group in arranged.groups.values() for each in group.values() for network in each.networks]
    assert sorted(network.seed for network in shown) == sorted(each.seed for row in rows for each in row.networks)
    for points in arranged.groups.values():
        assert list(points) == sorted(points)
        for place, setting in points.items():
            assert all(row.swept[key] == value for row in setting.rows for key, value in zip(axes, place, strict=True))


def test_the_key_that_tells_most_is_that_of_the_largest_f():
    from scipy.stats import f_oneway

    solved = {("a", 1): 2, ("a", 2): 4, ("a", 3): 3, ("b", 1): 6, ("b", 2): 5, ("b", 3): 8}
    rows = [
        sweeps.SweepRow(
            f"{word}{number}",
            "done",
            {"word": word, "number": number, "each": f"{word}{number}"},
            networks=[solving.Network(i, False, {}, i < count, None) for i in range(8)],
        )
        for (word, number), count in solved.items()
    ]
    groups = [[count / 8 for (each, _), count in solved.items() if each == word] for word in "ab"]
    settings = settings_of(rows)
    assert arrangement.information(settings, "word") == pytest.approx(f_oneway(*groups).statistic)
    assert arrangement.information(settings, "word") > arrangement.information(settings, "number")
    assert arrangement.information(settings, "each") == -1


@pytest.mark.parametrize(
    ("values", "powers"),
    [([1, 2, 4, 8], True), ([1e-3, 1e-2, 1e-1], True), ([1, 3, 5], False), ([0, 1, 10], False), ([1, 1000], False)],
)
def test_numbers_that_are_spread_like_powers(values, powers):
    assert sweep_panels.spread_like_powers(values) == powers


def drawn(sweep):
    """The figure of a sweep, after it has been drawn."""
    figure = sweep_plots.picture(settings_of(sweeps.sweep_rows(sweep)))
    figure.canvas.draw()
    return figure


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_picture_over_one_number(tmp_path):
    for hidden, loss in product((1, 2, 8), ("bce", "mse")):
        write_run(tmp_path, {"model.hidden": hidden, "loss": loss}, [1, 2, 3, NEVER] if hidden > 1 else [NEVER] * 4)
    share, mean, steps = drawn(tmp_path).axes
    assert [line.get_label() for line in share.lines[::2]] == ["loss=bce", "loss=mse"]
    assert share.lines[0].get_xydata().tolist() == [[1, 0], [2, 0.75], [8, 0.75]]
    assert mean.lines[0].get_ydata().tolist() == [0.5, 0.875, 0.875]
    assert mean.lines[1].get_ydata().tolist() == [0.5, 1, 1]  # the best
    assert steps.lines[0].get_xydata().tolist() == [[2, 20], [8, 20]]
    band = share.collections[0].get_paths()[0].vertices
    assert {round(y, 9) for x, y in band if x == 2} == {round(end, 9) for end in wilson_by_hand(3, 4)}
    band = steps.collections[0].get_paths()[0].vertices
    assert {y for x, y in band if x == 2} == {15, 25}
    assert steps.get_xscale() == "log" and [tick.get_text() for tick in steps.get_xticklabels()] == ["1", "2", "8"]


def test_picture_over_two_numbers_is_a_map_with_numbers_and_states(tmp_path):
    swept = {"model.hidden": ["1", "2", "3"], "optimizer.lr": ["0.1", "0.01"]}
    sweeps.begin(tmp_path, config.Plan(["task=adder"], swept))
    for hidden, rate in product((1, 2), (0.1, 0.01)):
        write_run(tmp_path, {"model.hidden": hidden, "optimizer.lr": rate}, [hidden, NEVER] if rate == 0.1 else [NEVER])
    figure = drawn(tmp_path)
    share, mean, steps = figure.axes
    assert share.images[0].get_array().filled(-1).tolist() == [[0, 0, -1], [0.5, 0.5, -1]]  # lowest rate first
    assert steps.images[0].get_array().filled(-1).tolist() == [[-1, -1, -1], [10, 20, -1]]
    assert texts(figure).count("missing") == 6 and texts(figure).count("never") == 2
    assert [text.get_text() for text in share.texts][:2] == ["0 %", "50 %\n1 of 2"] and "10" in texts(figure)
    assert [label.get_text() for label in share.get_yticklabels()] == ["0.01", "0.1"]
    assert "6 runs: 4 done, 2 missing" in figure.get_suptitle() and mean.get_title() == "mean exact match"


def test_picture_over_many_values_of_two_numbers_is_points(tmp_path):
    for number in range(5):
        write_run(tmp_path, {"a": 2**number, "b": 0.1 * number}, [1] if number else [NEVER])
    share = drawn(tmp_path).axes[0]
    assert [tuple(line.get_xydata()[0]) for line in share.lines] == [(2**i, 0.1 * i) for i in range(5)]
    assert share.get_xscale() == "log" and share.get_yscale() == "linear" and not share.images


def test_picture_by_names(tmp_path):
    write_run(tmp_path, {"loss": "bce"}, [1, 3, NEVER])
    write_run(tmp_path, {"loss": "mse"}, [NEVER, NEVER, NEVER]).rename(tmp_path / "x$m_s$")  # is no formula
    figure = drawn(tmp_path)
    assert [axes.containers[0].lines[0].get_xdata()[0] for axes in figure.axes] == [2 / 3, 5 / 6, 20]
    assert texts(figure) == ["1 never", "3 never"]
    assert [each.get_text() for each in figure.axes[0].get_yticklabels()] == ["loss=bce", r"x\$m_s\$"]


def test_no_picture_before_a_run_has_finished(tmp_path):
    write_run(tmp_path, {"model.hidden": 1}, [1])
    (tmp_path / "model.hidden=1" / "result.json").unlink()
    assert sweep_plots.picture(settings_of(sweeps.sweep_rows(tmp_path))) is None
    summaries.write_summary(tmp_path, show=False)
    assert not (tmp_path / "sweep.png").exists()
    networks = pandas.read_csv(tmp_path / "networks.csv")
    assert len(networks) == 0 and "steps until solved" in networks


@pytest.fixture
def sweep(tmp_path):
    for hidden in (1, 3):
        solved_at = [2, NEVER, 4] if hidden == 3 else [NEVER] * 3
        write_run(tmp_path / "sweep", {"model.hidden": hidden, "task.lengths": [1, 5]}, solved_at)
    return tmp_path / "sweep"


def test_the_command_writes_the_picture_and_a_row_for_each_network(sweep, tmp_path, monkeypatch, capsys):
    (printed, status) = run_command(monkeypatch, capsys, sweep, "--to", tmp_path / "all.csv")
    assert status == 0 and not printed.err
    assert printed.out.splitlines()[-1] == f"{sweep}: 2 runs: 2 done" and "2 of 3, 67 % [21, 94]" in printed.out
    assert (sweep / "sweep.png").read_bytes().startswith(b"\x89PNG")
    networks = pandas.read_csv(tmp_path / "all.csv")
    assert networks["model.hidden"].tolist() == [1, 1, 1, 3, 3, 3] and networks["seed"].tolist() == [0, 1, 2] * 2
    assert networks["solved"].dtype == networks["failed"].dtype == bool
    assert networks.groupby("model.hidden")["solved"].mean().tolist() == [0, pytest.approx(2 / 3)]
    assert networks["steps until solved"].dropna().tolist() == [20, 40]
    assert networks["test exact match"].tolist() == [0.5, 0.5, 0.5, 1, 0.5, 1]
    assert (sweep / "networks.csv").read_text() == (tmp_path / "all.csv").read_text()
    assert (sweep / "summary.md").read_text().count("\n") == 4


def test_a_lower_bar(sweep, monkeypatch, capsys):
    printed, _ = run_command(monkeypatch, capsys, sweep, "--solved", "50", "--json")
    rows = json.loads(printed.out)
    assert [(row["solved"], row["solved at"], row["steps until solved"]) for row in rows] == [(3, 0.5, 10)] * 2
    printed, _ = run_command(monkeypatch, capsys, sweep, "--solved", "50.1")
    assert "0 of 3, 0 % [0, 56]" in printed.out and printed.out.endswith("2 runs: 2 done; solved: 50.1 % right\n")


@pytest.mark.parametrize(("text", "value"), [("99", 0.99), ("99.9", 0.999), ("100", 1.0), ("0.1", 0.001)])
def test_the_bar_is_the_share_that_counting_gives(text, value):
    assert sweep_command.share(text) == value


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["sweep", "--solved", "0"], "argument --solved: '0' is no share in per cent: a number above 0, at most 100"),
        (["sweep", "--solved", "101"], "argument --solved: '101' is no share in per cent"),
        (["sweep", "--solved", "nan"], "argument --solved: 'nan' is no share in per cent"),
        (["sweep", "--solved", "x"], "argument --solved: 'x' is no share in per cent"),
        (["sweep", "--to", "nix/all.csv"], "--to nix/all.csv: nix is no directory; make it first"),
        (["sweep", "--to", "sweep"], "--to sweep: is a directory; name a file in it"),
        (["nix"], "nix: holds no sweep; give a directory of runs, or latest"),
    ],
)
def test_bad_input_is_refused_in_one_line(sweep, tmp_path, monkeypatch, capsys, words, problem):
    monkeypatch.chdir(tmp_path)
    printed, status = run_command(monkeypatch, capsys, *words)
    assert status == 2 and printed.err.startswith(f"error: {problem}") and printed.err.count("\n") == 1
    assert not printed.out and not (sweep / "sweep.png").exists()


def test_a_sweep_in_a_directory_that_cannot_be_written_is_shown(sweep, tmp_path, monkeypatch, capsys):
    def refuse(path, text):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(summaries, "write_atomically", refuse)
    printed, status = run_command(monkeypatch, capsys, sweep)
    assert status == 0 and "2 of 3, 67 % [21, 94]" in printed.out
    assert printed.err == f"{sweep}: cannot be written (Permission denied); its tables and picture stay as they were\n"


def test_a_sweep_that_was_trained(tmp_path, workplace):
    words = [*SMALL, "model.replicates=2", "model.hidden=1,2"]
    made = rnn_tasks.sweep(*words, directory=tmp_path / "made", progress=False)
    table, networks = made.table(), made.networks()
    assert (table["solved"] + table["not solved"]).tolist() == [2, 2] and len(networks) == 4
    assert (networks["solved"] == (networks["test exact match"] == 1)).all()
    assert (Path(made.path) / "sweep.png").exists()
