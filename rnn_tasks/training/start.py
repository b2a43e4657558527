"""Weights of another run to begin with, kept in the run directory: the other run may change, or go."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig
from torch import Tensor, nn

from rnn_tasks.errors import UserError
from rnn_tasks.seeds import digest
from rnn_tasks.training.checkpoints import model_weights, read_checkpoint, save

START = "start.ckpt"


def weights_digest(path: Path) -> str:
    """Return a hash of the weights in a checkpoint.

    Raises:
        UserError: it is damaged.
    """
    try:
        state, _, _ = model_weights(read_checkpoint(path))
    except UserError:
        raise UserError(f"model.weights={path}: is no checkpoint, or damaged; give a run or one of its .ckpt") from None
    return digest(state[name] for name in sorted(state))


def begin_with(model: nn.Module, cfg: DictConfig, run: Path, keep: bool = True) -> None:
    """Give a model the weights of a checkpoint.

    Args:
        model: of R replicates. From a checkpoint of R each takes its own, from one of a single network all take that,
            and a single network takes the best.
        cfg: the configuration of the run; the checkpoint in ``model.weights`` is not looked at again once it has been
            kept.
        run: the directory of the run that begins.
        keep: the weights in the run directory.

    Raises:
        UserError: the checkpoint is missing, damaged or has changed, or does not fit the model.
    """
    weights = cfg.model.weights
    kept = run / "checkpoints" / START
    path = kept if kept.exists() else Path(weights)
    if not path.is_file():
        raise UserError(f"model.weights={weights}: no such checkpoint")
    state, scores, failed = model_weights(read_checkpoint(path))
    if path != kept and weights_digest(path) != cfg.model.weights_digest:
        raise UserError(f"model.weights={weights}: has changed since the run began; take another name=")
    which = _chosen(getattr(model, "replicates", 1), scores, failed, weights)
    if hasattr(model, "replicates"):
        state = {name: tensor[which] for name, tensor in state.items()}
    _check_shapes(state, model.state_dict(), weights)
    if str(cfg.trainer.precision).startswith("64"):
        model.double()  # as Lightning does later, when digits are lost
    model.load_state_dict(state)
    if keep and path != kept:
        chosen = {"score": [scores[number] for number in which], "failed": [failed[number] for number in which]}
        save({"state_dict": state, **chosen}, kept)


def _chosen(replicates: int, scores: list[list[float] | None], failed: list[bool], weights: str) -> list[int]:
    """Return the number of the network in the checkpoint that each replicate begins with."""
    given = len(failed)
    if replicates == 1:
        best = max(range(given), key=lambda number: (not failed[number], scores[number] or [-1.0]))
        return [best]
    if given not in (1, replicates):
        raise UserError(
            f"model.weights={weights}: holds {given} networks; model.replicates={replicates} must be {given}, or 1 for"
            " the best"
        )
    return list(range(replicates)) if given > 1 else [0] * replicates


def _check_shapes(state: dict[str, Tensor], own: dict[str, Tensor], weights: str) -> None:
    for name in (*own, *state):
        shapes = [list(each[name].shape) if name in each else "missing" for each in (state, own)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"model.weights={weights}: does not fit, {name} is {shapes[0]} there and {shapes[1]} here; model and"
                " task must be those of that run"
            )
