"""Lightning's Trainer as this project uses it."""

import ctypes
import logging
import os
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import torch
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.plugins.environments import LightningEnvironment
from omegaconf import DictConfig, OmegaConf

from rnn_tasks.config.build import instantiated
from rnn_tasks.errors import UserError, one_line
from rnn_tasks.tasks import Task
from rnn_tasks.tasks.sampling import Pace
from rnn_tasks.training.checkpoints import AtomicCheckpointIO, read_checkpoint
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.progress import Bar
from rnn_tasks.training.recorder import RunRecorder


def build_learner(cfg: DictConfig, task: Task, model: torch.nn.Module) -> Learner:
    """The learning problem of a configuration."""
    loss = instantiated("loss", cfg.loss)
    return Learner(
        model,
        loss=partial(loss.func, **loss.keywords),  # not Hydra's wrapper, which checks it again at every call
        optimizer=instantiated("optimizer", cfg.optimizer),
        scheduler=instantiated("scheduler", cfg.scheduler),
        longest=task.longest,
        extra_steps=task.extra_steps,
        answers_at_every_step=task.readout == "every_step",
        clip=cfg.trainer.gradient_clip_val,
        clip_by=cfg.trainer.gradient_clip_algorithm,
        augment=task.augment,
    )


def build_trainer(cfg: DictConfig, task: Task, run: Path, record: RunRecorder) -> Trainer:
    """The Trainer of a run: its record, its logger, its bar, and Lightning's words from ``cfg.trainer``.

    Those that count batches or optimizer steps go to the task's pace, since a step of Lightning's is a chunk of them.

    Args:
        cfg: the run's configuration.
        task: its data.
        run: the run directory.
        record: what is kept of it.
    """
    _quieten()
    _keep_memory()
    torch.set_num_threads(cfg.threads)
    words = OmegaConf.to_container(cfg.trainer, resolve=True)
    for own in ("patience", "gradient_clip_val", "gradient_clip_algorithm"):
        del words[own]
    paced = ("limit_train_batches", "accumulate_grad_batches", "val_check_interval", "max_steps")
    limit, accumulate, validate, max_steps = (words.pop(word) for word in paced)
    if trial := int(words["fast_dev_run"]):
        limit, validate, max_steps = trial, 1.0, trial
    task.pace = Pace(limit, accumulate, validate, max_steps, words["max_epochs"])
    arguments = {"save_dir": str(run)}
    if "TensorBoard" in cfg.logger._target_:  # points of steps that are about to be trained again
        last = resume_point(run)
        arguments["purge_step"] = read_checkpoint(last)["global_step"] + 1 if last else 0
    if not torch.cuda.is_available():  # Lightning's choice, which makes each optimizer step look for one again
        os.environ.pop("PYTORCH_NVML_BASED_CUDA_CHECK", None)
    with refusals():
        trainer = Trainer(
            **words,
            callbacks=[record, Bar()] if words["enable_progress_bar"] else [record],
            logger=instantiated("logger", cfg.logger, **arguments),
            plugins=[AtomicCheckpointIO(), LightningEnvironment()],
            default_root_dir=run,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # the task deals batches to processes itself
        )
    if words["profiler"]:
        logging.getLogger("lightning.pytorch").setLevel(logging.INFO)  # the level of Lightning's table
    return trainer


@contextmanager
def refusals() -> Iterator[None]:
    """Raise what Lightning itself says of a configuration that it cannot use as a UserError."""
    try:
        yield
    except (MisconfigurationException, ValueError, TypeError) as error:
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        if "lightning" not in raised_in.parts:
            raise
        raise UserError(f"trainer: {one_line(error)}") from error


def resume_point(run: Path) -> Path | None:
    """The checkpoint to go on from, if there is one."""
    last = run / "checkpoints" / "last.ckpt"
    return last if last.is_file() else None


def _keep_memory() -> None:
    """Let glibc keep freed blocks: to fetch large ones anew at every step takes longer than a tanh of them."""
    trim_threshold, mmap_threshold = -1, -3
    with suppress(AttributeError, OSError, TypeError):  # other systems have no such call
        library = ctypes.CDLL(None)
        for parameter in (trim_threshold, mmap_threshold):
            library.mallopt(parameter, 1 << 30)


def _quieten() -> None:
    """Leave out what Lightning says about things that are so on purpose."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*is smaller than the logging interval.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
        ".*your dataloader is not resumable.*",  # RunRecorder sees to that
        ".*GPU available but not used.*",
    ):
        warnings.filterwarnings("ignore", message)
