"""All parts of one training session, built from a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightning import Callback, Trainer
from omegaconf import DictConfig

from rnn_tasks import memory
from rnn_tasks.config.instantiation import build
from rnn_tasks.errors import UserError, one_line
from rnn_tasks.models import Network
from rnn_tasks.tasks import Task
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.process import prepare_process
from rnn_tasks.training.recorder import RunRecorder, resume_point
from rnn_tasks.training.signals import StopSignals
from rnn_tasks.training.start import begin_with
from rnn_tasks.training.trainer import build_learner, build_trainer


@dataclass(frozen=True)
class Session:
    """What trains a run; all parts share one schedule.

    Attributes:
        task: its data.
        learner: its learning problem, with the model.
        recorder: what is kept of it.
        trainer: Lightning's Trainer.
        resumed: the checkpoint that it goes on from, None for a new run.
    """

    task: Task
    learner: Learner
    recorder: RunRecorder
    trainer: Trainer
    resumed: Path | None

    def fit(self) -> None:
        """Train to the end; the model stays on its device.

        Raises:
            UserError: the loss of all replicates became infinite or NaN.
            Interrupted: a signal has stopped the run.
        """
        try:
            self.trainer.fit(self.learner, datamodule=self.task, ckpt_path=self.resumed, weights_only=True)
        except Exception as error:
            if self.resumed is None or self.recorder.begun or isinstance(error, UserError | OSError | MemoryError):
                raise
            reason = one_line(error)[:100]
            raise UserError(f"{self.resumed}: does not fit its run ({reason}); delete it to begin again") from error
        self.learner.to(self.trainer.strategy.root_device)  # Lightning has left it on the CPU


def build_session(cfg: DictConfig, run: Path, signals: StopSignals, callbacks: tuple[Callback, ...] = ()) -> Session:
    """Set up this process, draw the data and build everything that trains a run.

    Args:
        cfg: a checked configuration, see config.compose.
        run: the run directory.
        signals: those that ask the run to stop.
        callbacks: further ones, beside those of the configuration.

    Raises:
        UserError: the data are missing, or a part of the configuration cannot be built.
    """
    prepare_process(cfg.threads, profile=bool(cfg.trainer.profiler))
    task, model = build(cfg)
    task.setup()
    schedule = TrainSchedule.of(cfg.trainer, task.train, task.batch_size, len(task.seeds))
    task.schedule = schedule
    if isinstance(model, Network):
        batch = min(task.batch_size, len(task.train))
        memory.require(model.bytes_of_states(batch, task.longest), f"task.batch_size={task.batch_size}")
    early = {key: cfg.trainer[key] or 0 for key in ("patience", "min_epochs", "min_steps")}
    recorder = RunRecorder(run, schedule, signals, **early)
    resumed = resume_point(run)
    if cfg.model.get("weights") and resumed is None:
        begin_with(model, cfg.model.weights, run, keep=not cfg.trainer.fast_dev_run)
    learner = build_learner(cfg, task, model, schedule)
    trainer = build_trainer(cfg, schedule, run, [recorder, *callbacks], resumed)
    return Session(task, learner, recorder, trainer, resumed)
