"""Tasks, models and other parts, built from the configuration."""

from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig

from rnn_tasks.errors import UserError, one_line

NOT_ARGUMENTS = ("lr", "losses")  # keys of a task that its constructor does not take


def build(cfg: DictConfig) -> tuple[Any, Any]:
    """Return the task (a rnn_tasks.tasks.Task) of a configuration and a fresh model (a torch.nn.Module) for it.

    Raises:
        UserError: a class is missing or refuses its values.
    """
    task = build_task(cfg)
    sizes = {"input_size": task.input_size, "output_size": task.output_size, "readout": task.readout}
    model = instantiated("model", cfg.model, **sizes, seed=cfg.seed)
    if getattr(model, "replicates", 1) != cfg.model.get("replicates", 1):
        raise UserError(f"model.replicates={cfg.model.replicates}: {cfg.model._target_} has none")
    return task, model


def build_task(cfg: DictConfig) -> Any:
    """Return the task (a rnn_tasks.tasks.Task) of a configuration, without data.

    Raises:
        UserError: its class is missing or refuses its values.
    """
    arguments = {key: value for key, value in cfg.task.items() if key not in NOT_ARGUMENTS}
    return instantiated("task", arguments, seed=cfg.seed, replicates=cfg.model.get("replicates", 1))


def instantiated(group: str, part: Any, **arguments: Any) -> Any:
    """Return the object that a part of the configuration describes.

    Args:
        group: the part's name, which begins the message of an error.
        part: a mapping with its class as ``_target_``; None gives None.
        arguments: further arguments of the class.

    Raises:
        UserError: the class is missing or refuses its arguments.
    """
    if part is None:
        return None
    try:
        return instantiate(part, **arguments)
    except InstantiationException as error:
        raise UserError(f"{group}: {one_line(error.__cause__ or error)}") from error
