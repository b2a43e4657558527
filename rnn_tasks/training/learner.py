"""The learning problem, stated once."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from rnn_tasks.errors import UserError, one_line
from rnn_tasks.tasks.answers import answers
from rnn_tasks.tasks.base import Batch
from rnn_tasks.training.intervals import curve
from rnn_tasks.training.metrics import KINDS, Tally
from rnn_tasks.training.scoring import forward_replicates, padding_mask, score

NOT_ELEMENTWISE = (torch.optim.LBFGS, torch.optim.Adafactor)  # these mix the numbers of a parameter, so the replicates


class Learner(LightningModule):
    """Fits the replicates of a model to the answers of a task, each as if it were alone.

    A training step of Lightning's is a chunk of many batches, and so of many optimizer steps: the Trainer would
    otherwise take longer than such small networks do. Replicates whose loss is no longer finite have failed; failed and
    stalled ones are frozen: their weights stay as they are.

    Args:
        model: gives logits for (inputs, lengths, dropout_key).
        loss: of each answer alone, [..., C], [...] -> [...]; a batch's is the mean over its real answers.
        optimizer: makes one from the parameters; it must treat each number of a parameter alone.
        scheduler: makes one from the optimizer and T_max, the number of steps of the run.
        longest: steps of the longest sequence.
        extra_steps: the task's, steps of a sequence beyond its length.
        answers_at_every_step: single answers and whole sequences are then two things to show.
        clip: the largest gradient, 0 for no limit.
        clip_by: "norm" limits each replicate's norm, "value" each of its numbers.
        augment: gives a training batch's inputs [R, B, T, D] anew, by the number of its epoch and its own in it.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: partial,
        scheduler: partial | None = None,
        longest: int = 1,
        extra_steps: int = 0,
        answers_at_every_step: bool = False,
        clip: float = 0.0,
        clip_by: str = "norm",
        augment: Callable[[Tensor, int, int], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.loss, self.optimizer, self.scheduler = model, loss, optimizer, scheduler
        self.clip, self.clip_by, self.augment = clip, clip_by, augment
        self.stacked = hasattr(model, "replicates")
        self.replicates = model.replicates if self.stacked else 1
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.train_tally = Tally(self.replicates, longest, extra_steps, shared=True)
        self.val_tally = Tally(self.replicates, longest, extra_steps)
        self.test_tally = Tally(self.replicates, longest, extra_steps)
        self.answers_at_every_step = answers_at_every_step
        self.metrics: dict[str, dict[str, Any]] = {}
        self.register_buffer("failed", torch.zeros(self.replicates, dtype=torch.bool))
        self.register_buffer("frozen", torch.zeros(self.replicates, dtype=torch.bool))
        self.kept: list[Tensor] = []  # weights of the frozen ones

    def configure_optimizers(self) -> Any:
        try:
            optimizer = self.optimizer(self.model.parameters())
        except (TypeError, ValueError) as error:
            raise UserError(f"optimizer: {one_line(error)}") from error
        if isinstance(optimizer, NOT_ELEMENTWISE):
            raise UserError(
                f"optimizer: {type(optimizer).__name__} mixes the numbers of a parameter, so the replicates"
            )
        if self.scheduler is None:
            return optimizer
        self.trainer.fit_loop.setup_data()
        steps = self.trainer.train_dataloader.sampler.total_steps
        if steps is None:
            raise UserError("scheduler=cosine: needs an end; set trainer.max_epochs or trainer.max_steps")
        return [optimizer], [{"scheduler": self.scheduler(optimizer, T_max=max(1, steps)), "interval": "step"}]

    def on_train_start(self) -> None:
        self.freeze_replicates(self.frozen)

    def training_step(self, chunk: Batch, index: int) -> None:
        order, optimizer = self.trainer.train_dataloader.sampler, self.trainer.optimizers[0]
        schedulers = [config.scheduler for config in self.trainer.lr_scheduler_configs]
        real = padding_mask(chunk)
        shares = self._shares(chunk, real)
        step, epoch, (first, last) = self.global_step, self.current_epoch, order.chunks[index]
        seen = []
        for batch, share, done in zip(
            map(Batch, *chunk), shares / order.accumulate, range(first + 1, last + 1), strict=True
        ):
            number = (done - 1) * order.ranks + order.rank
            if self.augment:
                batch = batch._replace(inputs=self.augment(batch.inputs, epoch, number))
            logits = forward_replicates(self.model, batch, (epoch, number))
            losses = self.loss(logits, batch.targets)
            seen.append((logits.detach(), losses.detach()))
            self._backward(losses, share, step)
            if done % order.accumulate == 0 or done == order.batches:
                step += 1
                self._step(optimizer, step, losses.detach(), share)
                for scheduler in schedulers:
                    scheduler.step()
        self._count(step - self.global_step)
        logits, losses = (torch.stack(parts) for parts in zip(*seen, strict=True))
        right = answers(logits) == chunk.targets
        losses, right = (losses, right) if real is None else (losses * real, right | ~real)
        self.train_tally.update(losses, right, chunk.lengths)

    def _shares(self, chunk: Batch, real: Tensor | None) -> Tensor:
        """What each loss counts in the mean loss of its batch and replicate: nothing in the padding, [N, R, B(, T)]."""
        shares = (
            torch.ones_like(chunk.targets, dtype=chunk.inputs.dtype) if real is None else real.to(chunk.inputs.dtype)
        )
        return shares / shares.flatten(2).sum(2).view(*shares.shape[:2], *[1] * (shares.dim() - 2))

    def _backward(self, losses: Tensor, share: Tensor, step: int) -> None:
        """Add the gradients of the replicates' mean losses, each of which depends on its own weights alone."""
        if not math.isfinite(torch.dot(losses.detach().flatten(), share.flatten()).item()):
            failed = ~(losses.detach() * share).flatten(1).sum(1).isfinite() & ~self.frozen
            if failed.any():
                self.fail(failed, f"at step {step + 1}")
        if self.trainer.world_size > 1:
            self.manual_backward(losses, gradient=share)
        else:
            losses.backward(share)

    def _step(self, optimizer: torch.optim.Optimizer, step: int, losses: Tensor, share: Tensor) -> None:
        """An optimizer step, clipped and logged."""
        every = self.trainer.log_every_n_steps
        logs = every and step % every == 0
        if logs or self.clip:
            trained = [parameter for parameter in self.trained if parameter.grad is not None]
            gradients = [parameter.grad if self.stacked else parameter.grad[None] for parameter in trained]
            norms = torch.cat([gradient.flatten(1) for gradient in gradients], 1).norm(dim=1)
        if logs:
            live, means = self.frozen.logical_not(), (losses * share).flatten(1).sum(1) / share.flatten(1).sum(1)
            logged = {"loss": means, "gradient_norm": norms}
            values = {
                kind: [value if ok else None for value, ok in zip(row.tolist(), live.tolist(), strict=True)]
                for kind, row in logged.items()
            }
            self._log("train", values, step, learning_rate=optimizer.param_groups[0]["lr"])
        if self.clip:  # not in place: the gradients of two biases may share their memory
            if self.clip_by == "norm":
                scales = (self.clip / (norms + 1e-6)).clamp(max=1.0)
                clipped = [gradient * scales.view(-1, *[1] * (gradient.dim() - 1)) for gradient in gradients]
            else:
                clipped = [gradient.clamp(-self.clip, self.clip) for gradient in gradients]
            for parameter, gradient in zip(trained, clipped, strict=True):
                parameter.grad = gradient.view_as(parameter)
        optimizer.step()
        for parameter in self.trained:
            parameter.grad = None
        if self.kept:
            with torch.no_grad():
                for parameter, weights in zip(self.trained, self.kept, strict=True):
                    parameter[self.frozen] = weights

    def _count(self, steps: int) -> None:
        """Let the Trainer's global step count optimizer steps."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for counter in (progress.total, progress.current):
            counter.ready += steps
            counter.completed += steps

    def fail(self, which: Tensor, when: str) -> None:
        """Give up replicates [R] whose loss is no longer finite.

        Raises:
            UserError: it was the last one.
        """
        self.failed |= which
        self.freeze_replicates(which)
        if self.failed.all():
            every = f"of all {self.replicates} replicates " if self.replicates > 1 else ""
            raise UserError(
                f"the loss {every}became infinite or NaN {when} (epoch {self.current_epoch}); a smaller"
                " optimizer.lr or trainer.gradient_clip_val=1 may help"
            )

    def freeze_replicates(self, which: Tensor) -> None:
        """Let the weights of replicates [R] stay as they are; a run all of whose replicates are frozen ends."""
        self.frozen |= which
        if self.frozen.all():
            self.trainer.should_stop = True
        if self.stacked and self.frozen.any():
            self.kept = [parameter.detach()[self.frozen] for parameter in self.trained]

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self.val_tally.update(*score(forward_replicates(self.model, batch), batch, self.loss))

    def test_step(self, batch: Batch, batch_index: int) -> None:
        self.test_tally.update(*score(forward_replicates(self.model, batch), batch, self.loss))

    def on_train_epoch_end(self) -> None:
        self._finish("train", self.train_tally)

    def on_validation_epoch_end(self) -> None:
        self._finish("val", self.val_tally)
        if self.trainer.state.fn == "fit":
            kinds = KINDS if self.answers_at_every_step else KINDS[:2]
            self._log("val", {kind: self.metrics["val"][kind] for kind in kinds}, self.global_step)

    def on_test_epoch_end(self) -> None:
        self._finish("test", self.test_tally)

    def _finish(self, split: str, tally: Tally) -> None:
        lost = ~torch.tensor(tally.compute()["loss"], device=self.failed.device).isfinite() & ~self.failed
        if lost.any() and split != "train":
            self.fail(lost, f"after step {self.global_step}")
        self.metrics[split] = tally.compute(self.failed.tolist())
        tally.reset()

    def _log(self, split: str, values: dict[str, list[float | None]], step: int, **further: float) -> None:
        logged = {f"{split}/{kind}{end}": value for kind, row in values.items() for end, value in curve(row).items()}
        for logger in self.trainer.loggers:
            logger.log_metrics(logged | further, step)
