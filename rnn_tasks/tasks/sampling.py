"""In which order, and how many at once, the batches of an epoch are dealt."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Sampler

from rnn_tasks.errors import UserError
from rnn_tasks.seeds import generator


@dataclass(frozen=True)
class Pace:
    """Lightning's words for what happens between the steps of an epoch, counted in batches and in optimizer steps.

    A chunk of many batches is one step for Lightning's Trainer, so it cannot count them itself.

    Attributes:
        limit: batches of an epoch, as a number or as a share.
        accumulate: batches whose gradients make one optimizer step.
        validate: batches from one validation to the next, as a number or as a share of an epoch.
        max_steps: optimizer steps of the run, -1 for no end.
        max_epochs: of the run, -1 for no end.
    """

    limit: int | float = 1.0
    accumulate: int = 1
    validate: int | float = 1.0
    max_steps: int = -1
    max_epochs: int = -1


class ReplicateBatchSampler(Sampler[Tensor]):
    """The batches of an epoch for each of R replicates, in an order that depends on (seed, epoch) alone.

    Gives indices [N, R, B] of chunks of N batches. A chunk ends where something else has to happen: before a
    validation, at the last step of a run, before a smaller last batch.

    Args:
        size: examples of the set.
        batch_size: B, examples of a batch; the last batch of an epoch may be smaller.
        seeds: of the replicates.
        pace: what happens when.
        chunk: batches of a chunk, at most.
        rank: which of ``ranks`` processes this is; each takes every ``ranks``-th batch.
    """

    def __init__(
        self, size: int, batch_size: int, seeds: range, pace: Pace, chunk: int = 1, rank: int = 0, ranks: int = 1
    ) -> None:
        self.size, self.batch_size, self.seeds, self.chunk = size, batch_size, seeds, chunk
        self.rank, self.ranks, self.accumulate = rank, ranks, pace.accumulate
        total = -(-size // batch_size) // ranks
        self.batches = min(pace.limit, total) if isinstance(pace.limit, int) else int(pace.limit * total)
        if not self.batches:
            raise UserError(
                f"trainer.limit_train_batches={pace.limit}: leaves nothing of the {total} batches of an epoch"
            )
        shared = isinstance(pace.validate, float)
        self.validate = max(1, int(pace.validate * self.batches)) if shared else pace.validate
        if self.validate > self.batches:
            raise UserError(
                f"trainer.val_check_interval={pace.validate}: an epoch has {self.batches} batches; take at most that,"
                " or a share like 0.5"
            )
        self.steps = -(-self.batches // self.accumulate)  # of an epoch
        limits = [self.steps * pace.max_epochs if pace.max_epochs >= 0 else -1, pace.max_steps]
        self.total_steps = min((limit for limit in limits if limit >= 0), default=None)  # of the run
        self.max_steps = pace.max_steps
        self.epoch = 0
        self.done = 0  # chunks of the epoch that need not be dealt again

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._cuts(-1))

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """The first batch of each chunk of the epoch and the one behind its last."""
        return self._cuts(self.max_steps - self.epoch * self.steps if self.max_steps >= 0 else -1)

    def _cuts(self, steps_left: int) -> list[tuple[int, int]]:
        last = self.batches if steps_left < 0 else min(self.batches, steps_left * self.accumulate)
        full = self.size // self.batch_size // self.ranks
        ends = {*range(self.validate, last, self.validate), last, min(full, last)}
        chunks, start = [], 0
        for end in sorted(ends - {0}):
            chunks += [(a, min(a + self.chunk, end)) for a in range(start, end, self.chunk)]
            start = end
        return chunks

    def __iter__(self) -> Iterator[Tensor]:
        # A generator, so that the epoch is read when the first chunk is asked for, not before it is set.
        orders = [torch.randperm(self.size, generator=generator(seed, "order", self.epoch)) for seed in self.seeds]
        batches = torch.stack(orders).split(self.batch_size, 1)[self.rank :: self.ranks]
        done, self.done = self.done, 0
        for start, end in self.chunks[done:]:
            yield torch.stack(batches[start:end])
