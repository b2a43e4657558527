"""Callbacks that a configuration can add: ``callbacks=[weight_norms]``. Also examples for callbacks of your own."""

from __future__ import annotations

import torch
from lightning import Callback, Trainer
from torch import Tensor

from rnn_tasks import checks
from rnn_tasks.models import Network
from rnn_tasks.training.intervals import curve
from rnn_tasks.training.learner import Learner


class WeightNorms(Callback):
    """Logs the Euclidean norm of every parameter after each validation, as ``weights/<name>``.

    With several replicates these are the mean, and the extremes as ``weights/<name>_min`` and ``_max``; replicates that
    have failed are left out.
    """

    def on_validation_end(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        norms = {}
        for name, parameter in learner.model.named_parameters():
            weights = parameter.detach() if learner.stacked else parameter.detach()[None]  # [R, ...]
            norms[f"weights/{name}"] = weights.flatten(1).norm(dim=1)
        _log(trainer, learner, norms)


class Participation(Callback):
    """Logs after each validation how many dimensions the states of the last layer take up, as ``participation``.

    It is the participation ratio over all steps of some validation sequences. With several replicates these are the
    mean, and the extremes as ``participation_min`` and ``_max``. A model that is no Network logs nothing.

    Args:
        sequences: how many of them.

    Raises:
        ValueError: ``sequences`` is no whole number of at least 1.
    """

    def __init__(self, sequences: int = 200) -> None:
        checks.whole_numbers(1, sequences=sequences)
        self.sequences = sequences

    @torch.no_grad()
    def on_validation_end(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        model, examples = learner.model, trainer.datamodule.val  # type: ignore[attr-defined]
        if isinstance(model, Network):
            batch, weight = examples[torch.arange(min(self.sequences, len(examples)))], model.head["weight"]
            states = model.states(batch.inputs.to(weight), batch.lengths.to(weight.device))[:, -1]  # [R, N, T, H]
            real = torch.arange(states.shape[2]) < batch.lengths[:, None]
            _log(trainer, learner, {"participation": participation_ratio(states[:, real.to(weight.device)])})


def participation_ratio(states: Tensor) -> Tensor:
    """Return the participation ratio of states: [R, N, H] -> [R].

    With the covariance matrix C of the states it is (trace C)^2 / trace C^2. It lies between 1, if they lie on a line,
    and H, if their variance is the same in all directions. Source: Gao et al. 2017. NaN for states that are all equal.
    """
    centred = states.double() - states.double().mean(1, keepdim=True)
    covariance = centred.mT @ centred  # times N - 1, which the ratio does not contain
    return covariance.diagonal(dim1=1, dim2=2).sum(1).square() / covariance.square().sum((1, 2))


def _log(trainer: Trainer, learner: Learner, values: dict[str, Tensor]) -> None:
    """Log numbers of this process's replicates, [R] each, without those that have failed or are NaN."""
    failed, logged = learner.ranks.all_replicates(learner.failed).tolist(), dict[str, float]()
    for name, numbers in values.items():
        pairs = zip(learner.ranks.all_replicates(numbers).tolist(), failed, strict=True)
        kept = [None if bad or number != number else number for number, bad in pairs]
        logged |= {f"{name}{end}": value for end, value in curve(kept).items()}
    for logger in trainer.loggers:
        logger.log_metrics(logged, trainer.global_step)
