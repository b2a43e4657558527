"""What is kept of a run while it trains: its history, its best weights, and all that is needed to go on."""

import csv
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint

from rnn_tasks.errors import Interrupted
from rnn_tasks.training.checkpoints import read_checkpoint, save
from rnn_tasks.training.history import COLUMNS, read_history, write_history
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.metrics import KINDS, sort_keys


class RunRecorder(Checkpoint):
    """Keeps history.csv, checkpoints/best.ckpt and checkpoints/last.ckpt, and stops a run when asked to.

    The best weights of a replicate are those with the highest sequence accuracy in validation, of equal ones with the
    lowest loss. ``with record.stopping_on_signals()`` SIGINT and SIGTERM raise Interrupted: in training after the chunk
    of steps has ended and been saved, at any other time or the second time at once.

    Args:
        run: the run directory.
        patience: epochs without better weights after which a replicate is frozen; 0 is never.
    """

    def __init__(self, run: Path, patience: int = 0) -> None:
        self.history, self.patience = run / "history.csv", patience
        self.last, self.best = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "best.ckpt"
        self.score: list[list[float] | None] = []  # of each replicate's best weights
        self.epoch: list[int] = []
        self.weights: dict[str, torch.Tensor] = {}
        self.failed: list[bool] = []
        self.val: dict[str, list[float | None]] = {}  # validation of the current epoch
        self.done = 0  # chunks of the current epoch
        self.started = time.time()  # moved back by the time that a resumed run had taken before
        self.training = False
        self.signum = 0

    def state_dict(self) -> dict[str, Any]:
        kept = {key: getattr(self, key) for key in ("score", "epoch", "val", "done")}
        return {**kept, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.score, self.epoch, self.val, self.done = (state[key] for key in ("score", "epoch", "val", "done"))
        self.started -= state["seconds"]

    @property
    def seconds(self) -> float:
        """The time that the run has taken, over all its sessions."""
        return time.time() - self.started

    @contextmanager
    def stopping_on_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM raise Interrupted; outside the main thread they are left as they are."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {signum: signal.signal(signum, self._stop) for signum in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in handlers.items():
                signal.signal(signum, handler)

    def on_train_start(self, trainer: Trainer, learner: Learner) -> None:
        self.training = True
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._stop)  # Lightning's handler would leave with status 0
        if self.score and self.best.exists():
            kept = read_checkpoint(self.best)
            self.weights, self.failed = kept["state_dict"], kept["failed"]
        else:
            self.score, self.epoch = [None] * learner.replicates, [0] * learner.replicates
        if trainer.is_global_zero:  # drop the rows of epochs that are about to be trained again
            rows = read_history(self.history)
            write_history(self.history, [row for row in rows if row["epoch"] < trainer.current_epoch])
        order = trainer.train_dataloader.sampler
        order.done = self.done
        if order.total_steps is not None:
            trainer.fit_loop.max_epochs = -(-order.total_steps // order.steps)

    def on_train_batch_end(
        self, trainer: Trainer, learner: Learner, outputs: Any, batch: Any, batch_index: int
    ) -> None:
        order = trainer.train_dataloader.sampler
        _, done = order.chunks[batch_index]
        validates = done % order.validate == 0
        trainer.val_check_batch = batch_index + (1 if validates else 2)  # Lightning validates after its multiples
        # at the end of an epoch or before a validation, the next chance is taken
        if self.signum and not validates and done < order.batches and done % order.accumulate == 0:
            self.done = batch_index + 1
            self._save_and_leave(trainer)

    def on_validation_end(self, trainer: Trainer, learner: Learner) -> None:
        if trainer.state.fn == "fit":
            self.val = {kind: learner.metrics["val"][kind] for kind in KINDS}
            scores = sort_keys(self.val)
            better = [
                new is not None and (old is None or new > old) for new, old in zip(scores, self.score, strict=True)
            ]
            self._keep_best(trainer, learner, better, scores)

    def on_train_epoch_end(self, trainer: Trainer, learner: Learner) -> None:
        if not any(self.score):  # no validation yet
            self._keep_best(trainer, learner, [True] * learner.replicates, self.score)
        metrics = {"train": learner.metrics["train"], "val": self.val}
        if trainer.is_global_zero:
            with self.history.open("a", newline="") as file:
                csv.DictWriter(file, COLUMNS).writerows(
                    {"epoch": trainer.current_epoch, "replicate": replicate}
                    | {
                        f"{split}_{kind}": values[kind][replicate]
                        for split, values in metrics.items()
                        for kind in KINDS
                        if kind in values
                    }
                    for replicate, frozen in enumerate(learner.frozen.tolist())
                    if not frozen
                )
        if self.val:
            self._freeze_stalled(trainer, learner)
        self.done, self.val = 0, {}
        if self.signum:
            self._save_and_leave(trainer)
        trainer.save_checkpoint(self.last)

    def on_train_end(self, trainer: Trainer, learner: Learner) -> None:
        self.training = False

    def _keep_best(
        self, trainer: Trainer, learner: Learner, better: list[bool], scores: list[list[float] | None]
    ) -> None:
        failed = learner.failed.tolist()
        if not any(better) and failed == self.failed:
            return
        self.failed = failed
        state, which = learner.model.state_dict(), torch.tensor(better)
        if not self.weights or (learner.replicates == 1 and better[0]):
            self.weights = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        elif learner.replicates > 1:
            for name, tensor in self.weights.items():
                tensor[which] = state[name].detach().cpu()[which]
        for replicate in which.nonzero().flatten().tolist():
            self.score[replicate], self.epoch[replicate] = scores[replicate], trainer.current_epoch
        if trainer.is_global_zero:
            kept = {"state_dict": self.weights, "epoch": self.epoch, "score": self.score, "failed": failed}
            save(kept, self.best)

    def _freeze_stalled(self, trainer: Trainer, learner: Learner) -> None:
        loop = trainer.fit_loop
        early = trainer.current_epoch + 1 < (loop.min_epochs or 0) or trainer.global_step < (loop.min_steps or 0)
        if self.patience and not early:
            stalled = [trainer.current_epoch - best >= self.patience for best in self.epoch]
            learner.freeze_replicates(torch.tensor(stalled, device=learner.frozen.device))

    def _stop(self, signum: int, frame: Any) -> None:
        if self.signum or not self.training:
            raise Interrupted(signum)
        self.signum = signum
        print("\nstopping in a moment; once more to stop at once", file=sys.stderr)

    def _save_and_leave(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.last)
        raise Interrupted(self.signum)
