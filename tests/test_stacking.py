"""Sweeps whose runs are trained at once: how they are grouped, done, stopped and gone on with."""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest
from forked import command
from helpers import age_events, assert_equal_ends, batches_done, stop_after, without_pictures
from test_launchers import rows_of
from test_stack import ADDER, MEMORY, SMALL, assert_alike, configured, gated, stacked  # noqa: F401

from rnn_tasks import config, runs
from rnn_tasks.config.stacking import MOST_RUNS, grouped, networks
from rnn_tasks.errors import Interrupted
from rnn_tasks.models import cell
from rnn_tasks.runs import summaries, sweeps
from rnn_tasks.runs.stack_training import train_stack
from rnn_tasks.runs.stacking import sizes_may_differ
from rnn_tasks.stack.keeper import StackKeeper
from rnn_tasks.tasks import schedule
from rnn_tasks.train import train
from rnn_tasks.training import evaluation
from rnn_tasks.training.checkpoints import AtomicCheckpointIO
from rnn_tasks.training.history import read_history
from rnn_tasks.training.recorder import RunRecorder


@pytest.fixture(scope="module", autouse=True)
def no_pictures():
    with without_pictures(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(summaries, "plot", lambda *_: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def small_chunks():
    """Runs of 5 steps an epoch can then be stopped within it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "CHUNK_BATCHES", 2)
        yield


# Grouping


@cell(gates=1)
def shifted(pre, state):
    """Empty units do something."""
    h = (pre + 1).tanh()
    return h, h


@cell(gates=1)
def coupled(pre, state):
    """Empty units stay empty, and yet change the others."""
    h = (pre - pre.mean(1, keepdim=True)).tanh()
    return h, h


@cell(gates=1)
def large(pre, state):
    """It does not take a single unit."""
    assert pre.shape[1] > 1
    h = pre.tanh()
    return h, h


def grouping(*jobs, common="", most=None):
    cfgs = []
    for job in jobs:
        words = [word for word in f"{common} {job}".split() if not word.startswith("seed=")]
        cfgs.append(configured(*SMALL, *words))
        cfgs[-1].seed = int(f" {job}".partition(" seed=")[2] or 0)  # composing takes longer
    found = grouped(cfgs, sizes_may_differ, most)
    return found, found.describe([networks(cfg) for cfg in cfgs])


@pytest.mark.parametrize(
    ("common", "jobs"),
    [
        ("", ["seed=1", "model.hidden=2 model.init=0.1", "optimizer.lr=0.1 optimizer.weight_decay=0.1 loss=mse"]),
        ("", ["trainer.gradient_clip_val=1 trainer.patience=3", "task.data_seed=2 +optimizer.betas=[0.8,0.99]"]),
        ("", ["trainer.gradient_clip_algorithm=value trainer.min_epochs=1", "trainer.log_every_n_steps=7 logger=csv"]),
        ("", ["trainer.min_steps=3 +scheduler.eta_min=0.1", "trainer.limit_test_batches=0.5"]),
        ("optimizer=sgd", ["optimizer.momentum=0", "optimizer.lr=1"]),
        ("task=memory model.layers=2", ["loss.label_smoothing=0.1", "loss=mse", "model.dropout=0.3"]),
    ],
)
def test_runs_that_differ_in_numbers_of_each_network_are_trained_at_once(common, jobs):
    found, text = grouping("", *jobs, common=common)
    assert found.stacks == [list(range(len(jobs) + 1))] and not found.alone
    assert text == f"{len(jobs) + 1} runs at once ({2 * len(jobs) + 2} networks)"


APART = [
    *("optimizer.fused=false", "threads=2", "task.train_size=41", "task.lengths=[1,6]", "task=memory"),
    *("trainer.max_epochs=3", "trainer.max_steps=9", "trainer.precision=64-true", "trainer.val_check_interval=2"),
    *("trainer.accumulate_grad_batches=2", "trainer.limit_val_batches=2", "trainer.limit_train_batches=3"),
    *("trainer.check_val_every_n_epoch=2", "+optimizer.amsgrad=true", "+scheduler.interval=epoch"),
]


@pytest.mark.parametrize(
    "word",
    [
        *("model=rnn", "model.layers=2", "model.replicates=3", "optimizer=sgd", "scheduler=none", "task.batch_size=4"),
        *(pytest.param(word, marks=pytest.mark.slow) for word in APART),
    ],
)
def test_runs_that_differ_in_more_are_kept_apart(word):
    found, text = grouping("", "seed=1", word, f"{word} seed=1", f"{word} seed=2")
    assert found.stacks == [[0, 1], [2, 3, 4]] and not found.alone
    assert text.startswith("2 and 3 runs at once (4 and ")
    found, text = grouping("", word)
    assert found.stacks == [] and text == "2 by themselves (all others differ in more than numbers)"


def test_swept_keys_that_keep_stacks_apart_are_told():
    words = [[f"seed={seed}", f"optimizer={name}", "task.batch_size=4"] for seed in (0, 1) for name in ("adam", "sgd")]
    cfgs = [config.compose(SMALL, each) for each in words]
    found = grouped(cfgs, sizes_may_differ)
    assert found.stacks == [[0, 2], [1, 3]] and found.apart == ["optimizer"]
    assert found.describe([32] * 4) == "2 times 2 runs at once (2 times 64 networks, apart by optimizer)"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("task=mnist model=crnn", "model._target_=rnn_tasks.models.Crnn"),
        ("model=transformer", "model._target_=rnn_tasks.models.Transformer"),
        ("model.hidden=49", "more than 48 hidden units"),
        ("callbacks=[weight_norms]", "callbacks"),
        ("trainer.devices=2", "trainer.devices=2"),
        ("trainer.fast_dev_run=true", "trainer.fast_dev_run"),
        ("trainer.max_time=00:00:01:00", "trainer.max_time"),
        ("trainer.profiler=simple", "trainer.profiler"),
        ("model.replicates=9", "more networks than max_replicates=8"),
    ],
)
def test_runs_that_stay_alone_and_why(word, reason):
    found, text = grouping(word, "seed=0", "seed=1", f"{word} seed=1", most=8)
    assert found.stacks == [[1, 2]] and found.alone == {0: reason, 3: reason}
    assert text == f"2 runs at once (4 networks), 2 by themselves ({reason})"


def test_more_networks_than_there_may_be_are_split():
    found, text = grouping(*(f"seed={seed}" for seed in range(5)), most=5)
    assert found.stacks == [[0, 1], [2, 3]] and found.alone == {4: "at most 5 networks at once"}
    assert text == "2 times 2 runs at once (2 times 4 networks), 1 by itself (at most 5 networks at once)"
    assert grouping("", "seed=1", most=2)[1] == "2 by themselves (at most 2 networks at once)"


def test_more_runs_than_there_may_be_are_split():
    cfg = configured(*SMALL)
    found = grouped([cfg] * (2 * MOST_RUNS + 1), sizes_may_differ)
    assert [len(stack) for stack in found.stacks] == [MOST_RUNS, MOST_RUNS]
    assert found.alone == {2 * MOST_RUNS: f"at most {MOST_RUNS} runs at once"}


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_loggers_that_have_one_run_in_a_process_are_alone(name):
    cfgs = [configured(*SMALL) for _ in range(3)]
    cfgs[0].logger = {name: {"_target_": f"lightning.pytorch.loggers.{name}"}}
    assert grouped(cfgs, sizes_may_differ).alone == {0: "a logger that has one run in a process"}


def test_a_refused_run_is_alone():
    found = grouped([None, configured(*SMALL), configured(*SMALL, "seed=1")], sizes_may_differ)
    assert found.stacks == [[1, 2]] and found.alone == {0: "is refused"}


@pytest.mark.parametrize(
    ("name", "together"), [("test_stack.gated", 1), ("shifted", 0), ("coupled", 0), ("large", 0), ("missing", 0)]
)
def test_cells_of_ones_own_are_grouped_by_size_if_empty_units_change_anything(name, together):
    name = name if "." in name else f"{__name__}.{name}"
    assert sizes_may_differ(name) == together
    jobs = [f"model.hidden={hidden} seed={seed}" for hidden in (2, 3) for seed in (0, 1)]
    stacks = [[0, 1, 2, 3]] if together else [[0, 1], [2, 3]]
    assert grouping(*jobs, common=f"model.cell={name}")[0].stacks == stacks


# Stopping and going on, in this process

LONG = [*ADDER, "model.layers=2", "model.dropout=0.3", "trainer.max_epochs=4"]
JOBS = ([], ["seed=5", "optimizer.lr=0.05"], ["trainer.patience=1", "optimizer.lr=1e-9", "task.data_seed=3"])


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory, small_chunks):
    """Runs of a stack that was not stopped; the last has ended before the others."""
    made, _ = stacked(tmp_path_factory.mktemp("whole"), LONG, *JOBS)
    assert [len(read_history(run / "history.csv")) for run in made] == [8, 8, 4]
    return made


def stop_stack(place, batches, common=LONG, jobs=JOBS):
    """Train until a signal comes after so many batches."""
    original = StackKeeper.on_train_batch_end

    def stopped(self, trainer, *args):
        if batches_done(trainer) == batches:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, trainer, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StackKeeper, "on_train_batch_end", stopped)
        with pytest.raises(Interrupted):
            stacked(place, common, *jobs)
    for run in place.iterdir():
        age_events(run)


def assert_goes_on(place, whole):
    """Go on as the command does, which trains runs alone that are not as far as any other."""
    pairs = [(configured(*LONG, *job), place / str(number)) for number, job in enumerate(JOBS)]
    for _, run in pairs:
        age_events(run)
    outcomes = train_stack(pairs)
    assert len(outcomes) > 1
    for (cfg, run), reference in zip(pairs, whole, strict=True):
        if run not in outcomes:
            train(cfg, run)
        assert_equal_ends(run, reference)


# 5 batches an epoch, in chunks of 2, 2 and 1: within an epoch, at its end, twice, when a run has ended, at the last end
@pytest.mark.parametrize("stops", [(2,), (5,), (7, 14), pytest.param((10,), marks=pytest.mark.slow), (20,)])
def test_a_stopped_stack_goes_on_bit_for_bit(tmp_path, whole, stops):
    for batches in stops:
        stop_stack(tmp_path, batches)
    assert_goes_on(tmp_path, whole)


# of 3 runs in the first two epochs, and of 2 in the others
@pytest.mark.parametrize("saved", [0, 1, 5, 9, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3, 4, 6, 7, 8))])
def test_a_stack_that_is_killed_between_the_checkpoints_of_its_runs_goes_on(tmp_path, monkeypatch, whole, saved):
    save, calls = AtomicCheckpointIO.save_checkpoint, []

    def killed(*args):
        calls.append(1)
        if len(calls) > saved:
            raise Killed
        save(*args)

    with monkeypatch.context() as patch:
        patch.setattr(AtomicCheckpointIO, "save_checkpoint", killed)
        with pytest.raises(Killed):
            stacked(tmp_path, LONG, *JOBS)
    assert_goes_on(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize("saved", [0, 1, 2])
def test_a_stack_that_is_killed_at_the_end_of_a_run_that_was_stopped_at_its_last_step_goes_on(
    tmp_path, monkeypatch, saved
):
    """Then checkpoints of the same step differ: that of the stop and that of the end of the epoch."""
    common, jobs = [*LONG, "trainer.max_steps=12"], JOBS[:2]
    whole, _ = stacked(tmp_path / "whole", common, *jobs)
    stop_stack(tmp_path / "stack", 12, common, jobs)
    save, calls = AtomicCheckpointIO.save_checkpoint, []

    def killed(*args, **words):
        calls.append(1)
        if len(calls) > saved:
            raise Killed
        save(*args)

    with monkeypatch.context() as patch:
        patch.setattr(AtomicCheckpointIO, "save_checkpoint", killed)
        patch.setattr(evaluation, "measure", killed)
        with pytest.raises(Killed):
            stacked(tmp_path / "stack", common, *jobs)
    for number in range(2):
        age_events(tmp_path / "stack" / str(number))
    for run, reference in zip(stacked(tmp_path / "stack", common, *jobs)[0], whole, strict=True):
        assert_equal_ends(run, reference)


@pytest.mark.parametrize("meeting", [5, pytest.param(6, marks=pytest.mark.slow), 12])
def test_a_signal_may_come_between_two_runs(tmp_path, monkeypatch, whole, meeting):
    meet, calls = RunRecorder._meet, []

    def stopped(*args):
        calls.append(1)
        if len(calls) == meeting:
            os.kill(os.getpid(), signal.SIGINT)
        return meet(*args)

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "_meet", stopped)
        with pytest.raises(Interrupted):
            stacked(tmp_path, LONG, *JOBS)
    assert_goes_on(tmp_path, whole)


def test_a_signal_after_training_stops_a_stack_at_once(tmp_path, monkeypatch, capsys):
    def stopped(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("goes on")

    monkeypatch.setattr(evaluation, "measure", stopped)
    with pytest.raises(Interrupted):
        stacked(tmp_path, [*LONG, "trainer.patience=1"], ["optimizer.lr=1e-9"], ["optimizer.lr=1e-8"])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("batches", [7, pytest.param(15, marks=pytest.mark.slow)])
def test_a_run_of_a_stopped_stack_goes_on_alone(tmp_path, whole, batches):
    stop_stack(tmp_path, batches)
    for number, reference in enumerate(whole):
        run = tmp_path / str(number)
        train(runs.read_config(run), run)
        assert_alike(run, reference, counters=False, checkpoints=("last", "best"))


def test_runs_begun_alone_go_on_in_a_stack(tmp_path, monkeypatch, whole):
    for number, job in enumerate(JOBS):
        with monkeypatch.context() as patch:
            stop_after(patch, 7)
            with pytest.raises(Interrupted):
                train(configured(*LONG, *job), tmp_path / str(number))
        age_events(tmp_path / str(number))
    for run, reference in zip(stacked(tmp_path, LONG, *JOBS)[0], whole, strict=True):
        assert_alike(run, reference, counters=False, checkpoints=("last", "best"))


def test_finished_runs_stay_and_another_run_in_a_directory_is_left_for_later(tmp_path, whole):
    for run in whole[:2]:
        shutil.copytree(run, tmp_path / run.name)
    kept = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}
    jobs = [JOBS[0], ["seed=6"], JOBS[2], ["seed=8"]]
    pairs = [(configured(*LONG, *job), tmp_path / str(number)) for number, job in enumerate(jobs)]
    outcomes = train_stack(pairs)
    assert set(outcomes) == {tmp_path / name for name in "023"}
    assert outcomes[tmp_path / "0"] == runs.read_result(whole[0])
    assert kept == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept}
    assert_alike(tmp_path / "2", whole[2])


# Commands


COMMAND = ["--multirun", *(word for word in ADDER if word != "name=run")]


@pytest.fixture
def sweep(workplace, call):
    """Sweep in this process: exit status, what was told, and the directory of the sweep."""

    def sweep(*words, launcher="stacked", place="sweep", common=COMMAND):
        status, _, told = call("train", *common, *words, f"hydra/launcher={launcher}", f"hydra.sweep.dir={place}")
        return status, told.splitlines(), Path(place)

    return sweep


def content(place):
    """All files of a directory."""
    return {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}


def assert_equal_sweeps(place, reference):
    """Two sweeps have left the same, but for rounding, and the same table of states and results."""
    assert {path.name for path in place.iterdir()} == {path.name for path in reference.iterdir()}
    rows, reference_rows = rows_of(place), rows_of(reference)
    assert [row.keys() for row in rows] == [row.keys() for row in reference_rows]
    for ours, theirs in zip(rows, reference_rows, strict=True):
        for key, value in theirs.items():
            is_number = re.fullmatch(r"-?[0-9.]+(e-?[0-9]+)?", value)
            assert float(ours[key]) == pytest.approx(float(value), abs=3e-5) if is_number else ours[key] == value
    for file in reference.glob("*/config.yaml"):
        run = file.parent
        kept = ["last", "best"] if (run / "checkpoints" / "last.ckpt").exists() else []
        assert_alike(place / run.name, run, checkpoints=kept)


def test_a_sweep_is_that_of_the_basic_launcher(sweep):
    words = ["model.hidden=2,4", "loss=bce,mse", "name=one"]
    status, told, place = sweep(*words)
    assert (status, told) == (0, ["4 runs at once (8 networks)"])
    status, _, reference = sweep(*words, launcher="basic", place="reference")
    assert status == 0
    assert_equal_sweeps(place, reference)
    kept = {path: path.stat().st_mtime_ns for path in place.glob("*/**/*") if path.is_file()}
    status, told, _ = sweep(*words)  # again: nothing is trained
    assert (status, told) == (0, ["4 runs at once (8 networks)"])
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


def test_runs_that_fail_are_told_and_the_others_finish(sweep):
    words = ["optimizer=sgd", "optimizer.lr=1e30,0.1,0.2,x", "name=one"]
    status, told, place = sweep(*words)
    assert (status, told[0]) == (1, "3 runs at once (6 networks), 1 by itself (is refused)")
    reasons = [
        "optimizer.lr=1e+30: the loss of all 2 replicates became infinite or NaN at step 3",
        "optimizer.lr=x: must be a finite number",
    ]
    assert [sum(line.startswith(f"error: {reason}") for line in told) for reason in reasons] == [1, 1]
    status, _, reference = sweep(*words, launcher="basic", place="reference")
    assert status == 1
    assert_equal_sweeps(place, reference)
    assert [row["state"] for row in rows_of(place)] == ["done", "done", "failed", "failed"]


def test_a_run_that_its_task_refuses_does_not_keep_the_others_from_finishing(sweep):
    status, told, place = sweep("task.k=3,99", "seed=0,1", common=["--multirun", *MEMORY])
    assert (status, told[0]) == (1, "2 times 2 runs at once (2 times 4 networks, apart by task.k)")
    assert sum(line == "error: task: k=99: must be at most the shortest length, 3" for line in told) == 2
    assert sorted(row["state"] for row in rows_of(place)) == ["done", "done", "failed", "failed"]


@pytest.mark.parametrize(
    "word",
    [
        "model.nosuch=1,2",
        pytest.param("nosuch=1,2", marks=pytest.mark.slow),
        pytest.param("optimizer=adam,nosuch", marks=pytest.mark.slow),
        pytest.param("task.lengths=[],[]", marks=pytest.mark.slow),
        pytest.param("seed=range(2", marks=pytest.mark.slow),
    ],
)
def test_what_no_run_can_have_is_refused_as_by_the_basic_launcher(sweep, word):
    status, told, place = sweep(word)
    basic_status, basic_told, reference = sweep(word, launcher="basic", place="reference")
    assert status == basic_status > 0 and told[-1].startswith("error: ") and "Traceback" not in "".join(told)
    assert told[-1] == basic_told[-1].replace("reference", "sweep")
    assert {path.relative_to(place) for path in content(place)} == {
        path.relative_to(reference) for path in content(reference)
    }


def test_what_is_refused_leaves_a_former_sweep_as_it_was(sweep):
    status, _, place = sweep("seed=0,1")
    before = {path: each for path, each in content(place).items() if path.parent != place}
    assert status == 0 and before
    for word, line in (
        ("hydra.launcher.max_replicates=0", "hydra.launcher.max_replicates=0: must be at least 1"),
        ("hydra.launcher.max_replicates=x", "hydra.launcher.max_replicates='x': must be a whole number"),
        ("seed=[],[]", "seed=[]: must be a whole number like 0"),
    ):
        status, told, _ = sweep("seed=0,1", word)
        assert status and f"error: {line}" in told
        after = content(place)
        assert all(after[path] == each for path, each in before.items())
        states = {row.run: row.state for row in sweeps.sweep_rows(place)}
        assert (states["seed=0"], states["seed=1"]) == ("done", "done")


@pytest.mark.slow
def test_runs_work_in_their_directories_where_the_user_wants_it(sweep):
    words = ["hydra.job.chdir=true", "optimizer=sgd", "optimizer.lr=0.1,1e30", "seed=0,1"]
    status, told, place = sweep(*words)
    assert (status, told[0]) == (1, "4 runs at once (8 networks)")
    assert [row["state"] for row in rows_of(place)] == ["done", "done", "failed", "failed"]
    assert len(list(place.rglob("config.yaml"))) == 4 and not list(place.rglob("multirun"))


@pytest.mark.slow
def test_a_stopped_sweep_goes_on_with_the_same_command_and_by_resume(sweep, call, monkeypatch):
    words = ["model.hidden=2,4", "trainer.max_epochs=3", "name=one"]
    _, _, reference = sweep(*words, place="reference")
    original, waiting = StackKeeper.on_train_batch_end, [13, 7]

    def stopped(self, trainer, *args):
        if waiting and batches_done(trainer) >= waiting[-1]:
            waiting.pop()
            os.kill(os.getpid(), signal.SIGINT)
        original(self, trainer, *args)

    monkeypatch.setattr(StackKeeper, "on_train_batch_end", stopped)
    for _ in range(2):
        status, told, place = sweep(*words)
        assert (status, told[-1]) == (130, "stopped; go on with: python -m rnn_tasks.train resume=sweep")
        assert [row.state for row in sweeps.sweep_rows(place)] == ["stopped"] * 2
        for run in place.glob("*/"):
            age_events(run)
    assert call("train", f"resume={place}")[0] == 0
    for run in reference.glob("*/"):
        assert_equal_ends(place / run.name, run)


@pytest.mark.slow
def test_joblib_gives_a_stack_to_one_worker(workplace):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = [*COMMAND, "model.hidden=2,4", "optimizer=adam,sgd", "seed=0,3", "optimizer.lr=0.01,1e30", "name=one"]
    stack = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.launcher.stack=true"]
    ended = command("train", *words, *stack, "hydra.sweep.dir=sweep")
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert ended.stderr.startswith("2 times 8 runs at once (2 times 16 networks, apart by optimizer)\n")
    reference = command("train", *words, "hydra/launcher=basic", "hydra.sweep.dir=reference")
    assert reference.returncode == 1
    shutil.rmtree("sweep/.logs")
    assert_equal_sweeps(Path("sweep"), Path("reference"))
