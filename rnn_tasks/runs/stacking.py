"""Sweeps whose runs are trained at once, in this process or in those of another launcher."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, run_job
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from rnn_tasks import config
from rnn_tasks.checks import whole_numbers
from rnn_tasks.config.stacking import grouped, networks
from rnn_tasks.config.targets import CELLS
from rnn_tasks.errors import Interrupted, UserError, tell
from rnn_tasks.runs import launching, summaries, sweeps
from rnn_tasks.runs.results import read_result
from rnn_tasks.training.signals import delayed_stops

Overrides = Sequence[str]


class Sweep:
    """The runs of a sweep as Hydra composes them.

    Args:
        hydra_context: of the command.
        config: of the sweep, with Hydra's own part.
    """

    def __init__(self, hydra_context: HydraContext, config: DictConfig) -> None:
        self.hydra_context, self.config = hydra_context, config
        self.known: dict[int, DictConfig] = {}  # in this process, by the numbers of runs
        self.known_checked: dict[int, DictConfig | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "known": {}, "known_checked": {}}

    def composed(self, overrides: Overrides, number: int) -> DictConfig:
        """Return the configuration of a run, with Hydra's own part, as Hydra's launchers load it."""
        if number in self.known:
            return self.known[number]
        composed = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(composed):
            composed.hydra.job.id = composed.hydra.job.num = number
        self.known[number] = composed
        return composed

    @contextmanager
    def home(self) -> Iterator[None]:
        """Be where the command was called, also in a job that works in the directory of its run."""
        place = os.getcwd()
        if HydraConfig.get().job.chdir:
            os.chdir(self.config.hydra.runtime.cwd)
        try:
            yield
        finally:
            os.chdir(place)

    def run(self, task_function: TaskFunction, overrides: Overrides, number: int) -> JobReturn:
        """Do a run in this process."""
        return run_job(
            hydra_context=self.hydra_context,
            task_function=task_function,
            config=self.composed(overrides, number),
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )

    def checked(self, overrides: Overrides, number: int) -> tuple[DictConfig | None, Path]:
        """Return the configuration of a run, None if it is refused, and its directory."""
        composed = self.composed(overrides, number)
        hydra = composed.hydra
        place = os.path.join(hydra.runtime.cwd, hydra.sweep.dir, hydra.sweep.subdir)
        if number not in self.known_checked:
            self.known_checked[number] = None
            with suppress(UserError):  # which the run tells of itself
                own = OmegaConf.masked_copy(composed, [key for key in map(str, composed) if key != "hydra"])
                self.known_checked[number] = config.prepare(own, hydra)
        return self.known_checked[number], Path(os.path.relpath(place))


class StackTask:
    """Trains a run of a stack together with all others of it, then lets each find itself finished.

    It takes the place of Hydra's task function, in whichever process that is called for the first run of a stack.

    Args:
        task_function: does a single run.
        sweep: its runs.
        stacks: the overrides of the runs of each, with their numbers.
        most: networks that are trained at once, None for no limit.
    """

    def __init__(
        self,
        task_function: TaskFunction,
        sweep: Sweep,
        stacks: Sequence[Sequence[tuple[int, Overrides]]],
        most: int | None,
    ) -> None:
        self.task_function, self.sweep, self.most = task_function, sweep, most
        self.stacks = {tuple(stack[0][1]): list(stack) for stack in stacks}

    def __call__(self, cfg: DictConfig) -> Any:
        members = self.stacks.get(tuple(HydraConfig.get().overrides.task))
        if members is None:
            return self.task_function(cfg)
        with delayed_stops():
            from rnn_tasks.runs.stack_training import train_stack  # imports torch, which takes seconds

        try:
            with self.sweep.home():
                runs = [self.sweep.checked(overrides, number) for number, overrides in members]
                task = Ended(self.task_function, train_stack(runs, self.most))
        except Interrupted as stop:
            if launching.Launch.home:
                raise
            sys.exit(128 + stop.signum)
        value = task(cfg)
        with self.sweep.home():
            for number, overrides in members[1:]:
                self.sweep.run(task, overrides, number)
        return value


class Ended:
    """Hydra's task function for runs that may have ended already.

    Args:
        task_function: does a single run.
        outcomes: of runs that have ended, by their directories: what result.json holds, or why the run has failed.
    """

    def __init__(self, task_function: TaskFunction, outcomes: dict[Path, dict[str, Any] | UserError]) -> None:
        self.task_function = task_function
        self.outcomes = {run.absolute(): outcome for run, outcome in outcomes.items()}

    def __call__(self, cfg: DictConfig) -> Any:
        run = Path(HydraConfig.get().runtime.output_dir)
        outcome = self.outcomes.get(run)
        if outcome is None:
            return self.task_function(cfg)
        if isinstance(outcome, dict):
            return summaries.objective(outcome)
        sweeps.note_failure(run, outcome, named=True)
        return None


def launch(
    launcher: Launcher | None,
    sweep: Sweep,
    task_function: TaskFunction,
    jobs: Sequence[Overrides],
    first: int,
    most: int | None,
) -> list[JobReturn]:
    """Do the runs of a sweep, those that can be trained at once in one job of a launcher.

    Args:
        launcher: of Hydra's, which is set up here; None does them in this process.
        sweep: the runs.
        task_function: does a single run.
        jobs: the overrides of each run.
        first: number of the first of them.
        most: networks that are trained at once, None for no limit.

    Raises:
        UserError: ``most`` is no whole number of at least 1.
    """
    try:
        whole_numbers(1, **({} if most is None else {"hydra.launcher.max_replicates": most}))
    except ValueError as error:
        raise UserError(str(error)) from None
    runs = [sweep.checked(overrides, first + number) for number, overrides in enumerate(jobs)]
    grouping = grouped([cfg for cfg, _ in runs], sizes_may_differ, most)
    if len(jobs) > 1:
        tell(grouping.describe([networks(cfg) for cfg, _ in runs]))
    stacks = [[(first + number, jobs[number]) for number in stack] for stack in grouping.stacks]
    task, leaders = StackTask(task_function, sweep, stacks, most), [stack[0] for stack in grouping.stacks]
    numbers = sorted([*leaders, *grouping.alone])
    if launcher is None:
        done = [sweep.run(task, jobs[number], first + number) for number in numbers]
    else:
        launcher.setup(hydra_context=sweep.hydra_context, task_function=task, config=sweep.config)
        done = list(launcher.launch([jobs[number] for number in numbers], first))
    returned = dict(zip(numbers, done, strict=True))
    return [returned.get(number) or _returned(jobs[number], run) for number, (_, run) in enumerate(runs)]


def _returned(overrides: Overrides, run: Path) -> JobReturn:
    """Return for Hydra what a run has come to that another job has done."""
    try:
        result = read_result(run)
    except UserError:
        result = None
    value = None if result is None else summaries.objective(result)
    returned = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
    returned.return_value = value
    return returned


def sizes_may_differ(cell: str) -> bool:
    """Return whether networks of a cell, and of different sizes, can be trained at once."""
    if cell in CELLS:  # whose units without weights do nothing
        return True
    from rnn_tasks.models.cells import find_cell
    from rnn_tasks.models.joined import ignores_empty_units

    try:
        found = find_cell(cell)
        return ignores_empty_units(found) and _units_are_apart(found.step, found.gates)
    except Exception:  # as its function may raise, of a size that it does not take; or the run is refused
        return False


def _units_are_apart(step: Callable[..., Any], gates: int) -> bool:
    """Return whether a step of a cell gives two units together what it gives each alone."""
    import torch

    stream = torch.Generator().manual_seed(0)
    pre, state = torch.randn(1, gates, 2, 3, generator=stream), torch.randn(1, 2, 3, generator=stream)
    together = step(pre.flatten(1, 2), state)
    each = [step(pre[:, :, unit], state[:, unit, None]) for unit in range(2)]
    alone = [torch.cat([unit[part] for unit in each], 1) for part in range(2)]  # outputs, and new states
    return all(map(torch.allclose, alone, together))
