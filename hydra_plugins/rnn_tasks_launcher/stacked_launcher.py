"""The launcher that trains runs of a sweep at once; see rnn_tasks.runs.stacking."""

from __future__ import annotations

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


class StackedLauncher(Launcher):
    """Gives another launcher runs that can be trained at once as one job.

    Args:
        through: the class of the other launcher; None trains in this process.
        stack: whether runs are trained at once; False leaves all to the other launcher.
        max_replicates: networks that are trained at once, None for as many as there is memory for.
        arguments: of the other launcher.
    """

    def __init__(
        self, through: str | None = None, stack: bool = True, max_replicates: int | None = None, **arguments: Any
    ) -> None:
        self.launcher: Launcher | None = None if stack and not through else resolve_name(through or BASIC)(**arguments)
        self.stack, self.max_replicates = stack, max_replicates

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        if self.launcher is None or self.stack:
            from rnn_tasks.runs.stacking import Sweep, launch  # Hydra imports this file in every command

            most = self.max_replicates
            sweep = Sweep(self.hydra_context, self.config)
            return launch(self.launcher, sweep, self.task_function, job_overrides, initial_job_idx, most)
        self.launcher.setup(hydra_context=self.hydra_context, task_function=self.task_function, config=self.config)
        return self.launcher.launch(job_overrides, initial_job_idx)
