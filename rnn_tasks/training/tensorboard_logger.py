"""TensorBoard's events of a run: its curves while it trains, and its outcome when it has ended."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from rnn_tasks.files import replacing
from rnn_tasks.training import KINDS
from rnn_tasks.training.intervals import curve

BANDS = {"train": ("loss", "gradient_norm"), "val": KINDS}
OUTCOME = "events.out.tfevents.9999999999.outcome"  # TensorBoard reads event files in the order of their names


class TensorBoard(TensorBoardLogger):
    """Writes the curves of a run into one event file, its outcome into another, which is replaced if written again.

    The mean over replicates and its band from the least to the greatest are one chart each in the tab Custom Scalars.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.written = self.laid_out = False
        self.banded: set[str] = set()

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in metrics.items()]
        self.experiment.file_writer.add_summary(Summary(value=values), step)  # one event, not one for each tag
        self.written = True
        if not self.laid_out:
            self.banded |= {tag.removesuffix("_min") for tag in metrics if tag.endswith("_min")}
            if {tag.partition("/")[0] for tag in self.banded} >= BANDS.keys():
                self._lay_out()

    def _lay_out(self) -> None:
        """Lay out the charts with a band, once: TensorBoard takes the first layout, and tells tags that are missing."""
        self.laid_out = True
        charts = {
            split: {
                kind: ["Margin", [f"{split}/{kind}{end}" for end in ("", "_min", "_max")]]
                for kind in kinds
                if f"{split}/{kind}" in self.banded
            }
            for split, kinds in BANDS.items()
        }
        self.experiment.add_custom_scalars({split: kinds for split, kinds in charts.items() if kinds})

    def finalize(self, status: str) -> None:
        """Write out what is waiting, and end the writer's thread."""
        if self.banded and not self.laid_out:
            self._lay_out()
        if self.written:
            self.experiment.close()

    def save(self) -> None:
        """Nothing to save: the run keeps its own config.yaml."""

    def log_outcome(
        self,
        hyperparameters: dict[str, Any],
        final: dict[str, float],
        by_length: dict[str, Any],
        pictures: dict[str, np.ndarray],
        text: str,
        step: int,
    ) -> None:
        """Write what stands only at the end of a run.

        Args:
            hyperparameters, final: a row of the HPARAMS tab.
            by_length: test metrics, shown as curves over the length.
            pictures: [height, width, 3] from 0 to 255, by tag.
            text: verification cases, in Markdown.
            step: the last of the run.
        """
        outcome = Path(self.log_dir) / OUTCOME
        with TemporaryDirectory() as directory, SummaryWriter(directory) as writer:
            for summary in hparams(hyperparameters, final):
                writer.file_writer.add_summary(summary)
            for tag, value in final.items():
                writer.add_scalar(tag, value, step)
            for length, values in by_length.items():
                for kind in ("accuracy", "sequence_accuracy"):
                    for suffix, value in curve(values[kind]).items():
                        writer.add_scalar(f"test_by_length/{kind}{suffix}", value, int(length))
            for tag, picture in pictures.items():
                writer.add_image(tag, picture, step, dataformats="HWC")
            writer.add_text("verification", text, step)
            writer.flush()
            with replacing(outcome) as file:
                file.write(next(Path(directory).iterdir()).read_bytes())
