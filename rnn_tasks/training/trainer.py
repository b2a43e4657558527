"""Lightning's Trainer and the learning problem, built from a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import SingleDeviceStrategy
from omegaconf import DictConfig, OmegaConf

from rnn_tasks import internals
from rnn_tasks.config.instantiation import instantiated, located, parameters
from rnn_tasks.errors import UserError, one_line, tell
from rnn_tasks.files import refuse_ways_out
from rnn_tasks.tasks import Task
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training.checkpoints import AtomicCheckpointIO, read_checkpoint
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.optimization import Scheduling
from rnn_tasks.training.progress import Bar
from rnn_tasks.training.ranks import ALONE, Ranks

# Keys of ``cfg.trainer`` that the learner, the schedule and the recorder use; Lightning gets the others.
OWN = (
    *("patience", "gradient_clip_val", "gradient_clip_algorithm"),
    *("limit_train_batches", "accumulate_grad_batches", "val_check_interval", "max_steps", "max_epochs"),
)


def build_learner(
    cfg: DictConfig, task: Task, model: torch.nn.Module, schedule: TrainSchedule, ranks: Ranks = ALONE
) -> Learner:
    """Return the learning problem of a configuration."""
    loss = instantiated("loss", cfg.loss)
    return Learner(
        model,
        task,
        schedule,
        loss=partial(loss.func, **loss.keywords),  # not Hydra's wrapper, which checks it again at every call
        optimizer=instantiated("optimizer", _without_fused(cfg.optimizer)),
        scheduling=_scheduling(cfg.scheduler),
        clip=cfg.trainer.gradient_clip_val,
        clip_by=cfg.trainer.gradient_clip_algorithm,
        log_every=cfg.trainer.log_every_n_steps,
        ranks=ranks,
    )


def _without_fused(part: DictConfig) -> dict[str, Any]:
    """Return the optimizer's values without ``fused``, the project's own choice, for a class that does not take it."""
    known, complete = parameters(located("optimizer", str(part._target_)))
    return {str(key): part[key] for key in part if key != "fused" or key in known or not complete}


def _scheduling(part: DictConfig | None) -> Scheduling | None:
    """Return how the learning rate is scheduled; ``interval`` and ``monitor`` are the project's own words."""
    if part is None:
        return None
    own = {key: part[key] for key in ("interval", "monitor") if key in part}
    return Scheduling(instantiated("scheduler", {key: part[key] for key in part if key not in own}), **own)


def depends_on_length(scheduler: DictConfig | None) -> bool:
    """Return whether the learning rate at a step depends on the number of steps of the run."""
    scheduling = _scheduling(scheduler)
    return scheduling is not None and bool(scheduling.totals)


def build_trainer(
    cfg: DictConfig,
    schedule: TrainSchedule,
    run: Path,
    callbacks: list[Callback],
    loggers: list[Logger],
    ranks: Ranks = ALONE,
    checkpoints: AtomicCheckpointIO | None = None,
) -> Trainer:
    """Return the Trainer of a run: its callbacks, progress bar and loggers, and Lightning's own arguments.

    Args:
        cfg: the run's configuration.
        schedule: what its epochs are cut into.
        run: the run directory.
        callbacks: those of the run, which come before those of the configuration.
        loggers: of the run.
        ranks: the processes of the run, of which only the first shows and logs anything.
        checkpoints: writes and reads them, None for those of a single run.

    Raises:
        UserError: Lightning refuses an argument, or a callback or logger cannot be built.
    """
    arguments: dict[str, Any] = OmegaConf.to_container(cfg.trainer, resolve=True)  # type: ignore[assignment]
    arguments = {key: value for key, value in arguments.items() if key not in OWN}
    if ranks.size > 1:
        arguments |= _of_one(ranks)
    bar = [Bar(schedule)] if arguments["enable_progress_bar"] else []
    own = [_callback(str(name), part) for name, part in cfg.callbacks.items()]
    with refusals():
        trainer = Trainer(
            **arguments,
            max_epochs=schedule.epochs,
            callbacks=[*callbacks, *bar, *own],
            logger=loggers if ranks.is_main else DummyLogger(),
            plugins=[checkpoints or AtomicCheckpointIO(), LightningEnvironment()],
            default_root_dir=run,
            num_sanity_val_steps=0,
        )
    if trainer.world_size > 1:
        raise UserError(
            f"trainer.devices={cfg.trainer.devices}: gives {trainer.world_size} devices; take"
            f" trainer.devices={trainer.world_size} for a process on each, or trainer.devices=1"
        )
    slow = str(cfg.trainer.precision).startswith("bf16") and trainer.strategy.root_device.type == "cpu"
    if slow and internals.emulates_bfloat16():
        tell(f"trainer.precision={cfg.trainer.precision}: slow on this processor, which has no bfloat16; try 32-true")
    return trainer


def accelerator(cfg: DictConfig) -> str:
    """Return "cpu" or "cuda", what the processes of a run of several compute with.

    Raises:
        UserError: there is no such device, or fewer than processes.
    """
    named, size = str(cfg.trainer.accelerator), int(cfg.trainer.devices)
    given = f"trainer.devices={size} trainer.accelerator={named}"
    if named == "cpu" or (named == "auto" and not torch.cuda.is_available()):
        return "cpu"
    if named == "mps":
        raise UserError(f"{given}: there is one such device; take trainer.devices=1")
    if (count := torch.cuda.device_count()) < size:
        raise UserError(f"{given}: there are {count} GPUs; take fewer, or trainer.accelerator=cpu")
    return "cuda"


def _of_one(ranks: Ranks) -> dict[str, Any]:
    """Return the arguments of the Trainer of one of several processes."""
    kind = ranks.device.type
    arguments: dict[str, Any] = {"accelerator": kind, "devices": 1 if kind == "cpu" else [ranks.rank]}
    if not ranks.is_main:  # the time limit of the first holds for all
        quiet = ("enable_progress_bar", "enable_model_summary")
        arguments |= {"max_time": None, "profiler": None, **dict.fromkeys(quiet, False)}
        arguments["strategy"] = NotFirst(ranks)
    return arguments


class NotFirst(SingleDeviceStrategy):
    """Tells callbacks that this process is not the one that writes: ``trainer.is_global_zero``."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__(ranks.device)
        self.global_rank = ranks.rank

    @property
    def is_global_zero(self) -> bool:
        return False


def _callback(name: str, part: DictConfig) -> Callback:
    callback = instantiated(f"callbacks.{name}", part)
    if not isinstance(callback, Callback):
        raise UserError(f"callbacks.{name}: is a {type(callback).__name__}; must be a lightning.Callback")
    return callback


def build_loggers(cfg: DictConfig, run: Path, resumed: Path | None) -> list[Logger]:
    """Return the loggers, which write into the run directory where they write files.

    Args:
        cfg: the run's configuration.
        run: the run directory.
        resumed: the checkpoint that the run goes on from; TensorBoard's points behind it are dropped.
    """
    loggers = []
    for name, part in cfg.logger.items():
        arguments: dict[str, Any] = {"save_dir": str(run)}
        if "TensorBoard" in part._target_:
            arguments["purge_step"] = read_checkpoint(resumed)["global_step"] + 1 if resumed else 0
        if isinstance(part.get("name"), int | float):  # a directory's name, like 5
            part = OmegaConf.merge(part, {"name": str(part.name)})
        logger = instantiated(f"logger.{name}", part, **arguments)
        place = Path(getattr(logger, "log_dir", None) or run)
        if run.resolve() not in (place.resolve(), *place.resolve().parents):
            raise UserError(f"logger.{name}: would write to {place.resolve()}, must lie in the run directory {run}")
        refuse_ways_out(place, run)
        loggers.append(logger)
    return loggers


@contextmanager
def refusals() -> Iterator[None]:
    """Raise what Lightning itself says of a configuration that it cannot use as a UserError."""
    try:
        yield
    except (MisconfigurationException, ValueError, TypeError) as error:
        if not internals.raised_in_lightning(error):
            raise
        raise UserError(f"trainer: {one_line(error)}") from error
