"""All parts of the training of a stack, built from the configurations of its runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lightning import Trainer
from omegaconf import DictConfig, OmegaConf

from rnn_tasks.config.instantiation import build
from rnn_tasks.errors import UserError, one_line, tell
from rnn_tasks.stack.data import SharedData, StackData, replicates
from rnn_tasks.stack.keeper import StackCheckpoints, StackKeeper
from rnn_tasks.stack.module import Stack
from rnn_tasks.stack.seat import Seat
from rnn_tasks.tasks.schedule import CHUNK_BATCHES, CHUNK_NUMBERS, TrainSchedule
from rnn_tasks.training.process import prepare_process
from rnn_tasks.training.session import build_recorder
from rnn_tasks.training.signals import StopSignals
from rnn_tasks.training.start import begin_with
from rnn_tasks.training.trainer import build_learner, build_loggers, build_trainer

COPIES, NUMBER = 6, 4  # of each number while training; bytes of one
NO_DATA = ("lr", "losses", "batch_size")  # keys of a task that do not change its examples


class Job(NamedTuple):
    """A run that is to be trained in a stack.

    Attributes:
        cfg: its configuration.
        run: its directory.
        resumed: the checkpoint that it goes on from, None for a new run.
    """

    cfg: DictConfig
    run: Path
    resumed: Path | None = None


@dataclass(frozen=True)
class StackSession:
    """What trains a stack.

    Attributes:
        seats: its runs.
        stack: their learning problems.
        data: of all of them.
        trainer: Lightning's Trainer.
    """

    seats: list[Seat]
    stack: Stack
    data: StackData
    trainer: Trainer

    def fit(self) -> None:
        """Train all runs to their ends; a run whose replicates have all failed has its ``failure``.

        Raises:
            UserError: a checkpoint does not fit its run.
            Interrupted: a signal has stopped the training.
        """
        resumed = self.seats[0].resumed
        try:
            self.trainer.fit(self.stack, datamodule=self.data, ckpt_path=resumed, weights_only=True)
        except Exception as error:
            told = isinstance(error, UserError | OSError | MemoryError)
            if told or resumed is None or self.seats[0].recorder.begun:
                raise
            names = f"{resumed}, or that of another run of the stack,"
            raise UserError(f"{names} does not fit its run ({one_line(error)[:100]})") from error
        for seat in self.seats:
            seat.learner.to(self.trainer.strategy.root_device)  # Lightning has left it on the CPU


def build_stack(jobs: Sequence[Job], place: Path, signals: StopSignals) -> StackSession | None:
    """Set up this process, draw the data and build everything that trains several runs at once.

    Args:
        jobs: the runs, which differ in nothing but what can stand on the axis of replicates; see config/stacking.py.
            All are new, or all go on after the same optimizer step.
        place: the directory of their sweep.
        signals: those that ask the training to stop.

    Returns:
        What trains the runs; those that cannot be built are left out. None if fewer than two are left.

    Raises:
        UserError: the Trainer refuses its values.
    """
    first = jobs[0].cfg
    prepare_process(first.threads)
    shared = SharedData()
    seats: list[Seat] = []
    for job in jobs:
        with suppress(UserError):  # which the run tells when it is trained by itself
            if seat := _seat(job, len(seats), shared, seats[0].recorder.schedule if seats else None, signals):
                seats.append(seat)
    if len(seats) < 2:
        return None
    for seat in seats:
        seat.recorder.share = seat.learner.replicates / replicates(seats)
    schedule, loggers = seats[0].recorder.schedule, [logger for seat in seats for logger in seat.loggers]
    keeper, checkpoints = StackKeeper(seats, schedule), StackCheckpoints(seats)
    no_least = dict.fromkeys(("min_epochs", "min_steps"))  # each recorder keeps to those of its run
    common: Any = OmegaConf.merge(first, {"trainer": no_least})
    trainer = build_trainer(common, schedule, place, [keeper], loggers, checkpoints=checkpoints)
    return StackSession(seats, Stack(seats), StackData(seats, schedule), trainer)


def _seat(
    job: Job, number: int, shared: SharedData, schedule: TrainSchedule | None, signals: StopSignals
) -> Seat | None:
    """Build a run of a stack, with the schedule of those before it; None if its data are of another size.

    Raises:
        UserError: the data are missing, or a part cannot be built.
    """
    task, model = build(job.cfg)
    shared.set_up(task, _data_key(job.cfg))
    own = task.cut(job.cfg.trainer, model.replicates)
    schedule = schedule or own
    if (own.size, own.chunk) != (schedule.size, schedule.chunk):
        tell(f"{job.run}: trained by itself, it has {own.size} training examples and not {schedule.size}")
        return None
    task.schedule = schedule
    learner = build_learner(job.cfg, task, model, schedule)
    recorder = build_recorder(job.cfg, job.run, schedule, signals)
    if job.cfg.model.get("weights") and job.resumed is None:
        begin_with(model, job.cfg, job.run)
    loggers = build_loggers(job.cfg, job.run, job.resumed)
    return Seat(number, job.cfg, task, learner, recorder, loggers, job.resumed)


def memory_of_stack(jobs: Sequence[Job]) -> tuple[float, float]:
    """Return how many bytes a network of a stack takes at most, and the examples of a ``task.data_seed``."""
    widest = max(jobs, key=lambda job: job.cfg.model.hidden)
    task, model = build(widest.cfg)
    parameters = sum(each.numel() for each in model.parameters()) / model.replicates
    chunk = CHUNK_NUMBERS / model.replicates + CHUNK_BATCHES * task.batch_size * task.longest
    states = model.bytes_of_states(task.batch_size, task.longest) / model.replicates
    lengths = range(task.test_lengths[0], task.test_lengths[1] + 1) if task.test_lengths else (1,)
    sequences = 2 * task.train_size + task.val_size + task.test_size * len(lengths)  # those of training are copied
    return COPIES * NUMBER * (parameters + chunk) + states, NUMBER * sequences * task.longest * (task.input_size + 2)


def _data_key(cfg: DictConfig) -> str:
    """Return what tells the examples of a run from those of others."""
    task = {str(key): value for key, value in OmegaConf.to_container(cfg.task).items() if key not in NO_DATA}  # type: ignore[union-attr]
    return json.dumps(task, sort_keys=True)
