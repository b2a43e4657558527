"""All parts of the training of a stack, built from the configurations of its runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lightning import Trainer
from omegaconf import DictConfig, OmegaConf

from rnn_tasks.config.instantiation import build
from rnn_tasks.errors import UserError, one_line
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
            raise UserError(f"a checkpoint does not fit its run ({one_line(error)[:100]})") from error
        for seat in self.seats:
            seat.learner.to(self.trainer.strategy.root_device)  # Lightning has left it on the CPU


def build_stack(jobs: Sequence[Job], place: Path, signals: StopSignals) -> StackSession:
    """Set up this process, draw the data and build everything that trains several runs at once.

    Args:
        jobs: the runs, which differ in nothing but what can stand on the axis of replicates; see config/stacking.py.
            All are new, or all go on after the same optimizer step.
        place: the directory of their sweep.
        signals: those that ask the training to stop.

    Raises:
        UserError: the data are missing, or not as many for each run, or a part of a configuration cannot be built.
    """
    first = jobs[0].cfg
    prepare_process(first.threads)
    shared, seats = SharedData(), []
    schedule: TrainSchedule | None = None
    for number, job in enumerate(jobs):
        task, model = build(job.cfg)
        shared.set_up(task, _data_key(job.cfg))
        if schedule is None:
            schedule = TrainSchedule.of(first.trainer, task.train, task.batch_size, model.replicates)
        if len(task.train) != schedule.size:
            raise UserError(f"task.data_seed: gives {schedule.size} and {len(task.train)} training examples")
        task.schedule = schedule
        learner = build_learner(job.cfg, task, model, schedule)
        recorder = build_recorder(job.cfg, job.run, schedule, signals)
        if job.cfg.model.get("weights") and job.resumed is None:
            begin_with(model, job.cfg, job.run)
        loggers = build_loggers(job.cfg, job.run, job.resumed)
        seats.append(Seat(number, job.cfg, task, learner, recorder, loggers, job.resumed))
    assert schedule is not None
    for seat in seats:
        seat.recorder.share = seat.learner.replicates / replicates(seats)
    loggers = [logger for seat in seats for logger in seat.loggers]
    keeper, checkpoints = StackKeeper(seats, schedule), StackCheckpoints(seats)
    no_least = dict.fromkeys(("min_epochs", "min_steps"))  # each recorder keeps to those of its run
    common: Any = OmegaConf.merge(first, {"trainer": no_least})
    trainer = build_trainer(common, schedule, place, [keeper], loggers, checkpoints=checkpoints)
    return StackSession(seats, Stack(seats), StackData(seats, schedule), trainer)


def bytes_of_network(jobs: Sequence[Job]) -> float:
    """Return how much memory a network of a stack takes at most, without the examples that all share."""
    widest = max(jobs, key=lambda job: job.cfg.model.hidden)
    task, model = build(widest.cfg)
    parameters = sum(each.numel() for each in model.parameters()) / model.replicates
    chunk = CHUNK_NUMBERS / model.replicates + CHUNK_BATCHES * task.batch_size * task.longest
    return COPIES * NUMBER * (parameters + chunk)


def _data_key(cfg: DictConfig) -> str:
    """Return what tells the examples of a run from those of others."""
    task = {str(key): value for key, value in OmegaConf.to_container(cfg.task).items() if key not in NO_DATA}  # type: ignore[union-attr]
    return json.dumps(task, sort_keys=True)
