"""Counting right answers, of whole sequences and of their parts, at every length."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

KINDS = ("loss", "accuracy", "sequence_accuracy")


class Tally(Metric):
    """Losses and right answers, kept apart by length.

    An accuracy is the share of single answers that are right (of bits, for a sum), a sequence accuracy the share of
    sequences all of whose answers are right. Both are lists with a number for each replicate.

    Args:
        longest: steps of the longest sequence.
        extra_steps: steps of a sequence beyond its length.
        shared: each of several processes counts a part, the numbers are those of all.
    """

    full_state_update = False

    def __init__(self, longest: int, extra_steps: int = 0, shared: bool = False) -> None:
        super().__init__(sync_on_compute=shared)
        self.extra_steps = extra_steps
        # by steps: sequences, answers, sum of their losses, right answers, sequences that are all right
        self.add_state("sums", torch.zeros(longest + 1, 5, dtype=torch.float64), dist_reduce_fx="sum", persistent=True)

    def update(self, losses: Tensor, right: Tensor, lengths: Tensor) -> None:
        """Count a batch.

        Args:
            losses: [B] or [B, T], zero in the padding.
            right: the same, true in the padding.
            lengths: [B], real steps.
        """
        if losses.dim() == 1:
            one = torch.ones_like(losses)
            columns = (one, one, losses, right, right)
        else:
            rights = right.sum(-1) - (right.shape[-1] - lengths)
            columns = (torch.ones_like(lengths), lengths, losses.sum(-1), rights, rights == lengths)
        self.sums = self.sums.double()  # which trainer.precision may have changed
        self.sums.index_add_(0, lengths, torch.stack([column.double() for column in columns], -1))

    def compute(self) -> dict[str, Any]:
        """Counts, and lists of one number for each replicate: over all sequences, and by length."""
        by_length = {
            str(steps - self.extra_steps): _shares(sums)
            for steps, sums in enumerate(self.sums.tolist())
            if sums[0] and steps >= self.extra_steps
        }
        return {**_shares(self.sums.sum(0).tolist()), "by_length": by_length}


def _shares(sums: list[float]) -> dict[str, Any]:
    sequences, answers, loss, right, all_right = sums
    return {
        "n": int(sequences),
        "loss": [loss / max(answers, 1)],
        "accuracy": [right / max(answers, 1)],
        "sequence_accuracy": [all_right / max(sequences, 1)],
    }
