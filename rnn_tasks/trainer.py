"""Lightning's Trainer as this project uses it."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from hydra.utils import instantiate
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.environments import LightningEnvironment
from omegaconf import DictConfig, OmegaConf

from rnn_tasks.checkpoints import AtomicCheckpointIO, Record
from rnn_tasks.console import Bar
from rnn_tasks.errors import UserError, one_line
from rnn_tasks.learner import Learner
from rnn_tasks.runs import read_checkpoint
from rnn_tasks.tasks import Task


def build_learner(cfg: DictConfig, task: Task, model: torch.nn.Module) -> Learner:
    """The learning problem of a configuration."""
    return Learner(
        model,
        loss=instantiate(cfg.loss),
        optimizer=instantiate(cfg.optimizer),
        scheduler=instantiate(cfg.scheduler),
        seed=cfg.seed,
        longest=task.longest,
        extra_steps=task.extra_steps,
    )


def build_trainer(cfg: DictConfig, run: Path) -> Trainer:
    """The Trainer of a run: its record, its logger, its bar, and Lightning's words from ``cfg.trainer``.

    Args:
        cfg: the run's configuration.
        run: the run directory.
    """
    _quieten(profiling=cfg.trainer.profiler is not None)  # Lightning logs a profile at level INFO
    torch.set_num_threads(cfg.threads)
    words = OmegaConf.to_container(cfg.trainer, resolve=True)
    callbacks: list[Callback] = [Record(run, words.pop("patience"))]
    if words["enable_progress_bar"]:
        callbacks.append(Bar())
    with refusals():
        return Trainer(
            **words,
            callbacks=callbacks,
            logger=_logger(cfg, run),
            plugins=[AtomicCheckpointIO(), LightningEnvironment()],
            default_root_dir=run,
            use_distributed_sampler=False,  # the task deals batches to processes itself
        )


@contextmanager
def refusals() -> Iterator[None]:
    """Raise what Lightning says of a configuration that it cannot use as a UserError."""
    try:
        yield
    except (MisconfigurationException, ValueError) as error:
        raise UserError(f"trainer: {one_line(error)}") from error


def resume_point(run: Path) -> Path | None:
    """The checkpoint to go on from, if there is one.

    Raises:
        UserError: it is damaged.
    """
    last = run / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return None
    read_checkpoint(last)
    return last


def _logger(cfg: DictConfig, run: Path) -> Logger:
    arguments = {"save_dir": str(run)}
    last = resume_point(run)
    if last is not None and "TensorBoard" in cfg.logger._target_:  # points after the checkpoint will come again
        arguments["purge_step"] = read_checkpoint(last)["global_step"] + 1
    return instantiate(cfg.logger, **arguments)


def _quieten(profiling: bool) -> None:
    """Leave out what Lightning says about things that are so on purpose."""
    logging.getLogger("lightning.pytorch").setLevel(logging.INFO if profiling else logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*is smaller than the logging interval.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
        ".*your dataloader is not resumable.*",  # Record sees to that
        ".*GPU available but not used.*",
    ):
        warnings.filterwarnings("ignore", message)
