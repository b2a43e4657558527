"""All parts of one training session, built from a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightning import Callback, Trainer
from omegaconf import DictConfig
from torch import nn

from rnn_tasks import memory
from rnn_tasks.config.instantiation import build
from rnn_tasks.errors import UserError, one_line
from rnn_tasks.models import Replicated
from rnn_tasks.tasks import Task
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.process import prepare_process
from rnn_tasks.training.ranks import ALONE, PeerLost, Ranks
from rnn_tasks.training.recorder import RunRecorder
from rnn_tasks.training.resuming import resume_point
from rnn_tasks.training.signals import StopSignals
from rnn_tasks.training.start import begin_with
from rnn_tasks.training.trainer import build_learner, build_loggers, build_trainer


@dataclass(frozen=True)
class Session:
    """What trains a run; all parts share one schedule.

    Attributes:
        task: its data.
        learner: its learning problem, with the model.
        recorder: what is kept of it.
        trainer: Lightning's Trainer.
        resumed: the checkpoint that it goes on from, None for a new run.
        cfg: its configuration.
        ranks: its processes.
    """

    task: Task
    learner: Learner
    recorder: RunRecorder
    trainer: Trainer
    resumed: Path | None
    cfg: DictConfig
    ranks: Ranks

    def fit(self) -> None:
        """Train to the end; the model stays on its device. The first of several processes then holds all of the run.

        Raises:
            UserError: the loss of all replicates became infinite or NaN.
            Interrupted: a signal has stopped the run.
        """
        try:
            self.trainer.fit(self.learner, datamodule=self.task, ckpt_path=self.resumed, weights_only=True)
        except Exception as error:
            told = isinstance(error, UserError | OSError | MemoryError | PeerLost)
            if told or self.resumed is None or self.recorder.begun:
                raise
            reason = one_line(error)[:100]
            raise UserError(f"{self.resumed}: does not fit its run ({reason}); delete it to begin again") from error
        if self.ranks.shard is not None:
            self._gather()
        self.learner.ranks = ALONE
        self.learner.to(self.trainer.strategy.root_device)  # Lightning has left it on the CPU

    def _gather(self) -> None:
        """Give the first process the replicates of all."""
        learner, ranks = self.learner, self.ranks
        learner.failed, learner.frozen = (ranks.all_replicates(each) for each in (learner.failed, learner.frozen))
        state = {name: ranks.all_replicates(tensor) for name, tensor in learner.model.state_dict().items()}
        learner.replicates = learner.all_replicates
        if ranks.is_main:
            precision = next(tensor.dtype for tensor in state.values() if tensor.is_floating_point())
            _, learner.model = build(self.cfg)
            learner.model.to(precision).load_state_dict(state)
            learner.trained = [each for each in learner.model.parameters() if each.requires_grad]


def build_session(
    cfg: DictConfig, run: Path, signals: StopSignals, callbacks: tuple[Callback, ...] = (), ranks: Ranks = ALONE
) -> Session:
    """Set up this process, draw the data and build everything that trains a run.

    Args:
        cfg: a checked configuration, see config.compose.
        run: the run directory.
        signals: those that ask the run to stop.
        callbacks: further ones, beside those of the configuration.
        ranks: the processes of the run, of which this is one; each builds a session.

    Raises:
        UserError: the data are missing, or a part of the configuration cannot be built.
    """
    prepare_process(cfg.threads, profile=bool(cfg.trainer.profiler) and ranks.is_main, rank=ranks.rank)
    task, model = build(ranks.own_part(cfg))
    task.setup()
    _require_equal(ranks, cfg, task, model)
    schedule = task.cut(cfg.trainer, cfg.model.get("replicates", 1))
    task.schedule = schedule
    if isinstance(model, Replicated):
        batch = min(task.batch_size, len(task.train))
        memory.require(model.bytes_of_states(batch, task.longest), f"task.batch_size={task.batch_size}")
    recorder = build_recorder(cfg, run, schedule, signals, ranks)
    resumed = resume_point(run, quiet=not ranks.is_main)
    learner = build_learner(cfg, task, model, schedule, ranks)
    loggers = build_loggers(cfg, run, resumed) if ranks.is_main else []
    trainer = build_trainer(cfg, schedule, run, [recorder, *callbacks], loggers, ranks)
    if cfg.model.get("weights") and resumed is None:
        _begin_with_weights(cfg, run, model, ranks)
    return Session(task, learner, recorder, trainer, resumed, cfg, ranks)


def build_recorder(
    cfg: DictConfig, run: Path, schedule: TrainSchedule, signals: StopSignals, ranks: Ranks = ALONE
) -> RunRecorder:
    """Return what is kept of a run; arguments as for ``build_session``."""
    early = {key: cfg.trainer[key] or 0 for key in ("patience", "min_epochs", "min_steps")}
    return RunRecorder(run, schedule, signals, ranks, **early)


def _require_equal(ranks: Ranks, cfg: DictConfig, task: Task, model: nn.Module) -> None:
    """Refuse a task whose examples, or a model whose initial weights, each process draws anew."""
    ranks.require_equal(f"task._target_={cfg.task._target_}", [task.train.inputs, task.train.targets])
    if ranks.split_batches:
        ranks.require_equal(f"model._target_={cfg.model._target_}", list(model.state_dict().values()))


def _begin_with_weights(cfg: DictConfig, run: Path, model: nn.Module, ranks: Ranks) -> None:
    """Give the model of this process the weights of another run; those of a shard are cut out of those of all."""
    whole = model if ranks.shard is None else build(cfg)[1]
    begin_with(whole, cfg, run, keep=ranks.is_main and not cfg.trainer.fast_dev_run)
    if ranks.shard is not None:
        model.to(next(whole.parameters()).dtype)
        model.load_state_dict({name: ranks.own(tensor) for name, tensor in whole.state_dict().items()})
