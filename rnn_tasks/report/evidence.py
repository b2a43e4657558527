"""Evidence: the finished runs below a directory, by experiment, and what their files hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch
from omegaconf import DictConfig, OmegaConf

from rnn_tasks import config, runs
from rnn_tasks.config.targets import first_foreign
from rnn_tasks.errors import UserError
from rnn_tasks.report.experiments import QUICK_OUTPUTS, configurations, swept
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
        tier: FULL, OLDER or OTHER.
        loaded: whether its network has been looked into.
    """

    path: Path
    result: dict[str, Any]
    tier: int = OTHER
    loaded: bool = False

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


@dataclass
class Evidence:
    """The finished runs of experiments below a directory.

    Attributes:
        root: the directory.
        finished: the runs: those that follow their experiment in full first, the newest of equal ones first.
        used: the runs that were asked for, by their directories.
        damaged: directories whose result.json cannot be read.
    """

    root: Path
    finished: list[FinishedRun] = field(default_factory=list)
    used: dict[Path, FinishedRun] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path, result in runs.results(self.root):
            if path.relative_to(self.root).parts[:1] == (QUICK_OUTPUTS.name,):  # a quick look is a root of its own
                continue
            if result is None or result.get("schema") != 1:
                self.damaged.append(str(path))
            elif result["experiment"]:
                run = FinishedRun(path, result)
                run.tier = _tier(run, _expected(result["experiment"]))
                self.finished.append(run)
        self.finished.sort(key=lambda run: run.tier)

    def run(self, selector: str) -> FinishedRun:
        """Return the first run of an experiment.

        Args:
            selector: the experiment's name; further words like model.hidden=3 pick a run of a sweep.

        Raises:
            Missing: there is no such run.
        """
        experiment, *values = selector.split()
        pairs = [value.partition("=")[::2] for value in values]
        for run in self.finished:
            if run.result["experiment"] == experiment and all(str(run.value(key)) == value for key, value in pairs):
                self.used[run.path] = run
                return run
        condition = f" with {' '.join(values)}" if values else ""
        raise Missing(f"no finished run{condition} of `python -m rnn_tasks.train experiment={experiment}`")

    def sweep(self, experiment: str) -> list[FinishedRun]:
        """Return a run for each choice of an experiment's sweep, in the order of the sweep.

        Raises:
            Missing: a run is missing, or the runs differ in their epochs, updates or numbers of replicates.
        """
        choices = swept(experiment)
        wanted = list(product(*choices.values()))
        own = [run for run in self.finished if run.result["experiment"] == experiment]
        by_values = {tuple(run.value(key) for key in choices): run for run in reversed(own)}
        chosen = [by_values[values] for values in wanted if values in by_values]
        if len(chosen) < len(wanted):
            raise Missing(
                f"{len(chosen)} of {len(wanted)} finished runs of `python -m rnn_tasks.train experiment={experiment}`"
            )
        if len({(run.replicates, run.config.trainer.max_epochs, run.config.trainer.max_steps) for run in chosen}) > 1:
            raise Missing(
                f"the runs of `experiment={experiment}` differ in their epochs, updates or numbers of networks"
            )
        self.used |= {run.path: run for run in chosen}
        return chosen


def _tier(run: FinishedRun, expected: Mapping[str, DictConfig]) -> int:
    """How far a run follows its experiment, whose configurations are given by their fingerprints."""
    if run.result["fingerprint"] in expected:
        return FULL
    influence = runs.influence(run.config)
    return OLDER if any(runs.influence(cfg) == influence for cfg in expected.values()) else OTHER


@cache
def _expected(experiment: str) -> dict[str, DictConfig]:
    """Return the configurations that an experiment has now, by their fingerprints."""
    try:
        return {runs.fingerprint(cfg): cfg for cfg in configurations(experiment)}
    except (UserError, FileNotFoundError):  # an experiment of the user's own, or one that no longer exists
        return {}
