"""When things happen in training: what an epoch is cut into, and in which order its examples come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler

from rnn_tasks import checks
from rnn_tasks.errors import UserError
from rnn_tasks.seeds import generator

CHUNK_NUMBERS, CHUNK_BATCHES = 500_000, 100  # a chunk has at most this many input values and batches


class TrainSchedule:
    """The schedule of a run, counted in batches and in optimizer steps.

    One step of Lightning's Trainer is a chunk of many batches, so the Trainer cannot count them itself. A chunk ends
    where something else has to happen: before a validation, at the last step of the run, before a smaller last batch.

    Args:
        size: examples of the training set.
        batch_size: examples of a batch; the last batch of an epoch may be smaller.
        chunk: batches of a chunk, at most.
        limit_train_batches: batches of an epoch, as a number or as a share.
        accumulate_grad_batches: batches whose gradients make one optimizer step.
        val_check_interval: batches between two validations, as a number or as a share of an epoch.
        max_steps: optimizer steps of the run, -1 for no limit.
        max_epochs: epochs of the run, -1 for no limit.

    Attributes:
        batches: of an epoch.
        examples: of an epoch.
        steps: optimizer steps of an epoch.
        total_steps: optimizer steps of the run, None without a limit.
        epochs: of the run, the last of which may be cut short by max_steps; -1 without a limit.
        chunks_done: chunks of the current epoch that a resumed run has trained already; the sampler skips them once.

    Raises:
        ValueError: a value is out of its range.
        UserError: an epoch would have no batch, or fewer batches than there are between two validations.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        chunk: int = 1,
        limit_train_batches: int | float = 1.0,
        accumulate_grad_batches: int = 1,
        val_check_interval: int | float = 1.0,
        max_steps: int = -1,
        max_epochs: int = -1,
    ) -> None:
        checks.whole_numbers(1, size=size, batch_size=batch_size, chunk=chunk)
        checks.whole_numbers(1, accumulate_grad_batches=accumulate_grad_batches)
        checks.whole_numbers(-1, max_steps=max_steps, max_epochs=max_epochs)
        for name, value in (("limit_train_batches", limit_train_batches), ("val_check_interval", val_check_interval)):
            share = isinstance(value, float) and 0 < value <= 1
            whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
            checks.require(share or whole, name, value, "a number of batches, or a share like 0.5")
        self.size, self.batch_size, self.chunk = size, batch_size, chunk
        self.accumulate, self.max_steps = accumulate_grad_batches, max_steps
        total = -(-size // batch_size)
        limit = limit_train_batches
        self.batches = min(limit, total) if isinstance(limit, int) else int(limit * total)
        if not self.batches:
            raise UserError(f"trainer.limit_train_batches={limit}: leaves nothing of the {total} batches of an epoch")
        interval = val_check_interval
        self.examples = min(size, self.batches * batch_size)
        self.validate_every = max(1, int(interval * self.batches)) if isinstance(interval, float) else interval
        if self.validate_every > self.batches:
            raise UserError(
                f"trainer.val_check_interval={interval}: must be at most {self.batches}, the batches of an epoch,"
                " or a share like 0.5"
            )
        self.steps = -(-self.batches // self.accumulate)
        limits = [self.steps * max_epochs if max_epochs >= 0 else -1, max_steps]
        self.total_steps = min((steps for steps in limits if steps >= 0), default=None)
        self.epochs = -1 if self.total_steps is None else -(-self.total_steps // self.steps)
        self.chunks_done = 0

    @classmethod
    def of(cls, trainer: Mapping[str, Any], size: int, numbers: int, batch_size: int, replicates: int) -> TrainSchedule:
        """Return the schedule that the configuration's ``trainer`` asks for.

        Args:
            trainer: Lightning's arguments, with ``fast_dev_run`` as the number of steps of a trial.
            size: examples of the training set.
            numbers: input values of an example, at most.
            batch_size: examples of a batch.
            replicates: R, each with batches of its own.

        Raises:
            UserError: a value is out of its range, or an epoch would have no batch or no validation.
        """
        names = ("limit_train_batches", "accumulate_grad_batches", "val_check_interval", "max_steps", "max_epochs")
        values = {name: trainer[name] for name in names}
        if trial := int(trainer["fast_dev_run"]):
            values |= {"limit_train_batches": trial, "val_check_interval": 1.0, "max_steps": trial}
        chunk = min(CHUNK_BATCHES, max(1, CHUNK_NUMBERS // (numbers * batch_size * replicates)))
        try:
            return cls(size, batch_size, chunk, **values)
        except ValueError as error:
            raise UserError(f"trainer.{error}") from None

    def chunks(self, epoch: int) -> list[tuple[int, int]]:
        """Return the first batch of each chunk of an epoch, and the one behind its last."""
        left = self.max_steps - epoch * self.steps
        if self.max_steps < 0 or left >= self.steps:
            return self.full_epoch
        return self._cut(min(self.batches, max(0, left) * self.accumulate))

    @cached_property
    def full_epoch(self) -> list[tuple[int, int]]:
        """Return the chunks of an epoch that no limit cuts short."""
        return self._cut(self.batches)

    def _cut(self, last: int) -> list[tuple[int, int]]:
        full = self.size // self.batch_size
        ends = {*range(self.validate_every, last, self.validate_every), last, min(full, last)}
        chunks, start = [], 0
        for end in sorted(ends - {0}):
            chunks += [(a, min(a + self.chunk, end)) for a in range(start, end, self.chunk)]
            start = end
        return chunks

    def validates_after(self, batch: int) -> bool:
        """Return whether a validation follows the first ``batch`` batches of an epoch."""
        return batch % self.validate_every == 0

    def steps_after(self, batch: int) -> bool:
        """Return whether an optimizer step follows the first ``batch`` batches of an epoch."""
        return batch % self.accumulate == 0 or batch == self.batches


class ReplicateBatchSampler(Sampler[Tensor]):
    """The batches of an epoch for each of R replicates, in an order that depends on (seed, epoch) alone.

    Yields a chunk of N batches at a time, as indices of examples [N, R, B].

    Args:
        schedule: what an epoch is cut into.
        seeds: of the replicates.
        starts: the number of each replicate's first example, where they have different ones; None is 0 for all.
    """

    def __init__(self, schedule: TrainSchedule, seeds: Sequence[int], starts: Sequence[int] | None = None) -> None:
        self.schedule, self.seeds, self.starts, self.epoch = schedule, seeds, starts, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.schedule.full_epoch)

    def __iter__(self) -> Iterator[Tensor]:
        # A generator, so that the epoch is read when the first chunk is asked for, not before it is set.
        schedule = self.schedule
        orders = {
            seed: torch.randperm(schedule.size, generator=generator(seed, "order", self.epoch))
            for seed in set(self.seeds)
        }
        numbers = torch.stack([orders[seed] for seed in self.seeds])
        if self.starts is not None:
            numbers += torch.tensor(self.starts)[:, None]
        batches = numbers.split(schedule.batch_size, 1)
        done, schedule.chunks_done = schedule.chunks_done, 0
        for start, end in schedule.chunks(self.epoch)[done:]:
            yield torch.stack(batches[start:end])
