"""Callbacks that a configuration can add: ``callbacks=[weight_norms]``. Also an example for callbacks of your own."""

from __future__ import annotations

from lightning import Callback, Trainer

from rnn_tasks.training.intervals import curve
from rnn_tasks.training.learner import Learner


class WeightNorms(Callback):
    """Logs the Euclidean norm of every parameter after each validation, as ``weights/<name>``.

    With several replicates these are the mean, and the extremes as ``weights/<name>_min`` and ``_max``; replicates that
    have failed are left out.
    """

    def on_validation_end(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        logged: dict[str, float] = {}
        failed = learner.ranks.all_replicates(learner.failed).tolist()
        for name, parameter in learner.model.named_parameters():
            weights = parameter.detach() if learner.stacked else parameter.detach()[None]  # [R, ...]
            norms: list[float | None] = learner.ranks.all_replicates(weights.flatten(1).norm(dim=1)).tolist()
            norms = [None if bad else norm for norm, bad in zip(norms, failed, strict=True)]
            logged |= {f"weights/{name}{end}": value for end, value in curve(norms).items()}
        for logger in trainer.loggers:
            logger.log_metrics(logged, trainer.global_step)
