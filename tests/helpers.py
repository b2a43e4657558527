"""What several test modules share: where things are, how to train and to run commands, what must be equal."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from strokes import sent, written
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rnn_tasks import config
from rnn_tasks.errors import Interrupted
from rnn_tasks.page.drawing import render
from rnn_tasks.train import train
from rnn_tasks.training.recorder import RunRecorder

REPOSITORY = Path(__file__).parent.parent
DATA = Path(os.environ.get("RNN_TASKS_DATA", REPOSITORY / "data"))
SMALL = [
    "task.train_size=64",
    "task.val_size=32",
    "trainer.max_epochs=2",
    "trainer.enable_progress_bar=false",
    "threads=1",
]


def trained(run, *overrides):
    """Train in this process and return the result."""
    return train(config.compose([*SMALL, *overrides]), Path(run))


def command(module, *words, **kwargs):
    """Run a command of the project as a person would and return the ended process."""
    words = [sys.executable, "-m", f"rnn_tasks.{module}", *words]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, **kwargs)


def end_of(run):
    """Everything that must be equal at the end of two runs."""
    weights = {
        name: torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]
        for name in ("last", "best")
    }
    result = json.loads((run / "result.json").read_text())
    return weights, (run / "history.csv").read_text(), result["metrics"], points(run)


def points(run):
    """Every scalar point of the event files, as TensorBoard's own reader gives them."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def assert_equal_ends(run, reference):
    (weights, *others), (reference_weights, *reference_others) = end_of(run), end_of(reference)
    for name, state in weights.items():
        assert state.keys() == reference_weights[name].keys()
        torch.testing.assert_close(state, reference_weights[name], rtol=0, atol=0, equal_nan=True)
    assert others == reference_others


def stop_after(monkeypatch, *batches):
    """Make the next runs stop as by a signal after so many batches, each once."""
    waiting = list(batches)
    original = RunRecorder.on_train_batch_end

    def hook(self, trainer, *args):
        if waiting and batches_done(trainer) >= waiting[0]:
            waiting.pop(0)
            os.kill(os.getpid(), signal.SIGINT)
        original(self, trainer, *args)

    monkeypatch.setattr(RunRecorder, "on_train_batch_end", hook)


def batches_done(trainer):
    order = trainer.train_dataloader.sampler
    return trainer.current_epoch * order.batches + order.chunks[trainer.fit_loop.epoch_loop.batch_idx][1]


def train_with_stops(monkeypatch, run, stops, *words):
    """Train in several sessions, each but the last stopped by a signal."""
    stop_after(monkeypatch, *stops)
    for _ in stops:
        with pytest.raises(Interrupted):
            trained(run, *words)
        assert not (run / "result.json").exists()
        time.sleep(1 - time.time() % 1)  # event files are ordered by the second in which they were begun
    trained(run, *words)


def start(*words, cwd):
    words = [sys.executable, "-m", "rnn_tasks.train", *words]
    return subprocess.Popen(words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(condition, process):
    end = time.time() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.time() < end
        time.sleep(0.01)


def picture(number, kind="PNG"):
    """A picture of a number, black on white."""
    ink = render([np.array(stroke, np.float32).reshape(-1, 2) for stroke in sent(written(number))])
    file = io.BytesIO()
    Image.fromarray(255 - (255 * ink).astype(np.uint8)).save(file, kind)
    return file.getvalue()
