"""Losses of single answers.

Logits are [..., C]. Targets are numbers of classes or single bits, [...], or sets of bits or several numbers, [..., C]
(see tasks/answers.py). Each loss gives one number for each answer, without a mean over them: [...].
"""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from rnn_tasks import checks


def same_loss(first: Callable[..., Tensor], second: Callable[..., Tensor]) -> bool:
    """Return whether two losses are one function with the same values."""
    parts = [(each.func, each.args, each.keywords) if isinstance(each, partial) else each for each in (first, second)]
    return parts[0] == parts[1]


def _parts(logits: Tensor, targets: Tensor) -> Tensor:
    """Return targets [..., C] with the axis that those of answers of a single part do not have.

    Raises:
        ValueError: the shapes do not fit.
    """
    if logits.shape[-1] == 1:
        _check_shapes(logits, targets)
        targets = targets[..., None]
    elif targets.shape != logits.shape:
        given = f"targets {list(targets.shape)} for logits {list(logits.shape)}"
        raise ValueError(f"{given}: must have the shape of the logits, with a bit or number for each")
    return targets.to(logits.dtype)


def _check_shapes(logits: Tensor, targets: Tensor) -> None:
    if targets.shape != logits.shape[:-1]:
        given = f"targets {list(targets.shape)} for logits {list(logits.shape)}"
        raise ValueError(f"{given}: must have the shape of the logits without their last axis")


def auto(logits: Tensor, targets: Tensor) -> Tensor:
    """Stand for the loss that suits the targets of a file: a run of ``task=file`` begins with that one in its place.

    Raises:
        ValueError: always.
    """
    raise ValueError("loss=auto: is for task=file alone; choose bce, ce, mse or squared")


def ce(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return cross-entropy with label smoothing (Szegedy et al. 2016).

    With the probabilities p, the target class y and e = ``label_smoothing``, the loss of an answer is
    -(1 - e) log p_y - e / C * sum_k log p_k.

    Raises:
        ValueError: the shapes do not fit, there are fewer than two classes, or ``label_smoothing`` is not at least 0
            and less than 1.
    """
    _check_shapes(logits, targets)
    if logits.shape[-1] < 2:
        raise ValueError(f"ce: logits {list(logits.shape)} of bits: must be of at least 2 classes; take bce or mse")
    if label_smoothing != 0:
        checks.fractions(label_smoothing=label_smoothing)
    losses = F.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return losses.view_as(targets)


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Return binary cross-entropy: -log p of the right bit, computed from the logit so that it stays finite.

    Of a set of bits it is the mean over the bits.

    Raises:
        ValueError: the shapes do not fit, as those of classes.
    """
    if logits.shape[-1] != 1 and targets.shape == logits.shape[:-1]:
        raise ValueError(f"bce: logits {list(logits.shape)} of classes: must be [..., 1], of bits; take ce or mse")
    return F.binary_cross_entropy_with_logits(logits, _parts(logits, targets), reduction="none").mean(-1)


def mse(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error of the probability of a 1; for classes, the mean of the squared errors over the classes.

    The latter is the score of Brier (1950), divided by C. Of a set of bits it is the mean over the bits.

    Raises:
        ValueError: the shapes do not fit.
    """
    if logits.shape[-1] == 1 or targets.shape == logits.shape:
        return F.mse_loss(logits.sigmoid(), _parts(logits, targets), reduction="none").mean(-1)
    _check_shapes(logits, targets)
    return (logits.softmax(-1) - F.one_hot(targets, logits.shape[-1])).square().mean(-1)


def squared(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error of a number, or its mean over several numbers; the logits are the numbers.

    Raises:
        ValueError: the shapes do not fit.
    """
    return F.mse_loss(logits, _parts(logits, targets), reduction="none").mean(-1)
