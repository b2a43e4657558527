"""The learning problems of all runs of a stack, as one for the Trainer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import groupby, islice
from operator import attrgetter
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from rnn_tasks import internals
from rnn_tasks.models.joined import Joined
from rnn_tasks.stack.data import by_data, replicates
from rnn_tasks.stack.seat import Seat
from rnn_tasks.tasks.examples import Batch, concatenated
from rnn_tasks.training import KINDS
from rnn_tasks.training.learner import Learner
from rnn_tasks.training.losses import same_loss
from rnn_tasks.training.metrics import Tally
from rnn_tasks.training.scoring import forward_replicates, score
from rnn_tasks.training.steps import ChunkSteps, take_steps


class Stack(LightningModule):
    """Trains the live runs of a stack at once; each keeps its own loss, optimizer, schedule and limits.

    Args:
        seats: the runs, all of one task, cell, number of layers, batch size and schedule.
    """

    def __init__(self, seats: list[Seat]) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.seats = seats
        self.learners = nn.ModuleList(seat.learner for seat in seats)
        self.choose_live()

    def choose_live(self) -> None:
        """From the next epoch on, draw batches for the live runs alone, and train and measure no others."""
        self._join_live()
        self.drawn = self.members

    def _join_live(self) -> None:
        self.members = [seat for seat in self.seats if seat.is_live]
        self.joined = Joined([_network(seat) for seat in self.members]) if self.members else None
        groups = [[seat for seat in seats if seat.is_live] for seats in by_data(self.seats)]
        self.validated = [Validated(seats) if seats else None for seats in groups]

    def configure_optimizers(self) -> Any:
        """Return the optimizers of all runs, and their schedulers."""
        optimizers, schedulers = [], []
        for seat in self.seats:
            made = seat.learner.configure_optimizers()
            (optimizer,), own = made if isinstance(made, tuple | list) else ([made], [])
            optimizers.append(optimizer)
            schedulers += own
        return optimizers, schedulers

    def training_step(self, chunk: Batch, index: int) -> None:
        """Take the optimizer steps of a chunk of batches of all live runs: inputs [N, R, B, T, D]."""
        parts = []
        first = 0
        for seat in self.drawn:
            own = chunk.each(partial(torch.narrow, dim=1, start=first, length=seat.learner.replicates))
            first += seat.learner.replicates
            if seat.is_live:
                learner = seat.learner
                scheduler = learner.lr_schedulers() if learner.steps_schedule else None
                parts.append(ChunkSteps(learner, own, index, seat.optimizer, scheduler))
        if len(parts) < len(self.drawn):  # some have ended within the epoch
            chunk = concatenated([part.chunk for part in parts], 1)
        if len(parts) < len(self.members):
            self._join_live()
        steps = take_steps(parts, chunk, self._forward)
        internals.count_optimizer_steps(self.trainer, steps)
        self._each(Learner.end_if_done)

    def _forward(self, batches: list[Batch], dropout_key: tuple[int, ...]) -> list[Tensor]:
        joined = concatenated(batches)
        assert self.joined is not None
        return list(
            self.joined(joined.inputs, joined.lengths, dropout_key).split([len(batch.lengths) for batch in batches])
        )

    def _each(self, act: Callable[[Learner], None]) -> None:
        """Let each live run do something; the training ends when none is left."""
        for seat in self.members:
            if seat.is_live:
                seat.attempt(partial(act, seat.learner))
        self.trainer.should_stop = not any(seat.is_live for seat in self.members)

    def validation_step(self, batch: Batch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Count a validation batch [B, T, D] of one of the sets."""
        if part := self.validated[dataloader_idx]:
            part.count(batch)

    def measure(self, seat: Seat) -> None:
        """Count the validation examples of one run."""
        number = next(i for i, seats in enumerate(by_data(self.seats)) if seat in seats)
        trainer: Any = self.trainer
        part = Validated([seat])
        for batch in islice(trainer.val_dataloaders[number], trainer.num_val_batches[number]):
            part.count(trainer.datamodule.transfer_batch_to_device(batch, self.device, number))
        part.hand_out()

    def on_train_start(self) -> None:
        self._each(Learner.on_train_start)
        for seat in self.members:
            if seat.should_stop:  # all of its replicates were frozen when it was left
                seat.end()
        self.choose_live()
        self.trainer.should_stop = not self.members

    def on_train_epoch_end(self) -> None:
        self._each(Learner.on_train_epoch_end)

    def on_validation_epoch_end(self) -> None:
        for part in filter(None, self.validated):
            part.hand_out()
        self._each(Learner.on_validation_epoch_end)

    @property
    def all_replicates(self) -> int:
        return replicates(self.seats)

    @property
    def has_one_loss(self) -> bool:
        """Whether the losses of all runs can be compared."""
        return len(_by_loss([seat.learner for seat in self.seats])) == 1

    @property
    def description(self) -> str:
        """What is trained, for the terminal."""
        networks = [_network(seat) for seat in self.seats]
        sizes = sorted({network.hidden for network in networks})
        units = f"{sizes[0]} to {sizes[-1]} units" if len(sizes) > 1 else f"{sizes[0]} unit{'s' * (sizes[0] > 1)}"
        return f"{len(networks)} runs at once, {self.all_replicates:,} networks ({networks[0].kind}, {units})"

    @property
    def metrics(self) -> dict[str, dict[str, list[float | None]]]:
        """The last validation of all runs, by kind."""
        learners = [seat.learner for seat in self.seats]
        missing = [dict.fromkeys(KINDS, [None] * learner.replicates) for learner in learners]
        parts = [learner.metrics.get("val", none) for learner, none in zip(learners, missing, strict=True)]
        return {"val": {kind: [each for part in parts for each in part[kind]] for kind in KINDS}}


class Validated:
    """Validation of runs that share their validation examples.

    Args:
        seats: the runs.
    """

    def __init__(self, seats: list[Seat]) -> None:
        self.learners: list[Learner] = [seat.learner for seat in seats]
        sizes = groupby(map(_network, seats), key=attrgetter("hidden"))
        self.joined = [Joined(list(networks)) for _, networks in sizes]  # without padding, where sizes are in order
        first = self.learners[0]
        self.tally = Tally(replicates(seats), seats[0].task.longest, seats[0].task.extra_steps)
        self.tally.to(first.failed.device)
        self.losses = _by_loss(self.learners)

    def count(self, batch: Batch) -> None:
        """Count a batch [B, T, D] for all replicates."""
        models: list[Any] = self.joined
        form = self.learners[0].form
        logits = torch.cat([forward_replicates(model, batch, form=form) for model in models])
        for learner, rows in self.losses:
            self.tally.update(*score(logits[rows], batch, learner.loss, form), rows=rows)

    def hand_out(self) -> None:
        """Give each run what has been counted for it, and begin to count anew."""
        parts = self.tally.sums.split([learner.replicates for learner in self.learners])
        for learner, sums in zip(self.learners, parts, strict=True):
            learner.val_tally.sums = sums.clone()
        self.tally.reset()


def _by_loss(learners: list[Learner]) -> list[tuple[Learner, Tensor | slice]]:
    """Return a learner of each loss, and the replicates whose loss that is."""
    rows: list[tuple[Learner, list[int]]] = []
    first = 0
    for learner in learners:
        own = list(range(first, first + learner.replicates))
        first += learner.replicates
        for other, numbers in rows:
            if same_loss(other.loss, learner.loss):
                numbers += own
                break
        else:
            rows.append((learner, own))
    if len(rows) == 1:
        return [(rows[0][0], slice(None))]
    return [(learner, torch.tensor(numbers, device=learner.failed.device)) for learner, numbers in rows]


def _network(seat: Seat) -> Any:
    return seat.learner.model
