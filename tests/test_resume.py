"""Stopping and going on: the end is bit for bit that of a run that was never stopped."""

import os
import shutil
import signal
import sys
import time
from itertools import product
from pathlib import Path
from pkgutil import resolve_name

import pytest
import torch
from filelock import FileLock
from forked import command, start
from helpers import age_events, assert_equal_ends, points, stop_after, train_with_stops, trained, wait_for

from rnn_tasks import config, runs
from rnn_tasks.errors import Interrupted, UserError
from rnn_tasks.report import archive
from rnn_tasks.runs import directory
from rnn_tasks.tasks import schedule
from rnn_tasks.train import train
from rnn_tasks.training import evaluation
from rnn_tasks.training.checkpoints import read_checkpoint, save
from rnn_tasks.training.history import read_history
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.recorder import RunRecorder
from rnn_tasks.training.signals import StopSignals

DEEP = [
    "model=lstm", "model.layers=2", "model.dropout=0.3", "task.train_size=320", "task.batch_size=16",
    "trainer.max_epochs=3", "scheduler=cosine", "trainer.log_every_n_steps=1",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def small_chunks():
    """Runs of 20 steps an epoch can then be stopped within it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "CHUNK_BATCHES", 3)
        yield


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    trained(run, *DEEP)
    return run


# 20 steps an epoch: the first chunk, the middle, the last but one and the last of an epoch, the last of all
@pytest.mark.parametrize("stops", [(1,), (7, 13), (18,), (20,), (27, 40), (57,), (60,)])
def test_resume_within_an_epoch(tmp_path, monkeypatch, uninterrupted, stops):
    train_with_stops(monkeypatch, tmp_path / "run", stops, *DEEP)
    assert_equal_ends(tmp_path / "run", uninterrupted)


@pytest.mark.parametrize(
    ("stops", "words"),
    [
        ((5, 12), ["trainer.val_check_interval=0.25"]),
        pytest.param((17, 33), ["trainer.val_check_interval=0.4"], marks=pytest.mark.slow),
        ((7, 45), ["trainer.check_val_every_n_epoch=2"]),
        ((5, 12), ["trainer.limit_train_batches=7"]),
        ((5, 12), ["trainer.max_steps=31"]),
        pytest.param((18, 25), ["trainer.max_steps=31"], marks=pytest.mark.slow),
        ((20, 30), ["trainer.max_steps=40", "scheduler=none"]),
        pytest.param((20, 40), ["trainer.max_steps=1000"], marks=pytest.mark.slow),
        ((5, 24), ["trainer.accumulate_grad_batches=2"]),
        ((5, 12), ["model=birnn", "optimizer=sgd"]),
        ((5, 25), ["trainer.patience=1", "optimizer.lr=1e-9"]),
        pytest.param(
            (25, 40), ["trainer.patience=2", "optimizer.lr=1e-9", "trainer.max_epochs=6"], marks=pytest.mark.slow
        ),
        pytest.param((25,), ["trainer.limit_val_batches=0"], marks=pytest.mark.slow),
        ((5, 12, 25), ["model.replicates=5"]),
        ((5, 70), ["model.replicates=5", "trainer.patience=2", "trainer.max_epochs=8", "optimizer.lr=0.1"]),
    ],
)
@pytest.mark.usefixtures("no_pictures")
def test_resume_under_other_trainer_arguments(tmp_path, monkeypatch, stops, words):
    trained(tmp_path / "reference", *DEEP, *words)
    train_with_stops(monkeypatch, tmp_path / "run", stops, *DEEP, *words)
    assert_equal_ends(tmp_path / "run", tmp_path / "reference")


@pytest.mark.parametrize(
    ("owner", "hook", "at"), [(RunRecorder, "on_train_batch_end", 7), (Learner, "validation_step", 1)]
)
def test_resume_after_sigterm_at_the_end_of_an_epoch(tmp_path, monkeypatch, uninterrupted, owner, hook, at):
    original, calls = getattr(owner, hook), []

    def stopped(*args):
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(owner, hook, stopped)
        with pytest.raises(Interrupted):
            trained(tmp_path, *DEEP)
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 20
    age_events(tmp_path)
    trained(tmp_path, *DEEP)
    assert_equal_ends(tmp_path, uninterrupted)


def test_a_requeue_signal_reaches_its_handler_when_the_run_has_been_saved(tmp_path, monkeypatch, uninterrupted):
    saved = tmp_path / "checkpoints" / "last.ckpt"
    received = []

    def requeue(number, frame):
        received.append((number, saved.exists()))
        sys.exit(255)

    stop_after(monkeypatch, 7, signum=signal.SIGUSR2)
    former = signal.signal(signal.SIGUSR2, requeue)
    try:
        with pytest.raises(SystemExit) as ended:
            trained(tmp_path, *DEEP)
        assert signal.getsignal(signal.SIGUSR2) is requeue
        age_events(tmp_path)
        stop_after(monkeypatch, 12, signum=signal.SIGUSR2)
        signal.signal(signal.SIGUSR2, refuse_to_requeue)
        with pytest.raises(Interrupted) as stopped:
            trained(tmp_path, *DEEP)
    finally:
        signal.signal(signal.SIGUSR2, former)
    assert ended.value.code == 255 and stopped.value.signum == signal.SIGUSR2
    assert received == [(signal.SIGUSR2, True)]
    age_events(tmp_path)
    trained(tmp_path, *DEEP)
    assert_equal_ends(tmp_path, uninterrupted)


def refuse_to_requeue(number, frame):
    raise RuntimeError("timed-out too many times")


def test_in_a_slurm_job_no_handler_of_lightning_competes(tmp_path, monkeypatch, no_pictures):
    for name, value in {"JOB_ID": "1", "NTASKS": "1", "PROCID": "0", "LOCALID": "0", "JOB_NAME": "a"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    handlers = []
    original = RunRecorder.on_train_batch_end
    monkeypatch.setattr(
        RunRecorder,
        "on_train_batch_end",
        lambda *args: (
            handlers.append([signal.getsignal(each) for each in (signal.SIGUSR1, signal.SIGUSR2)]),
            original(*args),
        )[1],
    )
    trained(tmp_path)
    assert handlers and all(each == [signal.SIG_DFL, signal.SIG_DFL] for each in handlers)


def test_resume_after_a_second_signal_starts_from_the_beginning(tmp_path, monkeypatch, uninterrupted):
    stop_after(monkeypatch, 7, 7)  # the second signal before the step of the first has ended
    original = RunRecorder.on_train_batch_end

    def twice(self, trainer, *args):
        if trainer.global_step == 9:  # the end of the chunk in which the first one came
            os.kill(os.getpid(), signal.SIGINT)
        original(self, trainer, *args)

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "on_train_batch_end", twice)
        with pytest.raises(Interrupted):
            trained(tmp_path, *DEEP)
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()
    monkeypatch.undo()
    age_events(tmp_path)
    trained(tmp_path, *DEEP)
    assert_equal_ends(tmp_path, uninterrupted)


def test_resume_keeps_the_configuration_of_the_start(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(Interrupted):
            trained(tmp_path, "threads=1")
    (tmp_path / "checkpoints" / "best.ckpt").unlink(missing_ok=True)
    trained(tmp_path, "threads=2")
    assert runs.read_config(tmp_path).threads == 1
    assert torch.get_num_threads() == 1
    runs.load(tmp_path, "best")


def test_resume_after_a_stop_in_the_final_evaluation(tmp_path, monkeypatch, uninterrupted):
    def stopped(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "measure", stopped)
        with pytest.raises(Interrupted):
            trained(tmp_path, *DEEP)
    age_events(tmp_path)
    trained(tmp_path, *DEEP)
    assert_equal_ends(tmp_path, uninterrupted)


def test_resume_measures_again_when_the_result_is_lost(tmp_path, uninterrupted):
    trained(tmp_path, *DEEP)
    (tmp_path / "result.json").unlink()
    age_events(tmp_path)
    trained(tmp_path, *DEEP)
    assert_equal_ends(tmp_path, uninterrupted)


def test_curves_have_one_point_a_step(uninterrupted, tmp_path):
    for tag, steps in (("train/loss", range(1, 61)), ("val/loss", (20, 40, 60)), ("train/gradient_norm", range(1, 61))):
        assert [step for step, _ in points(uninterrupted)[tag]] == list(steps)
    trained(tmp_path, *DEEP, "trainer.accumulate_grad_batches=2")
    assert [step for step, _ in points(tmp_path)["train/loss"]] == list(range(1, 31))


def test_epochs_without_validation_have_no_validation_columns(tmp_path):
    trained(tmp_path, *DEEP, "trainer.check_val_every_n_epoch=2")
    assert ["val_loss" in row for row in read_history(tmp_path / "history.csv")] == [False, True, False]


LONG = [*DEEP, "task.val_size=32", "trainer.max_epochs=25", "hydra.run.dir=run"]


@pytest.fixture(scope="module")
def long_reference(tmp_path_factory):
    place = tmp_path_factory.mktemp("long")
    ended = command("train", *LONG, cwd=place)
    assert ended.returncode == 0, ended.stderr
    return place / "run"


@pytest.mark.parametrize(
    "signum", [signal.SIGKILL, signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_resume_after_a_signal_to_the_process(tmp_path, long_reference, signum):
    run = tmp_path / "run"
    process = start("train", *LONG, cwd=tmp_path)
    wait_for(lambda: len(read_history(run / "history.csv")) >= 5, process)
    process.send_signal(signum)
    ended = process.wait(60)
    assert ended.returncode == (-signum if signum == signal.SIGKILL else 128 + signum)
    assert "Traceback" not in ended.stderr and not (run / "result.json").exists()
    if signum != signal.SIGKILL:
        assert "go on with: python -m rnn_tasks.train resume=run" in ended.stderr
    assert command("train", "resume=run", cwd=tmp_path).returncode == 0
    assert_equal_ends(run, long_reference)


def test_resume_after_a_kill_before_the_first_checkpoint(tmp_path, long_reference):
    process = start("train", *LONG, cwd=tmp_path)
    wait_for((tmp_path / "run" / "config.yaml").exists, process)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert not (tmp_path / "run" / "checkpoints").exists()
    ended = command("train", "resume=run", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert_equal_ends(tmp_path / "run", long_reference)
    again = command("train", "resume=run", cwd=tmp_path)
    assert again.returncode == 0 and again.stdout == ended.stdout  # finished: only prints its result


def test_two_processes_cannot_share_a_run(tmp_path):
    with runs.claimed(tmp_path), pytest.raises(UserError, match="is being trained by another process"):
        trained(tmp_path)


def test_a_run_that_another_process_trains_is_not_lengthened(tmp_path):
    runs.write_config(tmp_path, config.compose(["scheduler=none", "trainer.max_epochs=2"]))
    (tmp_path / "result.json").write_text("{}", encoding="utf-8")
    before = (tmp_path / "config.yaml").read_bytes()
    with runs.claimed(tmp_path), pytest.raises(UserError, match="is being trained by another process"):
        runs.lengthen(tmp_path, 4)
    assert (tmp_path / "config.yaml").read_bytes() == before and (tmp_path / "result.json").exists()
    (tmp_path / "result.json").unlink()
    assert runs.lengthen(tmp_path, 4).trainer.max_epochs == 4  # when the other has ended


def test_another_run_is_not_overwritten(tmp_path):
    first = trained(tmp_path)
    with pytest.raises(UserError, match="holds another run"):
        trained(tmp_path, "seed=1")
    assert trained(tmp_path, "threads=2", "name=other", "logger=csv") == first  # shape no numbers
    (tmp_path / "result.json").unlink()
    with pytest.raises(UserError, match="holds another run"):
        trained(tmp_path, "seed=1")


def test_damaged_files_of_a_run_are_refused(tmp_path):
    trained(tmp_path)
    for file, text in (("result.json", "{"), ("result.json", '{"metrics": {}}'), ("config.yaml", "a: [")):
        (tmp_path / file).write_text(text)
        with pytest.raises(UserError, match=f"{file}: is damaged"):
            runs.load(tmp_path)
        (tmp_path / "result.json").unlink(missing_ok=True)
    with pytest.raises(UserError, match="holds no run"):
        runs.read_config(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"rubbish", None, {"a": 1}])
def test_damaged_checkpoints_are_refused(tmp_path, content):
    trained(tmp_path)
    for name in ("best", "last"):
        path = tmp_path / "checkpoints" / f"{name}.ckpt"
        if isinstance(content, dict):
            torch.save(content, path)
        else:
            path.write_bytes(path.read_bytes()[:1000] if content is None else content)
        with pytest.raises(UserError, match="is damaged"):
            runs.load(tmp_path, name)
        (tmp_path / "result.json").unlink(missing_ok=True)
    (tmp_path / "checkpoints" / "previous.ckpt").unlink()
    with pytest.raises(UserError, match="is damaged"):
        train(runs.read_config(tmp_path), tmp_path)
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        runs.load(tmp_path, "last")


@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_run_goes_on_from_the_checkpoint_before_a_damaged_one(tmp_path, no_pictures, capsys, damage):
    whole, run = tmp_path / "whole", tmp_path / "run"
    words = ["trainer.max_epochs=3", "model.replicates=2"]
    trained(whole, *words)
    shutil.copytree(whole, run)
    for name in ("result.json", "history.csv", "checkpoints/best.ckpt"):  # all of them are in the checkpoint
        (run / name).unlink()
    last = run / "checkpoints" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    if damage == "missing":
        last.unlink()
    trained(run, *words)
    assert_equal_ends(run, whole)
    assert ("goes on from the one before it" in capsys.readouterr().err) == (damage != "missing")


def test_history_is_made_whole_when_a_run_goes_on(tmp_path, no_pictures):
    trained(tmp_path, "trainer.max_epochs=3")
    whole = (tmp_path / "history.csv").read_text()
    for damaged in ("", whole[:40], "x", "epoch,replicate\n"):
        (tmp_path / "result.json").unlink()
        (tmp_path / "history.csv").write_text(damaged)
        trained(tmp_path, "trainer.max_epochs=3")
        assert (tmp_path / "history.csv").read_text() == whole


def test_every_flipped_byte_of_a_checkpoint_is_noticed_or_changes_nothing(tmp_path):
    path = tmp_path / "best.ckpt"
    checkpoint = {"state_dict": {"w": torch.arange(4.0)}, "score": [[0.5, -0.5]], "failed": [False]}
    save(checkpoint, path)
    content = path.read_bytes()
    noticed = 0
    for place, bit in product(range(len(content)), (1, 16)):
        path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        try:
            read = read_checkpoint(path)
        except UserError:
            noticed += 1
        else:
            assert torch.equal(read["state_dict"].pop("w"), torch.arange(4.0))
            assert read == {"state_dict": {}, "score": [[0.5, -0.5]], "failed": [False]}
    assert noticed > 600


def test_a_kill_while_writing_leaves_the_former_checkpoint_whole(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    save({"epoch": 1}, path)

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        save({"epoch": 2}, path)
    assert torch.load(path, weights_only=True) == {"epoch": 1}


def test_a_stop_that_python_swallows_is_repeated(capsys):
    class Object:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            sum(range(10_000))

    def swallow():
        with StopSignals():
            thing = Object()
            del thing
            time.sleep(5)

    with pytest.raises(Interrupted):
        swallow()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("result", [ValueError("damaged"), None])
def test_a_stop_that_a_library_catches_is_raised_at_the_end(result):
    def catch():
        with StopSignals():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(5)
            except BaseException:
                if result is not None:
                    raise result from None

    with pytest.raises(Interrupted):
        catch()


PHASES = {
    "the data are drawn": "rnn_tasks.tasks.adder.Adder.draw",
    "the model is built": "rnn_tasks.models.network._parameters",
    "the trainer is built": "rnn_tasks.training.session.build_trainer",
    "a checkpoint is read": "rnn_tasks.training.checkpoints._verify",
    "a checkpoint is written": "rnn_tasks.training.checkpoints._keep",
    "the outcome is measured": "rnn_tasks.runs.outcome._measured",
    "the plots are drawn": "rnn_tasks.runs.plots.curves",
    "the result is described": "rnn_tasks.runs.results.fingerprint",
}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_in_any_phase_ends_the_run_and_loses_nothing(tmp_path, monkeypatch, uninterrupted, phase, signum):
    stop_after(monkeypatch, 25)
    with pytest.raises(Interrupted):
        trained(tmp_path / "run", *DEEP)
    age_events(tmp_path / "run")
    place, _, name = PHASES[phase].rpartition(".")
    owner = resolve_name(place)
    original = getattr(owner, name)

    def stopped(*args, **kwargs):
        monkeypatch.setattr(owner, name, original)
        os.kill(os.getpid(), signum)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, stopped)
    with pytest.raises(Interrupted) as stop:
        trained(tmp_path / "run", *DEEP)
    assert stop.value.signum == signum and not (tmp_path / "run" / "result.json").exists()
    age_events(tmp_path / "run")
    trained(tmp_path / "run", *DEEP)
    assert_equal_ends(tmp_path / "run", uninterrupted)


def test_a_checkpoint_kept_twice_leaves_nothing_behind(tmp_path):
    path, keep = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    save({"epoch": 1}, path)
    os.link(path, keep)  # as a kill between the two renames leaves them
    save({"epoch": 2}, path, keep)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert torch.load(keep)["epoch"] == 1


OWN_MODEL = """
import random
import numpy as np
import torch


class Noisy(torch.nn.Module):
    def __init__(self, input_size, output_size, **_):
        super().__init__()
        self.head = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(input_size, output_size))

    def forward(self, inputs, lengths, dropout_key=None):
        return self.head(inputs * (1 + random.random() * np.random.rand()))
"""


def test_a_model_that_uses_the_global_generators_gives_the_same_numbers_again(tmp_path, monkeypatch, no_pictures):
    (tmp_path / "noisy.py").write_text(OWN_MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    words = [*DEEP[3:], "++model={_target_:noisy.Noisy}"]
    first, again = trained(tmp_path / "first", *words), trained(tmp_path / "again", *words)
    assert first["metrics"] == again["metrics"]
    train_with_stops(monkeypatch, tmp_path / "stopped", (7, 30), *words)
    assert runs.read_result(tmp_path / "stopped")["metrics"] == first["metrics"]


@pytest.mark.parametrize("words", [[], ["model.replicates=3", "trainer.patience=1", "optimizer.lr=0.1"]])
def test_a_run_with_more_epochs_ends_as_one_that_had_them_from_the_start(workplace, words):
    words = [*DEEP, "scheduler=none", *words]
    trained(Path("short"), *words, "trainer.max_epochs=2")
    trained(Path("long"), *words, "trainer.max_epochs=4")
    ended = command("train", "resume=short", "trainer.max_epochs=4")
    assert ended.returncode == 0, ended.stderr
    assert_equal_ends(Path("short"), Path("long"))
    assert runs.read_result(Path("short"))["fingerprint"] == runs.read_result(Path("long"))["fingerprint"]
    assert [step for step, _ in points(Path("short"))["val/loss"]] == [20, 40, 60, 80]


def without_checkpoints(run):
    for path in (run / "checkpoints").glob("*.ckpt"):
        if path.name != "best.ckpt":
            path.unlink()


def test_a_damaged_checkpoint_is_told_once_when_a_run_is_lengthened(workplace):
    trained(Path("run"), *DEEP, "scheduler=none", "trainer.max_epochs=2")
    Path("run/checkpoints/last.ckpt").write_bytes(b"x")
    ended = command("train", "resume=run", "trainer.max_epochs=3")
    assert ended.returncode == 0 and ended.stderr.count("the run goes on from the one before it") == 1


def as_unpacked(run):
    """Leave of the last checkpoint what an archive keeps."""
    (run / "checkpoints" / "previous.ckpt").unlink()
    (run / "checkpoints" / "last.ckpt").write_bytes(archive._weights(run / "checkpoints" / "last.ckpt"))


@pytest.mark.parametrize(
    ("words", "epochs", "change", "message"),
    [
        ([], 3, None, "learning rate falls over all epochs"),
        (["scheduler=none"], 1, None, "must be at least the 2 that run has"),
        (["scheduler=none"], 3, without_checkpoints, "it has finished without a checkpoint to go on from"),
        (["scheduler=none"], 3, as_unpacked, "comes from another version of rnn_tasks, or from an archive"),
        (["scheduler=none", "trainer.max_steps=8"], 3, None, "it has made all of trainer.max_steps=8"),
        (
            ["scheduler=none", "trainer.patience=1", "optimizer=sgd", "optimizer.lr=1e-30"],
            5,
            None,
            "have been stopped by trainer.patience",
        ),
    ],
)
def test_a_run_keeps_its_result_where_it_cannot_be_lengthened(workplace, words, epochs, change, message):
    run = Path("run")
    trained(run, *DEEP, "trainer.max_epochs=2", *words)
    if change:
        change(run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    ended = command("train", "resume=run", f"trainer.max_epochs={epochs}")
    assert ended.returncode == 2 and message in ended.stderr and ended.stderr.count("\n") == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("fault", [PermissionError(13, "Permission denied"), MemoryError()])
def test_a_checkpoint_that_cannot_be_read_is_not_called_damaged(workplace, monkeypatch, fault):
    trained(Path("run"), *DEEP)
    (Path("run") / "result.json").unlink()

    def fail(path):
        raise fault

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(type(fault)):
        read_checkpoint(Path("run/checkpoints/last.ckpt"))


def test_a_directory_in_the_place_of_a_file_does_not_make_the_checkpoint_wrong(workplace):
    trained(run := Path("run"), *DEEP)
    (run / "result.json").unlink()
    (run / "history.csv").unlink()
    (run / "history.csv").mkdir()
    ended = command("train", "resume=run")
    assert ended.returncode == 2 and "history.csv" in ended.stderr and "delete it to begin again" not in ended.stderr


def test_a_refused_process_keeps_what_another_has_written_before_it(tmp_path, monkeypatch):
    class Locked(FileLock):
        """A lock that is had only when another process has begun the run."""

        def acquire(self, *args, **kwargs):
            (tmp_path / "run" / "config.yaml").write_text("of another")
            return super().acquire(*args, **kwargs)

    monkeypatch.setattr(directory, "FileLock", Locked)
    with pytest.raises(UserError), runs.claimed(tmp_path / "run"):
        raise UserError("x")
    assert (tmp_path / "run" / "config.yaml").read_text() == "of another"
