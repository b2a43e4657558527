"""TensorBoard's events of a run: its curves while it trains, and its outcome when it has ended."""

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

OUTCOME = ".outcome"


class TensorBoard(TensorBoardLogger):
    """Writes the curves of a run into one event file, its outcome into another, which is replaced if written again."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._experiment is not None:
            self._experiment.flush()

    def save(self) -> None:
        """Nothing to save: the run keeps its own config.yaml."""

    def log_outcome(
        self,
        hyperparameters: dict[str, Any],
        final: dict[str, float],
        by_length: dict[str, Any],
        figures: dict[str, Figure],
        text: str,
        step: int,
    ) -> None:
        """Write what stands only at the end of a run.

        Args:
            hyperparameters, final: a row of the HPARAMS tab.
            by_length: test metrics, shown as curves over the length.
            figures: by tag.
            text: verification cases, in Markdown.
            step: the last of the run.
        """
        run = Path(self.log_dir)
        for former in run.glob(f"events*{OUTCOME}"):
            former.unlink()
        with SummaryWriter(run, filename_suffix=OUTCOME) as writer:
            for summary in hparams(hyperparameters, final):
                writer.file_writer.add_summary(summary)
            for tag, value in final.items():
                writer.add_scalar(tag, value, step)
            for length, values in by_length.items():
                for kind in ("accuracy", "sequence_accuracy"):
                    writer.add_scalar(f"test_by_length/{kind}", values[kind][0], int(length))
            for tag, figure in figures.items():
                writer.add_figure(tag, figure, step)
            writer.add_text("verification", text, step)
