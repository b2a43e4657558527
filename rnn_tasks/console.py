"""What a person sees on the terminal while a run trains and when it has ended."""

import sys
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import ProgressBar
from lightning.pytorch.utilities import rank_zero_only
from tabulate import tabulate
from tqdm import tqdm

from rnn_tasks.learner import Learner


class Bar(ProgressBar):
    """One bar over all steps of a run, with the time left and the last validation; off a terminal, a line an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.bar: tqdm | None = None

    def disable(self) -> None:
        self.bar = None

    def on_train_start(self, trainer: Trainer, learner: Learner) -> None:
        total = trainer.estimated_stepping_batches
        if trainer.is_global_zero and sys.stderr.isatty():
            self.bar = tqdm(
                total=None if total == float("inf") else int(total),
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
            val = learner.metrics["val"]
            said = f"val loss {val['loss'][0]:.4f}, accuracy {val['accuracy'][0]:.2%}"
            if self.bar is not None:
                self.bar.set_postfix_str(said)
            elif trainer.is_global_zero:
                print(f"epoch {trainer.current_epoch + 1}: {said}", file=sys.stderr)

    def teardown(self, trainer: Trainer, learner: Learner, stage: str) -> None:
        if self.bar is not None:
            self.bar.close()


@rank_zero_only
def print_result(result: dict[str, Any], run: Path) -> None:
    """Print the metrics of a run, a split a row, and its directory."""
    names = {"train": "training", "val": "validation", "test": "test"}
    metrics = {name: result["metrics"][split] for split, name in names.items() if split in result["metrics"]}
    chance = result["metrics"].get("test", {}).get("chance")
    notes = [f"chance {chance:.2%}"] if chance else []
    notes += [f"{result['parameters']} parameters", f"{result['seconds']:.0f} seconds"]
    print(f"{_table(metrics)}\n{', '.join(notes)}\n{run}")


def metrics_table(metrics: dict[str, Any]) -> str:
    """Test metrics, a length a row."""
    by_length = metrics["by_length"] if len(metrics["by_length"]) > 1 else {}
    return _table({**{f"length {length}": values for length, values in by_length.items()}, "all": metrics}) + (
        f"\nchance {metrics['chance']:.2%}"
    )


def _table(rows: dict[str, dict[str, Any]]) -> str:
    shown = [
        (
            name,
            values.get("n", ""),
            *(f"{loss:.3g}" for loss in values["loss"]),
            *(f"{share:.2%}" for kind in ("accuracy", "sequence_accuracy") for share in values[kind]),
        )
        for name, values in rows.items()
    ]
    headers = ("", "sequences", "loss", "accuracy", "whole sequences")
    return tabulate(shown, headers, disable_numparse=True, colalign=("left", *("right",) * 4))
