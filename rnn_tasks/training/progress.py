"""What a person sees on the terminal while a run trains and when it has ended."""

import sys
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm

from rnn_tasks.training.intervals import summarize
from rnn_tasks.training.learner import Learner


class Bar(ProgressBar):
    """One bar over all steps of a run, with the time left and the last validation; off a terminal, a line an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.bar: tqdm | None = None

    def disable(self) -> None:
        self.bar = None

    def on_train_start(self, trainer: Trainer, learner: Learner) -> None:
        if trainer.is_global_zero and sys.stderr.isatty():
            self.bar = tqdm(
                total=trainer.train_dataloader.sampler.total_steps,
                initial=trainer.global_step,
                unit=" steps",
                dynamic_ncols=True,
                mininterval=0.2,
                bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]",
            )

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if self.bar is not None:
            self.bar.update(trainer.global_step - self.bar.n)

    def on_validation_end(self, trainer: Trainer, learner: Learner) -> None:
        if trainer.state.fn == "fit":
            loss, accuracy = (summarize(learner.metrics["val"][kind]) for kind in ("loss", "accuracy"))
            said = f"val loss {loss.mean:.4f}, accuracy {accuracy.mean:.2%}"
            if learner.replicates > 1:
                said += f" ({accuracy.least:.2%} to {accuracy.most:.2%})"
            if self.bar is not None:
                self.bar.set_postfix_str(said)
            elif trainer.is_global_zero:
                print(f"epoch {trainer.current_epoch + 1}: {said}", file=sys.stderr)

    def teardown(self, trainer: Trainer, learner: Learner, stage: str) -> None:
        if self.bar is not None:
            self.bar.close()
