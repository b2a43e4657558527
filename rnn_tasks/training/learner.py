"""The learning problem, stated once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from rnn_tasks import checks, internals
from rnn_tasks.errors import UserError
from rnn_tasks.tasks.base import Batch, Task
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training import KINDS, curves, shards
from rnn_tasks.training.intervals import counted
from rnn_tasks.training.metrics import Tally
from rnn_tasks.training.optimization import Scheduling, build_optimizer
from rnn_tasks.training.ranks import ALONE, Ranks
from rnn_tasks.training.scoring import forward_replicates, score
from rnn_tasks.training.splitting import SharedBatches
from rnn_tasks.training.steps import ChunkSteps, take_steps


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
        self.form, self.seed = task.format, task.seeds[0]
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

    @property
    def steps_schedule(self) -> bool:
        """Whether the scheduler takes a step after each of the optimizer's, not after each epoch."""
        return self.scheduling is not None and self.scheduling.every_step

    has_one_loss = True  # so that losses of replicates can be compared

    @property
    def description(self) -> str:
        """What is trained, for the terminal."""
        name = getattr(self.model, "description", type(self.model).__name__)
        numbers = sum(each.numel() for each in self.model.parameters()) // self.replicates
        replicates = f", each of {self.all_replicates} replicates" if self.all_replicates > 1 else ""
        return f"{name}; {counted(numbers, 'parameter')}{replicates}"

    def on_train_start(self) -> None:
        self.freeze_replicates(self.frozen)
        self.end_if_done()

    def training_step(self, chunk: Batch, index: int) -> None:
        """Take the optimizer steps of a chunk of N batches.

        Args:
            chunk: a Batch with the leading axes N and R.
            index: of the chunk in its epoch.
        """
        optimizer = self.optimizers(use_pl_optimizer=False)
        scheduler = self.lr_schedulers() if self.steps_schedule else None
        steps = take_steps([ChunkSteps(self, chunk, index, optimizer, scheduler)], chunk, self._forward)
        internals.count_optimizer_steps(self.trainer, steps)
        self.end_if_done()

    def _forward(self, batches: list[Batch], dropout_key: tuple[int, ...]) -> list[Tensor]:
        return [forward_replicates(self.model, batch, dropout_key, self.form) for batch in batches]

    def logged_steps(self, done: int, step: int) -> range:
        """Return which optimizer steps after ``done``, up to ``step``, give points of the training curves."""
        every = self.log_every
        return range((done // every + 1) * every, step + 1, every) if every else range(0)

    def log_step(self, step: int, learning_rate: float, losses: Tensor, norms: Tensor) -> None:
        """Log a point of the training curves.

        Args:
            step: optimizer steps so far.
            learning_rate: of this step.
            losses: mean losses of its batch, [R].
            norms: of the gradients before they were clipped, [R].
        """
        rows = {"loss": losses, "gradient_norm": norms}
        self.curves.add(self.trainer.loggers, step, learning_rate, rows, self.frozen)

    def keep_frozen(self) -> None:
        """Undo what an optimizer step has done to frozen replicates."""
        if self.frozen_weights:
            with torch.no_grad():
                for parameter, kept in zip(self.trained, self.frozen_weights, strict=True):
                    parameter[self.frozen] = kept

    def fail(self, which: Tensor, step: int, when: str = "after") -> None:
        """Give up replicates [R] whose loss is no longer finite."""
        self.failed |= which
        self.freeze_replicates(which)
        self.failure = step, f"{when} step {step} (epoch {self.current_epoch})"

    def end_if_done(self) -> None:
        """End a run all of whose replicates are frozen; with shards the processes end together when they meet.

        Raises:
            UserError: all of them have failed.
        """
        if self.ranks.shard is None and self.frozen.all():
            if self.failed.all():
                self.refuse_failure()
            self.trainer.should_stop = True

    def refuse_failure(self) -> None:
        """End a run all of whose replicates have failed."""
        every = f"of all {self.all_replicates} replicates " if self.all_replicates > 1 else ""
        _, when = max(self.ranks.exchange(self.failure))
        raise UserError(
            f"the loss {every}became infinite or NaN {when}; a smaller optimizer.lr or trainer.gradient_clip_val=1"
            " may help"
        )

    def freeze_replicates(self, which: Tensor) -> None:
        """Let the weights of replicates [R] stay as they are."""
        self.frozen |= which
        if self.stacked and self.frozen.any():
            self.frozen_weights = [parameter.detach()[self.frozen] for parameter in self.trained]

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Count a validation batch: inputs [B, T, D] or [R, B, T, D]."""
        if self.shared and not self.shared.validates(batch_index):
            return
        logits = forward_replicates(self.model, batch, form=self.form)
        self.val_tally.update(*score(logits, batch, self.loss, self.form))

    def on_train_epoch_end(self) -> None:
        self._finish("train", self.train_tally)
        if self.scheduling and not self.steps_schedule:
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
        finite = torch.tensor(tally.results()["loss"], device=self.failed.device).isfinite()
        lost = ~self.ranks.own(finite) & ~self.failed
        if lost.any() and split != "train":
            self.fail(lost, self.global_step)
            self.end_if_done()
        self.metrics[split] = tally.results(self.ranks.all_replicates(self.failed).tolist())
        tally.reset()
