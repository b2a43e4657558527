"""Evidence: the finished runs below a directory, found by experiment, and what is measured with their networks."""

from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from rnn_tasks import config, runs
from rnn_tasks.errors import UserError
from rnn_tasks.report.experiments import QUICK_OUTPUTS, configurations, swept
from rnn_tasks.training.history import read_history
from rnn_tasks.training.metrics import best_replicate, sort_keys

FULL, OLDER, OTHER = 0, 1, 2  # as the experiment says; by other code; with other values


class Missing(UserError):
    """There is no run, or there are no data, that a claim needs."""


@dataclass
class FinishedRun:
    """A finished run.

    Attributes:
        path: its directory.
        result: what its result.json holds.
        tier: FULL, OLDER or OTHER.
    """

    path: Path
    result: dict[str, Any]
    tier: int = OTHER

    @cached_property
    def config(self) -> DictConfig:
        return OmegaConf.create(self.result["config"])

    @cached_property
    def history(self) -> list[dict[str, Any]]:
        """Rows of an epoch and a replicate."""
        rows = read_history(self.path / "history.csv")
        if not rows:
            raise Missing(f"{self.path} has no history.csv")
        return rows

    @property
    def replicates(self) -> int:
        return self.result["replicates"]

    @property
    def epochs(self) -> int:
        return max(row["epoch"] for row in self.history) + 1

    def value(self, key: str) -> Any:
        """What the configuration says; of a loss or a network its short name."""
        found = OmegaConf.select(self.config, key)
        if isinstance(found, DictConfig):
            name = found._target_.rpartition(".")[2].lower()
            return found.cell if name == "network" else name
        return found

    def metric(self, split: str, kind: str = "accuracy") -> list[float | None]:
        """A number for each replicate; None for one that has failed."""
        return self._split(split)[kind]

    def tried(self, split: str) -> int:
        """How many sequences were counted."""
        return self._split(split)["n"]

    def _split(self, split: str) -> dict[str, Any]:
        if split not in self.result["metrics"]:
            raise Missing(f"{self.path} has measured no {split} set")
        return self.result["metrics"][split]

    @property
    def best(self) -> int:
        """The replicate that is best in validation."""
        return best_replicate(sort_keys(self._split("val")))

    def curve(self, column: str) -> list[list[float]]:
        """A column of the history: for each replicate that has not failed its values, an epoch each."""
        failed = [loss is None for loss in self.metric("train", "loss")]
        rows: list[list[float]] = [[] for _ in failed]
        for row in self.history:
            if column in row:
                rows[row["replicate"]].append(row[column])
        found = [values for values, lost in zip(rows, failed, strict=True) if not lost]
        if not all(found):
            raise Missing(f"{self.path} has no {column} of every network")
        return found

    def epochs_until(self, accuracy: float, last: int) -> list[float | None]:
        """Epochs until a validation accuracy is reached, ``last`` + 1 where it is not by then; None if failed."""
        values = iter(self.curve("val_accuracy"))
        counts: list[float | None] = []
        for loss in self.metric("train", "loss"):
            reached = [] if loss is None else [i for i, one in enumerate(next(values)[:last], 1) if one >= accuracy]
            counts.append(None if loss is None else float(min(reached, default=last + 1)))
        return counts

    def guess_loss(self) -> float:
        """The loss of guessing: that of logits of zero, over the network's kinds of answers."""
        task = config.build_task(self.config)
        logits = torch.zeros(task.output_size, task.output_size)
        targets = torch.arange(task.output_size)
        return float(instantiate(self.config.loss)(logits, targets).mean())

    def load(self, replicate: int | str = "best") -> runs.Run:
        """The network, or all of them, with the weights of the last epoch, which the test set was measured with."""
        return _load(self.path, replicate)


@cache
def _load(path: Path, replicate: int | str) -> runs.Run:
    run = runs.load(path, "last", replicate)
    run.task.setup()
    return run


@dataclass
class Evidence:
    """The finished runs of experiments below a directory.

    Attributes:
        root: the directory.
        found: the runs, those that follow their experiment in full first, of equal ones the newest first.
        used: those that were asked for.
        damaged: what cannot be read.
    """

    root: Path
    found: list[FinishedRun] = field(default_factory=list)
    used: dict[Path, FinishedRun] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path, result in runs.results(self.root):
            if path.relative_to(self.root).parts[:1] == (QUICK_OUTPUTS.name,):  # a quick look is a root of its own
                continue
            if result is None or result.get("schema") != 1:
                self.damaged.append(str(path))
            elif result["experiment"]:
                self.found.append(FinishedRun(path, result))
        for run in self.found:
            expected = _expected(run.result["experiment"])
            as_told = any(runs.influence(run.config) == runs.influence(cfg) for cfg in expected.values())
            run.tier = FULL if run.result["fingerprint"] in expected else OLDER if as_told else OTHER
        self.found.sort(key=lambda run: run.tier)

    def run(self, words: str) -> FinishedRun:
        """The run of an experiment; further words like model.hidden=3 pick one of a sweep."""
        experiment, *values = words.split()
        pairs = [value.partition("=")[::2] for value in values]
        for run in self.found:
            if run.result["experiment"] == experiment and all(str(run.value(key)) == said for key, said in pairs):
                self.used[run.path] = run
                return run
        of = f" with {' '.join(values)}" if values else ""
        raise Missing(f"no finished run{of} of python -m rnn_tasks.train experiment={experiment}")

    def sweep(self, experiment: str) -> list[FinishedRun]:
        """A run for each choice of an experiment's sweep, all of one extent."""
        choices = swept(experiment)
        wanted = list(product(*choices.values()))
        own = [run for run in self.found if run.result["experiment"] == experiment]
        of = {tuple(run.value(key) for key in choices): run for run in reversed(own)}
        chosen = [of[values] for values in wanted if values in of]
        if len(chosen) < len(wanted):
            raise Missing(
                f"{len(chosen)} of {len(wanted)} finished runs of python -m rnn_tasks.train experiment={experiment}"
            )
        if len({(run.replicates, run.config.trainer.max_epochs) for run in chosen}) > 1:
            raise Missing(f"the runs of experiment={experiment} differ in their epochs or their numbers of networks")
        self.used |= {run.path: run for run in chosen}
        return chosen


@cache
def _expected(experiment: str) -> dict[str, DictConfig]:
    """The configurations that an experiment has now, by their fingerprints."""
    try:
        return {runs.fingerprint(cfg): cfg for cfg in configurations(experiment)}
    except (UserError, FileNotFoundError):  # one of the user's own, or one that is gone
        return {}
