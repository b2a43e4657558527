"""The learning problem, stated once."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn

from rnn_tasks.errors import UserError, one_line
from rnn_tasks.losses import answers
from rnn_tasks.metrics import KINDS, Tally
from rnn_tasks.tasks.base import Batch


def judge(logits: Tensor, batch: Batch, loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Loss and rightness of each answer of a batch, [B] or [B, T]; in the padding a loss is 0 and an answer right."""
    losses, right = loss(logits, batch.targets), answers(logits.detach()) == batch.targets
    if losses.dim() == 1:
        return losses, right
    real = torch.arange(losses.shape[1], device=losses.device) < batch.lengths[:, None]
    return losses * real, right | ~real


class Learner(LightningModule):
    """Fits a model to the answers of a task.

    Args:
        model: gives logits for (inputs, lengths).
        loss: of each answer alone, [..., C], [...] -> [...]; a batch's is the mean over its real answers.
        optimizer: makes one from the parameters.
        scheduler: makes one from the optimizer and T_max, the number of steps of the run.
        seed: the run's; with epoch and batch it decides the dropout masks.
        longest: steps of the longest sequence.
        extra_steps: the task's, steps of a sequence beyond its length.
        answers_at_every_step: single answers and whole sequences are then two things to show.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[[Tensor, Tensor], Tensor],
        optimizer: partial,
        scheduler: partial | None = None,
        seed: int = 0,
        longest: int = 1,
        extra_steps: int = 0,
        answers_at_every_step: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.loss, self.optimizer, self.scheduler, self.seed = model, loss, optimizer, scheduler, seed
        self.train_tally = Tally(longest, extra_steps, shared=True)
        self.val_tally, self.test_tally = Tally(longest, extra_steps), Tally(longest, extra_steps)
        self.answers_at_every_step = answers_at_every_step
        self.metrics: dict[str, dict[str, Any]] = {}

    def configure_optimizers(self) -> Any:
        try:
            optimizer = self.optimizer(self.model.parameters())
        except (TypeError, ValueError) as error:
            raise UserError(f"optimizer: {one_line(error)}") from error
        if self.scheduler is None:
            return optimizer
        steps = self.trainer.estimated_stepping_batches
        if math.isinf(steps):
            raise UserError("scheduler=cosine: needs an end; set trainer.max_epochs or trainer.max_steps")
        scheduler = self.scheduler(optimizer, T_max=max(1, int(steps)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        loss = self._step(self.train_tally, batch, (self.seed, self.current_epoch, batch_index))
        self.last_loss = loss.item()
        self._check_finite(self.last_loss)
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        every = self.trainer.log_every_n_steps
        step = self.global_step + 1
        if every and step % every == 0:
            norms = [parameter.grad.norm() for parameter in self.model.parameters() if parameter.grad is not None]
            values = {"train/loss": self.last_loss, "train/gradient_norm": torch.stack(norms).norm().item()}
            self._log({**values, "learning_rate": optimizer.param_groups[0]["lr"]}, step)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._step(self.val_tally, batch)

    def test_step(self, batch: Batch, batch_index: int) -> None:
        self._step(self.test_tally, batch)

    def _step(self, tally: Tally, batch: Batch, dropout_key: tuple[int, ...] | None = None) -> Tensor:
        """The mean loss over the batch's real answers; ``tally`` counts them."""
        losses, right = judge(self.model(batch.inputs, batch.lengths, dropout_key), batch, self.loss)
        tally.update(losses.detach(), right, batch.lengths)
        return losses.sum() / (len(losses) if losses.dim() == 1 else batch.lengths.sum())

    def on_train_epoch_end(self) -> None:
        self._finish("train", self.train_tally)

    def on_validation_epoch_end(self) -> None:
        self._finish("val", self.val_tally)
        val = self.metrics["val"]
        self._check_finite(val["loss"][0])
        if self.trainer.state.fn == "fit":
            kinds = KINDS if self.answers_at_every_step else KINDS[:2]
            self._log({f"val/{kind}": val[kind][0] for kind in kinds}, self.global_step)

    def on_test_epoch_end(self) -> None:
        self._finish("test", self.test_tally)

    def _finish(self, split: str, tally: Tally) -> None:
        self.metrics[split] = tally.compute()
        tally.reset()

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise UserError(
                f"the loss became {loss} at step {self.global_step + 1} (epoch {self.current_epoch}); a smaller"
                " optimizer.lr or trainer.gradient_clip_val=1 may help"
            )

    def _log(self, values: dict[str, float], step: int) -> None:
        for logger in self.trainer.loggers:
            logger.log_metrics(values, step)
