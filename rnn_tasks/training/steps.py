"""The optimizer steps of a chunk of batches: one after the other in torch, or all in one call of the kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from rnn_tasks import internals
from rnn_tasks.models import Network, recurrence
from rnn_tasks.seeds import seed_global_generators
from rnn_tasks.tasks.base import Batch
from rnn_tasks.training import compiled
from rnn_tasks.training.optimization import clipped, learning_rates
from rnn_tasks.training.scoring import asked_mask, mean_weights, score

Forward = Callable[[list[Batch], tuple[int, ...]], Sequence[Tensor]]


class ChunkSteps:
    """The optimizer steps of one run with a chunk of N batches of its R replicates.

    Args:
        learner: of the run, a Learner.
        chunk: a Batch with the leading axes N and R.
        index: of the chunk in its epoch.
        optimizer: of the run.
        scheduler: of the run, if it takes a step after each of the optimizer's.
    """

    def __init__(self, learner: Any, chunk: Batch, index: int, optimizer: Any, scheduler: Any) -> None:
        self.learner, self.chunk, self.optimizer, self.scheduler = learner, chunk, optimizer, scheduler
        self.epoch, self.before = learner.current_epoch, learner.global_step
        self.first, self.last = learner.schedule.chunks(self.epoch)[index]
        self.taken = 0  # optimizer steps
        self.rows = learner.shared.rows(chunk.lengths.shape[2]) if learner.shared else None
        self.dropout_key = self.rows.key if self.rows else ()
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.rates: list[float] = []

    @cached_property
    def asked(self) -> Tensor | None:
        """Where an answer is asked at a real step, [N, R, B, T]; None if everywhere, or for a single answer."""
        return asked_mask(self.chunk, self.learner.form.has_parts)

    @cached_property
    def weights(self) -> Tensor:
        """The weight of each answer in the mean of the batches of its optimizer step: [N, R, B(, T)]."""
        weights = mean_weights(self.chunk, self.asked, self.learner.form.has_parts)
        return weights / self.learner.schedule.accumulate

    @cached_property
    def is_compiled(self) -> bool:
        """Whether the kernel takes the steps of this run."""
        learner = self.learner
        model: Any = learner.model
        return (
            type(model) is Network
            and (model.layers == len(model.directions) == 1)
            and (model.readout == "every_step" or model.pooling == "last")
            and (model.backend in (None, "kernel") and model.hidden <= recurrence.KERNEL_HIDDEN)
            and not (learner.augment or learner.shared or torch.is_autocast_enabled(self.chunk.inputs.device.type))
            and learner.schedule.accumulate == 1
            and not (torch.is_anomaly_enabled() or internals.has_hooks(model, self.optimizer))
            and compiled.can_train(
                model.cell.name, self.chunk.inputs, learner.trained, self.optimizer, learner.loss, learner.form
            )
        )

    def networks(self, known_rates: dict[str, list[float]]) -> compiled.Networks:
        """Return what the kernel takes the steps of this run with; see ``learning_rates`` for the argument."""
        learner = self.learner
        self.rates = learning_rates(self.optimizer, self.scheduler, self.last - self.first, known_rates)
        return compiled.Networks(
            list(learner.trained),
            self.optimizer,
            learner.loss,
            learner.clip,
            learner.clip_by,
            self.rates,
            learner.frozen,
            learner.train_tally.sums,
        )

    def note(self, steps: compiled.Steps) -> None:
        """Log what the kernel's steps gave, and give up what has failed."""
        learner, count = self.learner, len(steps.losses)
        self.taken += count
        failures = {self.before + n + 1 for n in steps.failed.tolist() if n >= 0}
        logged = learner.logged_steps(self.before, self.before + count)
        for step in sorted({*failures, *logged}):
            n = step - self.before - 1
            if step in failures:
                learner.fail(steps.failed == n, step, "at")
            if step in logged:
                learner.log_step(step, self.rates[n], steps.losses[n], steps.norms[n])

    def batch(self, n: int) -> Batch:
        """Return batch n of the chunk, or what this process computes of it."""
        batch = self.chunk.at(n)
        if self.learner.augment:
            batch = batch._replace(inputs=self.learner.augment(batch.inputs, self.epoch, self.first + n))
        return self.rows.of_batch(batch, self.weights[n])[0] if self.rows else batch

    def losses(self, n: int, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each answer in batch n, and its weight in the mean of its replicate."""
        losses, weight = self.learner.loss(logits, targets), self.weights[n]
        if self.rows:
            weight = self.rows.of(weight) * self.rows.counts
        seen = losses.detach()
        self.seen.append((logits.detach(), seen))
        if self.learner.shared:
            self.learner.shared.losses.append(_sums(seen * weight))
        elif not math.isfinite(torch.dot(seen.flatten(), weight.flatten()).item()):
            self._fail_lost(_sums(seen * weight), self.before + self.taken + 1)
        return losses, weight

    def step(self, n: int, losses: Tensor, weight: Tensor) -> None:
        """Take the optimizer step that follows batch n, if one does: clipped and logged."""
        learner = self.learner
        if not learner.schedule.steps_after(self.first + n + 1):
            return
        self.taken += 1
        step = self.before + self.taken
        logs = step in learner.logged_steps(step - 1, step)
        if learner.shared:
            since, means = learner.shared.add_gradients(learner.trained)
            self._fail_lost(since, step)
            means = means * learner.schedule.accumulate
        elif logs:
            means = _sums(losses * weight) / _sums(weight)  # [R]
        if logs or learner.clip:
            pairs = [(parameter, parameter.grad) for parameter in learner.trained if parameter.grad is not None]
            gradients = [gradient if learner.stacked else gradient[None] for _, gradient in pairs]  # [R, ...]
            norms = torch.cat([gradient.flatten(1) for gradient in gradients], 1).norm(dim=1)  # [R]
        if logs:
            learner.log_step(step, self.optimizer.param_groups[0]["lr"], means, norms)
        if learner.clip:  # not in place: the gradients of two biases may share their memory
            limited = clipped(gradients, norms, learner.clip, learner.clip_by)
            for (parameter, _), gradient in zip(pairs, limited, strict=True):
                parameter.grad = gradient.view_as(parameter)
        self.optimizer.step()
        for parameter in learner.trained:
            parameter.grad = None
        learner.keep_frozen()
        if self.scheduler is not None:
            self.scheduler.step()

    def _fail_lost(self, losses: Tensor, step: int) -> None:
        """Give up replicates whose loss [R] is no longer finite."""
        failed = ~losses.isfinite() & ~self.learner.frozen
        if failed.any():
            self.learner.fail(failed, step, "at")

    def count(self) -> None:
        """Count losses and right answers of the chunk."""
        if self.rows is None or self.rows.counts:
            logits, losses = (torch.stack(parts) for parts in zip(*self.seen, strict=True))
            chunk = self.rows.of_chunk(self.chunk) if self.rows else self.chunk
            flat = chunk.each(lambda part: part.flatten(0, 1))
            counted = score(logits.flatten(0, 1), flat, lambda *_: losses.flatten(0, 1), self.learner.form)
            self.learner.train_tally.update(*(part.unflatten(0, losses.shape[:2]) for part in counted))


def take_steps(parts: Sequence[ChunkSteps], chunk: Batch, forward: Forward) -> int:
    """Take all optimizer steps of a chunk, of one run or of several at once.

    Args:
        parts: of the runs; all have the same schedule, and come to the same chunk at the same time.
        chunk: of all of them, one after the other along the axis of replicates.
        forward: gives the logits of each run for a batch of each and the key of dropout.

    Returns:
        How many steps these were.
    """
    first = parts[0]
    learner = first.learner
    if all(part.is_compiled for part in parts):
        _take_compiled(parts, chunk)
        return first.taken
    seed_global_generators("training", learner.seed, first.epoch, first.first, *learner.ranks.key)
    for n in range(first.last - first.first):
        batches = [part.batch(n) for part in parts]
        logits = forward(batches, (first.epoch, first.first + n, *first.dropout_key))
        triples = list(zip(parts, logits, batches, strict=True))
        losses = [part.losses(n, scores, batch.targets) for part, scores, batch in triples]
        torch.autograd.backward([each for each, _ in losses], [weight for _, weight in losses])
        for part, (each, weight) in zip(parts, losses, strict=True):
            part.step(n, each.detach(), weight)
    for part in parts:
        part.count()
    return first.taken


def _take_compiled(parts: Sequence[ChunkSteps], chunk: Batch) -> None:
    model: Any = parts[0].learner.model
    known_rates: dict[str, list[float]] = {}
    networks = [part.networks(known_rates) for part in parts]
    taken = compiled.take_steps(model.cell.name, chunk, networks, parts[0].learner.form)
    for part, steps in zip(parts, taken, strict=True):
        part.note(steps)


def _sums(losses: Tensor) -> Tensor:
    """Return the sum over each replicate's answers: [R, ...] -> [R]."""
    return losses.flatten(1).sum(1)
