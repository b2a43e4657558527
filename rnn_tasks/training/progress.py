"""What a person sees on the terminal while a run trains."""

from __future__ import annotations

import sys
import time
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from rnn_tasks.errors import tell
from rnn_tasks.tasks.schedule import TrainSchedule
from rnn_tasks.training.intervals import counted, curve, hundredths
from rnn_tasks.training.learner import Learner

QUIET = 30  # seconds without a line, at most, off a terminal


class Bar(ProgressBar):
    """Says what is trained, then shows one bar over all steps, with the time left and the last validation.

    Off a terminal there is a line for each validation, and one for each half minute without any.

    Args:
        schedule: of the run.
    """

    def __init__(self, schedule: TrainSchedule) -> None:
        super().__init__()
        self.schedule = schedule
        self.bar: tqdm | None = None
        self.told = time.monotonic()

    def disable(self) -> None:
        self.bar = None

    def on_train_start(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        self._tell(_beginning(trainer, learner, self.schedule))
        if sys.stderr is not None and sys.stderr.isatty():
            self.bar = tqdm(
                total=self.schedule.total_steps,
                initial=trainer.global_step,
                unit=" steps",
                dynamic_ncols=True,
                mininterval=0.2,
                bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]",
            )

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        if self.bar is not None:
            self.bar.set_description(f"epoch {trainer.current_epoch + 1}", refresh=False)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self.bar is not None:
            self.bar.update(trainer.global_step - self.bar.n)
        elif time.monotonic() - self.told > QUIET:
            total = f" of {self.schedule.total_steps:,}" if self.schedule.total_steps else ""
            self._tell(f"epoch {trainer.current_epoch + 1}: step {trainer.global_step:,}{total}")

    def on_validation_end(self, trainer: Trainer, learner: Learner) -> None:  # type: ignore[override]
        loss, accuracy = (curve(learner.metrics["val"][kind]) for kind in ("loss", "accuracy"))
        if not loss:  # all networks have failed
            return
        shown = f"loss {loss['']:.4f}, " if learner.has_one_loss else ""
        text = f"val {shown}accuracy {hundredths(accuracy[''])}%"
        if learner.all_replicates > 1:
            text += f" ({hundredths(accuracy['_min'])}% to {hundredths(accuracy['_max'])}%)"
        if self.bar is not None:
            self.bar.set_postfix_str(text)
        else:
            self._tell(f"epoch {trainer.current_epoch + 1}: {text}")

    def _tell(self, text: str) -> None:
        self.told = time.monotonic()
        tell(text)

    def teardown(self, trainer: Trainer, learner: Learner, stage: str) -> None:  # type: ignore[override]
        if self.bar is not None:
            self.bar.close()


def _beginning(trainer: Trainer, learner: Learner, schedule: TrainSchedule) -> str:
    """Say what is trained, on what and where."""
    length = (
        f"{counted(schedule.epochs, 'epoch')} of {counted(schedule.steps, 'step')}"
        if schedule.epochs > 0
        else "no last epoch"
    )
    resumed = f"; from epoch {trainer.current_epoch + 1} on" if trainer.current_epoch else ""
    device = trainer.strategy.root_device
    return f"{trainer.default_root_dir}: {learner.description} on {device}; {length}{resumed}"
