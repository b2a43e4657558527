"""compare: two settings, each of one or several runs, are told apart by a test or not."""

import copy
import json
import warnings
from dataclasses import asdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from forked import command
from helpers import REPOSITORY, composed, write_result_by_hand
from scipy import stats

import rnn_tasks
from rnn_tasks import runs
from rnn_tasks.compare import described
from rnn_tasks.errors import UserError

POWERS = {  # no two metrics of a run are equal
    "test": {"sequence_accuracy": 1, "accuracy": 0.5, "loss": 4},
    "val": {"sequence_accuracy": 1.5, "accuracy": 0.3, "loss": 5},
    "train": {"sequence_accuracy": 2, "accuracy": 0.2, "loss": 6},
}


def write(name, numbers, *overrides, seed=0, splits=tuple(POWERS)):
    """A finished run whose networks have these shares of right sums in the test, and powers of them elsewhere."""
    metrics = {
        split: {kind: [n if n is None else n**power for n in numbers] for kind, power in POWERS[split].items()}
        for split in splits
    }
    cfg = copy.deepcopy(composed("anywhere", *overrides))
    cfg.seed, cfg.model.replicates = seed, len(numbers)
    write_result_by_hand(Path(name), metrics, cfg, seed=seed)
    runs.write_config(Path(name), cfg)


FIRST = [0.9, 0.8, 0.95, 0.7, 0.85, 0.9, 0.75]
SECOND = [0.85, 0.7, 0.9, 0.72, 0.8, 0.8, 0.7]


def test_networks_of_equal_seeds_are_compared_in_pairs(workplace):
    write("a", [*FIRST, None])
    write("b", [*SECOND, 0.5])
    found = rnn_tasks.compare("a", "b")
    differences = np.array(FIRST) - np.array(SECOND)
    signs = np.array(np.meshgrid(*[[1, -1]] * 7)).reshape(7, -1)
    exact = (abs(differences @ signs) >= abs(differences.sum()) - 1e-12).mean()
    assert found.pairs == 7 and found.p == pytest.approx(exact) and found.p < 0.05 and found.differ
    assert found.effect == pytest.approx(differences.mean())
    ends = stats.t.interval(0.95, 6, differences.mean(), stats.sem(differences))
    assert (found.low, found.high) == pytest.approx(ends)
    assert found.test == "sign-flip permutation test of 7 pairs of equal seeds" and found.differing == ()
    assert (found.first.count, found.second.count, (found.first.failed, found.second.failed)) == (7, 7, (1, 0))
    assert (found.first.mean, found.second.mean) == pytest.approx((np.mean(FIRST), np.mean(SECOND)))
    text = described(found)
    assert "A: 83.57% [" in text and "of 7 networks, 1 failed\n" in text
    assert "B: 78.14% [" in text and "of 7 networks\n" in text
    assert f"A - B: +{100 * differences.mean():.4g} points" in text and text.endswith("at the level of 5 %.")


@pytest.mark.parametrize("split", POWERS)
@pytest.mark.parametrize("metric", ["sequence_accuracy", "accuracy", "loss"])
def test_the_metric_and_the_split_that_are_asked_for_are_compared(workplace, metric, split):
    write("a", FIRST)
    write("b", SECOND)
    found = rnn_tasks.compare("a", "b", metric, split)
    means = [np.mean(np.power(numbers, POWERS[split][metric])) for numbers in (FIRST, SECOND)]
    assert (found.first.mean, found.second.mean) == pytest.approx(means)
    assert found.effect == pytest.approx(means[0] - means[1])
    title, scale, unit = {
        "sequence_accuracy": ("exact match", 100, " points"),
        "accuracy": ("accuracy", 100, " points"),
        "loss": ("loss", 1, ""),
    }[metric]
    lines = described(found).splitlines()
    assert lines[0] == f"{title} in {split}, mean over networks [95 % interval]"
    number = f"{100 * means[0]:.2f}%" if unit else f"{means[0]:.4g}"
    assert lines[1].startswith(f"A: {number} [")
    ends = f"[{found.low * scale:.4g}, {found.high * scale:.4g}]"
    assert lines[3].startswith(f"A - B: {scale * found.effect:+.4g}{unit} {ends}, p = ")


def divisions(first, second):
    """The exact p value of the difference of means, from all divisions of the networks into two such groups."""
    pool, n = [*first, *second], len(first)
    sums = np.array([sum(chosen) for chosen in combinations(pool, n)])
    means = sums / n - (sum(pool) - sums) / len(second)
    effect = np.mean(first) - np.mean(second)
    return min(1, 2 * min((means >= effect - 1e-12).mean(), (means <= effect + 1e-12).mean()))


def test_networks_of_other_seeds_are_compared_unpaired(workplace):
    """Though 5 of the 7 networks have a partner."""
    write("a", FIRST)
    write("b", [*SECOND, None], "task.train_size=500", seed=2)
    found = rnn_tasks.compare("a", "b")
    assert found.pairs == 0 and found.p == pytest.approx(divisions(FIRST, SECOND)) and not found.differ
    assert (found.first.count, found.second.count, (found.first.failed, found.second.failed)) == (7, 7, (0, 1))
    assert (found.first.mean, found.second.mean) == pytest.approx((np.mean(FIRST), np.mean(SECOND)))
    assert found.effect == found.first.mean - found.second.mean
    expected = stats.ttest_ind(FIRST, SECOND, equal_var=False).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.test == "permutation test of 7 and 7 networks: their seeds are not the same"
    assert found.differing == ("train_size",) and "tasks differ in train_size" in described(found)


def test_a_failed_network_does_not_break_the_pairs_of_the_others(workplace):
    write("a", [0.9, None, 0.8, 0.7])
    write("b", [0.5, 0.6, 0.7, None])
    found = rnn_tasks.compare("a", "b")
    assert found.pairs == 0 and (found.first.failed, found.second.failed) == (1, 1)
    assert found.p == pytest.approx(stats.ttest_ind([0.9, 0.8, 0.7], [0.5, 0.6, 0.7], equal_var=False).pvalue)
    assert found.test == (
        "Welch's t test of 3 and 3 networks, too few for a permutation test: fewer than 3 pairs are left"
    )
    write("c", [0.5, 0.6, 0.7, 0.9])
    assert rnn_tasks.compare("a", "c").pairs == 3


@pytest.mark.parametrize("n", [8, 32])
def test_settings_without_spread_differ(workplace, n):
    write("a", [1.0] * n)
    write("b", [0.0] * n, seed=100)
    found = rnn_tasks.compare("a", "b")
    assert (found.effect, found.low, found.high, found.differ) == (1, None, None, True)
    assert found.p == pytest.approx(2 / 10_000, rel=0.5)
    assert "A - B: +100 points (no interval, for there is no spread), p = " in described(found)


def test_the_spread_of_one_setting_gives_an_interval(workplace):
    write("a", [1.0] * 7)
    write("b", SECOND, seed=7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing but the comparison is printed
        found = rnn_tasks.compare("a", "b")
    ends = stats.t.interval(0.95, 6, 1 - np.mean(SECOND), stats.sem(SECOND))
    assert (found.low, found.high) == pytest.approx(ends)


@pytest.mark.parametrize(("n", "p"), [(3, 1), (6, 2 / 2**6)])
def test_equal_differences_have_no_interval(workplace, n, p):
    shares = np.linspace(0.3, 0.9, n)
    write("a", (shares + 0.05).tolist())
    write("b", shares.tolist())
    found = rnn_tasks.compare("a", "b")
    assert (found.low, found.high, found.pairs, found.p) == (None, None, n, pytest.approx(p))
    assert "A - B: +5 points (no interval, for there is no spread), p = " in described(found)


def test_a_sweep_over_seeds_is_one_setting(workplace):
    for seed in range(4):
        write(f"sweep/seed={seed}", [FIRST[seed]], seed=seed)
    write("b", SECOND[:4])
    found = rnn_tasks.compare("sweep", "b")
    assert found.pairs == 4 and "Student's t test of 4 pairs" in found.test and found.first.count == 4
    differences = np.array(FIRST[:4]) - np.array(SECOND[:4])
    assert found.p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_runs_of_a_sweep_that_failed_count_as_failed_networks(workplace):
    for seed in range(0, 8, 2):
        write(f"sweep/seed={seed}", FIRST[seed : seed + 2], seed=seed)
    Path("sweep/seed=2/result.json").unlink()
    Path("sweep/seed=2/error.txt").write_text("the loss became infinite or NaN\n", encoding="utf-8")
    write("b", [*SECOND, 0.6])
    write("sweep/seed=6", [FIRST[6], 0.9], seed=6)
    found = rnn_tasks.compare("sweep", "b")
    live = [0, 1, 4, 5, 6, 7]
    assert (found.pairs, (found.first.failed, found.second.failed)) == (6, (2, 0))
    assert found.first.mean == pytest.approx(np.mean([*FIRST, 0.9], where=[i in live for i in range(8)]))
    assert found.second.mean == pytest.approx(np.mean([*SECOND, 0.6], where=[i in live for i in range(8)]))
    assert "of 6 networks, 2 failed" in described(found)
    Path("sweep/seed=4/error.txt").write_text("an older attempt\n", encoding="utf-8")
    assert rnn_tasks.compare("sweep", "b") == found
    for run in Path("sweep").iterdir():
        (run / "result.json").unlink(missing_ok=True)
        (run / "error.txt").touch()
    with pytest.raises(UserError, match=r"^sweep: all its networks have failed$"):
        rnn_tasks.compare("sweep", "b")


def damage(run):
    (run / "result.json").write_text("{")


def stop(run):
    (run / "result.json").unlink()


def refuse(run):
    for file in run.iterdir():
        file.unlink()
    (run / "error.txt").write_text("data/mnist: cannot be downloaded")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (damage, "sweep/seed=1/result.json: is damaged; delete it, then resume=sweep/seed=1 writes it again"),
        (stop, "sweep/seed=1: has not finished; resume=sweep/seed=1 goes on with it"),
        (refuse, "sweep/seed=1: holds no trained run; repeat the command of its sweep, or move it elsewhere"),
    ],
)
def test_no_run_of_a_sweep_is_left_out_silently(workplace, spoil, message):
    for seed in range(4):
        write(f"sweep/seed={seed}", [FIRST[seed]], seed=seed)
    spoil(Path("sweep/seed=1"))
    for setting in ("sweep", "sweep/seed=1")[: 1 if spoil is refuse else 2]:
        with pytest.raises(UserError, match=f"^{message}$"):
            rnn_tasks.compare(setting, "sweep/seed=0")


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["model.hidden=3"], "model.hidden"),
        (["task.lengths=[1,9]"], "task.lengths"),
        (["scheduler=none"], "scheduler._target_"),
        (["task=memory"], "task.name"),
    ],
)
@pytest.mark.parametrize("failed", [False, True])
def test_runs_of_different_settings_are_not_one_setting(workplace, overrides, key, failed):
    write("sweep/a", FIRST[:3])
    write("sweep/b", FIRST[:4], "name=other", "threads=1", seed=3)
    write("single", [0.5])
    assert rnn_tasks.compare("sweep", "sweep").pairs == 7
    write("sweep/c", FIRST, *overrides, seed=7)
    if failed:
        Path("sweep/c/result.json").rename("sweep/c/error.txt")
    with pytest.raises(UserError) as error:
        rnn_tasks.compare("single", "sweep")
    told = str(error.value)
    assert told == f"sweep/c: differs in {key} from a; the runs of a setting may differ only in their seeds"


@pytest.mark.parametrize(("n", "seed"), [(2, 7), (8, 50), (8, 0)])
def test_equal_networks_do_not_differ(workplace, n, seed):
    write("a", [1.0] * n)
    write("b", [1.0] * n, seed=seed)
    found = rnn_tasks.compare("a", "b")
    assert (found.effect, found.p, found.differ) == (0.0, 1.0, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "nothing"], "nothing: no such run"),
        (["a", "single"], "7 and 1 networks that have not failed: are too few to tell a difference from chance"),
        (["a", "survivor"], "7 and 1 networks that have not failed: are too few"),
        (["a", "failed"], "failed: all its networks have failed"),
        (["a", "memory"], "are of different tasks, adder and memory"),
        (["a", "twice"], "twice/x=2: seed 0 is also that of another run of twice; compare single runs"),
        (["a", "unvalidated", "--split", "val"], "unvalidated: has measured no val set"),
        (["a", "empty"], "empty: holds no run"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(workplace, arguments, message):
    write("a", FIRST)
    write("b", SECOND)
    write("single", [0.5], seed=3)
    write("survivor", [None] * 6 + [0.5])
    write("failed", [None] * 7)
    write("twice/x=1", [0.5])
    write("twice/x=2", [0.5])
    Path("empty").mkdir()
    write("memory", [0.5], "task=memory")
    write("unvalidated", SECOND, splits=("train", "test"))
    ended = command("compare", *arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert message in ended.stderr and ended.stderr.count("\n") == 1


def test_the_command_prints_what_the_function_returns(workplace):
    write("a", FIRST)
    write("b", SECOND)
    ended = command("compare", "a", "b", "--json")
    found = rnn_tasks.compare("a", "b")
    assert json.loads(ended.stdout) == json.loads(json.dumps(asdict(found)))
    assert command("compare", "a", "b").stdout == f"{described(found)}\n"


def test_the_tutorial_prints_what_the_command_prints(workplace):
    write("a", [1.0] * 32)
    write("b", [0.9995, *[1.0] * 31])
    assert f"{described(rnn_tasks.compare('a', 'b'))}\n```" in (REPOSITORY / "docs/tutorial.md").read_text("utf-8")


def test_metric_and_split_are_checked(workplace):
    write("a", FIRST)
    with pytest.raises(UserError, match=r"^metric=acc: must be loss or accuracy or sequence_accuracy$"):
        rnn_tasks.compare("a", "a", "acc")
