"""What one run of a stack has for itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from rnn_tasks.errors import UserError, file_error
from rnn_tasks.tasks import Task
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.recorder import RunRecorder
from rnn_tasks.training.session import Session


@dataclass
class Seat:
    """A run of a stack. To its learner and its recorder it is the Trainer of that run alone.

    Attributes:
        number: of the run in the stack.
        cfg: the configuration of the run.
        task: its data.
        learner: its learning problem, with the model.
        recorder: what is kept of it.
        loggers: its own.
        resumed: the checkpoint that it goes on from, None for a new run.
        trainer: of the stack.
        should_stop: whether the run ends with this epoch, though others may go on.
        failure: why it has failed, None if it has not.
        wants_saving: whether its checkpoint is to be written when the stack writes checkpoints.
        ended_at: the optimizer steps that it has taken, None while it is trained.
    """

    number: int
    cfg: DictConfig
    task: Task
    learner: Learner
    recorder: RunRecorder
    loggers: list[Logger]
    resumed: Path | None
    trainer: Trainer = field(init=False)
    should_stop: bool = False
    failure: UserError | None = None
    wants_saving: bool = False
    ended_at: int | None = None

    @property
    def is_live(self) -> bool:
        """Whether the run is still trained."""
        return self.ended_at is None

    @property
    def current_epoch(self) -> int:
        return self.trainer.current_epoch

    @property
    def global_step(self) -> int:
        return self.trainer.global_step if self.ended_at is None else self.ended_at

    @property
    def optimizer(self) -> Any:
        return self.trainer.optimizers[self.number]

    @property
    def lr_scheduler_configs(self) -> list[Any]:
        configs = self.trainer.lr_scheduler_configs
        return configs and [configs[self.number]]

    def save_checkpoint(self, path: Path) -> None:
        """Have the checkpoint of the run written, which lies at ``path``, with those of the others."""
        self.wants_saving = True

    def attach(self, trainer: Trainer) -> None:
        """Give the run to the Trainer of the stack."""
        self.trainer = trainer
        self.learner.trainer = self  # type: ignore[assignment]

    def attempt(self, act: Callable[[], None]) -> None:
        """Let the run do something; it ends if that fails, and is to stop if all of its replicates are frozen."""
        try:
            act()
            self.learner.end_if_done()
        except (UserError, OSError) as error:
            place = self.recorder.file.parent
            self.failure = error if isinstance(error, UserError) else file_error(error, place)
            self.end()

    def end(self) -> None:
        """Let the run be trained no more."""
        if self.is_live:
            self.ended_at = self.trainer.global_step
            self.recorder.stop_clock()

    def session(self) -> Session:
        """Return the run as it stands after training, as if it had been trained alone."""
        trainer: Any = self
        return Session(self.task, self.learner, self.recorder, trainer, self.resumed, self.cfg, self.learner.ranks)
