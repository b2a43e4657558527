"""The meaning of logits: the answers of a network, their probabilities, and which of them are right."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rnn_tasks import checks

Kind = Literal["bits", "classes", "numbers"]
KINDS = ("bits", "classes", "numbers")


@dataclass(frozen=True)
class AnswerFormat:
    """What the logits [..., C] and the targets of a task mean.

    An answer is a bit (C = 1) or a set of bits, a class, or a number or several. The sigmoid of the logit of a bit is
    the probability of a 1, the softmax of the logits of classes gives the probabilities of the classes, and logits of
    numbers are the numbers. Targets are [...]; those of sets of bits and of several numbers are [..., C].

    Attributes:
        kind: "bits", "classes" or "numbers".
        size: C, logits of an answer.
        every_step: whether there may be an answer at each step, not only one after the last.
        tolerance: the largest error of a right number.

    Raises:
        ValueError: a value is out of its range.
    """

    kind: Kind
    size: int
    every_step: bool = False
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        checks.one_of(KINDS, answer_kind=self.kind)
        checks.whole_numbers(1 + (self.kind == "classes"), output_size=self.size)
        checks.not_negative(tolerance=self.tolerance)

    @property
    def has_parts(self) -> bool:
        """Whether an answer has parts, so that the targets have a last axis for them."""
        return self.size > 1 and self.kind != "classes"

    def answers(self, logits: Tensor) -> Tensor:
        """Return the likeliest answers, shaped like targets: bits as 0.0 and 1.0, numbers of classes, or numbers.

        A logit of 0, a bit of probability 1/2, is answered by 0; of equal classes the first is taken.
        """
        if self.kind == "classes":
            return logits.argmax(-1)
        found = (logits > 0).to(logits.dtype) if self.kind == "bits" else logits
        return found if self.has_parts else found.squeeze(-1)

    def confidences(self, logits: Tensor) -> Tensor:
        """Return the probabilities that a network gives its answers, of a set that of its least certain bit: [...].

        They are at least 1/2 or 1/C; numbers have none, and get 1.
        """
        if self.kind == "numbers":
            return torch.ones_like(logits[..., 0])
        return torch.amin(logits.abs().sigmoid(), -1) if self.kind == "bits" else torch.amax(logits.softmax(-1), -1)

    def right(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return which answers are right, with all their parts: [..., C] and targets -> [...]."""
        given = self.answers(logits)
        right = (given - targets).abs() <= self.tolerance if self.kind == "numbers" else given == targets
        return right.all(-1) if self.has_parts else right


def format_of(logits: Tensor) -> AnswerFormat:
    """Return what logits [..., C] mean where nothing else is said: a bit for C = 1, else classes."""
    return AnswerFormat("bits" if logits.shape[-1] == 1 else "classes", logits.shape[-1])


def answers(logits: Tensor) -> Tensor:
    """Return the likeliest bits or classes, see AnswerFormat: [..., C] -> [...]."""
    return format_of(logits).answers(logits)


def confidences(logits: Tensor) -> Tensor:
    """Return the probabilities of the likeliest bits or classes, see AnswerFormat: [..., C] -> [...]."""
    return format_of(logits).confidences(logits)


def share_of_best_constant(targets: Tensor, form: AnswerFormat) -> float:
    """Return the accuracy of the best constant answer to targets [M] or [M, C].

    Of numbers it is the constant within whose tolerance most targets lie, of several numbers their mean.
    """
    if form.kind != "numbers":
        return float(targets.unique(dim=0, return_counts=True)[1].max()) / len(targets)
    if form.has_parts:
        return float(form.right(targets.mean(0).expand_as(targets), targets).double().mean())
    ordered = targets.double().sort().values
    behind = torch.searchsorted(ordered, ordered + 2 * form.tolerance, right=True)
    return float((behind - torch.arange(len(ordered))).max()) / len(ordered)
