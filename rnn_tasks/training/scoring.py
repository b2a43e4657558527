"""The logits of all replicates, and the loss and rightness of each answer."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from rnn_tasks.tasks.answers import answers
from rnn_tasks.tasks.base import Batch


def forward_replicates(model: nn.Module, batch: Batch, dropout_key: tuple[int, ...] | None = None) -> Tensor:
    """Logits of R replicates, [R, B, T, C] or [R, B, C]; a model without replicates is one."""
    if hasattr(model, "replicates"):
        return model(batch.inputs, batch.lengths, dropout_key)
    inputs, lengths = (part[0] if batch.lengths.dim() == 2 else part for part in batch[:2])
    return model(inputs, lengths, dropout_key)[None]


def padding_mask(batch: Batch) -> Tensor | None:
    """Where the answers stand in no padding, [..., B, T]; None if there is no padding."""
    if batch.targets.dim() == batch.lengths.dim():
        return None
    real = torch.arange(batch.targets.shape[-1], device=batch.lengths.device) < batch.lengths[..., None]
    return None if real.all() else real


def score(logits: Tensor, batch: Batch, loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and rightness of each answer, [R, B] or [R, B, T], and lengths [R, B], as a Tally counts them.

    In the padding a loss is 0 and an answer right.
    """
    targets, real = batch.targets.expand(logits.shape[:-1]), padding_mask(batch)
    losses, right, lengths = loss(logits, targets), answers(logits) == targets, batch.lengths.expand(logits.shape[:2])
    return (losses, right, lengths) if real is None else (losses * real, right | ~real, lengths)
