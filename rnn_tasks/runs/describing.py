"""What a run keeps of its data file, so that it can answer without it and notices when it has changed."""

from __future__ import annotations

from omegaconf import DictConfig

from rnn_tasks.config.instantiation import build_task
from rnn_tasks.config.stored import conf_file
from rnn_tasks.errors import UserError

LOSSES = {"bits": ("bce", "mse"), "classes": ("ce", "mse"), "numbers": ("squared",)}  # that suit, the default first
MODULE = "rnn_tasks.training.losses."


def describe_data(cfg: DictConfig) -> None:
    """Add what was understood of a data file to the configuration of a run that begins, if its task reads one.

    ``task.digest`` is a hash of the file, ``task.description`` what a task needs to be built without it; ``loss=auto``
    becomes the loss that suits the targets. The automaton of a regular task takes the place of its file.

    Args:
        cfg: the configuration; one that has a description stays as it is.

    Raises:
        UserError: the file cannot be read or understood, or the loss does not suit its targets.
    """
    if "states" in cfg.task and cfg.task.path is not None:
        from rnn_tasks.tasks.automaton_tables import as_states  # imports torch, which takes seconds

        task = build_task(cfg)
        cfg.task.alphabet, cfg.task.path = list(task.machine.alphabet), None
        cfg.task.states = as_states(task.machine, task.answer_names)
    if "description" not in cfg.task or cfg.task.description is not None:
        return
    task = build_task(cfg)
    cfg.task.digest, cfg.task.description = task.digest, task.description
    suitable, kind = LOSSES[task.format.kind], task.format.kind
    loss = str(cfg.loss._target_).removeprefix(MODULE)
    if loss == "auto":
        cfg.loss = conf_file(f"loss/{suitable[0]}")
    elif loss not in suitable and str(cfg.loss._target_).startswith(MODULE):
        raise UserError(f"loss={loss}: does not suit targets that are {kind}; choose {' or '.join(suitable)}")
