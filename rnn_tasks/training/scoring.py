"""The logits of all replicates, and the loss and correctness of each answer."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from rnn_tasks.errors import UserError
from rnn_tasks.tasks.answers import answers
from rnn_tasks.tasks.base import Batch
from rnn_tasks.tasks.contract import method_name


def forward_replicates(
    model: nn.Module, batch: Batch, dropout_key: tuple[int, ...] | None = None, output_size: int | None = None
) -> Tensor:
    """Return the logits of R replicates, [R, B, T, C] or [R, B, C]; for a model without replicates R is 1.

    Args:
        model: gives logits for (inputs, lengths, dropout_key).
        batch: for all replicates, or with a leading axis R. A batch whose targets are not known has its lengths in
            their place; the shape of the logits is then not checked.
        dropout_key: decides the dropout masks; None disables dropout.
        output_size: C, which is checked where it is given.

    Raises:
        UserError: the logits have another shape than the targets ask for.
    """
    inputs, lengths, targets = batch
    stacked = hasattr(model, "replicates")
    if not stacked and lengths.dim() == 2:
        inputs, lengths, targets = inputs[0], lengths[0], targets[0]
    logits = model(inputs, lengths, dropout_key)
    if batch.targets is not batch.lengths:  # comparing shapes takes less than a microsecond: every step can afford it
        replicates = (model.replicates,) if stacked and lengths.dim() == 1 else ()
        _check_logits(model, logits, (*replicates, *targets.shape), output_size)
    return logits if stacked else logits[None]


def _check_logits(model: nn.Module, logits: Any, leading: tuple[Any, ...], output_size: int | None) -> None:
    shape = tuple(logits.shape) if torch.is_tensor(logits) else ()
    if shape[:-1] != leading or output_size not in (None, shape[-1]):
        given = f"logits {list(shape)}" if torch.is_tensor(logits) else f"a value of type {type(logits).__name__}"
        asked = ", ".join(map(str, (*leading, output_size or "C")))
        raise UserError(f"{method_name(model, 'forward')}: gave {given}, must be logits [{asked}]")


def padding_mask(batch: Batch) -> Tensor | None:
    """Return where answers stand at real steps, [..., B, T]; None if there is no padding, or a single answer."""
    if batch.targets.dim() == batch.lengths.dim():
        return None
    real = torch.arange(batch.targets.shape[-1], device=batch.lengths.device) < batch.lengths[..., None]
    return None if real.all() else real


def mean_weights(chunk: Batch, real: Tensor | None) -> Tensor:
    """Return weights that turn per-answer losses into a mean per batch and replicate; 0 in the padding: [N, R, B(, T)].

    Args:
        chunk: N batches of R replicates.
        real: True where an answer stands in no padding, None if there is no padding.
    """
    kind = chunk.inputs.dtype
    shares = torch.ones_like(chunk.targets, dtype=kind) if real is None else real.to(kind)
    return shares / shares.flatten(2).sum(2).view(*shares.shape[:2], *[1] * (shares.dim() - 2))


def score(logits: Tensor, batch: Batch, loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss and correctness of each answer, [R, B] or [R, B, T], and lengths [R, B], as a Tally counts them.

    Padding counts as loss 0 and as a right answer.
    """
    targets, real = batch.targets.expand(logits.shape[:-1]), padding_mask(batch)
    losses, right, lengths = loss(logits, targets), answers(logits) == targets, batch.lengths.expand(logits.shape[:2])
    return (losses, right, lengths) if real is None else (losses * real, right | ~real, lengths)
