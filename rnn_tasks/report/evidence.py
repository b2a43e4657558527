"""Evidence: the finished runs below a directory, found by experiment, and what is measured with their networks."""

from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor
from torchvision.datasets import USPS
from torchvision.transforms.functional import to_tensor

from rnn_tasks import runs
from rnn_tasks.checkpoints import read_history
from rnn_tasks.errors import UserError
from rnn_tasks.reproduce import configurations
from rnn_tasks.tasks.mnist import like_mnist

FULL, OLDER, OTHER = 0, 1, 2  # as the experiment says; by other code; with other values


class Missing(Exception):
    """There is no run, or there are no data, that a claim needs. The message says what."""


@dataclass
class Found:
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
        return read_history(self.path / "history.csv")

    @property
    def replicates(self) -> int:
        return self.result["replicates"]

    def metric(self, split: str, kind: str = "accuracy") -> list[float | None]:
        """A number for each replicate."""
        if split not in self.result["metrics"]:
            raise Missing(f"{self.path} has measured no {split} set")
        return self.result["metrics"][split][kind]

    def value(self, key: str) -> Any:
        """What the configuration says; of a loss or a network its short name."""
        found = OmegaConf.select(self.config, key)
        if isinstance(found, DictConfig):
            return found.get("cell") or found._target_.rpartition(".")[2]
        return found

    def tried(self, split: str) -> int:
        """How many answers were counted."""
        return self.result["metrics"][split]["n"]

    def curve(self, column: str) -> list[list[float]]:
        """A column of the history: for each replicate that has not failed its values, an epoch each."""
        failed = [loss is None for loss in self.metric("train", "loss")]
        rows = [[] for _ in failed]
        for row in self.history:
            if column in row:
                rows[row["replicate"]].append(row[column])
        return [values for values, lost in zip(rows, failed, strict=True) if not lost]

    def epochs_until(self, accuracy: float) -> list[float | None]:
        """Epochs until the validation accuracy reached this; one more than all where it never did; None if failed."""
        epochs: list[float | None] = [None if loss is None else float("inf") for loss in self.metric("train", "loss")]
        last = max(row["epoch"] for row in self.history) + 1
        for row in self.history:
            number = row["replicate"]
            if epochs[number] is not None and row["val_accuracy"] >= accuracy:
                epochs[number] = min(epochs[number], row["epoch"] + 1)
        return [None if count is None else min(count, last + 1.0) for count in epochs]

    def guess_loss(self) -> float:
        """The loss of guessing: that of logits of zero, over the network's kinds of answers."""
        task = runs.build_task(self.config)
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
    """

    root: Path
    found: list[Found] = field(default_factory=list)
    used: dict[Path, Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in runs.finished(self.root):
            result = runs.read_result(path)
            if result and result.get("experiment"):
                self.found.append(Found(path, result))
        expected = {
            experiment: _expected(experiment) for experiment in {run.result["experiment"] for run in self.found}
        }
        for run in self.found:
            configs = expected[run.result["experiment"]]
            as_told = any(runs.influence(run.config) == influence for influence in configs.values())
            run.tier = FULL if run.result["fingerprint"] in configs else OLDER if as_told else OTHER
        self.found.sort(key=lambda run: run.tier)

    def sweep(self, experiment: str) -> list[Found]:
        """All runs of an experiment, of each configuration the first."""
        runs_of = {}
        for run in self.found:
            if run.result["experiment"] == experiment:
                runs_of.setdefault(str(runs.influence(run.config)), run)
        best = min((run.tier for run in runs_of.values()), default=FULL)
        chosen = [run for run in runs_of.values() if run.tier == best]
        if not chosen:
            raise Missing(f"no finished run of python -m rnn_tasks.train experiment={experiment}")
        self.used |= {run.path: run for run in chosen}
        return chosen

    def run(self, words: str) -> Found:
        """The run of an experiment; further words like model.hidden=3 pick one of a sweep."""
        experiment, *values = words.split()
        for run in self.sweep(experiment):
            if all(str(run.value(key)) == said for key, _, said in (value.partition("=") for value in values)):
                return run
        raise Missing(f"no finished run of python -m rnn_tasks.train experiment={experiment} with {' '.join(values)}")


def _expected(experiment: str) -> dict[str, dict[str, Any]]:
    try:
        return {runs.fingerprint(cfg): runs.influence(cfg) for cfg in configurations(experiment)}
    except (UserError, FileNotFoundError):  # one of the user's own, or one that is gone
        return {}


@cache
def usps(data_dir: Path, as_mnist: bool) -> tuple[Tensor, Tensor]:
    """The 2,007 test images of USPS, postal handwriting that no network here has been trained on, and their digits.

    Args:
        data_dir: torchvision's root; usps.t.bz2 lies there or is downloaded.
        as_mnist: the images are brought into MNIST's form, else stretched to its size.

    Returns:
        [N, 28, 28] and [N].

    Raises:
        Missing: they are not there and cannot be downloaded.
    """
    try:
        data = USPS(data_dir, train=False, download=True)
    except (RuntimeError, OSError):
        raise Missing(f"USPS is not in {data_dir} (usps.t.bz2) and cannot be downloaded") from None
    pictures = [image for image, _ in data]
    if as_mnist:
        images = [like_mnist(picture) for picture in pictures]
    else:
        images = [to_tensor(picture.resize((28, 28), Image.Resampling.BILINEAR))[0] for picture in pictures]
    return torch.stack(images), torch.tensor(data.targets)
