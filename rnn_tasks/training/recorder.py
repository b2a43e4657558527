"""What is kept of a run while it trains: its history, its best weights, and all that is needed to resume it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint

from rnn_tasks import internals
from rnn_tasks.errors import UserError
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training.checkpoints import read_checkpoint, save
from rnn_tasks.training.history import append_history, epoch_rows, read_history, write_history
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.metrics import KINDS, sort_keys
from rnn_tasks.training.signals import StopSignals


class RunRecorder(Checkpoint):
    """Keeps history.csv, checkpoints/best.ckpt and checkpoints/last.ckpt of a run.

    best.ckpt holds for each replicate the weights with the highest sequence accuracy in validation, ties broken by
    lower loss. last.ckpt is written after every epoch. When a signal has been noted, last.ckpt is written at the end of
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
        self.history = run / "history.csv"
        self.last, self.best = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "best.ckpt"
        self.score: list[list[float] | None] = []  # of each replicate's best weights
        self.epoch: list[int] = []  # of each replicate's best weights
        self.weights: dict[str, torch.Tensor] = {}  # the best
        self.failed: list[bool] = []
        self.val: dict[str, list[float | None]] = {}  # validation of the current epoch
        self.done = 0  # chunks of the current epoch
        self.started = time.monotonic()  # moved back by the time that a resumed run had taken before

    def state_dict(self) -> dict[str, Any]:
        kept = {key: getattr(self, key) for key in ("score", "epoch", "val", "done")}
        return {**kept, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.score, self.epoch, self.val, self.done = (state[key] for key in ("score", "epoch", "val", "done"))
        self.started -= state["seconds"]

    @property
    def seconds(self) -> float:
        """The time that the run has taken, over all its sessions."""
        return time.monotonic() - self.started

    def resume_point(self) -> Path | None:
        """Return the checkpoint to resume from, if there is one.

        Raises:
            UserError: it is damaged, or an earlier version wrote it.
        """
        if not self.last.is_file():
            return None
        if self.state_key not in read_checkpoint(self.last)["callbacks"]:
            raise UserError(f"{self.last}: comes from another version of rnn_tasks; train this run anew")
        return self.last

    def on_train_start(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        self.signals.note_from_now_on()
        if self.score and self.best.exists():
            kept = read_checkpoint(self.best)
            self.weights, self.failed = kept["state_dict"], kept["failed"]
        else:
            self.score, self.epoch = [None] * learner.replicates, [0] * learner.replicates
        rows = [row for row in read_history(self.history) if row["epoch"] < trainer.current_epoch]
        write_history(self.history, rows)  # without the epochs that are about to be trained again
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
        append_history(self.history, epoch_rows(trainer.current_epoch, metrics, live))
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
        kept = {"state_dict": self.weights, "epoch": self.epoch, "score": self.score, "failed": failed}
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
