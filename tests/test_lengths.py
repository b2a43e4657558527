"""Length generalization: what is told of each replicate, against brute force from the metrics at each length."""

import json
import random
from pathlib import Path

import pytest
from helpers import hand_set_adder, trained, write_result_by_hand
from PIL import Image

import rnn_tasks
from rnn_tasks import config
from rnn_tasks.errors import UserError
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.figures import adder_survival
from rnn_tasks.report.finished import Missing
from rnn_tasks.runs import evaluation, survival_plots, tables
from rnn_tasks.training import lengths
from rnn_tasks.training.intervals import wilson


def by_length(*replicates, first=1, n=8):
    """Metrics at the lengths from ``first`` on, of each replicate's shares of right sequences, None if it failed."""
    return {
        str(first + number): {
            "n": n,
            "answers": n * (first + number),
            "loss": [None if share is None else 0.5 for share in shares],
            "accuracy": [None if share is None else (1 + share) / 2 for share in shares],
            "sequence_accuracy": list(shares),
        }
        for number, shares in enumerate(zip(*replicates, strict=True))
    }


PERFECT, LATE, EARLY, RECOVERED, FAILED = (
    [1.0, 1.0, 1.0, 1.0],
    [1.0, 1.0, 1.0, 0.5],
    [0.0, 0.0, 0.0, 0.0],
    [1.0, 0.5, 1.0, 1.0],
    [None] * 4,
)


def test_means_errors_and_survival_of_numbers_written_by_hand():
    metrics = by_length(PERFECT, LATE, EARLY, RECOVERED, FAILED, first=41)
    assert lengths.mean_over_lengths(metrics) == [1.0, 0.9375, 0.5, 0.9375, None]
    assert lengths.mean_over_lengths(metrics, "sequence_accuracy") == [1.0, 0.875, 0.0, 0.875, None]
    assert lengths.first_errors(metrics) == [None, 44, 41, 42, 41]
    curve = lengths.survival(metrics)
    assert curve == lengths.Survival([41, 42, 43, 44], [3, 2, 2, 1], 5)
    assert curve.shares == [0.6, 0.4, 0.4, 0.2] and curve.median == 42
    assert curve.intervals == [wilson(3, 5), wilson(2, 5), wilson(2, 5), wilson(1, 5)]


def test_all_perfect_none_perfect_and_a_single_length():
    perfect = lengths.survival(by_length(PERFECT, PERFECT))
    assert perfect.right == [2, 2, 2, 2] and perfect.median is None
    assert perfect.described_median == "beyond length 4"
    assert lengths.survival(by_length(EARLY, FAILED)).right == [0, 0, 0, 0]
    assert lengths.survival(by_length(EARLY, FAILED)).median == 1
    single = lengths.generalization(by_length([1.0], [0.5], first=5000))
    assert single["mean_over_lengths"] == [1.0, 0.75] and single["first_error"] == [None, 5000]
    assert single["survival"]["lengths"] == [5000] and single["survival"]["median"] == 5000
    assert lengths.generalization({}) == {}


def test_the_order_of_the_lengths_does_not_matter():
    metrics = by_length(PERFECT, LATE, EARLY, RECOVERED, FAILED, first=8)  # as text 10 and 11 come before 8
    shuffled = dict(sorted(metrics.items()))
    assert list(shuffled) == ["10", "11", "8", "9"]
    assert lengths.generalization(shuffled) == lengths.generalization(metrics)


@pytest.mark.parametrize("seed", range(20))
def test_random_metrics_against_brute_force(seed):
    stream = random.Random(seed)
    chosen = sorted(stream.sample(range(1, 600), stream.choice([1, 2, 3, 50])))
    rows = {length: [stream.choice([1.0, 1.0, 1.0, 0.75]) for _ in range(7)] for length in chosen}
    failed = {number for number in range(7) if stream.random() < 0.2}
    metrics = {
        str(length): {kind: [None if r in failed else own[r] for r in range(7)] for kind in lengths.KINDS}
        for length, own in rows.items()
    }
    told = lengths.generalization(metrics)
    assert set(told) == {"mean_over_lengths", "first_error", "survival"}
    for r in range(7):
        own = [rows[length][r] for length in chosen]
        wrong = [length for length in chosen if r in failed or rows[length][r] < 1]
        assert told["first_error"][r] == (wrong[0] if wrong else None)
        mean = told["mean_over_lengths"][r]
        assert mean is None if r in failed else mean == pytest.approx(sum(own) / len(own), abs=1e-12)
    curve = told["survival"]
    for i, length in enumerate(chosen):
        right = sum(r not in failed and all(rows[each][r] == 1 for each in chosen[: i + 1]) for r in range(7))
        assert (curve["lengths"][i], curve["right"][i]) == (length, right)
        assert curve["share"][i] == right / 7 and (curve["low"][i], curve["high"][i]) == wilson(right, 7)
    halves = [length for length, right in zip(chosen, curve["right"], strict=True) if 2 * right <= 7]
    assert curve["median"] == (halves[0] if halves else None)


def test_a_mean_below_one_is_not_rounded_to_one():
    shares = [1.0] * 459 + [1 - 1e-9]
    assert lengths.mean_over_lengths(by_length(shares))[0] < 1 == lengths.mean_over_lengths(by_length([1.0] * 460))[0]


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (range(41, 501), ["41-100", "101-200", "201-300", "301-400", "401-500"]),
        ([*range(1, 101), 1000, 5000], ["1-20", "21-40", "41-60", "61-80", "81-100", "1000", "5000"]),
        (range(2, 121, 2), ["2-10", "12-20", *(f"{low}-{low + 8}" for low in range(22, 113, 10))]),
        (range(1, 61), ["1-10", "11-20", "21-30", "31-40", "41-50", "51-60"]),
        ([7], ["7"]),
    ],
)
def test_blocks_have_round_ends_and_every_length_once(chosen, names):
    metrics = {str(length): values for length, values in zip(chosen, by_length([1.0] * 460).values(), strict=False)}
    blocks = lengths.blocks(metrics)
    assert list(blocks) == names
    assert sum(block["n"] for block in blocks.values()) == 8 * len(metrics)


def test_a_block_counts_each_length_equally():
    metrics = by_length([1.0] * 10 + [0.0] * 50, [0.5] * 60, [None] * 60)
    metrics["1"]["n"] = 1000
    blocks = lengths.blocks(metrics)
    assert blocks["1-10"]["sequence_accuracy"] == [1.0, 0.5, None] and blocks["1-10"]["n"] == 1072
    assert blocks["11-20"]["accuracy"] == [0.5, 0.75, None] and blocks["11-20"]["loss"] == [0.5, 0.5, None]
    assert blocks["11-20"]["answers"] == 8 * sum(range(11, 21))
    del metrics["5"]["answers"]  # as in results of older versions
    assert "answers" not in lengths.blocks(metrics)["1-10"]


def table_of(*replicates, **how):
    parts = by_length(*replicates, **how)
    total = {kind: lengths.mean_over_lengths(parts, kind) for kind in lengths.KINDS}
    return tables.metrics_table(total | {"n": 8 * len(parts), "by_length": parts, "chance": 0.5}).splitlines()


def test_table_of_several_replicates():
    lines = table_of(PERFECT, LATE, EARLY, RECOVERED, FAILED, first=41)
    assert [line.split()[1] for line in lines if line.startswith("length")] == ["41", "42", "43", "44"]
    mean, perfect, median, _, head, _, *rows = lines[lines.index("chance 50.00%") + 1 :]
    assert mean.startswith("mean accuracy over 4 lengths: 84.38% [") and mean.endswith(", best 100.00")
    assert perfect == "without an error: 1 of 5 replicates, 20.00% [3.62, 62.45]"
    assert median == "median of the first error: length 42"
    assert head.split("  ")[-1].strip() == "exact match at 44"
    assert [row.split() for row in rows] == [
        ["1", "93.75%", "44", "50.00%"],
        ["2", "50.00%", "41", "0.00%"],
        ["3", "93.75%", "42", "100.00%"],
        ["4", "failed", "failed", "failed"],
    ]


def test_table_of_one_replicate_and_of_perfect_ones():
    assert table_of(LATE)[-2:] == ["mean accuracy over 4 lengths: 93.75%", "first error at length: 4"]
    assert table_of(PERFECT)[-1] == "first error at length: none"
    assert table_of(FAILED)[-2:] == ["mean accuracy over 4 lengths: failed", "first error at length: 1"]
    assert table_of(PERFECT, PERFECT)[-1] == "median of the first error: beyond length 4"
    assert table_of([1.0], [1.0])[-1] == "chance 50.00%"  # of a single length nothing more is told


def test_many_lengths_and_many_replicates_do_not_flood_the_terminal():
    rows = [line for line in table_of([1.0] * 50) if line.startswith("length")]
    assert len(rows) == 50
    rows = [line.split()[1] for line in table_of([1.0] * 51) if line.startswith("length")]
    assert rows == ["1-10", "11-20", "21-30", "31-40", "41-50", "51"]
    assert table_of(*[LATE] * 50)[-1].split() == ["49", "93.75%", "4", "50.00%"]
    assert table_of(*[LATE] * 51)[-1] == "51 replicates with errors: --json lists them"


def test_networks_that_forget_the_carry_are_told_from_one_that_adds():
    """Of numbers of 1 bit the sum is right without a carry into a higher position; of 60 bits hardly any is."""
    run = hand_set_adder(1.0, 1.0, 1.0, carry=[0.5, 0.0, 0.5])
    run.failed = [False, False, True]
    chosen = [1, 2, 60]
    told = evaluation.evaluate(run, chosen, 200)
    alone = [evaluation.evaluate(run, [length], 200) for length in chosen]
    for length, each in zip(chosen, alone, strict=True):
        assert each["by_length"] == {str(length): told["by_length"][str(length)]}
    assert told["mean_over_lengths"] == [1.0, pytest.approx(sum(each["accuracy"][1] for each in alone) / 3), None]
    assert told["first_error"] == [None, next(n for n, e in zip(chosen, alone, strict=True) if e["accuracy"][1] < 1), 1]
    assert told["survival"]["right"][-1] == 1 and told["survival"]["lengths"] == chosen
    assert told["survival"] == lengths.generalization(told["by_length"])["survival"]


def test_lengths_without_examples_are_left_out(monkeypatch):
    run = hand_set_adder(1.0)
    even = lambda low, high: [length for length in range(low, high + 1) if length % 2 == 0]  # noqa: E731
    monkeypatch.setattr(run.task, "lengths_with_examples", even)
    assert list(evaluation.evaluate(run, [3, 4, 5, 6], 5)["by_length"]) == ["4", "6"]
    with pytest.raises(UserError, match="task=adder: has no examples of length 3"):
        evaluation.evaluate(run, [3, 5], 5)


def test_evaluate_prints_and_draws_how_long_each_network_is_right(workplace, no_pictures, call):
    run = trained("outputs/adder/run", "model.replicates=3") and "outputs/adder/run"
    words = ("evaluate", run, "--lengths", "1-60", "--samples", "4", "--replicate", "all")
    status, out, err = call(*words, "--plot", "survival.png")
    assert (status, err) == (0, f"{run}, last weights\nsurvival.png\n")
    assert Image.open("survival.png").size == (960, 420)
    assert "\nlength 51-60 " in out and "mean accuracy over 60 lengths: " in out and "without an error: 0 of 3" in out
    assert set(Path(run).glob("*.png")) == set()
    told = json.loads(call(*words, "--json")[1])["test"]
    assert told == rnn_tasks.evaluate(rnn_tasks.load(run, "last", "all"), list(range(1, 61)), 4)
    assert len(told["by_length"]) == len(told["survival"]["share"]) == 60 and len(told["first_error"]) == 3
    stored = json.loads((Path(run) / "result.json").read_text())["metrics"]["test"]
    own = rnn_tasks.evaluate(rnn_tasks.load(run, "last", "all"))
    assert own == stored | lengths.generalization(stored["by_length"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--plot", "no/survival.png"], "--plot no/survival.png: no is no directory"),
        (["--plot", "survival.pdf"], "--plot survival.pdf: must end in .png"),
        (["--plot", "survival.png", "--ood"], "--plot: draws what is measured by length"),
        (["--plot", "survival.png", "--confusion"], "--plot: draws what is measured by length"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_refused_before_anything_is_measured(workplace, call, words, message):
    status, out, err = call("evaluate", "nowhere", *words)
    assert (status, out) == (2, "") and err.startswith(f"error: {message}") and err.count("\n") == 1


def steps_of(figure):
    """The curves of a figure, by their labels."""
    return {line.get_label(): line for line in figure.axes[0].lines if not line.get_label().startswith("_")}


def test_the_curve_has_a_step_at_each_length():
    figure = survival_plots.survival_curves({"": by_length(PERFECT, LATE, EARLY, RECOVERED)}, (1, 2))
    (label, line), *_ = steps_of(figure).items()
    assert label == "median of the first error:\nlength 2"
    assert line.get_drawstyle() == "steps-post" and line.get_marker() == "o"
    assert line.get_xdata().tolist() == [1, 2, 3, 4] and line.get_ydata().tolist() == [0.75, 0.5, 0.5, 0.25]
    assert figure.axes[0].get_title().startswith("4 replicates") and figure.axes[0].get_xscale() == "linear"


def test_the_axis_is_logarithmic_where_lengths_are_spread_so():
    spread = dict(zip(["5", "20", "100", "1000"], by_length(PERFECT).values(), strict=True))
    figure = survival_plots.survival_curves({"a": spread, "b": by_length(LATE, LATE)}, (1, 20))
    assert figure.axes[0].get_xscale() == "log" and figure.axes[0].get_title().startswith("1 to 2 replicates")
    assert next(iter(steps_of(figure))) == "a\nmedian of the first error:\nbeyond length 1000"


def test_the_report_draws_the_adders_that_were_tested_by_length(workplace):
    root = Path("outputs")
    for hidden, shares in ((1, (EARLY, EARLY)), (5, (PERFECT, LATE))):
        parts = by_length(*shares)
        metrics = {kind: lengths.mean_over_lengths(parts, kind) for kind in lengths.KINDS}
        cfg = config.compose(["experiment=adder_hidden", f"model.hidden={hidden}"])
        splits = {"train": metrics, "test": metrics | {"by_length": parts}}
        write_result_by_hand(root / f"adder/{hidden}", splits, cfg, experiment="adder_hidden")
    (drawing,) = adder_survival(Evidence(root))
    assert drawing.part == "adder" and drawing.alt == (
        "Networks without an error at all lengths up to 4: adder_hidden model.hidden=1 0 of 2, adder_hidden"
        " model.hidden=5 1 of 2."
    )
    with pytest.raises(Missing):
        adder_survival(Evidence(Path("nothing")))
