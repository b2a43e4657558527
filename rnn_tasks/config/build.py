"""Tasks, models and other parts, built from the configuration."""

from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from rnn_tasks.errors import UserError, one_line

if TYPE_CHECKING:  # torch is imported when a model is built or loaded: a missing run is known before
    from torch import nn

    from rnn_tasks.tasks import Task


NOT_ARGUMENTS = ("lr", "losses")  # values of a task that are no arguments of its class


def build(cfg: DictConfig) -> "tuple[Task, nn.Module]":
    """The task of a configuration and a fresh model for it."""
    task = build_task(cfg)
    sizes = {"input_size": task.input_size, "output_size": task.output_size, "readout": task.readout}
    model = instantiated("model", cfg.model, **sizes, seed=cfg.seed)
    if getattr(model, "replicates", 1) != cfg.model.get("replicates", 1):
        raise UserError(f"model.replicates={cfg.model.replicates}: {cfg.model._target_} has none")
    return task, model


def build_task(cfg: DictConfig) -> "Task":
    """The task alone."""
    arguments = {key: value for key, value in cfg.task.items() if key not in NOT_ARGUMENTS}
    return instantiated("task", arguments, seed=cfg.seed, replicates=cfg.model.get("replicates", 1))


def instantiated(what: str, cfg: Any, **values: Any) -> Any:
    """What a part of the configuration describes.

    Args:
        what: its name, for the message.
        cfg: the part, with its ``_target_``; nothing comes of nothing.
        values: further arguments.

    Raises:
        UserError: its class is not there or refuses the values.
    """
    if cfg is None:
        return None
    try:
        return instantiate(cfg, **values)
    except InstantiationException as error:
        raise UserError(f"{what}: {one_line(error.__cause__ or error)}") from error
