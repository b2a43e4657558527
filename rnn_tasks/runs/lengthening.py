"""More epochs for a run that has begun, or finished."""

from pathlib import Path

from omegaconf import DictConfig

from rnn_tasks.errors import UserError
from rnn_tasks.runs.directory import claimed, is_own, read_config, write_config
from rnn_tasks.runs.results import RESULT


def lengthen(run: Path, epochs: int, trust: bool = False) -> DictConfig:
    """Give a run, finished or not, more epochs, and return its new configuration.

    Raises:
        UserError: it has more epochs, its learning rate depends on their number, or it has ended for another reason
            than their number; it has nothing to go on from; another process trains there.
    """
    with claimed(run):
        cfg = read_config(run, trust)
        given = f"trainer.max_epochs={epochs}"
        if not 0 <= cfg.trainer.max_epochs <= epochs:
            raise UserError(f"{given}: must be at least the {cfg.trainer.max_epochs} that {run} has")
        if epochs > cfg.trainer.max_epochs:
            if reason := _fixed_length(run, cfg):
                raise UserError(f"{given}: {run} cannot be lengthened, {reason}")
            own = is_own(run)
            (run / RESULT).unlink(missing_ok=True)
            cfg.trainer.max_epochs = epochs
            write_config(run, cfg, own)
    return cfg


def _fixed_length(run: Path, cfg: DictConfig) -> str | None:
    """Return why a run cannot have more epochs, if it cannot."""
    from rnn_tasks.training.checkpoints import read_checkpoint  # these import torch, which takes seconds
    from rnn_tasks.training.resuming import resume_point
    from rnn_tasks.training.trainer import depends_on_length

    if depends_on_length(cfg.scheduler):
        return "its learning rate falls over all epochs; scheduler=none from the start lets a run be lengthened"
    path = resume_point(run, quiet=True)
    if path is None:
        return "it has finished without a checkpoint to go on from" if (run / RESULT).exists() else None
    checkpoint = read_checkpoint(path)
    if 0 < cfg.trainer.max_steps <= checkpoint["global_step"]:
        return f"it has made all of trainer.max_steps={cfg.trainer.max_steps}"
    if bool(checkpoint["state_dict"]["frozen"].all()):
        return "all its networks have failed, or have been stopped by trainer.patience"
    return None
