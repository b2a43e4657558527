"""What a logit means: the answers of a network and their probabilities."""

import torch
from torch import Tensor


def answers(logits: Tensor) -> Tensor:
    """The likeliest bit (as 0.0 or 1.0) or class of each logit: [..., C] -> [...]."""
    return (logits.squeeze(-1) > 0).to(logits.dtype) if logits.shape[-1] == 1 else logits.argmax(-1)


def confidences(logits: Tensor) -> Tensor:
    """The probability that the network gives to its own answer: [..., C] -> [...]."""
    if logits.shape[-1] == 1:
        return logits.squeeze(-1).abs().sigmoid()
    return torch.amax(logits.softmax(-1), -1)
