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
from rnn_tasks.training import KINDS
from rnn_tasks.training.checkpoints import BEST, LAST, save
from rnn_tasks.training.history import COLUMNS, HISTORY, append_history, as_rows, epoch_rows, write_history
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.metrics import sort_keys
from rnn_tasks.training.ranks import ALONE, Meetings, Ranks
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
        ranks: the processes of the run; the first of them writes for all.
        patience: epochs without better weights after which a replicate is frozen; 0 disables it.
        min_epochs: of a run before patience counts.
        min_steps: optimizer steps of a run before patience counts.
    """

    def __init__(
        self,
        run: Path,
        schedule: TrainSchedule,
        signals: StopSignals,
        ranks: Ranks = ALONE,
        patience: int = 0,
        min_epochs: int = 0,
        min_steps: int = 0,
    ) -> None:
        self.schedule, self.signals, self.ranks = schedule, signals, ranks
        self.patience, self.min_epochs, self.min_steps = patience, min_epochs, min_steps
        self.meetings, self.ending = Meetings(ranks), False
        self.file = run / HISTORY
        self.last, self.best = (run / "checkpoints" / name for name in (LAST, BEST))
        self.history = torch.empty(0, len(COLUMNS), dtype=torch.float64)  # all rows of the file
        self.score: list[list[float] | None] = []  # of each replicate's best weights
        self.epoch: list[int] = []  # of each replicate's best weights
        self.weights: dict[str, torch.Tensor] = {}  # the best
        self.failed: list[bool] = []
        self.val: dict[str, list[float | None]] = {}  # validation of the current epoch
        self.done = 0  # chunks of the current epoch
        self.begun = False  # whether training has begun, after what was resumed has been restored
        self.before, self.started = 0.0, time.monotonic()  # seconds of former sessions, and when this one began
        self.stopped: float | None = None
        self.share = 1.0  # of the time of this process, in which other runs may be trained, too

    def state_dict(self) -> dict[str, Any]:
        return {**{key: getattr(self, key) for key in KEPT}, "seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for key in KEPT:
            setattr(self, key, state[key])
        self.before = state["seconds"]

    @property
    def seconds(self) -> float:
        """The time that training has taken, over all sessions of the run."""
        return self.before + self.share * ((self.stopped or time.monotonic()) - self.started)

    def stop_clock(self) -> None:
        """Count no more time: training has ended."""
        self.stopped = time.monotonic()

    def on_fit_start(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        """Write the files anew as the checkpoint says, also if there is nothing left to train.

        Raises:
            UserError: the best weights of the checkpoint are not those of the model.
        """
        if self.weights:
            shapes, own = (_shapes(state) for state in (self.weights, learner.model.state_dict()))
            if shapes != own:
                raise UserError(f"{self.last}: is damaged (its best weights do not fit); delete it to begin again")
            self._save_best()
        else:
            self.score, self.epoch = [None] * learner.all_replicates, [0] * learner.all_replicates
        if self.ranks.is_main:
            write_history(self.file, as_rows(self.history))
        self._meet(trainer, learner)

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
        if not self.meetings.is_due():  # whatever would end the run waits for the others
            self.ending, trainer.should_stop = self.ending or trainer.should_stop, False
            return
        stops = self._meet(trainer, learner)
        if stops and not validates and done < schedule.batches and done % schedule.accumulate == 0:
            self.done = batch_idx + 1
            self._save_and_leave(trainer)

    def on_validation_end(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        self.val = {kind: learner.metrics["val"][kind] for kind in KINDS}
        scores = sort_keys(self.val)
        better = [new is not None and (old is None or new > old) for new, old in zip(scores, self.score, strict=True)]
        self._keep_best(trainer, learner, better, scores)

    def on_train_epoch_end(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        if not any(self.score):  # no validation yet
            self._keep_best(trainer, learner, [True] * learner.all_replicates, self.score)
        frozen = self.ranks.all_replicates(learner.frozen).tolist()
        live = [number for number, stays in enumerate(frozen) if not stays]
        metrics = {"train": learner.metrics["train"], "val": self.val}
        rows = epoch_rows(trainer.current_epoch, metrics, live)
        if self.ranks.is_main:
            append_history(self.file, as_rows(rows))
        self.history = torch.cat((self.history, rows))
        if self.val:
            self._freeze_stalled(trainer, learner)
        self.done, self.val = 0, {}
        if self._meet(trainer, learner):
            self._save_and_leave(trainer)
        trainer.save_checkpoint(self.last)

    def on_train_end(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        self.signals.raise_from_now_on()
        self.stop_clock()

    def _keep_best(
        self, trainer: Trainer, learner: Learner, better: list[bool], scores: list[list[float] | None]
    ) -> None:
        failed = self.ranks.all_replicates(learner.failed).tolist()
        if not any(better) and failed == self.failed:
            return
        self.failed = failed
        state, which = learner.model.state_dict(), torch.tensor(self.ranks.own(better))
        if not self.weights or (learner.replicates == 1 and which[0]):
            self.weights = {name: tensor.detach().cpu().clone() for name, tensor in state.items()}
        elif learner.replicates > 1:
            for name, tensor in self.weights.items():
                tensor[which] = state[name].detach().cpu()[which]
        for replicate in torch.tensor(better).nonzero().flatten().tolist():
            self.score[replicate], self.epoch[replicate] = scores[replicate], trainer.current_epoch
        self._save_best()

    def _save_best(self) -> None:
        weights = {name: self.ranks.all_replicates(tensor) for name, tensor in self.weights.items()}
        if self.ranks.is_main:
            save({"state_dict": weights, "epoch": self.epoch, "score": self.score, "failed": self.failed}, self.best)

    def _freeze_stalled(self, trainer: Trainer, learner: Learner) -> None:
        """Freeze the replicates whose best weights are ``patience`` epochs old."""
        early = trainer.current_epoch + 1 < self.min_epochs or trainer.global_step < self.min_steps
        if self.patience and not early:
            stalled = [trainer.current_epoch - best >= self.patience for best in self.ranks.own(self.epoch)]
            learner.freeze_replicates(torch.tensor(stalled, device=learner.frozen.device))
            learner.end_if_done()

    def _meet(self, trainer: Trainer, learner: Learner) -> bool:
        """Return whether a signal has been noted. All processes of the run go on, or end, together.

        Raises:
            UserError: all replicates have failed.
        """
        if self.ranks.size > 1:
            failed, frozen = bool(learner.failed.all()), bool(learner.frozen.all())
            own = self.signals.received, trainer.should_stop or self.ending, not failed, not frozen
            received, ends, valid, live = self.meetings.agree(*own)
            trainer.should_stop, self.ending = bool(ends or not live), False
            if not valid:
                learner.refuse_failure()
            if not received:  # a signal that has come since then has its turn the next time
                return False
            self.signals.received = received
        return self.signals.received > 0

    def _save_and_leave(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.last)
        self.signals.raise_if_received()


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}
