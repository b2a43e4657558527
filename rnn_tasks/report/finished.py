"""Finished runs of experiments, and what their files hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf

from rnn_tasks import config, runs
from rnn_tasks.config.targets import first_foreign
from rnn_tasks.errors import UserError
from rnn_tasks.report.experiments import swept
from rnn_tasks.training.history import HISTORY, read_history
from rnn_tasks.training.metrics import best_replicate, sort_keys

FULL, OLDER, OTHER = 0, 1, 2  # as the experiment says; with another version of the numerics; with other values
LOADED = 4  # runs whose networks and examples are held in memory at once


class Missing(UserError):
    """A run or data that a claim needs are not there."""


@dataclass
class FinishedRun:
    """A finished run.

    Attributes:
        path: its directory.
        result: the content of its result.json.
        loaded: whether its network has been looked into.
    """

    path: Path
    result: dict[str, Any]
    loaded: bool = False

    @cached_property
    def tier(self) -> int:
        """How far it follows its experiment: FULL, OLDER or OTHER."""
        expected = _expected(self)
        if expected is None:
            return OTHER
        if self.result["fingerprint"] == runs.fingerprint(expected):
            return FULL
        return OLDER if runs.influence(self.config) == runs.influence(expected) else OTHER

    @cached_property
    def config(self) -> DictConfig:
        return OmegaConf.create(self.result["config"])

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """Return the losses and accuracies, a row for each epoch and replicate.

        Raises:
            Missing: there is no history.csv.
        """
        rows = read_history(self.path / HISTORY)
        if not rows:
            raise Missing(f"{self.path} has no history.csv")
        return rows

    @property
    def replicates(self) -> int:
        return self.result["replicates"]

    @property
    def epochs(self) -> int:
        return max(row["epoch"] for row in self.history)

    @property
    def failed(self) -> list[bool]:
        """Whether the loss of each replicate became NaN."""
        return [loss is None for loss in self.metric("train", "loss")]

    def value(self, key: str) -> Any:
        """Return a value of the configuration; for a task, a loss or a network its short name."""
        if key == "task":
            return self.config.task.name
        value = OmegaConf.select(self.config, key)
        if isinstance(value, DictConfig):
            name = value._target_.rpartition(".")[2].lower()
            return value.cell if name == "network" else name
        return value

    def metric(self, split: str, kind: str = "accuracy") -> list[float | None]:
        """Return a metric of each replicate at the end of training; None for one that has failed.

        Args:
            split: "train", "val" or "test".
            kind: "accuracy", "sequence_accuracy" or "loss".

        Raises:
            Missing: the split was not measured.
        """
        return self._metrics(split)[kind]

    def examples(self, split: str) -> int:
        """Return the number of sequences that the metrics of a split were measured on."""
        return self._metrics(split)["n"]

    def by_length(self) -> dict[str, dict[str, list[float | None]]]:
        """Return the test metrics at each length."""
        return self._metrics("test")["by_length"]

    @property
    def chance(self) -> float:
        """The test accuracy of guessing."""
        return self._metrics("test")["chance"]

    def _metrics(self, split: str) -> dict[str, Any]:
        if split not in self.result["metrics"]:
            raise Missing(f"{self.path} has measured no {split} set")
        return self.result["metrics"][split]

    @property
    def best(self) -> int:
        """The replicate that is best in validation."""
        return best_replicate(sort_keys(self._metrics("val")))

    def curve(self, column: str) -> list[list[float]]:
        """Return a column of the history: a list for each replicate that has not failed, with a value for each epoch.

        Raises:
            Missing: the column lacks a replicate.
        """
        by_replicate: list[list[float]] = [[] for _ in self.failed]
        for row in self.history:
            if column in row:
                by_replicate[row["replicate"]].append(row[column])
        curves = [values for values, failed in zip(by_replicate, self.failed, strict=True) if not failed]
        if not all(curves):
            raise Missing(f"{self.path} has no {column} of every network")
        return curves

    def epochs_until(self, accuracy: float, last: int) -> list[float | None]:
        """Return the number of epochs until each replicate reaches a validation accuracy; None for one that has failed.

        Args:
            accuracy: to be reached.
            last: epochs to look at; ``last`` + 1 stands for a replicate that does not reach it in them.
        """
        curves = iter(self.curve("val_accuracy"))
        counts: list[float | None] = []
        for failed in self.failed:
            if failed:
                counts.append(None)
            else:
                reached = [epoch for epoch, value in enumerate(next(curves)[:last], 1) if value >= accuracy]
                counts.append(float(min(reached, default=last + 1)))
        return counts

    def guess_loss(self) -> float:
        """Return the loss of guessing, that is of logits of zero, in the mean over the classes."""
        foreign = first_foreign(self.result["config"])
        cfg = runs.read_config(self.path) if foreign else self.config  # which asks for a signature
        task = config.build_task(cfg)
        logits = torch.zeros(task.output_size, task.output_size)
        targets = torch.arange(task.output_size)
        return float(config.instantiated("loss", cfg.loss)(logits, targets).mean())

    def load(self, replicate: int | Literal["best", "all"] = "best") -> runs.Run:
        """Return one network or all of them, with the weights of the last epoch, by which the test set was measured."""
        run = _load(self.path, replicate)
        self.loaded = True
        return run


@lru_cache(LOADED)
def _load(path: Path, replicate: int | Literal["best", "all"]) -> runs.Run:
    run = runs.load(path, "last", replicate)
    run.task.setup()
    return run


def nearest(runs: Sequence[FinishedRun]) -> FinishedRun:
    """Return the run that follows its experiment most, and of equal ones the first."""
    return runs[0] if len(runs) == 1 else min(runs, key=lambda run: run.tier)


def _expected(run: FinishedRun) -> DictConfig | None:
    """Return the configuration that the experiment of a run has now for its values; None if it has none of these."""
    try:
        words = [f"experiment={run.result['experiment']}"]
        for key, values in swept(run.result["experiment"]).items():
            (value,) = [value for value in values if value == run.value(key)]
            words.append(f"{key}={value}")
        return config.compose(words)
    except (UserError, FileNotFoundError, ValueError):  # of the user's own, no longer there, or with other values
        return None
