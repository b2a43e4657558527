"""The user's own callbacks, several loggers, and what a run refuses of the Trainer's arguments."""

import csv
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import command
from helpers import SMALL, points, trained

from rnn_tasks import config, runs
from rnn_tasks.errors import UserError
from rnn_tasks.train import train
from rnn_tasks.training import intervals, process, progress

CALLBACK = '''
from lightning import Callback


class Counter(Callback):
    """Counts chunks and optimizer steps, and writes them when training ends."""

    def __init__(self, file):
        self.file, self.chunks = file, 0

    def on_train_batch_end(self, trainer, learner, outputs, batch, batch_idx):
        self.chunks += 1

    def on_train_end(self, trainer, learner):
        with open(self.file, "w") as file:
            file.write(f"{self.chunks} {trainer.global_step}")
'''


@pytest.fixture
def counter(workplace, monkeypatch):
    """A module of the user's with a callback."""
    (workplace / "counting.py").write_text(CALLBACK)
    monkeypatch.syspath_prepend(workplace)
    return workplace


def test_a_callback_by_its_class_sees_chunks_and_optimizer_steps(counter):
    trained("run", "+callbacks.mine._target_=counting.Counter", "+callbacks.mine.file=counted")
    assert Path("counted").read_text(encoding="utf-8") == "2 16"  # two epochs of eight steps, a chunk each


def test_callbacks_from_files_of_ones_own(counter):
    group = counter / "conf" / "callbacks"
    group.mkdir(parents=True)
    for name in ("first", "second"):
        (group / f"{name}.yaml").write_text(
            f"# @package callbacks.{name}\n_target_: counting.Counter\nfile: {name}.txt\n"
        )
    ended = command("train", "--config-dir", "conf", "callbacks=[first,second]", *SMALL)
    assert ended.returncode == 0, ended.stderr
    assert Path("first.txt").read_text(encoding="utf-8") == Path("second.txt").read_text(encoding="utf-8") == "2 16"


def test_a_callback_is_part_of_what_makes_a_run_the_same(counter):
    plain = config.compose(SMALL)
    called = config.compose([*SMALL, "+callbacks.mine._target_=counting.Counter", "+callbacks.mine.file=x"])
    assert "callbacks" not in runs.influence(plain)
    assert runs.influence(plain) != runs.influence(called)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["+callbacks.mine._target_=counting.Nothing"],
            r"^callbacks\.mine\._target_=counting\.Nothing: cannot be found",
        ),
        (["+callbacks.mine._target_=builtins.dict"], r"^callbacks\.mine: is a dict; must be a lightning\.Callback"),
        (["callbacks=[nothing]"], "^callbacks=nothing: no such callbacks; there are participation, weight_norms"),
    ],
)
def test_callbacks_that_cannot_be_are_refused_in_one_line(counter, words, message):
    with pytest.raises(UserError, match=message) as refused:
        trained("run", *words)
    assert "\n" not in str(refused.value)


def test_norms_of_weights_are_logged_after_each_validation(workplace):
    trained("run", "callbacks=[weight_norms]", "model.replicates=2", "trainer.precision=64-true")
    curves, (first, second) = points(Path("run")), (runs.load("run", "last", replicate) for replicate in (0, 1))
    name = "head.weight"
    ends = sorted(run.model.state_dict()[name].norm().item() for run in (first, second))
    assert [step for step, _ in curves[f"weights/{name}"]] == [8, 16]
    assert [curves[f"weights/{name}{end}"][-1][1] for end in ("_min", "_max")] == pytest.approx(ends)
    assert curves[f"weights/{name}"][-1][1] == pytest.approx(sum(ends) / 2)


def test_participation_ratios_are_logged_after_each_validation(workplace):
    trained("run", "callbacks=[participation]", "callbacks.participation.sequences=9", "model.replicates=2")
    curves, both = points(Path("run")), runs.load("run", "last", "all")
    both.task.setup()
    batch = both.task.val[torch.arange(9)]
    states = both.model.states(batch.inputs, batch.lengths)[:, -1]
    ends = []
    for own in states:
        visited = np.concatenate([steps[:length] for steps, length in zip(own.tolist(), batch.lengths, strict=True)])
        values = np.linalg.eigvalsh(np.cov(visited.T))
        ends.append(values.sum() ** 2 / (values**2).sum())
    assert [step for step, _ in curves["participation"]] == [8, 16]
    assert [curves[f"participation{end}"][-1][1] for end in ("_min", "_max")] == pytest.approx(sorted(ends), rel=1e-4)
    assert curves["participation"][-1][1] == pytest.approx(sum(ends) / 2, rel=1e-4)


def test_several_loggers_write_the_same_curves(workplace):
    trained("run", "logger=[csv,tensorboard]", "trainer.log_every_n_steps=1")
    (file,) = Path("run").rglob("metrics.csv")
    rows = list(csv.DictReader(file.open()))
    losses = [(int(row["step"]), float(row["train/loss"])) for row in rows if row["train/loss"]]
    assert losses == [(step, pytest.approx(value)) for step, value in points(Path("run"))["train/loss"]]
    assert len(losses) == 16


def test_a_key_of_one_of_several_loggers(workplace):
    cfg = config.compose(["logger=[csv,tensorboard]", "logger.csv.name=curves"])
    assert cfg.logger.csv.name == "curves" and set(cfg.logger) == {"csv", "tensorboard"}
    with pytest.raises(UserError, match=r"logger\.csv\.nam: no such key"):
        config.compose(["logger=[csv,tensorboard]", "logger.csv.nam=curves"])
    with pytest.raises(UserError, match="logger=nothing: no such logger; there are csv, mlflow, tensorboard, wandb"):
        config.compose(["logger=[csv,nothing]"])


@pytest.mark.parametrize("devices", ["0", "[0,1]", "-1", "x", "2.0", "true"])
def test_devices_are_a_number_of_processes_or_one_device(devices):
    with pytest.raises(UserError, match=r"trainer\.devices=.*: must be a number of processes from 1 to 99") as refused:
        config.compose([f"trainer.devices={devices}"])
    assert "\n" not in str(refused.value)


def test_a_run_says_what_it_trains_and_is_never_silent_for_long(tmp_path, monkeypatch, capsys, no_pictures):
    monkeypatch.setattr(progress, "QUIET", 0)
    monkeypatch.setattr(intervals, "interval", None)  # that of a validation nobody sees
    cfg = config.compose(
        [*SMALL, "trainer.max_epochs=1", "trainer.enable_progress_bar=true", "model.replicates=2", "model.hidden=3"]
    )
    val = train(cfg, tmp_path / "run")["metrics"]["val"]
    first, *between, last = capsys.readouterr().err.splitlines()
    parameters = 4 * (3 * 2 + 3 * 3 + 3 + 3) + 3 + 1
    network = f"LSTM, 3 units; {parameters} parameters, each of 2 replicates on cpu"
    assert first == f"{tmp_path / 'run'}: {network}; 1 epoch of 8 steps"
    assert between and all(re.fullmatch(r"epoch 1: step \d+ of \d+", line) for line in between)
    low, high = sorted(100 * share for share in val["accuracy"])
    shares = f"accuracy {(low + high) / 2:.2f}% ({low:.2f}% to {high:.2f}%)"
    assert low < high and last == f"epoch 1: val loss {sum(val['loss']) / 2:.4f}, {shares}"


def test_a_logger_may_have_a_number_for_its_name(tmp_path):
    trained(tmp_path, "logger=csv", "logger.csv.name=5", "+logger.csv.version=0")
    assert (tmp_path / "5" / "version_0" / "metrics.csv").is_file()


@pytest.mark.parametrize("emulated", [True, False])
@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_slow_bfloat16_is_told_once(tmp_path, monkeypatch, capsys, emulated, precision):
    monkeypatch.setattr("rnn_tasks.internals.emulates_bfloat16", lambda: emulated)
    trained(tmp_path, f"trainer.precision={precision}")
    expected = emulated and precision == "bf16-mixed"
    assert capsys.readouterr().err.count("slow on this processor, which has no bfloat16; try 32-true") == expected


@pytest.mark.parametrize(
    "words", [["~optimizer.weight_decay", "optimizer._target_=torch.optim.Rprop"], ["~optimizer.lr"]]
)
def test_an_optimizer_decides_what_is_left_out(tmp_path, words):
    trained(tmp_path, *words)
    assert words[0].removeprefix("~optimizer.") not in runs.read_config(tmp_path).optimizer


@pytest.mark.parametrize(("fault", "shown"), [(OSError(28, "No space left on device"), False), (ValueError("x"), True)])
def test_a_thread_that_cannot_write_ends_quietly(monkeypatch, capsys, fault, shown):
    def fail():
        raise fault

    monkeypatch.setattr(threading, "excepthook", threading.excepthook)  # put back after the test
    process.prepare_process(1)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert ("Traceback" in capsys.readouterr().err) == shown
