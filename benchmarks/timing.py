"""Times inside the real Trainer, of its steps and of peers in turn, and of what lies between two epochs."""

import statistics
import tempfile
import time
from pathlib import Path

import torch
from lightning.pytorch.callbacks import Callback

from benchmarks.peers import build_peer
from rnn_tasks import config
from rnn_tasks.training.session import build_session
from rnn_tasks.training.signals import StopSignals

QUIET = ["trainer.enable_progress_bar=false", "threads=1"]


class InTurn(Callback):
    """Milliseconds a step of each epoch of the Trainer, and after it of as many steps of each peer.

    Args:
        cfg: the configuration of the run.
        contenders: classes of peers, by name.
        kernels: whether the epochs take the compiled kernel, in turn.
    """

    def __init__(self, cfg, contenders, kernels=(True,)):
        self.cfg, self.contenders, self.kernels, self.rounds = cfg, contenders, kernels, []

    def on_train_start(self, trainer, learner):
        examples = trainer.datamodule.train
        self.peers = {name: build_peer(make, self.cfg, learner, examples) for name, make in self.contenders.items()}

    def on_train_epoch_start(self, trainer, learner):
        self.compiled = self.kernels[trainer.current_epoch % len(self.kernels)]
        without = "sequential" if learner.model.replicates == 1 else "stacked"
        learner.model.backend = None if self.compiled else without
        self.started = time.perf_counter()

    def on_train_batch_end(self, trainer, learner, outputs, batch, batch_index):
        self.seconds = time.perf_counter() - self.started

    def on_train_epoch_end(self, trainer, learner):
        steps = trainer.datamodule.schedule.batches
        if self.compiled:
            self.rounds.append({})
        self.rounds[-1]["Trainer" if self.compiled else "no compiler"] = self.seconds / steps * 1e3
        if self.compiled:
            with torch.enable_grad():
                for name, peer in self.peers.items():
                    started = time.perf_counter()
                    peer.take_steps(steps)
                    self.rounds[-1][name] = (time.perf_counter() - started) / steps * 1e3


def rounds(words, contenders=None, kernels=(True,), count=5):
    """Milliseconds a step in each of ``count`` rounds, without a first one that warms up."""
    with tempfile.TemporaryDirectory() as directory:
        epochs = f"trainer.max_epochs={(count + 1) * len(kernels)}"
        cfg = config.compose([*words, *QUIET, epochs, "trainer.limit_val_batches=0"])
        turns = InTurn(cfg, contenders or {}, kernels)
        build_session(cfg, Path(directory), StopSignals(), (turns,)).fit()
    return turns.rounds[1:]


def middle(found, name):
    return statistics.median(turn[name] for turn in found if name in turn)


def ratio(found, name, peer):
    return statistics.median(turn[name] / turn[peer] for turn in found if name in turn and peer in turn)


class Between(Callback):
    """Seconds of each epoch from its first batch to the next one's first, and of its parts without training steps.

    Attributes:
        epochs: for each but the last epoch "epoch", "between" (from its last batch to the next epoch's first) and
            "validation", which is a part of "between".
    """

    def __init__(self):
        self.epochs, self.first, self.validation = [], None, 0.0

    def on_train_batch_start(self, trainer, learner, batch, index):
        if index:
            return
        now = time.perf_counter()
        if self.first is not None:
            times = {"epoch": now - self.first, "between": now - self.last, "validation": self.validation}
            self.epochs.append(times)
        self.first, self.validation = now, 0.0

    def on_train_batch_end(self, trainer, learner, outputs, batch, index):
        self.last = time.perf_counter()

    def on_validation_start(self, trainer, learner):
        self.validating = time.perf_counter()

    def on_validation_end(self, trainer, learner):
        self.validation += time.perf_counter() - self.validating


def between(words, count=4):
    """The times of ``count`` epochs, without a first one that warms up."""
    with tempfile.TemporaryDirectory() as directory:
        cfg = config.compose([*words, *QUIET, f"trainer.max_epochs={count + 2}"])
        times = Between()
        build_session(cfg, Path(directory), StopSignals(), (times,)).fit()
    return times.epochs[1:]
