"""The points of the curves of a run, as its loggers get them."""

from __future__ import annotations

from collections.abc import Iterable

from lightning.pytorch.loggers import Logger
from torch import Tensor

from rnn_tasks.training.intervals import curve
from rnn_tasks.training.ranks import Ranks

Values = dict[str, list[float | None]]  # by kind, a number for each replicate


def log(loggers: Iterable[Logger], split: str, values: Values, step: int, **further: float) -> None:
    """Give loggers a point of each curve: the mean over the replicates, and the extremes.

    Args:
        loggers: of the run.
        split: "train" or "val".
        values: of all replicates, None for one that is left out.
        step: optimizer steps so far.
        further: numbers that all replicates have in common.
    """
    logged = {f"{split}/{kind}{end}": value for kind, row in values.items() for end, value in curve(row).items()}
    logged |= {f"{split}/{name}": value for name, value in further.items()}
    for logger in loggers:
        logger.log_metrics(logged, step)


class TrainCurves:
    """Logs points of training: at once, or with shards of replicates when the processes meet.

    Args:
        ranks: the processes of the run.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.waiting: list[tuple[int, float, Values]] = []

    def add(
        self, loggers: Iterable[Logger], step: int, learning_rate: float, rows: dict[str, Tensor], frozen: Tensor
    ) -> None:
        """Log a point of the replicates of this process, [R]; those that are frozen are left out."""
        pairs = {kind: zip(row.tolist(), frozen.tolist(), strict=True) for kind, row in rows.items()}
        values: Values = {kind: [None if stays else value for value, stays in pairs[kind]] for kind in pairs}
        self.waiting.append((step, learning_rate, values))
        if self.ranks.shard is None:
            self.flush(loggers)

    def flush(self, loggers: Iterable[Logger]) -> None:
        """Log what is waiting."""
        parts = [self.waiting] if self.ranks.shard is None else self.ranks.exchange(self.waiting)
        self.waiting = []
        for points in zip(*parts, strict=True):
            step, learning_rate, first = points[0]
            values = {kind: [value for *_, part in points for value in part[kind]] for kind in first}
            log(loggers, "train", values, step, learning_rate=learning_rate)
