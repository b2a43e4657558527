"""The checkpoint of a run whose replicates are split over processes: one of all, as one process writes it."""

from __future__ import annotations

from typing import Any

import torch

from rnn_tasks.training.ranks import Ranks, Shard

KEEPER = "RunRecorder"  # the callback whose state has the best weights


def merge(checkpoint: dict[str, Any], ranks: Ranks, shapes: list[torch.Size]) -> None:
    """Put the tensors of all replicates in the place of those of this process; all processes do so together.

    Args:
        checkpoint: of the replicates of this process.
        ranks: the processes of the run.
        shapes: of the parameters, which tell what of an optimizer's state belongs to replicates.
    """
    places = _places(checkpoint, shapes)
    parts = ranks.exchange([node[key].cpu() for node, key in places])
    for (node, key), *same in zip(places, *parts, strict=True):
        node[key] = torch.cat(same)


def cut(checkpoint: dict[str, Any], shard: Shard, shapes: list[torch.Size]) -> None:
    """Leave of the tensors of all replicates those of this process.

    Args:
        checkpoint: of all replicates.
        shard: the replicates of this process.
        shapes: of its parameters.
    """
    for node, key in _places(checkpoint, [torch.Size([shard.of, *shape[1:]]) for shape in shapes]):
        node[key] = node[key][shard.first : shard.last].clone()


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
