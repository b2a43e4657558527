"""What a person sees on the terminal while a run trains."""

from __future__ import annotations

import sys
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from rnn_tasks.errors import tell
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training.intervals import summarize
from rnn_tasks.training.learner import Learner


class Bar(ProgressBar):
    """One bar over all steps of a run, with the time left and the last validation; off a terminal, a line an epoch.

    Args:
        schedule: of the run.
    """

    def __init__(self, schedule: TrainSchedule) -> None:
        super().__init__()
        self.schedule = schedule
        self.bar: tqdm | None = None

    def disable(self) -> None:
        self.bar = None

    def on_train_start(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        if sys.stderr is not None and sys.stderr.isatty():
            self.bar = tqdm(
                total=self.schedule.total_steps,
                initial=trainer.global_step,
                unit=" steps",
                dynamic_ncols=True,
                mininterval=0.2,
                bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]",
            )

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self.bar is not None:
            self.bar.update(trainer.global_step - self.bar.n)

    def on_validation_end(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        loss, accuracy = (summarize(learner.metrics["val"][kind]) for kind in ("loss", "accuracy"))
        text = f"val loss {loss.mean:.4f}, accuracy {accuracy.mean:.2%}"
        if learner.replicates > 1:
            text += f" ({accuracy.least:.2%} to {accuracy.most:.2%})"
        if self.bar is not None:
            self.bar.set_postfix_str(text)
        else:
            tell(f"epoch {trainer.current_epoch + 1}: {text}")

    def teardown(self, trainer: Trainer, learner: Learner, stage: str) -> None:  # type: ignore[override]
        if self.bar is not None:
            self.bar.close()
