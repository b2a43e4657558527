"""Checkpoints of a run in several processes: one of the whole run, as one process writes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from rnn_tasks.training.ranks import Ranks

TALLIES = ("train_tally.sums", "val_tally.sums")  # of the learner: what has been counted of an epoch
KEEPER = "RunRecorder"  # the callback whose state has the best weights


def put_together(checkpoint: dict[str, Any], ranks: Ranks, model: nn.Module) -> None:
    """Make a checkpoint of this process one of the whole run; all processes do so together.

    Args:
        checkpoint: of the replicates of this process, or of its rows of the batches.
        ranks: the processes of the run.
        model: of this process; its parameters tell what of an optimizer's state belongs to replicates.
    """
    state = checkpoint["state_dict"]
    if ranks.split_batches:
        state |= {name: ranks.sums(state[name]) for name in TALLIES}
    if ranks.shard is None:
        return
    places = _places(checkpoint, [parameter.shape for parameter in model.parameters()])
    parts = ranks.exchange([node[key].cpu() for node, key in places])
    for (node, key), *same in zip(places, *parts, strict=True):
        node[key] = torch.cat(same)


def take_own(checkpoint: dict[str, Any], ranks: Ranks, model: nn.Module) -> None:
    """Leave in a checkpoint of the whole run what belongs to this process; arguments as for ``put_together``."""
    state = checkpoint["state_dict"]
    if ranks.split_batches and not ranks.is_main:  # the first process has counted all
        state |= {name: torch.zeros_like(state[name]) for name in TALLIES}
    if ranks.shard is None:
        return
    shapes = [torch.Size([ranks.shard.of, *parameter.shape[1:]]) for parameter in model.parameters()]
    for node, key in _places(checkpoint, shapes):
        node[key] = ranks.own(node[key]).clone()


def _places(checkpoint: dict[str, Any], shapes: list[torch.Size]) -> list[tuple[dict[Any, Any], Any]]:
    """Return the tensors with an axis over replicates, each as a mapping, copied from the living one, and its key."""
    keeper = checkpoint["callbacks"][KEEPER]
    keeper = checkpoint["callbacks"][KEEPER] = {**keeper, "weights": dict(keeper["weights"])}
    places = [(node, key) for node in (checkpoint["state_dict"], keeper["weights"]) for key in node]
    for optimizer in checkpoint["optimizer_states"]:
        optimizer["state"] = {number: dict(state) for number, state in optimizer["state"].items()}
        for number, state in optimizer["state"].items():
            places += [(state, key) for key, value in state.items() if getattr(value, "shape", None) == shapes[number]]
    return places
