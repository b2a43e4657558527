"""What is kept of a run while it trains: its history, its best weights, and all that is needed to go on."""

import csv
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from rnn_tasks.errors import Interrupted
from rnn_tasks.learner import Learner

KINDS = ("loss", "accuracy", "sequence_accuracy")
COLUMNS = ["epoch", "replicate", *(f"{split}_{kind}" for split in ("train", "val") for kind in KINDS)]


def save(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint beside its target, then rename it: a kill leaves the former one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (temporary := path.with_suffix(".tmp")).open("wb") as file:
        torch.save(checkpoint, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's own checkpoints, written by ``save``."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        save(checkpoint, Path(path))


class Record(Checkpoint):
    """Keeps history.csv, checkpoints/best.ckpt and checkpoints/last.ckpt, and stops training when asked to.

    The best weights are those with the highest sequence accuracy in validation, of equal ones with the lowest loss.
    SIGINT or SIGTERM stops training at the end of a step, saves, and raises Interrupted; a second one stops at once.

    Args:
        run: the run directory.
        patience: epochs without better weights after which training ends; 0 is never.
    """

    def __init__(self, run: Path, patience: int = 0) -> None:
        self.history, self.patience = run / "history.csv", patience
        self.last, self.best = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "best.ckpt"
        self.score: list[float] | None = None
        self.epoch = 0  # of the best weights
        self.started = time.time()  # moved back by the time that a resumed run had taken before
        self.done = 0  # batches of the current epoch
        self.signum = 0

    def state_dict(self) -> dict[str, Any]:
        return {"score": self.score, "epoch": self.epoch, "done": self.done, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.score, self.epoch, self.done = state["score"], state["epoch"], state["done"]
        self.started -= state["seconds"]

    @property
    def seconds(self) -> float:
        """The time that the run has taken, over all its sessions."""
        return time.time() - self.started

    def on_train_start(self, trainer: Trainer, learner: Learner) -> None:
        if threading.current_thread() is threading.main_thread():
            self.handlers = {signum: signal.signal(signum, self._stop) for signum in (signal.SIGINT, signal.SIGTERM)}
        if trainer.is_global_zero:  # drop the rows of epochs that are about to be trained again
            rows = read_history(self.history)
            write_history(self.history, [row for row in rows if row["epoch"] < trainer.current_epoch])
        trainer.train_dataloader.sampler.done = self.done
        self._stop_if_stalled(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, learner: Learner, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        if not self.signum:
            return
        done = batch_index + 1
        if done < trainer.num_training_batches and done % trainer.val_check_batch:  # else validate first
            self.done = done
            self._save_and_leave(trainer)

    def on_validation_end(self, trainer: Trainer, learner: Learner) -> None:
        if trainer.state.fn == "fit":
            val = learner.metrics["val"]
            score = [val["sequence_accuracy"][0], -val["loss"][0]]
            if self.score is None or score > self.score:
                self._keep_best(trainer, learner, score)

    def on_train_epoch_end(self, trainer: Trainer, learner: Learner) -> None:
        self.done = 0
        if self.score is None:  # no validation
            self._keep_best(trainer, learner, None)
        if trainer.is_global_zero:
            row = {"epoch": trainer.current_epoch, "replicate": 0}
            for split in ("train", "val"):
                values = learner.metrics.get(split, {})
                row |= {f"{split}_{kind}": values[kind][0] for kind in KINDS if kind in values}
            with self.history.open("a", newline="") as file:
                csv.DictWriter(file, COLUMNS).writerow(row)
        self._stop_if_stalled(trainer)
        if self.signum:
            self._save_and_leave(trainer)
        trainer.save_checkpoint(self.last)

    def teardown(self, trainer: Trainer, learner: Learner, stage: str) -> None:
        for signum, handler in getattr(self, "handlers", {}).items():
            signal.signal(signum, handler)

    def _keep_best(self, trainer: Trainer, learner: Learner, score: list[float] | None) -> None:
        self.score, self.epoch = score, trainer.current_epoch
        if trainer.is_global_zero:
            save({"state_dict": learner.model.state_dict(), "epoch": [self.epoch], "score": [score]}, self.best)

    def _stop_if_stalled(self, trainer: Trainer) -> None:
        if self.patience and trainer.current_epoch - self.epoch >= self.patience:
            trainer.should_stop = True

    def _stop(self, signum: int, frame: Any) -> None:
        if self.signum:
            raise KeyboardInterrupt
        self.signum = signum
        print("\nstopping at the end of this step; once more to stop at once", file=sys.stderr)

    def _save_and_leave(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.last)
        raise Interrupted(self.signum)


def write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write history.csv anew, atomically."""
    with (temporary := path.with_suffix(".tmp")).open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of history.csv, numbers as numbers; a row that a kill cut short is left out."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values()]
    return [{key: (int if key in COLUMNS[:2] else float)(text) for key, text in row.items() if text} for row in rows]
