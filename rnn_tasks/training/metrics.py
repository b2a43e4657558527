"""Counts of right answers, of whole sequences and of their parts, at every length."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

EVERY = slice(None)


class Tally(Metric):
    """Losses and right answers, kept apart by replicate and length.

    An accuracy is the share of single answers that are right (of bits, for a sum), a sequence accuracy the share of
    sequences all of whose answers are right. Both are lists with a number for each replicate.

    Args:
        replicates: R.
        longest: steps of the longest sequence.
        extra_steps: steps of a sequence beyond its length.

    Attributes:
        sums: [R, longest + 1, 5], by steps: sequences, answers, sum of their losses, right answers, sequences whose
            answers are all right.
    """

    full_state_update = False
    sums: Tensor

    def __init__(self, replicates: int, longest: int, extra_steps: int = 0) -> None:
        super().__init__(sync_on_compute=False, compute_with_cache=False)
        self.extra_steps = extra_steps
        zeros = torch.zeros(replicates, longest + 1, 5, dtype=torch.float64)
        self.add_state("sums", zeros, dist_reduce_fx="sum", persistent=True)

    def update(
        self, losses: Tensor, right: Tensor, lengths: Tensor, counts: Tensor, rows: Tensor | slice = EVERY
    ) -> None:
        """Count a batch, or a chunk of N batches, of each replicate.

        Args:
            losses: [R, B] or [R, B, T], with a leading N for a chunk; zero where no answer is asked.
            right: the same, true where no answer is asked.
            lengths: [R, B] or [N, R, B], real steps.
            counts: the same, how many answers are asked.
            rows: the replicates that are counted, where these are not all; R is then their number.
        """
        if losses.dim() > lengths.dim():
            right_answers = right.sum(-1) - (right.shape[-1] - counts)
            columns = (torch.ones_like(lengths), counts, losses.sum(-1), right_answers, right_answers == counts)
        else:
            ones = torch.ones_like(losses)
            columns = (ones, ones, losses, right, right)
        replicates, longest, _ = self.sums.shape
        numbers = torch.arange(replicates, device=lengths.device)[rows]
        places = (lengths + longest * numbers[:, None]).flatten()
        counts = torch.stack([column.double() for column in columns], -1).flatten(0, -2)
        self.sums = self.sums.double()  # trainer.precision may have changed it
        self.sums.view(-1, 5).index_add_(0, places, counts)

    def compute(self) -> dict[str, Any]:
        """Return what ``results`` gives for all replicates, which torchmetrics takes some time to look through."""
        return self.results()

    def results(self, failed: list[bool] | None = None) -> dict[str, Any]:
        """Return counts, and lists with a number for each replicate: over all sequences, and by length.

        Args:
            failed: replicates whose numbers are left out; None stands in their place.
        """
        failed = failed or [False] * len(self.sums)
        seen = self.sums[0, :, 0].nonzero().flatten().tolist()
        by_length = {
            str(steps - self.extra_steps): _shares(self.sums[:, steps].tolist(), failed)
            for steps in seen
            if steps >= self.extra_steps
        }
        return {**_shares(self.sums.sum(1).tolist(), failed), "by_length": by_length}


def _shares(sums: list[list[float]], failed: list[bool]) -> dict[str, Any]:
    def share(column: int, of: int) -> list[float | None]:
        return [None if bad else row[column] / max(row[of], 1) for row, bad in zip(sums, failed, strict=True)]

    return {
        "n": int(sums[0][0]),
        "answers": int(sums[0][1]),
        "loss": share(2, of=1),
        "accuracy": share(3, of=1),
        "sequence_accuracy": share(4, of=0),
    }


class Reliability:
    """How often answers given with a confidence are right, in 15 bins of confidence of equal width.

    Source: Guo, Pleiss, Sun and Weinberger 2017.

    Args:
        replicates: R.

    Attributes:
        sums: [R, 15, 3], by bin: answers, sum of their confidences, right answers.
    """

    BINS = 15

    def __init__(self, replicates: int) -> None:
        self.sums = torch.zeros(replicates, self.BINS, 3, dtype=torch.float64)

    def update(self, confidences: Tensor, right: Tensor) -> None:
        """Count the answers of each replicate: confidences from 0 to 1 and whether they are right, [R, B] each."""
        bins = (confidences * self.BINS).ceil().long().clamp(1, self.BINS) - 1
        counts = torch.stack((torch.ones_like(confidences), confidences, right), -1).double()
        self.sums.scatter_add_(1, bins[..., None].expand(counts.shape), counts)

    def compute(self, failed: list[bool]) -> dict[str, Any]:
        """Return the expected calibration error (Naeini, Cooper and Hauskrecht 2015) of each replicate, and its bins.

        The error is the mean distance between confidence and share of right answers over the bins, weighted by their
        answers. A bin is [answers, sum of their confidences, right answers].

        Args:
            failed: replicates whose numbers are left out; None stands in their place.
        """
        answers, confidences, right = self.sums.unbind(-1)
        errors = ((confidences - right).abs().sum(1) / answers.sum(1)).tolist()
        return {
            "calibration_error": [None if bad else error for bad, error in zip(failed, errors, strict=True)],
            "bins": [None if bad else bins for bad, bins in zip(failed, self.sums.tolist(), strict=True)],
        }


def sort_keys(metrics: dict[str, Any]) -> list[list[float] | None]:
    """Return the sort key of each replicate: sequence accuracy, ties broken by lower loss; None if it failed."""
    pairs = zip(metrics["sequence_accuracy"], metrics["loss"], strict=True)
    return [None if loss is None else [accuracy, -loss] for accuracy, loss in pairs]


def best_replicate(keys: list[list[float] | None]) -> int:
    """Return the number of the best replicate by its sort key, 0 if all have failed."""
    return max(range(len(keys)), key=lambda number: keys[number] or [-1.0], default=0)
