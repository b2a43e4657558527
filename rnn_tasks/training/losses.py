"""What a logit means, and what a wrong one costs.

Logits are [..., C]. With C = 1 an answer is a bit (targets are 0.0 and 1.0, its probability the logit's sigmoid), else
one of C classes (targets are their numbers, their probabilities the logits' softmax). A loss is taken of each answer
alone: [..., C], [...] -> [...].
"""

import torch.nn.functional as F
from torch import Tensor


def ce(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the right class, of whose probability all classes get the share ``label_smoothing``."""
    losses = F.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return losses.view_as(targets)


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, taken on the logit so that it stays finite."""
    return F.binary_cross_entropy_with_logits(logits.squeeze(-1), targets.to(logits.dtype), reduction="none")


def mse(logits: Tensor, targets: Tensor) -> Tensor:
    """Squared error of the probabilities; of classes, the mean over the classes."""
    if logits.shape[-1] == 1:
        return F.mse_loss(logits.squeeze(-1).sigmoid(), targets.to(logits.dtype), reduction="none")
    return (logits.softmax(-1) - F.one_hot(targets, logits.shape[-1])).square().mean(-1)
