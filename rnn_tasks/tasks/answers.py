"""The meaning of logits: the answers of a network and their probabilities.

Logits are [..., C]. With C = 1 an answer is a bit, and the sigmoid of the logit is the probability of a 1. Otherwise it
is one of C classes, and the softmax of the logits gives the probabilities of the classes.
"""

import torch
from torch import Tensor


def answers(logits: Tensor) -> Tensor:
    """Return the likeliest answers, bits as 0.0 and 1.0 or the numbers of classes: [..., C] -> [...].

    A logit of 0, a bit of probability 1/2, is answered by 0; of equal classes the first is taken.
    """
    return (logits.squeeze(-1) > 0).to(logits.dtype) if logits.shape[-1] == 1 else logits.argmax(-1)


def confidences(logits: Tensor) -> Tensor:
    """Return the probabilities that a network gives its answers, at least 1/2 or 1/C: [..., C] -> [...]."""
    if logits.shape[-1] == 1:
        return logits.squeeze(-1).abs().sigmoid()
    return torch.amax(logits.softmax(-1), -1)
