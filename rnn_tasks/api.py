"""The functions of ``import rnn_tasks``, for notebooks and scripts: train, sweep, load, evaluate, compare, compose."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from rnn_tasks import config, runs
from rnn_tasks.config.stacking import grouped
from rnn_tasks.config.sweeping import LAUNCHING
from rnn_tasks.errors import Interrupted, UserError
from rnn_tasks.report.comparison import compare
from rnn_tasks.runs import Run, evaluation, load, stack_training, stacking, summaries, sweep_tables, sweeps
from rnn_tasks.runs.frames import frame
from rnn_tasks.train import train as train_into

__all__ = ["Sweep", "compare", "compose", "evaluate", "load", "sweep", "train"]


def compose(*overrides: str) -> DictConfig:
    """Return the checked configuration that ``python -m rnn_tasks.train OVERRIDES`` would train with.

    Args:
        overrides: like "task=memory" and "model.hidden=8".

    Raises:
        UserError: an override is refused.
    """
    return config.compose(list(overrides))


def train(*overrides: str, directory: str | Path | None = None, progress: bool = True) -> Run:
    """Train a run and return it, with the network and the weights that are best in validation.

    The interrupt of a notebook, or Ctrl-C, stops it so that the same call with its directory goes on from there. A run
    that has finished in the directory is not trained again.

    Args:
        overrides: as on the command line, like "task=adder" and "model.replicates=32".
        directory: of the run; without one a new directory in outputs/TASK/.
        progress: show a progress bar, or lines off a terminal and a notebook.

    Raises:
        UserError: an override is refused, or the run cannot be trained there.
        KeyboardInterrupt: the run was stopped.
    """
    if config.with_all_folds(overrides) != list(overrides):
        raise UserError(f"{' '.join(overrides)}: has a run for each fold; call sweep, or choose one, like task.fold=0")
    cfg = _composed(progress, *runs.with_located_weights(overrides))
    run = Path(directory or runs.OUTPUTS / cfg.task.name / cfg.name)
    try:
        train_into(cfg, run)
    except Interrupted:
        raise KeyboardInterrupt(f"stopped; directory={str(run)!r} goes on with it") from None
    return load(run)


def _composed(progress: bool, *overrides: str, swept: list[str] | None = None) -> DictConfig:
    return config.compose([f"trainer.enable_progress_bar={str(progress).lower()}", *overrides], swept)


@dataclass(frozen=True)
class Sweep:
    """The runs of a sweep.

    Attributes:
        path: the directory of the sweep, with a directory for each run.
    """

    path: Path

    @property
    def names(self) -> list[str]:
        """The names of the runs that have finished, like "model.hidden=3"."""
        return [name for name, result in sweeps.sweep_results(self.path).items() if result]

    def load(self, name: str, **how: Any) -> Run:
        """Return a run by its name, with arguments as for ``rnn_tasks.load``."""
        return load(self.path / name, **how)

    def table(self) -> Any:
        """Return summary.csv as a pandas.DataFrame: a row for each run, with a column for each key that was swept.

        Raises:
            UserError: pandas is not installed.
        """
        return frame([sweep_tables.csv_row(row) for row in sweeps.sweep_rows(self.path)])

    def networks(self) -> Any:
        """Return networks.csv as a pandas.DataFrame: a row for each network of each finished run.

        Raises:
            UserError: pandas is not installed.
        """
        return frame(sweep_tables.network_rows(sweeps.sweep_rows(self.path)))


def sweep(*overrides: str, directory: str | Path | None = None, progress: bool = True) -> Sweep:
    """Train a run for each choice of values, as ``python -m rnn_tasks.train --multirun`` does.

    Runs that differ in numbers of each network alone are trained at once. What is refused is told before anything is
    trained. A run that fails is noted in the table, and the others go on. A sweep that was stopped has a table of what
    has finished; the same call with its directory goes on, and does not train again what has finished.

    Args:
        overrides: as on the command line; "model.hidden=1,3,5" and "seed=range(4)" give several values.
        directory: of the sweep; without one a new directory, as on the command line.
        progress: as for ``train``.

    Raises:
        UserError: an override is refused.
        KeyboardInterrupt: the sweep was stopped.
    """
    if elsewhere := [word for word in overrides if word.startswith(LAUNCHING)]:
        raise UserError(f"{elsewhere[0]}: belongs to the command line; here runs are trained in this process")
    plan, place = config.planned(runs.with_located_weights(config.with_all_folds(overrides)))
    if not plan.swept or not plan.jobs():
        raise UserError(f"{' '.join(overrides)}: must list the values of a key, like model.hidden=1,3,5 or range(4)")
    jobs = [_composed(progress, *plan.overrides, swept=job) for job in plan.jobs()]
    path = Path(directory or place)
    sweeps.begin(path, plan)
    places = [path / config.run_name(config.own_choices(job, ())) for job in plan.jobs()]
    try:
        _train_all(list(zip(jobs, places, strict=True)))
    except Interrupted:
        summaries.summarize(path, show=False)
        raise KeyboardInterrupt(f"stopped; the same call with directory={str(path)!r} goes on with the sweep") from None
    summaries.write_summary(path, show=False)
    return Sweep(path)


def _train_all(jobs: list[tuple[DictConfig, Path]]) -> None:
    """Train runs, at once what can be, and note those that fail."""
    outcomes: dict[Path, Any] = {}
    for stack in grouped([cfg for cfg, _ in jobs], stacking.sizes_may_differ).stacks:
        outcomes |= stack_training.train_stack([jobs[number] for number in stack])
    for cfg, run in jobs:
        if isinstance(failure := outcomes.get(run), UserError):
            sweeps.note_failure(run, failure)
        elif run not in outcomes:
            _train_or_note(cfg, run)


def _train_or_note(cfg: DictConfig, run: Path) -> None:
    try:
        train_into(cfg, run)
    except UserError as error:
        sweeps.note_failure(run, error)
    except Exception as error:  # a fault of a program, as of a task of the user's own
        traceback.print_exc()
        sweeps.note_failure(run, error)


def evaluate(run: Run | str | Path, lengths: list[int] | None = None, samples: int = 1000) -> dict[str, Any]:
    """Return the test metrics of a run, a list with a number for each replicate.

    Args:
        run: from ``train`` or ``load``; of a directory or a task's name, the best network after the last epoch, or
            where only the best weights are kept, with these.
        lengths: of new test sequences, those that the task has no examples of are left out; without, the run's own test
            set is measured.
        samples: sequences of each length.

    Returns:
        "n" sequences, "answers", "loss", "accuracy" (of single answers), "sequence_accuracy" (of whole sequences), the
        same "by_length", and "chance". Over the lengths: "mean_over_lengths" of the accuracy, each length counted
        equally; "first_error", the shortest length at which a replicate gets a sequence wrong, None for one that never
        does; and "survival", the replicates without an error up to each length: "lengths", "right" (how many), "share",
        its 95 % interval "low" and "high", and "median", the length from which on no more than half are right.

    Raises:
        UserError: there is no such run, or the task has no sequences of these lengths.
    """
    if not isinstance(run, Run):
        path = runs.require(run)
        run = load(path, runs.weights_to_measure(path))
    return evaluation.evaluate(run, lengths, samples)
