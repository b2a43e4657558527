"""Dropout masks of networks that may differ in size, and zeros for the units that some of them lack."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


def dropout_masks(
    states: Tensor,
    streams: Sequence[torch.Generator],
    dropouts: Sequence[float],
    sizes: Sequence[int],
    hidden: int,
    first: int,
    of: int,
) -> Tensor:
    """Return what the states [R, B, T, W] are multiplied with in dropout, [R, B, T, W]: 0, or 1 / (1 - dropout).

    Args:
        states: of a layer; W is a multiple of ``hidden`` where networks differ in size.
        streams: of random numbers, of each network.
        dropouts: probability with which a state of each network is hidden.
        sizes: units of each network.
        hidden: units that each has in the states.
        first: number of the first row B among all rows of the batch.
        of: how many rows the whole batch has.
    """
    masks = []
    for each, stream, dropout, size in zip(states, streams, dropouts, sizes, strict=True):
        if size == hidden:
            masks.append(_mask(each, dropout, stream, first, of))
        else:
            own = each[..., : size * (states.shape[-1] // hidden)]
            masks.append(widened(_mask(own, dropout, stream, first, of), {2: size}, hidden))
    return torch.stack(masks)


def _mask(states: Tensor, dropout: float, stream: torch.Generator, first: int, of: int) -> Tensor:
    """Drawn time-first for all ``of`` rows, so that a mask for 9 steps is the beginning of one for 11: [B, T, H]."""
    batch, steps, width = states.shape
    kept = torch.rand(steps, of, width, generator=stream)[:, first : first + batch] >= dropout
    return kept.transpose(0, 1).to(states) / (1 - dropout)


def widened(tensor: Tensor, sizes: dict[int, int], hidden: int) -> Tensor:
    """Return a tensor with zeros for further units at the end of each block of units, as of a gate or direction.

    Args:
        tensor: of any shape.
        sizes: the units of a block along each axis that has such blocks.
        hidden: units of a block of the result.
    """
    for axis, size in sizes.items():
        split = tensor.unflatten(axis, (-1, size)).transpose(axis + 1, -1)
        tensor = pad(split, (0, hidden - size)).transpose(axis + 1, -1).flatten(axis, axis + 1)
    return tensor
