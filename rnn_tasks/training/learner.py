"""The learning problem, stated once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from rnn_tasks import checks, internals
from rnn_tasks.errors import UserError
from rnn_tasks.seeds import seed_global_generators
from rnn_tasks.tasks.answers import answers
from rnn_tasks.tasks.base import Batch, Task
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training import KINDS, curves, shards
from rnn_tasks.training.metrics import Tally
from rnn_tasks.training.optimization import Scheduling, build_optimizer, clipped
from rnn_tasks.training.ranks import ALONE, Ranks
from rnn_tasks.training.scoring import forward_replicates, mean_weights, padding_mask, score
from rnn_tasks.training.splitting import SharedBatches


class Learner(LightningModule):
    """Fits the replicates of a model to the answers of a task, each as if it were alone.

    A training step of Lightning's is a chunk of many batches, and so of many optimizer steps: the Trainer's own work
    would otherwise take longer than a step of such small networks. A replicate whose loss is no longer finite has
    failed. Failed and stalled replicates are frozen: their weights stay as they are.

    Args:
        model: gives logits for (inputs, lengths, dropout_key).
        task: its data; says how long sequences are and how answers are read.
        schedule: what an epoch is cut into.
        loss: of each answer alone, [..., C], [...] -> [...]; the loss of a batch is the mean over its real answers.
        optimizer: makes one from the parameters; it must treat each element of a parameter alone.
        scheduling: of the learning rate; None keeps it.
        clip: the largest gradient, 0 for no limit.
        clip_by: "norm" limits the norm of each replicate's gradient, "value" each of its elements.
        log_every: optimizer steps between two points of the training curves; 0 for none.
        ranks: the processes of the run. The metrics are over all of them; ``replicates``, ``failed`` and ``frozen`` are
            those of this one.

    Raises:
        ValueError: ``clip``, ``clip_by`` or ``log_every`` is out of its range.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        schedule: TrainSchedule,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: partial,
        scheduling: Scheduling | None = None,
        clip: float = 0.0,
        clip_by: str = "norm",
        log_every: int = 50,
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__()
        checks.not_negative(clip=clip)
        checks.one_of(("norm", "value"), clip_by=clip_by)
        checks.whole_numbers(0, log_every=log_every)
        self.automatic_optimization = False
        self.model, self.schedule, self.augment = model, schedule, task.augment
        self.loss, self.make_optimizer, self.scheduling = loss, optimizer, scheduling
        self.clip, self.clip_by, self.log_every = clip, clip_by, log_every
        self.output_size, self.seed = task.output_size, task.seeds[0]
        self.stacked = hasattr(model, "replicates")
        self.replicates: int = model.replicates if self.stacked else 1  # type: ignore[assignment]
        self.ranks, self.curves = ranks, curves.TrainCurves(ranks)
        self.shared = SharedBatches(ranks, model) if ranks.split_batches else None
        self.all_replicates = ranks.shard.of if ranks.shard else self.replicates
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.train_tally = Tally(self.replicates, task.longest, task.extra_steps)
        self.val_tally = Tally(self.replicates, task.longest, task.extra_steps)
        self.logged_kinds = KINDS if task.readout == "every_step" else KINDS[:2]  # a single answer is the whole answer
        self.metrics: dict[str, dict[str, Any]] = {}
        self.failed: Tensor
        self.frozen: Tensor
        self.register_buffer("failed", torch.zeros(self.replicates, dtype=torch.bool))
        self.register_buffer("frozen", torch.zeros(self.replicates, dtype=torch.bool))
        self.frozen_weights: list[Tensor] = []
        self.failure = 0, ""  # the step after which the last replicate that has failed did so, and when that was

    def configure_optimizers(self) -> Any:
        """Return the optimizer, and the scheduler.

        Raises:
            UserError: one of them refuses its values or would couple replicates, or the scheduler needs an end.
        """
        optimizer = build_optimizer(self.make_optimizer, self.model.parameters(), self.all_replicates)
        if self.scheduling is None:
            return optimizer
        scheduler = self.scheduling.build(optimizer, self.schedule.total_steps, self.all_replicates)
        return [optimizer], [scheduler]

    def on_train_start(self) -> None:
        self.freeze_replicates(self.frozen)

    def training_step(self, chunk: Batch, index: int) -> None:
        """Take the optimizer steps of a chunk of N batches.

        Args:
            chunk: inputs [N, R, B, T, D], lengths [N, R, B], targets [N, R, B] or [N, R, B, T].
            index: of the chunk in its epoch.
        """
        optimizer = self.optimizers(use_pl_optimizer=False)
        scheduler: Any = self.lr_schedulers() if self.scheduling and self.scheduling.every_step else None
        real = padding_mask(chunk)
        weights = mean_weights(chunk, real) / self.schedule.accumulate
        step, epoch = self.global_step, self.current_epoch
        first, last = self.schedule.chunks(epoch)[index]
        rows = self.shared.rows(chunk.lengths.shape[2]) if self.shared else None
        key = rows.key if rows else ()
        seed_global_generators("training", self.seed, epoch, first, *self.ranks.key)
        seen = []
        for batch, weight, number in zip(map(Batch, *chunk), weights, range(first, last), strict=True):
            if self.augment:
                batch = batch._replace(inputs=self.augment(batch.inputs, epoch, number))
            if rows:
                batch, weight = rows.of_batch(batch, weight)
            logits = forward_replicates(self.model, batch, (epoch, number, *key), self.output_size)
            losses = self.loss(logits, batch.targets)
            seen.append((logits.detach(), losses.detach()))
            self._backward(losses, weight, step)
            if self.schedule.steps_after(number + 1):
                step += 1
                self._step(optimizer, step, losses.detach(), weight)
                if scheduler is not None:
                    scheduler.step()
        internals.count_optimizer_steps(self.trainer, step - self.global_step)
        logits, losses = (torch.stack(parts) for parts in zip(*seen, strict=True))
        if rows:
            chunk, real = rows.of_chunk(chunk, real)
        right = answers(logits) == chunk.targets
        losses, right = (losses, right) if real is None else (losses * real, right | ~real)
        if rows is None or rows.counts:
            self.train_tally.update(losses, right, chunk.lengths)

    def _backward(self, losses: Tensor, weight: Tensor, step: int) -> None:
        """Add the gradients of the replicates' mean losses; each depends on the weights of its replicate alone.

        Args:
            losses: [R, B] or [R, B, T].
            weight: of each loss in the mean of its replicate, of the same shape.
            step: optimizer steps taken so far.
        """
        if self.shared:
            self.shared.losses.append(_sums(losses.detach() * weight))
        elif not math.isfinite(torch.dot(losses.detach().flatten(), weight.flatten()).item()):
            self._fail_lost(_sums(losses.detach() * weight), step + 1)
        losses.backward(weight)

    def _fail_lost(self, losses: Tensor, step: int) -> None:
        """Give up replicates whose loss [R] is no longer finite."""
        failed = ~losses.isfinite() & ~self.frozen
        if failed.any():
            self.fail(failed, step, "at")

    def _step(self, optimizer: Any, step: int, losses: Tensor, weight: Tensor) -> None:
        """Take an optimizer step, clipped and logged; ``losses`` and ``weight`` as for ``_backward``."""
        logs = self.log_every > 0 and step % self.log_every == 0
        if self.shared:
            since, means = self.shared.add_gradients(self.trained)
            self._fail_lost(since, step)
            means = means * self.schedule.accumulate
        elif logs:
            means = _sums(losses * weight) / _sums(weight)  # [R]
        if logs or self.clip:
            pairs = [(parameter, parameter.grad) for parameter in self.trained if parameter.grad is not None]
            gradients = [gradient if self.stacked else gradient[None] for _, gradient in pairs]  # [R, ...]
            norms = torch.cat([gradient.flatten(1) for gradient in gradients], 1).norm(dim=1)  # [R]
        if logs:
            rows, rate = {"loss": means, "gradient_norm": norms}, optimizer.param_groups[0]["lr"]
            self.curves.add(self.trainer.loggers, step, rate, rows, self.frozen)
        if self.clip:  # not in place: the gradients of two biases may share their memory
            for (parameter, _), gradient in zip(pairs, clipped(gradients, norms, self.clip, self.clip_by), strict=True):
                parameter.grad = gradient.view_as(parameter)
        optimizer.step()
        for parameter in self.trained:
            parameter.grad = None
        if self.frozen_weights:
            with torch.no_grad():
                for parameter, kept in zip(self.trained, self.frozen_weights, strict=True):
                    parameter[self.frozen] = kept

    def fail(self, which: Tensor, step: int, when: str = "after") -> None:
        """Give up replicates [R] whose loss is no longer finite.

        Raises:
            UserError: it was the last one; of a shard, ``refuse_failure`` raises it when the processes meet.
        """
        self.failed |= which
        self.freeze_replicates(which)
        self.failure = step, f"{when} step {step} (epoch {self.current_epoch})"
        if self.ranks.shard is None and self.failed.all():
            self.refuse_failure()

    def refuse_failure(self) -> None:
        """End a run all of whose replicates have failed."""
        every = f"of all {self.all_replicates} replicates " if self.all_replicates > 1 else ""
        _, when = max(self.ranks.exchange(self.failure))
        raise UserError(
            f"the loss {every}became infinite or NaN {when}; a smaller optimizer.lr or trainer.gradient_clip_val=1"
            " may help"
        )

    def freeze_replicates(self, which: Tensor) -> None:
        """Let the weights of replicates [R] stay as they are; a run all of whose replicates are frozen ends."""
        self.frozen |= which
        if self.ranks.shard is None and self.frozen.all():
            self.trainer.should_stop = True
        if self.stacked and self.frozen.any():
            self.frozen_weights = [parameter.detach()[self.frozen] for parameter in self.trained]

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Count a validation batch: inputs [B, T, D] or [R, B, T, D]."""
        if self.shared and not self.shared.validates(batch_index):
            return
        logits = forward_replicates(self.model, batch, output_size=self.output_size)
        self.val_tally.update(*score(logits, batch, self.loss))

    def on_train_epoch_end(self) -> None:
        self._finish("train", self.train_tally)
        if self.scheduling and not self.scheduling.every_step:
            self.scheduling.end_epoch(self.lr_schedulers(), self.metrics.get("val"))

    def on_validation_epoch_end(self) -> None:
        self._finish("val", self.val_tally)
        values = {kind: self.metrics["val"][kind] for kind in self.logged_kinds}
        curves.log(self.trainer.loggers, "val", values, self.global_step)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["state_dict"].pop("test_tally.sums", None)  # of version 0.1
        shards.take_own(checkpoint, self.ranks, self.model)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.curves.flush(self.trainer.loggers)
        shards.put_together(checkpoint, self.ranks, self.model)

    def _finish(self, split: str, tally: Tally) -> None:
        """Keep the metrics of a split, and begin to count anew."""
        self.curves.flush(self.trainer.loggers)
        tally.sums = self.ranks.sums(tally.sums)
        finite = torch.tensor(tally.compute()["loss"], device=self.failed.device).isfinite()
        lost = ~self.ranks.own(finite) & ~self.failed
        if lost.any() and split != "train":
            self.fail(lost, self.global_step)
        self.metrics[split] = tally.compute(self.ranks.all_replicates(self.failed).tolist())
        tally.reset()


def _sums(losses: Tensor) -> Tensor:
    """Return the sum over each replicate's answers: [R, ...] -> [R]."""
    return losses.flatten(1).sum(1)
