"""The logits of all replicates, and the loss and correctness of each answer."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rnn_tasks.errors import UserError
from rnn_tasks.tasks.answers import AnswerFormat, format_of
from rnn_tasks.tasks.base import Batch
from rnn_tasks.tasks.contract import method_name


def forward_replicates(
    model: nn.Module, batch: Batch, dropout_key: tuple[int, ...] | None = None, form: AnswerFormat | None = None
) -> Tensor:
    """Return the logits of R replicates, [R, B, T, C] or [R, B, C]; for a model without replicates R is 1.

    Args:
        model: gives logits for (inputs, lengths, dropout_key).
        batch: for all replicates, or with a leading axis R. A batch whose targets are not known has its lengths in
            their place; the shape of the logits is then not checked.
        dropout_key: decides the dropout masks; None disables dropout.
        form: of the answers; without it an answer has no parts, and C is not checked.

    Raises:
        UserError: the logits have another shape than the targets ask for.
    """
    inputs, lengths, targets, _ = batch
    stacked = hasattr(model, "replicates")
    if not stacked and lengths.dim() == 2:
        inputs, lengths, targets = inputs[0], lengths[0], targets[0]
    logits = model(inputs, lengths, dropout_key)
    if batch.targets is not batch.lengths:  # comparing shapes takes less than a microsecond: every step can afford it
        replicates = (model.replicates,) if stacked and lengths.dim() == 1 else ()
        shape = targets.shape[:-1] if form and form.has_parts else targets.shape
        _check_logits(model, logits, (*replicates, *shape), form.size if form else None)
    return logits if stacked else logits[None]


def _check_logits(model: nn.Module, logits: Any, leading: tuple[Any, ...], output_size: int | None) -> None:
    shape = tuple(logits.shape) if torch.is_tensor(logits) else ()
    if shape[:-1] != leading or output_size not in (None, shape[-1]):
        given = f"logits {list(shape)}" if torch.is_tensor(logits) else f"a value of type {type(logits).__name__}"
        asked = ", ".join(map(str, (*leading, output_size or "C")))
        raise UserError(f"{method_name(model, 'forward')}: gave {given}, must be logits [{asked}]")


def asked_mask(batch: Batch, has_parts: bool = False) -> Tensor | None:
    """Return where an answer is asked at a real step, [..., B, T]; None if everywhere, or for a single answer.

    Args:
        batch: any number of sequences.
        has_parts: whether the targets have a last axis for the parts of an answer.
    """
    if batch.targets.dim() - has_parts == batch.lengths.dim():
        return None
    steps = batch.targets.shape[-1 - has_parts]
    real = torch.arange(steps, device=batch.lengths.device) < batch.lengths[..., None]
    if batch.asked is not None:
        return real & batch.asked
    return None if real.all() else real


def mean_weights(chunk: Batch, asked: Tensor | None, has_parts: bool = False) -> Tensor:
    """Return weights that turn per-answer losses into a mean per batch and replicate: [N, R, B(, T)].

    Args:
        chunk: N batches of R replicates.
        asked: True where an answer is asked, all others have the weight 0; None if everywhere.
        has_parts: whether the targets have a last axis for the parts of an answer.
    """
    kind, whole = chunk.inputs.dtype, chunk.targets[..., 0] if has_parts else chunk.targets
    shares = torch.ones_like(whole, dtype=kind) if asked is None else asked.to(kind)
    return shares / shares.flatten(2).sum(2).view(*shares.shape[:2], *[1] * (shares.dim() - 2))


class Scored(NamedTuple):
    """What a Tally counts of R replicates: losses and right answers [R, B] or [R, B, T], lengths and answers [R, B]."""

    losses: Tensor
    right: Tensor
    lengths: Tensor
    counts: Tensor


def score(
    logits: Tensor, batch: Batch, loss: Callable[[Tensor, Tensor], Tensor], form: AnswerFormat | None = None
) -> Scored:
    """Return the loss and correctness of each answer; one that is not asked counts as loss 0 and as right.

    Args:
        logits: [R, B, C] or [R, B, T, C].
        batch: for all replicates, or with a leading axis R.
        loss: of each answer alone.
        form: of the answers; without it a bit or a class.
    """
    form, asked = form or format_of(logits), asked_mask(batch, bool(form and form.has_parts))
    targets = batch.targets.expand(logits.shape if form.has_parts else logits.shape[:-1])
    losses, right, lengths = loss(logits, targets), form.right(logits, targets), batch.lengths.expand(logits.shape[:2])
    if asked is None:
        return Scored(losses, right, lengths, lengths if losses.dim() == 3 else torch.ones_like(lengths))
    return Scored(losses * asked, right | ~asked, lengths, asked.sum(-1).expand(lengths.shape))
