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
    order = _candidates(torch.randperm(count, generator=stream), held, classes)
    held_out = order[_spread(len(order), held, stream)]
    sets = torch.zeros(count, dtype=torch.int64)
    sets[held_out] = 1
    sets[held_out[_spread(held, sizes[1], stream)]] = 2
    return sets


def fold_split(
    count: int, val_share: float, folds: int, fold: int, stream: torch.Generator, classes: Tensor | None = None
) -> Tensor:
    """Return the number in SETS of each sequence for one fold of a cross-validation (Stone 1974).

    The sequences are put in a random order, then by class, and dealt to the folds in turn: each is in the test of
    exactly one fold, and the folds differ by at most one sequence, in all and of each class. Validation is drawn from
    those left. All folds have equally many sequences for training.

    Args:
        count: N, of sequences.
        val_share: of all sequences.
        folds: their number.
        fold: the one that is the test, counted from 0.
        stream: decides everything; it must be the same for all folds.
        classes: [N], numbers of classes; None for sequences that are all alike.

    Raises:
        UserError: there are too few sequences for three sets.
    """
    largest = -(-count // folds)
    held = largest + max(1, round(count * val_share))
    if folds > count:
        raise UserError(f"{count} sequence{'s' * (count > 1)}: too few for task.folds={folds}; take fewer folds")
    if held >= count:
        raise UserError(
            f"{count} sequence{'s' * (count > 1)}: none is left for training with task.folds={folds} and"
            f" task.val_share={val_share}; take a smaller share"
        )
    order = torch.randperm(count, generator=stream)
    if classes is not None:
        order = order[classes[order].argsort(stable=True)]
    number = torch.arange(count) % folds
    test, rest = order[number == fold], order[number != fold]
    size = held - len(test)
    rest = _candidates(rest, size, classes)
    sets = torch.zeros(count, dtype=torch.int64)
    sets[test] = 2
    sets[rest[_spread(len(rest), size, stream)]] = 1
    return sets


def _candidates(order: Tensor, held: int, classes: Tensor | None) -> Tensor:
    """Return those of which some are held out, by class, and without rare classes if enough are left."""
    if classes is None:
        return order
    frequent = order[classes[order].bincount()[classes[order]] >= LEAST]
    return frequent[classes[frequent].argsort(stable=True)] if len(frequent) > held else order


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
