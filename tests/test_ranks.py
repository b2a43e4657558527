"""One run in several processes: the same run as in one process, which a fault of any of them ends in one line."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from forked import command
from helpers import SMALL, age_events, assert_equal_ends, end_of, points, spoil, stop_after, train_with_stops, trained

from rnn_tasks import config, runs
from rnn_tasks.errors import Interrupted, UserError
from rnn_tasks.training import evaluation, ranks, recorder, workers
from rnn_tasks.training.recorder import RunRecorder

TWO = ["trainer.devices=2", "trainer.accelerator=cpu"]
SHARDED = [*TWO, "model.shard_replicates=true"]
CLOSE = {"rtol": 0, "atol": 3e-5}  # a float32 sum in another order may round otherwise
DEEP = ["model=lstm", "model.layers=2", "model.dropout=0.3", "trainer.log_every_n_steps=5"]
FAILING = ["optimizer=sgd", "optimizer.lr=1e38", "trainer.gradient_clip_val=0", "task=memory"]

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(autouse=True, scope="module")
def end_workers():
    yield
    while workers._idle:
        workers._idle.pop().end()


def numbers(node):
    """The numbers in nested containers, in their order."""
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict | list | tuple):
            yield from numbers(value)
        elif value is not None:
            yield float(value)


def _cell(text):
    return float(text) if text else None


def assert_close_ends(run, reference, accuracy=2e-3):
    """Two runs have the same files with the same numbers, but for rounding."""
    assert {path.name.split(".vm")[0] for path in run.rglob("*") if "tfevents" not in path.name} == {
        path.name for path in reference.rglob("*") if "tfevents" not in path.name
    }
    (weights, history, metrics, curves), (weights_, history_, metrics_, curves_) = end_of(run), end_of(reference)
    for name in weights:
        torch.testing.assert_close(weights[name], weights_[name], equal_nan=True, **CLOSE)
    cells, cells_ = (re.split(r"[,\r\n]+", text.partition("\n")[2]) for text in (history, history_))
    assert [*numbers(map(_cell, cells))] == pytest.approx([*numbers(map(_cell, cells_))], abs=accuracy)
    assert [*numbers(metrics)] == pytest.approx([*numbers(metrics_)], abs=accuracy)
    assert curves.keys() == curves_.keys()
    for tag, found in curves.items():
        assert [*numbers(found)] == pytest.approx([*numbers(curves_[tag])], abs=accuracy), tag


SETTINGS = {
    "plain": [],
    "a last batch of one": ["task.train_size=65", "task.batch_size=8"],
    "dropout, odd batches": [*DEEP, "model.bidirectional=true", "task.batch_size=7"],
    "batches of one": ["task.batch_size=1", "task.train_size=20"],
    "accumulated and clipped": ["trainer.accumulate_grad_batches=3", "trainer.gradient_clip_val=0.01"],
    "replicates, single answers": ["task=memory", "model.replicates=3", "trainer.val_check_interval=0.5"],
    "convolutions": ["model=crnn", "model.dropout=0.2", "model.channels=[2]"],
    "attention": ["model=transformer", "model.dropout=0.2", "model.replicates=2"],
}


def assert_split_changes_nothing(place, words, split):
    """A run in one process and the same one in two, in the directories "one" and "two", end alike."""
    trained(place / "one", *words)
    trained(place / "two", *words, *split)
    assert_close_ends(place / "two", place / "one")


@pytest.mark.parametrize("words", SETTINGS.values(), ids=SETTINGS)
def test_a_run_whose_batches_are_split_is_that_of_one_process(tmp_path, words):
    assert_split_changes_nothing(tmp_path, [*words, "trainer.log_every_n_steps=2"], TWO)


def test_augmented_images_are_those_of_one_process(tmp_path, mnist):
    words = ["task=mnist", "task/augmentation=handwriting", "model=rnn", "model.hidden=8", "task.batch_size=9"]
    words += ["trainer.limit_test_batches=1", "trainer.log_every_n_steps=1", "trainer.max_epochs=1"]
    assert_split_changes_nothing(tmp_path, words, TWO)


SHARDS = {
    "plain": ["model.replicates=3"],
    "dropout, validations": [
        *DEEP,
        "model.replicates=4",
        "trainer.val_check_interval=0.25",
        "callbacks=[weight_norms]",
    ],
    "patience": ["model.replicates=4", "trainer.patience=1", "trainer.max_epochs=6", "optimizer.lr=0.1"],
    "no validation": ["model.replicates=2", "trainer.limit_val_batches=0", "trainer.precision=64-true"],
}


@pytest.mark.parametrize("words", SHARDS.values(), ids=SHARDS)
def test_a_run_whose_replicates_are_split_is_that_of_one_process(tmp_path, words):
    assert_split_changes_nothing(tmp_path, [*words, "trainer.log_every_n_steps=2"], SHARDED)
    for weights in ("best", "last"):
        loaded = [runs.load(tmp_path / name, weights, "all") for name in ("one", "two")]
        assert loaded[0].failed == loaded[1].failed and loaded[0].replicate == loaded[1].replicate


def test_shards_begin_with_the_weights_of_another_run(tmp_path):
    trained(tmp_path / "before", "model.replicates=3")
    words = ["model.replicates=3", f"model.weights={tmp_path / 'before'}", "trainer.log_every_n_steps=2"]
    trained(tmp_path / "one", *words)
    trained(tmp_path / "two", *words, *SHARDED)
    assert_close_ends(tmp_path / "two", tmp_path / "one")


# Epochs of 50 batches in chunks of at most 38, of 3 replicates 12: a run can stop within an epoch.
LONG = ["task.lengths=[1,200]", "task.test_lengths=[1,2]", "task.batch_size=32", "task.train_size=1600"]
STOPPED = {
    "batches": [*DEEP, "trainer.accumulate_grad_batches=2", *TWO],
    "replicates": [*DEEP, "model.replicates=3", "trainer.val_check_interval=0.8", *SHARDED],
}


@pytest.mark.slow
@pytest.mark.parametrize("words", STOPPED.values(), ids=STOPPED)
def test_resumed_run_is_the_uninterrupted_one(tmp_path, monkeypatch, words):
    words = [*words, *LONG]
    trained(tmp_path / "reference", *words)
    monkeypatch.setattr(ranks, "PAUSE", 0)  # a meeting after each chunk
    train_with_stops(monkeypatch, tmp_path / "run", (30, 70), *words)
    assert_equal_ends(tmp_path / "run", tmp_path / "reference")


@pytest.mark.slow
def test_a_sharded_run_goes_on_in_one_process(tmp_path, monkeypatch):
    words = [*DEEP, "model.replicates=3", "trainer.max_epochs=3", "trainer.accelerator=cpu"]
    trained(tmp_path / "one", *words)
    stop_after(monkeypatch, 10)
    with pytest.raises(Interrupted):
        trained(tmp_path / "run", *words, *SHARDED)
    text = (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    assert "devices: 2" in text
    (tmp_path / "run" / "config.yaml").write_text(text.replace("devices: 2", "devices: 1"), encoding="utf-8")
    age_events(tmp_path / "run")
    trained(tmp_path / "run", *words)
    assert_close_ends(tmp_path / "run", tmp_path / "one")


@pytest.mark.slow
def test_a_time_limit_ends_all_processes(tmp_path):
    result = trained(tmp_path, *TWO, "trainer.max_epochs=-1", "trainer.max_time=00:00:00:01", "scheduler=none")
    assert result["status"] == "finished" and (tmp_path / "checkpoints" / "last.ckpt").is_file()


EITHER = pytest.mark.parametrize(
    "words",
    [pytest.param(TWO, marks=pytest.mark.slow), [*SHARDED, "model.replicates=2"]],
    ids=["batches", "replicates"],
)


@EITHER
def test_nan_of_all_replicates_ends_the_run_in_the_words_of_one_process(tmp_path, words):
    with pytest.raises(UserError) as one:
        trained(tmp_path / "one", *FAILING, f"model.replicates={2 if SHARDED[-1] in words else 1}")
    with pytest.raises(UserError) as two:
        trained(tmp_path / "two", *FAILING, *words)
    told = [re.sub(r"NaN at step \d \(epoch 0\)", "NaN", str(error.value)) for error in (one, two)]
    assert told[0] == told[1] and "infinite or NaN;" in told[0]  # the kernel may overflow a step later
    assert not (tmp_path / "two" / "result.json").exists()


def test_a_replicate_that_fails_in_one_process_is_frozen_and_the_others_go_on(tmp_path, monkeypatch):
    words = ["model.replicates=4", "trainer.max_epochs=3"]
    spoil(monkeypatch, [0], step=11)  # in this process, so in its first replicate
    for name, more in (("one", []), ("two", SHARDED)):
        result = trained(tmp_path / name, *words, *more)
        assert [loss is None for loss in result["metrics"]["val"]["loss"]] == [True, False, False, False]
    assert_close_ends(tmp_path / "two", tmp_path / "one")


def test_a_replicate_of_a_shard_that_fails_in_the_test_is_left_out(tmp_path, monkeypatch):
    original = evaluation.measure

    def measure(*args, **kwargs):
        metrics = original(*args, **kwargs)
        metrics["loss"][2] = metrics["accuracy"][2] = metrics["sequence_accuracy"][2] = None
        return metrics

    monkeypatch.setattr(evaluation, "measure", measure)
    result = trained(tmp_path, *SHARDED, "model.replicates=3", "trainer.limit_val_batches=0")
    assert [loss is None for loss in result["metrics"]["train"]["loss"]] == [False, False, True]


@pytest.fixture
def started(monkeypatch):
    """The workers of the latest run."""
    found, original = [], workers._start

    def start(*args):
        found[:] = original(*args)
        return list(found)

    monkeypatch.setattr(workers, "_start", start)
    return found


def test_workers_are_kept_for_the_next_run(tmp_path, started):
    trained(tmp_path / "a", *TWO)
    (first,) = started
    trained(tmp_path / "b", *TWO, "model.hidden=2")
    assert started == [first] and first.process.poll() is None


@EITHER
def test_a_killed_process_ends_the_run_in_one_line_and_resume_goes_on(tmp_path, monkeypatch, started, words):
    words = [*words, "task.batch_size=4", "trainer.max_epochs=3"]
    trained(tmp_path / "whole", *words)
    original, run = RunRecorder.on_train_batch_end, tmp_path / "run"

    def killing(self, trainer, *args):
        if trainer.current_epoch == 1:
            started[0].process.kill()
        original(self, trainer, *args)

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "on_train_batch_end", killing)
        with pytest.raises(UserError, match=rf"^rank 1 was killed by signal 9; resume={run} goes on$"):
            trained(run, *words)
    trained(run, *words)
    (one, *_), (two, *_) = end_of(run), end_of(tmp_path / "whole")
    torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_in_one_line(tmp_path, monkeypatch, started):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "last.ckpt")

    monkeypatch.setattr(recorder, "save", full)
    with pytest.raises(UserError, match=r"last\.ckpt: cannot be written or read \(No space left on device\)"):
        trained(tmp_path, *TWO)
    assert started[0].process.poll() is not None


CALLBACK = """
import os
from lightning import Callback

class Faulty(Callback):
    def __init__(self, how):
        self.how = how

    def on_train_epoch_end(self, trainer, learner):
        print("from every process")
        if trainer.is_global_zero:
            return
        if self.how == "raises":
            raise ValueError("a fault of rank 1")
        os._exit(3)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("raises", ValueError, "a fault of rank 1"),
        ("ends", UserError, "^rank 1 ended with status 3; resume=run goes on"),
    ],
)
def test_a_fault_of_another_process_is_raised_here(workplace, monkeypatch, capfd, how, kind, message):
    (workplace / "faulty.py").write_text(CALLBACK, encoding="utf-8")
    monkeypatch.syspath_prepend(workplace)
    with pytest.raises(kind, match=message):
        trained("run", *TWO, "+callbacks.mine._target_=faulty.Faulty", f"+callbacks.mine.how={how}")
    assert capfd.readouterr().out == "from every process\n"


@pytest.mark.slow
def test_a_refused_configuration_is_told_once_and_leaves_nothing(tmp_path, capfd):
    with pytest.raises(UserError, match=r"^optimizer.nonsense: no such key"):
        trained(tmp_path / "run", *TWO, "+optimizer.nonsense=1")
    assert capfd.readouterr().err == "" and not [*(tmp_path / "run").iterdir()]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["+trainer.strategy=ddp"],
            "^trainer.strategy: would start the command, and so a sweep, again; trainer.devices=N",
        ),
        (
            ["trainer.strategy=ddp"],
            "^trainer.strategy: would start the command, and so a sweep, again; trainer.devices=N",
        ),
        (["trainer.devices=0"], "^trainer.devices=0: must be a number of processes from 1 to 99"),
        (["model.shard_replicates=1"], "^model.shard_replicates=1: must be true or false"),
    ],
)
def test_what_cannot_be_split_is_refused_in_one_line(words, message):
    with pytest.raises(UserError, match=message):
        config.compose(words)


def test_more_processes_than_replicates_or_cores_or_gpus_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"^trainer.devices=99: is more than this machine has processor cores; take at"):
        trained(tmp_path, "trainer.devices=99")
    with pytest.raises(UserError, match=r"trainer.devices=2: .* model.replicates=1; take at most 1"):
        trained(tmp_path, *SHARDED)
    if torch.cuda.device_count() < 2:
        with pytest.raises(UserError, match=r"trainer.accelerator=gpu: there are \d GPUs; take fewer"):
            trained(tmp_path, "trainer.devices=2", "trainer.accelerator=gpu")
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_examples_that_differ_between_processes_are_refused(workplace, monkeypatch):
    (workplace / "own.py").write_text(
        "import os, torch\nfrom rnn_tasks.tasks import Adder\n\nclass Own(Adder):\n"
        "    def draw(self, lengths, stream):\n        stream.manual_seed(os.getpid())\n"
        "        return super().draw(lengths, stream)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(workplace)
    with pytest.raises(UserError, match=r"^task\._target_=own\.Own: makes other numbers in each process"):
        trained("run", *TWO, "task._target_=own.Own")


def test_processes_do_not_change_the_fingerprint():
    assert len({runs.fingerprint(config.compose(words)) for words in ([], TWO[:1], [TWO[0], SHARDED[-1]])}) == 1


LONG_RUN = ["task.train_size=320", "trainer.max_epochs=1000", "scheduler=none", "logger=csv", "hydra.run.dir=run"]
STOPS = {
    "Ctrl-C": (signal.SIGINT, False),
    "SIGTERM to the group": (signal.SIGTERM, True),
}


def workers_of(pid):
    """The process ids of the workers that a process has started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [
        int(child) for child in children if b"rnn_tasks.training.worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def begun(*words):
    """A training of its own process group that has finished an epoch, and its worker's process id."""
    line = [sys.executable, "-m", "rnn_tasks.train", *SMALL, *words]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    while not Path("run", "checkpoints", "last.ckpt").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    (worker,) = workers_of(process.pid)
    return process, worker


def ends(pid):
    """Whether a process ends within some seconds."""
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "group"), STOPS.values(), ids=STOPS)
def test_a_signal_stops_all_processes(workplace, signum, group):
    process, worker = begun(*LONG_RUN, *SHARDED, "model.replicates=2")
    (os.killpg if group else os.kill)(process.pid, signum)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signum and out == "", err
    assert [line for line in err.splitlines() if "stop" in line] == [
        "stopping in a moment; once more to stop at once",
        "stopped; go on with: python -m rnn_tasks.train resume=run",
    ]
    assert ends(worker)
    checkpoint = torch.load("run/checkpoints/last.ckpt", weights_only=True)
    assert len(checkpoint["state_dict"]["failed"]) == 2 and checkpoint["global_step"] > 0


@pytest.mark.slow
def test_workers_end_when_the_first_process_is_killed(workplace):
    process, worker = begun(*LONG_RUN, *TWO)
    process.kill()
    process.communicate(timeout=60)
    assert ends(worker)


@pytest.mark.slow
def test_a_sweep_of_runs_in_several_processes(workplace):
    ended = command("train", "--multirun", *SMALL, *TWO, "model.hidden=1,2", "hydra.sweep.dir=sweep")
    assert ended.returncode == 0 and ended.stderr.count("2 by themselves (trainer.devices=2)") == 1
    assert ended.stdout.count("validation") == 2 and len(list(Path("sweep").glob("*/result.json"))) == 2


ALL = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "nowhere", "MASTER_PORT": "1"}
VARIABLES = [{"SLURM_PROCID": "1"}, {"RANK": "1"}, {"LOCAL_RANK": "1"}, {"WORLD_SIZE": "2"}, ALL]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "variables"), [*(([], each) for each in VARIABLES), (TWO, ALL)], ids=lambda value: ",".join(value)
)
def test_variables_of_another_launcher_change_nothing(workplace, variables, words):
    line = [sys.executable, "-m", "rnn_tasks.train", *SMALL, *words, "trainer.log_every_n_steps=1", "hydra.run.dir=run"]
    line += ["trainer.enable_progress_bar=true"]
    ended = subprocess.run(line, env=os.environ | variables, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0 and ended.stdout.count("validation") == 1, ended.stderr
    assert ended.stderr.count("run: LSTM, 5 units") == 1 and ended.stderr.count("epoch 2: val loss") == 1
    assert len(points(Path("run"))["train/loss"]) == 16
    files = {path.name for path in Path("run").rglob("*")}
    assert {".lock", "config.yaml", "history.csv", "result.json", "best.ckpt", "last.ckpt"} <= files
