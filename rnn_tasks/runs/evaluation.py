"""The metrics of a finished run, on its own test set and on others."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from rnn_tasks.config.instantiation import instantiated
from rnn_tasks.errors import UserError
from rnn_tasks.tasks import mnist_ood
from rnn_tasks.tasks.base import Examples
from rnn_tasks.tasks.mnist import Mnist
from rnn_tasks.training.evaluation import measure
from rnn_tasks.training.lengths import generalization
from rnn_tasks.training.process import return_memory

if TYPE_CHECKING:
    from rnn_tasks.runs.run import Run

PATIENCE = 10  # seconds before progress is shown; off a terminal also between two lines of it


def evaluate(run: Run, lengths: list[int] | None = None, samples: int = 1000) -> dict[str, Any]:
    """Return the test metrics of a loaded run, as ``measure`` gives them, and what they tell of length generalization.

    Args:
        run: from runs.load.
        lengths: of new test sequences, those that the task has no examples of are left out; without, the run's own test
            set is measured.
        samples: sequences of each length.

    Returns:
        What ``measure`` and ``generalization`` give.

    Raises:
        UserError: the task has no sequences of any of these lengths.
    """
    metrics = _of_own_test(run) if lengths is None else _of_lengths(run, lengths, samples)
    return metrics | generalization(metrics["by_length"])


def _of_own_test(run: Run) -> dict[str, Any]:
    run.task.setup()
    return measured(run, run.task.test)


def _of_lengths(run: Run, lengths: list[int], samples: int) -> dict[str, Any]:
    possible = set(run.task.lengths_with_examples(min(lengths), max(lengths)))
    lengths = [length for length in lengths if length in possible] or lengths  # of none, the task says why
    return_memory()
    terminal = sys.stderr is not None and sys.stderr.isatty()
    shown = tqdm(lengths, unit=" lengths", leave=False, delay=PATIENCE, mininterval=0.2 if terminal else PATIENCE)
    sets = (examples for length in shown for examples in run.task.test_examples([length], samples))
    return measured(run, sets, longest=max(lengths) + run.task.extra_steps)


def out_of_distribution(run: Run, split: str = "test") -> dict[str, dict[str, Any]]:
    """Return the metrics and calibration of a loaded run of MNIST on each set of mnist_ood, by the names of the sets.

    Args:
        run: from runs.load.
        split: "test", or "val" to choose by.

    Raises:
        UserError: it is a run of another task, or the images are missing.
    """
    if not isinstance(run.task, Mnist):
        raise UserError(f"--ood: {run.path} is a run of {run.task.name}; give one of mnist")
    sets = mnist_ood.sets(run.task, split)
    return {name: measured(run, [examples], calibration=True) for name, examples in sets.items()}


def measured(run: Run, sets: Iterable[Examples], calibration: bool = False, longest: int = 0) -> dict[str, Any]:
    """Return the metrics of a loaded run on any examples of its task, as ``measure`` gives them."""
    loss = instantiated("loss", run.config.loss)
    return measure(run.model, run.task, loss, sets, run.failed, calibration, longest=longest)
