"""What is kept of the runs of a stack: of each just what it would keep alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint

from rnn_tasks import internals
from rnn_tasks.errors import Interrupted
from rnn_tasks.stack.module import Stack
from rnn_tasks.stack.seat import Seat
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training.checkpoints import AtomicCheckpointIO, read_checkpoint
from rnn_tasks.training.recorder import RunRecorder

RECORDER = RunRecorder.__qualname__


class StackKeeper(Checkpoint):
    """Lets the recorders of the live runs do what each does alone, then writes their checkpoints together.

    Args:
        seats: the runs.
        schedule: that all of them have.
    """

    def __init__(self, seats: list[Seat], schedule: TrainSchedule) -> None:
        self.seats, self.schedule = seats, schedule

    def state_dict(self) -> dict[str, Any]:
        return {"recorders": [seat.recorder.state_dict() for seat in self.seats]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for seat, own in zip(self.seats, state["recorders"], strict=True):
            seat.recorder.load_state_dict(own)

    def setup(self, trainer: Trainer, stack: Stack, stage: str) -> None:  # type: ignore[override]
        for seat in self.seats:
            seat.attach(trainer)

    def on_fit_start(self, trainer: Trainer, stack: Stack) -> None:  # type: ignore[override]
        self._each(trainer, RunRecorder.on_fit_start)

    def on_train_start(self, trainer: Trainer, stack: Stack) -> None:  # type: ignore[override]
        self._each(trainer, RunRecorder.on_train_start)

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: Trainer, stack: Stack, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        _, done = self.schedule.chunks(trainer.current_epoch)[batch_idx]
        validates = self.schedule.validates_after(done)
        internals.validate_after(trainer, batch_idx, validates)
        self._each(trainer, lambda recorder, *own: recorder.on_train_batch_end(*own, outputs, batch, batch_idx))
        measured = (
            trainer.enable_validation and (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        )
        if measured and not validates:
            self._validate_stopping(trainer, stack)
        if not (measured and validates):
            self._end_stopping(trainer)

    def on_validation_end(self, trainer: Trainer, stack: Stack) -> None:  # type: ignore[override]
        self._each(trainer, RunRecorder.on_validation_end)
        self._end_stopping(trainer)

    def on_train_epoch_end(self, trainer: Trainer, stack: Stack) -> None:  # type: ignore[override]
        self._each(trainer, RunRecorder.on_train_epoch_end)
        for seat in self._stopping():
            seat.end()
        stack.choose_live()
        trainer.should_stop = not stack.members

    def on_train_end(self, trainer: Trainer, stack: Stack) -> None:  # type: ignore[override]
        self._each(trainer, RunRecorder.on_train_end)
        self.seats[0].recorder.signals.raise_from_now_on()  # also where all runs have ended before

    def _stopping(self) -> list[Seat]:
        return [seat for seat in self.seats if seat.is_live and seat.should_stop]

    @torch.inference_mode()
    def _validate_stopping(self, trainer: Trainer, stack: Stack) -> None:
        """Measure runs that stop where no validation follows for all, as Lightning does it when a run alone stops."""
        for seat in (seats := self._stopping()):
            stack.measure(seat)
            seat.attempt(seat.learner.on_validation_epoch_end)
        self._each(trainer, RunRecorder.on_validation_end, seats)

    def _end_stopping(self, trainer: Trainer) -> None:
        """Let the epoch end for runs that stop within it."""
        for seat in (seats := self._stopping()):
            seat.attempt(seat.learner.on_train_epoch_end)
        self._each(trainer, RunRecorder.on_train_epoch_end, seats)
        for seat in seats:
            seat.end()
        trainer.should_stop = not any(seat.is_live for seat in self.seats)

    def _each(self, trainer: Trainer, act: Callable[..., None], seats: list[Seat] | None = None) -> None:
        """Let each live run's recorder act; a signal is raised when all have, and their checkpoints are written."""
        stop = None
        for seat in self.seats if seats is None else seats:
            if seat.is_live:
                try:
                    seat.attempt(partial(act, seat.recorder, seat, seat.learner))
                except Interrupted as error:
                    stop = error
        if any(seat.wants_saving for seat in self.seats):
            trainer.save_checkpoint(self.seats[0].recorder.last)
        if stop:
            raise stop


class StackCheckpoints(AtomicCheckpointIO):
    """Writes and reads the checkpoint of a stack as those of its runs, each as it would be alone.

    Args:
        seats: the runs.
    """

    def __init__(self, seats: list[Seat]) -> None:
        super().__init__()
        self.seats = seats

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        for number, seat in enumerate(self.seats):
            if seat.wants_saving:
                super().save_checkpoint(_part(checkpoint, number), seat.recorder.last)
                seat.wants_saving = False

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        parts = [read_checkpoint(seat.resumed) for seat in self.seats if seat.resumed is not None]
        for part, seat in zip(parts, self.seats, strict=True):
            seat.learner.on_load_checkpoint(part)
        states = {
            f"{_prefix(number)}{name}": tensor
            for number, part in enumerate(parts)
            for name, tensor in part["state_dict"].items()
        }
        lists = {key: [each for part in parts for each in part[key]] for key in ("optimizer_states", "lr_schedulers")}
        keeper = {StackKeeper.__qualname__: {"recorders": [part["callbacks"][RECORDER] for part in parts]}}
        return {**parts[0], **lists, "state_dict": states, "callbacks": keeper}


def _prefix(number: int) -> str:
    return f"learners.{number}."


def _part(checkpoint: dict[str, Any], number: int) -> dict[str, Any]:
    """Return what belongs to one run of what Lightning keeps of the stack."""
    prefix = _prefix(number)
    state = checkpoint["state_dict"]
    own = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    recorder = checkpoint["callbacks"][StackKeeper.__qualname__]["recorders"][number]
    schedulers = checkpoint["lr_schedulers"]
    return {
        **checkpoint,
        "state_dict": own,
        "callbacks": {RECORDER: recorder},
        "optimizer_states": [checkpoint["optimizer_states"][number]],
        "lr_schedulers": [schedulers[number]] if schedulers else [],
    }
