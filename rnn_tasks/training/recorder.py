"""What is kept of a run while it trains: its history, its best weights, and all that is needed to resume it."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint

from rnn_tasks import internals
from rnn_tasks.errors import UserError, tell
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training import KINDS
from rnn_tasks.training.checkpoints import BEST, LAST, PREVIOUS, read_checkpoint, save
from rnn_tasks.training.history import COLUMNS, HISTORY, append_history, as_rows, epoch_rows, write_history
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.metrics import sort_keys
from rnn_tasks.training.signals import StopSignals

KEPT = ("score", "epoch", "weights", "failed", "history", "val", "done")  # of the recorder, in last.ckpt


class RunRecorder(Checkpoint):
    """Keeps history.csv, checkpoints/best.ckpt and checkpoints/last.ckpt of a run.

    best.ckpt holds for each replicate the weights with the highest sequence accuracy in validation, ties broken by
    lower loss. last.ckpt is written after every epoch and holds all of the run, the best weights and the history too;
    the one before it is kept as previous.ckpt. When a signal has been noted, last.ckpt is written at the end of
    the chunk, or of the epoch if a validation comes first, and the run ends with Interrupted.

    Args:
        run: the run directory.
        schedule: of the run.
        signals: those that ask the run to stop.
        patience: epochs without better weights after which a replicate is frozen; 0 disables it.
        min_epochs: of a run before patience counts.
        min_steps: optimizer steps of a run before patience counts.
    """

    def __init__(
        self,
        run: Path,
        schedule: TrainSchedule,
        signals: StopSignals,
        patience: int = 0,
        min_epochs: int = 0,
        min_steps: int = 0,
    ) -> None:
        self.schedule, self.signals = schedule, signals
        self.patience, self.min_epochs, self.min_steps = patience, min_epochs, min_steps
        self.file = run / HISTORY
        self.last, self.best, self.previous = (run / "checkpoints" / name for name in (LAST, BEST, PREVIOUS))
        self.history = torch.empty(0, len(COLUMNS), dtype=torch.float64)  # all rows of the file
        self.score: list[list[float] | None] = []  # of each replicate's best weights
        self.epoch: list[int] = []  # of each replicate's best weights
        self.weights: dict[str, torch.Tensor] = {}  # the best
        self.failed: list[bool] = []
        self.val: dict[str, list[float | None]] = {}  # validation of the current epoch
        self.done = 0  # chunks of the current epoch
        self.begun = False  # whether training has begun, after what was resumed has been restored
        self.started = time.monotonic()  # moved back by the time that a resumed run had taken before

    def state_dict(self) -> dict[str, Any]:
        return {**{key: getattr(self, key) for key in KEPT}, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for key in KEPT:
            setattr(self, key, state[key])
        self.started -= state["seconds"]

    @property
    def seconds(self) -> float:
        """The time that the run has taken, over all its sessions."""
        return time.monotonic() - self.started

    def resume_point(self) -> Path | None:
        """Return the checkpoint to resume from, if there is one.

        Where the last one is damaged, or lost, it is the one before it.

        Raises:
            UserError: both are damaged, or an earlier version wrote them.
        """
        for path in (self.last, self.previous):
            if not os.path.lexists(path):
                continue
            try:
                self._check(read_checkpoint(path)["callbacks"].get(self.state_key), path)
                return path
            except UserError as error:
                if path == self.previous or not self.previous.is_file():
                    raise
                tell(f"{error.args[0].rpartition(';')[0]}; the run goes on from the one before it, {self.previous}")
        return None

    def _check(self, state: Any, path: Path) -> None:
        """Check what a checkpoint holds of this recorder."""
        if not isinstance(state, dict) or not {*KEPT, "seconds"} <= set(state):
            raise UserError(f"{path}: comes from another version of rnn_tasks; train this run anew")
        lists = [state[key] for key in ("score", "epoch", "failed")]
        right = all(isinstance(each, list) for each in lists)
        right = right and len(lists[0]) == len(lists[1]) and len(lists[2]) in (0, len(lists[0]))
        right = right and all(isinstance(each, int) for numbers in lists[1:] for each in numbers)
        right = right and isinstance(state["weights"], dict) and all(map(torch.is_tensor, state["weights"].values()))
        right = right and torch.is_tensor(history := state["history"]) and history.dtype == torch.float64
        right = right and history.shape[1:] == (len(COLUMNS),) and isinstance(state["val"], dict)
        right = right and isinstance(state["done"], int) and state["done"] >= 0
        right = right and isinstance(state["seconds"], float) and math.isfinite(state["seconds"])
        if not right:
            raise UserError(f"{path}: is damaged; delete it to begin again")

    def on_fit_start(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        """Write the files anew as the checkpoint says, also if there is nothing left to train."""
        if self.weights:
            self._save_best()
        else:
            self.score, self.epoch = [None] * learner.replicates, [0] * learner.replicates
        write_history(self.file, as_rows(self.history))

    def on_train_start(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        self.signals.note_from_now_on()
        self.begun = True
        self.schedule.chunks_done = self.done

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, learner: Learner, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        schedule = self.schedule
        _, done = schedule.chunks(trainer.current_epoch)[batch_idx]
        validates = schedule.validates_after(done)
        internals.validate_after(trainer, batch_idx, validates)
        # A validation, or the end of the epoch, comes before the next chance to stop.
        if self.signals.received and not validates and done < schedule.batches and done % schedule.accumulate == 0:
            self.done = batch_idx + 1
            self._save_and_leave(trainer)

    def on_validation_end(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        self.val = {kind: learner.metrics["val"][kind] for kind in KINDS}
        scores = sort_keys(self.val)
        better = [new is not None and (old is None or new > old) for new, old in zip(scores, self.score, strict=True)]
        self._keep_best(trainer, learner, better, scores)

    def on_train_epoch_end(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        if not any(self.score):  # no validation yet
            self._keep_best(trainer, learner, [True] * learner.replicates, self.score)
        live = [number for number, frozen in enumerate(learner.frozen.tolist()) if not frozen]
        metrics = {"train": learner.metrics["train"], "val": self.val}
        rows = epoch_rows(trainer.current_epoch, metrics, live)
        append_history(self.file, as_rows(rows))
        self.history = torch.cat((self.history, rows))
        if self.val:
            self._freeze_stalled(trainer, learner)
        self.done, self.val = 0, {}
        if self.signals.received:
            self._save_and_leave(trainer)
        trainer.save_checkpoint(self.last)

    def on_train_end(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        self.signals.raise_from_now_on()

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
        self._save_best()

    def _save_best(self) -> None:
        kept = {"state_dict": self.weights, "epoch": self.epoch, "score": self.score, "failed": self.failed}
        save(kept, self.best)

    def _freeze_stalled(self, trainer: Trainer, learner: Learner) -> None:
        """Freeze the replicates whose best weights are ``patience`` epochs old."""
        early = trainer.current_epoch + 1 < self.min_epochs or trainer.global_step < self.min_steps
        if self.patience and not early:
            stalled = [trainer.current_epoch - best >= self.patience for best in self.epoch]
            learner.freeze_replicates(torch.tensor(stalled, device=learner.frozen.device))

    def _save_and_leave(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.last)
        self.signals.raise_if_received()
