"""The data of a stack: of each run those that it would have alone, in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from rnn_tasks.seeds import digest
from rnn_tasks.stack.seat import Seat
from rnn_tasks.tasks.base import Task
from rnn_tasks.tasks.examples import Batch, Examples, concatenated, evaluation_loader
from rnn_tasks.tasks.schedule import ReplicateBatchSampler, TrainSchedule


class StackData(LightningDataModule):
    """Batches of all live runs of a stack. Runs of the same data share them in memory.

    Args:
        seats: the runs, set up.
        schedule: that all of them have.
    """

    def __init__(self, seats: list[Seat], schedule: TrainSchedule) -> None:
        super().__init__()
        self.seats, self.schedule = seats, schedule
        self.sets = list({id(seat.task.train): seat.task.train for seat in seats}.values())

    def train_dataloader(self) -> DataLoader:
        return DataLoader(put_together(self.sets), sampler=LiveSampler(self), batch_size=None)

    def val_dataloader(self) -> list[DataLoader]:
        limit = self.seats[0].cfg.trainer.limit_val_batches
        whole = isinstance(limit, float) and limit == 1
        return [  # the batches of which a part is taken must be those of a run alone
            evaluation_loader([seats[0].task.val], replicates(seats if whole else seats[:1]))
            for seats in by_data(self.seats)
        ]

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Any:
        return self.seats[0].task.transfer_batch_to_device(batch, device, dataloader_idx)


class LiveSampler(ReplicateBatchSampler):
    """The batches of an epoch for the runs that are live when it begins."""

    def __init__(self, data: StackData) -> None:
        super().__init__(data.schedule, [])
        self.data = data

    def __iter__(self) -> Iterator[Tensor]:
        places = {id(examples): number * self.schedule.size for number, examples in enumerate(self.data.sets)}
        live = [seat.task for seat in self.data.seats if seat.is_live]
        self.seeds = [seed for task in live for seed in task.seeds]
        self.starts = [places[id(task.train)] for task in live for _ in task.seeds]
        yield from super().__iter__()


def replicates(seats: list[Seat]) -> int:
    """Return how many networks several runs have."""
    return sum(seat.learner.replicates for seat in seats)


def by_data(seats: list[Seat]) -> list[list[Seat]]:
    """Return the runs in groups that share their validation examples."""
    groups: dict[int, list[Seat]] = {}
    for seat in seats:
        groups.setdefault(id(seat.task.val), []).append(seat)
    return list(groups.values())


def put_together(sets: list[Examples]) -> Examples:
    """Return the examples of several sets of one size as one, padded to the longest; of a single set itself."""
    if len(sets) == 1:
        return sets[0]
    steps = max(each.inputs.shape[1] for each in sets)
    return Examples(*concatenated([each.padded(steps) for each in sets]), every_step=sets[0].every_step)


class SharedData:
    """Sets up tasks; those of the same data get the same examples."""

    def __init__(self) -> None:
        self.known: dict[str, Task] = {}

    def set_up(self, task: Task, data: str) -> None:
        """Make the examples of a task, or give it those of one before.

        What a task of the user's own does in its ``setup`` it does for each run; equal examples are kept once.

        Args:
            task: not set up.
            data: what tells its data from others.
        """
        same = self.known.get(data) if type(task).__module__.startswith("rnn_tasks.") else None
        if same is None:
            task.setup()
            same = self.known[data] = self.known.setdefault(digest(_tensors(task)), task)
        task.train, task.val, task.test, task.is_set_up = same.train, same.val, same.test, True
        task.chance_accuracy = same.chance_accuracy


def _tensors(task: Task) -> Iterator[Tensor]:
    for examples in (task.train, task.val, *task.test):
        yield from (part for part in examples.padded(examples.inputs.shape[1]) if part is not None)
