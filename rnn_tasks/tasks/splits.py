"""Training, validation and test sets of whole sequences."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rnn_tasks.errors import UserError

SETS = ("train", "val", "test")
LEAST = len(SETS)  # sequences of a class that is spread over the sets


def split(
    count: int, val_share: float, test_share: float, stream: torch.Generator, classes: Tensor | None = None
) -> Tensor:
    """Return the number in SETS of each sequence, drawn so that each class has its share in every set.

    The sequences are put in a random order, then by class, and of this list those at equal distances are held out.
    Classes of fewer than three sequences are in training alone, unless too few sequences would be left.

    Args:
        count: N, of sequences.
        val_share, test_share: of all sequences.
        stream: decides everything.
        classes: [N], numbers of classes; None for sequences that are all alike.

    Raises:
        UserError: there are too few sequences for three sets.
    """
    sizes = [max(1, round(count * share)) for share in (val_share, test_share)]
    held = sum(sizes)
    if held >= count:
        raise UserError(
            f"{count} sequence{'s' * (count > 1)}: too few for training, validation and test sets with"
            f" task.val_share={val_share} and task.test_share={test_share}; take at least {LEAST}, or smaller shares"
        )
    order = torch.randperm(count, generator=stream)
    if classes is not None:
        frequent = order[classes.bincount()[classes[order]] >= LEAST]
        if len(frequent) > held:
            order = frequent[classes[frequent].argsort(stable=True)]
    held_out = order[_spread(len(order), held, stream)]
    sets = torch.zeros(count, dtype=torch.int64)
    sets[held_out] = 1
    sets[held_out[_spread(held, sizes[1], stream)]] = 2
    return sets


def _spread(count: int, chosen: int, stream: torch.Generator) -> Tensor:
    """Return so many numbers below ``count`` at equal distances, from a random beginning."""
    start = torch.rand((), generator=stream, dtype=torch.float64)
    return ((torch.arange(chosen, dtype=torch.float64) + start) * count / chosen).long()


def given_split(values: Sequence[str]) -> Tensor:
    """Return the number in SETS of each sequence from its name.

    Raises:
        UserError: a set has no sequence.
    """
    for name in SETS:
        if name not in values:
            raise UserError(f"no sequence is for {name!r}; each of {', '.join(SETS)} needs at least one")
    return torch.tensor([SETS.index(value) for value in values])
