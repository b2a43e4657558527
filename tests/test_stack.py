"""Runs trained at once: each leaves what it leaves when it is trained alone."""

import copy
import errno
import json
import os
import shutil

import pytest
import torch
from helpers import composed, points, spoil, trained, without_pictures

from rnn_tasks.errors import UserError
from rnn_tasks.models import cell, kernel, masks
from rnn_tasks.runs import outcome
from rnn_tasks.runs.stack_training import train_stack
from rnn_tasks.tasks import Adder, examples, schedule
from rnn_tasks.training import recorder
from rnn_tasks.training.history import read_history
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.recorder import RunRecorder
from rnn_tasks.training.steps import ChunkSteps

SMALL = [
    *("task.train_size=40", "task.val_size=24", "task.test_size=4", "trainer.max_epochs=2", "model.replicates=2"),
    *("trainer.enable_progress_bar=false", "threads=1", "name=run", "trainer.log_every_n_steps=2", "model.hidden=4"),
]
ADDER = [*SMALL, "task.lengths=[1,5]", "task.test_lengths=[1,3]"]
MEMORY = [*SMALL, "task=memory", "task.lengths=[3,6]", "task.batch_size=8"]


@pytest.fixture(scope="module", autouse=True)
def no_pictures():
    with without_pictures():
        yield


@cell(gates=2)
def gated(pre, state):
    """A cell of one's own, whose empty units do nothing."""
    candidate, gate = pre.chunk(2, 1)
    h = state + gate.sigmoid() * (candidate.sin() - state)
    return h, h


class Uneven(Adder):
    """A task that has more examples with one data_seed than with another."""

    def setup(self, stage=None):
        self.train_size += self.data_seed
        super().setup(stage)


def configured(*words):
    return copy.deepcopy(composed(os.getcwd(), *words))


def stacked(place, common, *jobs):
    """Train jobs at once, in directories named by their numbers; return these, and what came out of each."""
    runs = [place / str(number) for number in range(len(jobs))]
    outcomes = train_stack([(configured(*common, *job), run) for job, run in zip(jobs, runs, strict=True)])
    return runs, [outcomes[run] for run in runs]  # a run that has been left for later has none


def files(run):
    """The files of a run; the names of event files hold times and numbers of processes."""
    names = [str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()]
    return {"events" if name.startswith("events") else name for name in names}


def checkpoint(run, name, counters):
    """A checkpoint without seconds, and without Lightning's counters of validation batches, or all of its counters."""
    content = torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)
    if loops := content.pop("loops", None):
        content["callbacks"]["RunRecorder"].pop("seconds")
        if counters:
            content["loops"] = {key: value for key, value in loops["fit_loop"].items() if "val_loop" not in key}
    return content


def result(run):
    return {key: value for key, value in json.loads((run / "result.json").read_text()).items() if key != "seconds"}


def assert_close(ours, theirs, atol, key=""):
    """Nested containers are equal, but for a distance between floating-point numbers."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), key
        for name, value in theirs.items():
            assert_close(ours[name], value, atol, f"{key}.{name}")
    elif isinstance(theirs, list | tuple):
        assert len(ours) == len(theirs), key
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_close(*pair, atol, f"{key}[{number}]")
    elif isinstance(theirs, torch.Tensor):
        close = {"rtol": 0, "atol": atol, "equal_nan": True}
        torch.testing.assert_close(ours, theirs, msg=lambda text: f"{key}: {text}", **close)
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=0, abs=atol, nan_ok=True), key
    else:
        assert ours == theirs, key


def assert_alike(run, alone, atol=3e-5, counters=True, checkpoints=("last", "best", "previous")):
    """A run of a stack has left what the run alone has; a float32 product of another shape may round otherwise."""
    assert files(run) == files(alone)
    assert (run / "config.yaml").read_text() == (alone / "config.yaml").read_text()
    for name in checkpoints:
        assert_close(checkpoint(run, name, counters), checkpoint(alone, name, counters), atol, name)
    assert_close(read_history(run / "history.csv"), read_history(alone / "history.csv"), atol, "history")
    assert_close(points(run), points(alone), atol, "points")
    if (alone / "result.json").exists():
        assert_close(result(run), result(alone), atol, "result")


def assert_each_is_alike(place, common, *jobs, atol=3e-5):
    runs, _ = stacked(place / "stack", common, *jobs)
    for run, job in zip(runs, jobs, strict=True):
        trained(place / run.name, *common, *job)
        assert_alike(run, place / run.name, atol)


KEYS = {
    "nothing": [],
    "seed": ["seed=7"],
    "hidden": ["model.hidden=7"],
    "init": ["model.init=0.9"],
    "lr": ["optimizer.lr=0.05"],
    "weight decay": ["optimizer.weight_decay=0.2"],
    "betas": ["+optimizer.betas=[0.8,0.99]"],
    "eps": ["+optimizer.eps=0.01"],
    "clip": ["trainer.gradient_clip_val=0.01"],
    "clip by value": ["trainer.gradient_clip_val=0.01", "trainer.gradient_clip_algorithm=value"],
    "loss": ["loss=mse"],
    "data seed": ["task.data_seed=3"],
    "patience": ["trainer.patience=1", "optimizer.lr=1e-9"],
    "points": ["trainer.log_every_n_steps=3"],
    "many": [
        *("seed=3", "model.hidden=2", "model.init=0.2", "optimizer.lr=0.02", "optimizer.weight_decay=0.1", "loss=mse"),
        *("trainer.gradient_clip_val=0.1", "task.data_seed=9", "trainer.log_every_n_steps=5"),
    ],
}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """A stack of runs that differ from the first in one key, and the last in many."""
    runs, _ = stacked(tmp_path_factory.mktemp("keys"), [*ADDER, "trainer.max_epochs=3"], *KEYS.values())
    return dict(zip(KEYS, runs, strict=True))


@pytest.mark.parametrize("key", KEYS)
def test_each_key_that_may_differ_has_the_effect_that_it_has_alone(tmp_path, keys, key):
    trained(tmp_path, *ADDER, "trainer.max_epochs=3", *KEYS[key])
    assert_alike(keys[key], tmp_path)
    others = [points(run) for name, run in keys.items() if name != key]
    assert points(keys[key]) not in others  # it has an effect
    ends = {"patience": 2}
    assert {row["epoch"] for row in read_history(keys[key] / "history.csv")} == set(range(1, 1 + ends.get(key, 3)))


SCHEDULER = "scheduler._target_=torch.optim.lr_scheduler"
ONES_OWN = f"model.cell={__name__}.gated"
CASES = {
    "rnn, sgd": (ADDER, ["model=rnn", "optimizer=sgd"], ["optimizer.momentum=0"], ["optimizer.momentum=0.5"]),
    "gru, adamw": (ADDER, ["model=gru", "optimizer=adamw"], ["optimizer.weight_decay=0.3"], ["model.hidden=6"]),
    "dropout": (ADDER, ["model.layers=2"], ["model.dropout=0.3"], ["model.dropout=0.6", "model.hidden=3"], []),
    "both directions": (ADDER, ["model=birnn", "model.layers=2", "model.dropout=0.2"], ["model.hidden=3"], ["seed=5"]),
    "own cell": (ADDER, [ONES_OWN], ["model.hidden=3"], ["trainer.gradient_clip_val=0.05"]),
    "one answer": (MEMORY, [], ["loss.label_smoothing=0.1"], ["loss=mse", "model.hidden=6"]),
    "mean": (MEMORY, ["model=gru", "model.pooling=mean"], ["model.hidden=6"], ["optimizer.lr=0.02"]),
    "accumulated": (ADDER, ["trainer.accumulate_grad_batches=3"], ["model.hidden=6"], ["optimizer.lr=0.02"]),
    "epochs": (ADDER, [f"{SCHEDULER}.ExponentialLR"], ["+scheduler.gamma=0.5"], ["+scheduler.gamma=0.2"]),
    "lengths": (ADDER, ["task.train_size=8", "task.val_size=3", "task.lengths=[1,40]"], [], ["task.data_seed=1"]),
    "no validation": (ADDER, ["trainer.limit_val_batches=0"], ["seed=3"], ["task.data_seed=3"]),
}  # fmt: skip
SLOW_CASES = {
    "plateau": (
        [*ADDER, "model.replicates=1", "trainer.max_epochs=4"],
        [f"{SCHEDULER}.ReduceLROnPlateau", "+scheduler.patience=0"], [], ["+scheduler.factor=0.5", "optimizer.lr=0.5"],
    ),
    "validations": (ADDER, ["trainer.val_check_interval=0.4", "trainer.max_steps=8"], ["seed=3"], ["model.hidden=3"]),
    "few": (
        ADDER, ["trainer.check_val_every_n_epoch=2", "trainer.limit_train_batches=2"], ["seed=3"], ["task.data_seed=3"]
    ),
    "two loggers": (ADDER, ["logger=[csv,tensorboard]"], [], ["seed=3"]),
    "anomalies": (ADDER, ["trainer.detect_anomaly=true"], [], ["seed=3"]),
    "bfloat16": (ADDER, ["trainer.precision=bf16-mixed"], [], ["seed=3"]),
}  # fmt: skip


@pytest.mark.parametrize("case", [*CASES, *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW_CASES)])
def test_networks_and_schedules_of_all_kinds(tmp_path, case):
    task, common, *jobs = (CASES | SLOW_CASES)[case]
    assert_each_is_alike(tmp_path, [*task, *common], *jobs)


def test_double_precision(tmp_path):
    assert_each_is_alike(tmp_path, [*ADDER, "trainer.precision=64-true"], ["model.hidden=3"], ["loss=mse"], atol=1e-10)


def test_without_the_kernel(tmp_path, monkeypatch):
    monkeypatch.setenv("RNN_TASKS_KERNEL", "off")
    kernel.library.cache_clear()
    jobs = ["model.hidden=3"], ["trainer.gradient_clip_algorithm=value", "trainer.gradient_clip_val=0.01", "loss=mse"]
    try:
        assert kernel.library() is None
        assert_each_is_alike(tmp_path, [*ADDER, "optimizer=adamw"], *jobs)
    finally:
        kernel.library.cache_clear()


def test_weights_of_other_runs(tmp_path):
    places = [f"model.weights={tmp_path / name}" for name in ("two", "one")]
    trained(tmp_path / "two", *ADDER)
    trained(tmp_path / "one", *ADDER, "model.replicates=1")
    assert_each_is_alike(tmp_path, ADDER, [places[0]], ["seed=3"], [places[1]], [places[0], "optimizer.lr=0.03"])


def test_a_part_of_the_validation_is_the_same_part(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "EVALUATION_STEPS", 20)  # batches become smaller from 8 networks on
    common = [*ADDER, "model.replicates=6", "trainer.limit_val_batches=3"]
    assert_each_is_alike(tmp_path, common, [], ["seed=9"], ["task.data_seed=3"])


def test_a_run_with_a_training_set_of_another_size_is_left_for_later(tmp_path, capsys):
    words = [[f"task._target_={__name__}.Uneven", *job] for job in ([], ["task.data_seed=1"], ["seed=3"])]
    pairs = [(configured(*ADDER, *job), tmp_path / "stack" / str(i)) for i, job in enumerate(words)]
    assert set(train_stack(pairs)) == {pairs[0][1], pairs[2][1]}
    assert capsys.readouterr().err == f"{pairs[1][1]}: trained by itself, it has 41 training examples and not 40\n"
    for i, job in enumerate(words):
        trained(tmp_path / str(i), *ADDER, *job)
        trained(pairs[i][1], *ADDER, *job)  # as the sweep does then
        assert_alike(pairs[i][1], tmp_path / str(i))


def test_a_run_whose_files_cannot_be_written_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    append = recorder.append_history

    def full(file, rows):
        if file.parent == tmp_path / "1":
            raise OSError(errno.ENOSPC, "No space left on device", str(file))
        append(file, rows)

    monkeypatch.setattr(recorder, "append_history", full)
    _, outcomes = stacked(tmp_path, ADDER, [], ["seed=3"], ["seed=4"])
    assert str(outcomes[1]).startswith(f"{tmp_path / '1' / 'history.csv'}: cannot be written or read (No space left")
    assert all(isinstance(outcomes[number], dict) for number in (0, 2))


def test_data_and_initial_weights_and_dropout_are_equal_bit_for_bit(tmp_path, monkeypatch):
    weights, chunks, drawn = [], [], []
    configure, begin, draw = Learner.configure_optimizers, ChunkSteps.__init__, masks._mask

    def noted_configure(self):
        weights.append(copy.deepcopy(self.model.state_dict()))
        return configure(self)

    def noted_begin(self, learner, chunk, *rest):
        chunks.append((learner.seed, chunk))
        begin(self, learner, chunk, *rest)

    def noted_draw(*args):
        drawn.append(draw(*args))
        return drawn[-1]

    monkeypatch.setattr(Learner, "configure_optimizers", noted_configure)
    monkeypatch.setattr(ChunkSteps, "__init__", noted_begin)
    monkeypatch.setattr(masks, "_mask", noted_draw)
    common = [*ADDER, "model.layers=2", "model.dropout=0.4"]
    jobs = ["seed=0", "model.init=0.3"], ["seed=10", "task.data_seed=5"], ["seed=20", "model.hidden=6"]
    stacked(tmp_path / "stack", common, *jobs)
    together = [list(each) for each in (weights, chunks, drawn)]
    for number, job in enumerate(jobs):
        for each in (weights, chunks, drawn):
            each.clear()
        trained(tmp_path / "alone", *common, *job)
        shutil.rmtree(tmp_path / "alone")
        assert_close(together[0][number], weights[0], 0)
        own = [chunk for seed, chunk in together[1] if seed == 10 * number]
        assert len(own) == len(chunks) > 0
        for ours, (_, theirs) in zip(own, chunks, strict=True):
            steps = theirs.inputs.shape[3]  # the chunk of all may be longer
            assert torch.equal(ours.inputs[..., :steps, :], theirs.inputs) and not ours.inputs[..., steps:, :].any()
            assert torch.equal(ours.lengths, theirs.lengths) and torch.equal(ours.targets[..., :steps], theirs.targets)
        own = [mask for i, mask in enumerate(together[2]) if i // 2 % len(jobs) == number]  # each has two replicates
        assert len(own) == len(drawn) > 0
        assert all(torch.equal(a[:, : b.shape[1]], b) for a, b in zip(own, drawn, strict=True))


FAILING = [*ADDER, "model.replicates=3", "trainer.max_epochs=4"]


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 2 of the 5 batches of an epoch, so that something can happen within it."""
    monkeypatch.setattr(schedule, "CHUNK_BATCHES", 2)


def assert_alike_though_the_first_is_spoilt(place, monkeypatch, replicates, step, common=FAILING, **which):
    """Spoil weights of the first of three jobs, in the stack and alone; return how both have ended."""
    jobs = [], ["seed=7"], ["model.hidden=6"]
    with monkeypatch.context() as patch:
        spoil(patch, replicates, step)
        runs, outcomes = stacked(place / "stack", common, *jobs)
        try:
            alone = trained(place / "0", *common, *jobs[0])
        except UserError as error:
            alone = error
    for number in (1, 2):
        trained(place / str(number), *common, *jobs[number])
        assert_alike(runs[number], place / str(number))
    assert_alike(runs[0], place / "0", **which)
    return outcomes[0], alone


def test_replicates_that_fail_leave_all_others_as_they_are(tmp_path, monkeypatch, small_chunks):
    ours, _ = assert_alike_though_the_first_is_spoilt(tmp_path, monkeypatch, [1], 7)
    assert [loss is None for loss in ours["metrics"]["test"]["loss"]] == [False, True, False]


@pytest.mark.parametrize(("step", "kept"), [(3, ()), (7, ("last", "best"))])
def test_a_run_that_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch, small_chunks, step, kept):
    ours, theirs = assert_alike_though_the_first_is_spoilt(tmp_path, monkeypatch, slice(None), step, checkpoints=kept)
    assert isinstance(ours, UserError) and str(ours) == str(theirs)
    assert f"of all 3 replicates became infinite or NaN at step {step + 1}" in str(ours)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (7, []),  # fails in the middle of the second epoch
        pytest.param(8, [], marks=pytest.mark.slow),  # in its last chunk
        pytest.param(10, [], marks=pytest.mark.slow),  # after its last step, in validation
        pytest.param(7, ["trainer.val_check_interval=2"], marks=pytest.mark.slow),
        pytest.param(7, ["trainer.val_check_interval=3"], marks=pytest.mark.slow),
        pytest.param(7, ["trainer.check_val_every_n_epoch=3"], marks=pytest.mark.slow),
        pytest.param(7, ["trainer.limit_val_batches=0"], marks=pytest.mark.slow),
    ],
)
def test_a_run_ends_in_the_epoch_in_which_all_its_replicates_have_stalled_or_failed(
    tmp_path, monkeypatch, small_chunks, step, words
):
    meet = RunRecorder._meet

    def stall(self, trainer, learner):
        if learner.seed == 0 and learner.model.hidden == 4 and len(self.history):  # after its first epoch
            learner.freeze_replicates(torch.tensor([True, False, False]))
        return meet(self, trainer, learner)

    monkeypatch.setattr(RunRecorder, "_meet", stall)
    common = [*FAILING, *words]
    ours, _ = assert_alike_though_the_first_is_spoilt(tmp_path, monkeypatch, [1, 2], step, common, counters=False)
    assert [loss is None for loss in ours["metrics"]["test"]["loss"]] == [False, True, True]
    best = torch.load(tmp_path / "stack" / "0" / "checkpoints" / "best.ckpt", weights_only=True)
    if not {"trainer.check_val_every_n_epoch=3", "trainer.limit_val_batches=0"} & set(words):
        assert best["failed"] == [False, True, True]


def test_a_run_that_ends_early_is_shown_with_its_own_steps(tmp_path, monkeypatch):
    steps = {}
    monkeypatch.setattr(outcome, "show", lambda session, _, cfg, run: steps.update({run: session.trainer.global_step}))
    (first, second), _ = stacked(tmp_path, [*ADDER, "trainer.max_epochs=3"], KEYS["patience"], KEYS["nothing"])
    assert steps == {first: 10, second: 15}


def test_least_numbers_of_epochs_belong_to_each_run(tmp_path):
    common = [*ADDER, "optimizer=sgd", "trainer.max_epochs=5"]
    jobs = ["trainer.min_epochs=4", "optimizer.lr=1e30"], ["trainer.patience=1", "optimizer.lr=1e-9"]
    runs, outcomes = stacked(tmp_path / "stack", common, *jobs)
    assert isinstance(outcomes[0], UserError) and len(read_history(runs[1] / "history.csv")) == 4  # of 2 replicates
    trained(tmp_path / "alone", *common, *jobs[1])
    assert_alike(runs[1], tmp_path / "alone")
