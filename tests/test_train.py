"""Training through the whole of Lightning: what a run directory, its curves and its sweeps hold."""

import csv
import json
import re

import pytest
import torch
from forked import command
from helpers import SMALL, points, trained
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from rnn_tasks import config, runs
from rnn_tasks.errors import UserError
from rnn_tasks.models import Network
from rnn_tasks.runs import outcome
from rnn_tasks.train import train
from rnn_tasks.training.history import read_history


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = tmp_path_factory.mktemp("adder") / "run"
    trained(run, "task.lengths=[1,4]", "task.test_lengths=[1,3]", "task.test_size=20", "trainer.log_every_n_steps=1")
    return run


def test_a_run_directory_holds_everything(run):
    assert {path.name for path in run.iterdir() if not path.name.startswith("events")} >= {
        "config.yaml", "history.csv", "checkpoints", "result.json", "train_curves.png", "test_by_length.png",
    }  # fmt: skip
    result = json.loads((run / "result.json").read_text())
    assert (result["schema"], result["task"], result["status"], result["replicates"]) == (1, "adder", "finished", 1)
    assert result["parameters"] == sum(parameter.numel() for parameter in runs.load(run).model.parameters())
    metrics = result["metrics"]
    for split in ("train", "val", "test"):
        assert all(len(metrics[split][kind]) == 1 for kind in ("loss", "accuracy", "sequence_accuracy"))
    assert metrics["test"]["chance"] == 0.5 and metrics["test"]["n"] == 60
    assert {length: values["n"] for length, values in metrics["test"]["by_length"].items()} == {
        "1": 20,
        "2": 20,
        "3": 20,
    }
    history = read_history(run / "history.csv")
    assert [(row["epoch"], row["replicate"]) for row in history] == [(1, 0), (2, 0)]
    assert history[-1]["val_loss"] == pytest.approx(metrics["val"]["loss"][0], rel=1e-6)


def test_checkpoints_hold_plain_data_and_the_best_weights(run):
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    scores = [(row["val_sequence_accuracy"], -row["val_loss"]) for row in read_history(run / "history.csv")]
    assert tuple(best["score"][0]) == pytest.approx(max(scores))
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 16 and last["epoch"] == 1


def test_the_result_is_that_of_an_evaluation_by_hand(run):
    loaded = runs.load(run, "last")
    right = whole = bits = 0
    loaded.task.setup()
    for examples in loaded.task.test:
        for i in range(len(examples)):
            batch = examples[torch.tensor([i])]
            answers = loaded.logits(batch.inputs, batch.lengths)[0, :, 0] > 0
            hits = answers == batch.targets[0].bool()
            right, whole, bits = right + int(hits.sum()), whole + bool(hits.all()), bits + len(hits)
    test = loaded.result["metrics"]["test"]
    assert test["accuracy"] == [pytest.approx(right / bits)]
    assert test["sequence_accuracy"] == [pytest.approx(whole / 60)]


def test_tensorboard_shows_curves_lengths_cases_and_hyperparameters(run):
    scalars = points(run)
    assert [step for step, _ in scalars["train/loss"]] == list(range(1, 17))
    assert [step for step, _ in scalars["val/accuracy"]] == [8, 16]
    assert {"val/loss", "val/sequence_accuracy", "train/learning_rate", "train/gradient_norm"} <= scalars.keys()
    test = runs.read_result(run)["metrics"]["test"]
    assert scalars["test_by_length/accuracy"] == [
        (int(length), pytest.approx(values["accuracy"][0])) for length, values in test["by_length"].items()
    ]
    assert scalars["test/final_accuracy"][0][1] == pytest.approx(test["accuracy"][0])
    events = EventAccumulator(str(run), size_guidance={"tensors": 0, "images": 0})
    events.Reload()
    assert {"train/curves", "test/by_length"} <= set(events.Tags()["images"])
    text = events.Tensors("verification/text_summary")[0].tensor_proto.string_val[0].decode()
    cases = re.findall(r"`([01]+)\+([01]+)` *\| *([01]+) *\| *([01]+) *\| *(right|\*\*wrong\*\*)", text)
    assert len(cases) >= 10
    for first, second, output, target, verdict in cases:
        assert int(first, 2) + int(second, 2) == int(target, 2)
        assert (output == target) == (verdict == "right")
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    told = HParamsPluginData.FromString(content).session_start_info.hparams
    assert told["model"].string_value == "lstm" and told["model.hidden"].number_value == 5
    assert told["model.bidirectional"].string_value == "False" and "experiment" not in told


def test_hyperparameters_begin_with_what_is_most_often_compared():
    values = outcome.hyperparameters(config.compose(["experiment=adder_length5", "scheduler=none"]))
    assert list(values)[:7] == list(outcome.COMPARED)
    assert values["experiment"] == "adder_length5" and "scheduler" not in values
    assert values["optimizer"] == "Adam" and values["optimizer.lr"] == 0.001


def test_gradient_norms_are_those_of_the_loss(run):
    """The first step's norm, before clipping, against autograd on the same batch."""
    cfg = runs.read_config(run)
    task, model = config.build(cfg)
    task.setup()
    batch = next(iter(task.train_dataloader())).each(lambda part: part[0, 0])
    real = torch.arange(batch.targets.shape[1]) < batch.lengths[:, None]
    logits = model(batch.inputs, batch.lengths)[0].squeeze(-1)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[real], batch.targets[real])
    loss.backward()
    norm = torch.stack([parameter.grad.norm() for parameter in model.parameters()]).norm()
    assert points(run)["train/loss"][0][1] == pytest.approx(loss.item(), rel=1e-5)
    assert points(run)["train/gradient_norm"][0][1] == pytest.approx(norm.item(), rel=1e-5)


def test_the_same_run_gives_the_same_numbers(run, tmp_path):
    again = trained(tmp_path, *LIKE_RUN)
    assert again["metrics"] == runs.read_result(run)["metrics"]
    assert again["fingerprint"] == runs.read_result(run)["fingerprint"]
    assert trained(tmp_path / "other", *LIKE_RUN, "seed=1")["fingerprint"] != again["fingerprint"]


LIKE_RUN = ["task.lengths=[1,4]", "task.test_lengths=[1,3]", "task.test_size=20", "trainer.log_every_n_steps=1"]


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(("task", "loss"), [("adder", "bce"), ("adder", "mse"), ("memory", "ce"), ("memory", "mse")])
@pytest.mark.parametrize("model", ["rnn", "bilstm"])
def test_the_training_loss_falls_with_every_loss_of_a_task(tmp_path, task, loss, model):
    words = [f"task={task}", f"loss={loss}", f"model={model}", "trainer.max_epochs=4", "optimizer.lr=0.01"]
    trained(tmp_path, *words, "task.train_size=400")
    losses = [row["train_loss"] for row in read_history(tmp_path / "history.csv")]
    assert losses[-1] < losses[0]


def test_mnist_is_learned(mnist, tmp_path):
    words = ["task=mnist", "task.train_size=2000", "task.val_size=500", "model=gru", "model.hidden=32"]
    result = trained(tmp_path, *words, "trainer.max_epochs=3", "task.batch_size=16", "optimizer.lr=0.003")
    assert result["metrics"]["test"]["n"] == 10_000 and result["metrics"]["test"]["accuracy"][0] > 0.75
    events = EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload()
    assert "verification" in events.Tags()["images"]  # pictures with their answers


def test_curves_show_mean_least_and_greatest(tmp_path):
    result = trained(tmp_path, "model.replicates=3", "trainer.log_every_n_steps=5")
    tags, rows = points(tmp_path), read_history(tmp_path / "history.csv")
    last = [row["val_loss"] for row in rows if row["epoch"] == 2]
    for tag, value in (("val/loss", sum(last) / 3), ("val/loss_min", min(last)), ("val/loss_max", max(last))):
        assert tags[tag][-1][1] == pytest.approx(value)
    assert {"train/loss_min", "train/gradient_norm_max", "test/final_accuracy_min"} <= set(tags)
    assert len(result["metrics"]["test"]["by_length"]["7"]["accuracy"]) == 3


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("words", "charts"),
    [
        ([], ["train/loss", "train/gradient_norm", "val/loss", "val/accuracy", "val/sequence_accuracy"]),
        (["trainer.limit_val_batches=0"], ["train/loss", "train/gradient_norm"]),
    ],
)
def test_charts_with_a_band_lack_no_tag(tmp_path, words, charts):
    trained(tmp_path, "model.replicates=3", "trainer.log_every_n_steps=5", *words)
    events = EventAccumulator(str(tmp_path)).Reload()
    layout = Layout.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    series = [one for category in layout.category for chart in category.chart for one in chart.margin.series]
    assert [one.value for one in series] == charts
    assert {tag for one in series for tag in (one.value, one.lower, one.upper)} <= set(events.Tags()["scalars"])


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_only_a_bidirectional_network_can_add_with_the_most_significant_bit_first(tmp_path):
    words = ["task.order=msb", "task.lengths=[1,6]", "task.test_lengths=[6,6]", "task.test_size=500"]
    learn = ["task.train_size=4000", "trainer.max_epochs=4", "optimizer.lr=0.01", "model.hidden=8"]
    forward, both = (
        trained(tmp_path / model, f"model={model}", *words, *learn)["metrics"]["test"]["sequence_accuracy"][0]
        for model in ("rnn", "birnn")
    )
    assert both > 0.97
    # Half of all carries cannot be known where the bits say 1: a forward network must guess them.
    assert forward < 0.3


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("patience", [1, 2, 5])
def test_patience_ends_a_run_so_many_epochs_after_its_best(tmp_path, patience):
    slow = ["optimizer.lr=1e-12", "optimizer.weight_decay=0", "scheduler=none"]
    trained(tmp_path, "trainer.max_epochs=50", f"trainer.patience={patience}", *slow)
    history = read_history(tmp_path / "history.csv")
    scores = [(row["val_sequence_accuracy"], -row["val_loss"]) for row in history]
    assert history[-1]["epoch"] == scores.index(max(scores)) + 1 + patience


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("interval", "steps"), [("0.25", [2, 4, 6, 8, 10, 12, 14, 16]), ("4", [4, 8, 12, 16]), ("1.0", [8, 16])]
)
def test_validations_come_as_often_as_asked_for(tmp_path, interval, steps):
    trained(tmp_path, f"trainer.val_check_interval={interval}")
    assert [step for step, _ in points(tmp_path)["val/loss"]] == steps


def test_clipping_and_schedules_reach_the_optimizer(tmp_path):
    clipped = ["trainer.gradient_clip_val=1e-5", "optimizer=sgd", "optimizer.weight_decay=0"]
    trained(tmp_path / "clipped", *clipped)
    cfg = config.compose([*SMALL, *clipped])
    fresh, moved = (
        model.head["weight"] for model in (config.build(cfg)[1], runs.load(tmp_path / "clipped", "last").model)
    )
    assert 0 < (fresh - moved).abs().max() < 1e-3
    trained(tmp_path / "cosine", "scheduler=cosine", "trainer.log_every_n_steps=1")
    rates = [rate for _, rate in points(tmp_path / "cosine")["train/learning_rate"]]
    assert rates == sorted(rates, reverse=True) and rates[0] == pytest.approx(0.01) and rates[-1] < 0.001


def test_a_nan_loss_stops_training_and_names_the_step(tmp_path):
    with pytest.raises(UserError, match=r"the loss became infinite or NaN at step \d+ \(epoch 0\)"):
        trained(tmp_path, "optimizer=sgd", "optimizer.lr=1e38", "trainer.gradient_clip_val=0", "task=memory")
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["debug=limit"],
        ["debug=limit", "task=memory"],
        ["logger=csv"],
        ["trainer.limit_val_batches=0"],
        ["trainer.limit_test_batches=0"],
        ["trainer.max_steps=5"],
        ["trainer.max_time=00:00:01:00"],
        ["trainer.precision=64-true"],
        ["trainer.precision=bf16-mixed"],
        ["trainer.precision=bf16-true", "model=rnn"],
        ["trainer.precision=32", "model=rnn"],
        ["trainer.accelerator=cpu", "trainer.devices=1"],
        ["trainer.profiler=simple"],
    ],
)
def test_arguments_of_lightnings_trainer(tmp_path, words):
    assert trained(tmp_path, *words)["status"] == "finished"
    runs.load(tmp_path)


@pytest.mark.parametrize("group", ["task=adder,memory", "experiment=memory_hidden5,memory_hidden10"])
def test_a_sweep_over_tasks_or_experiments_has_a_directory_for_each(workplace, group):
    ended = command("train", "--multirun", group, *SMALL, "hydra.sweep.dir=sweep")
    assert ended.returncode == 0, ended.stderr
    results = [runs.read_result(path.parent) for path in (workplace / "sweep").glob("*/result.json")]
    assert len(results) == len({result["parameters"] for result in results}) == 2


@pytest.mark.slow
def test_a_sweep_that_was_stopped_goes_on(workplace):
    words = ["--multirun", *SMALL, "model.hidden=1,2", "hydra.sweep.dir=sweep"]
    first = command("train", *words)
    summary = (workplace / "sweep" / "summary.csv").read_text()
    directory = next(path.parent for path in (workplace / "sweep").glob("*hidden=2*/result.json"))
    (directory / "result.json").unlink()
    again = command("train", *words)
    assert first.returncode == again.returncode == 0
    kept, measured = ((workplace / "sweep" / "summary.csv").read_text().splitlines()[i] for i in (1, 2))
    assert kept == summary.splitlines()[1]
    assert measured.rpartition(",")[0] == summary.splitlines()[2].rpartition(",")[0]  # all but its seconds


def test_a_nan_validation_loss_stops_training(tmp_path):
    words = ["task.train_size=8", "trainer.max_epochs=1", "optimizer=sgd", "optimizer.lr=1e300", "scheduler=none"]
    with pytest.raises(UserError, match="the loss became infinite or NaN after step 1"):
        trained(tmp_path, *words, "trainer.gradient_clip_val=0")
    assert not (tmp_path / "result.json").exists()


def test_refusals_of_lightning_and_of_optimizers_are_one_line(tmp_path):
    with pytest.raises(UserError, match=r"trainer: You requested to check 0.01 of the `val_dataloader`"):
        trained(tmp_path / "limit", "trainer.limit_val_batches=0.01")
    with pytest.raises(UserError, match=r"trainer.nonsense: no such key; trainer has accelerator"):
        trained(tmp_path / "word", "+trainer.nonsense=1")
    with pytest.raises(UserError, match=r"optimizer.nonsense: no such key; torch.optim.Adam takes amsgrad"):
        trained(tmp_path / "optimizer", "+optimizer.nonsense=1")


def test_an_error_inside_a_model_keeps_its_traceback(tmp_path, monkeypatch):
    def broken(*args):
        raise ValueError("a fault")

    monkeypatch.setattr(Network, "forward", broken)
    with pytest.raises(ValueError, match="a fault"):
        trained(tmp_path)


def test_a_trial_leaves_no_result(workplace):
    ended = command("train", "debug=fast", *SMALL)
    assert ended.returncode == 0, ended.stderr
    assert not list(workplace.rglob("result.json"))


@pytest.mark.slow
def test_overfitting_32_examples_reaches_100_percent(tmp_path):
    cfg = config.compose(["debug=overfit", "task=memory", "trainer.enable_progress_bar=false"])
    assert train(cfg, tmp_path)["metrics"]["train"]["accuracy"] == [1.0]


def test_a_sweep_goes_on_after_a_failed_run_and_tells(workplace):
    words = ["--multirun", *SMALL, "model.hidden=1,x,3", "hydra.sweep.dir=sweep"]
    ended = command("train", *words)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    rows = list(csv.DictReader((workplace / "sweep" / "summary.csv").open()))
    assert [row["state"] for row in rows] == ["done", "done", "failed"]
    assert rows[2]["note"] == "model.hidden=x: must be a whole number like 5"
    markdown = (workplace / "sweep" / "summary.md").read_text()
    assert markdown.count("\n|") == 4 and "model.hidden=x: must be" in markdown
    assert "model.hidden=1" in ended.stdout and str(rows[0]["run"]) in markdown
    for row in rows[:2]:
        result = runs.read_result(workplace / "sweep" / row["run"])
        assert float(row["test accuracy"]) == result["metrics"]["test"]["accuracy"][0]
