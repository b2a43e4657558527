"""Batches that several processes compute together, each some rows of every batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rnn_tasks.tasks.base import Batch
from rnn_tasks.training.ranks import Ranks


class Rows(NamedTuple):
    """Rows ``first`` to ``last``, without that one, of a batch.

    There is always one to compute with, but it does not count where a batch has fewer rows than there are processes.

    Attributes:
        key: what decides dropout beside the number of the batch; empty for a model that knows which rows these are.
    """

    first: int
    last: int
    counts: bool
    key: tuple[int, ...]

    def of(self, values: Tensor, axis: int = 1) -> Tensor:
        """Return these rows of the values of all."""
        return values.narrow(axis, self.first, self.last - self.first)

    def of_batch(self, batch: Batch, weight: Tensor) -> tuple[Batch, Tensor]:
        """Return these rows of a batch, and of the weights of its losses."""
        return batch.each(self.of), self.of(weight) * self.counts

    def of_chunk(self, chunk: Batch) -> Batch:
        """Return these rows of the batches of a chunk."""
        return chunk.each(lambda part: self.of(part, 2))


class SharedBatches:
    """What this process computes of each batch, and what it tells the others of it.

    Args:
        ranks: the processes of the run.
        model: learns from its attribute ``rows`` which rows it gets, if it has one.
    """

    def __init__(self, ranks: Ranks, model: nn.Module) -> None:
        self.ranks, self.model = ranks, model
        self.losses: list[Tensor] = []  # since the last optimizer step

    def rows(self, count: int) -> Rows:
        """Return which of the ``count`` rows of a batch this process computes, and tell the model."""
        first, last = (-(-count * rank // self.ranks.size) for rank in (self.ranks.rank, self.ranks.rank + 1))
        if counts := first < last:
            rows = Rows(first, last, counts, self.ranks.key)
        else:
            rows = Rows(0, 1, counts, self.ranks.key)
        if hasattr(self.model, "rows"):
            self.model.rows = (rows.first, count)  # type: ignore[assignment]
            return rows._replace(key=())
        return rows

    def validates(self, batch_index: int) -> bool:
        """Return whether this process measures a batch of the validation."""
        return batch_index % self.ranks.size == self.ranks.rank

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> tuple[Tensor, Tensor]:
        """Replace the gradients by their sums over all processes.

        Returns:
            The losses of all rows, [R]: of the batches since the last optimizer step, and of the last batch.
        """
        losses = torch.stack((torch.stack(self.losses).sum(0), self.losses[-1]))
        self.losses = []
        return self.ranks.add_gradients(parameters, losses).unbind()  # type: ignore[return-value]
