"""Evidence: the finished runs below a directory, by experiment."""

from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from rnn_tasks import runs
from rnn_tasks.report.experiments import QUICK_OUTPUTS, swept
from rnn_tasks.report.finished import FinishedRun, Missing, nearest


@dataclass
class Evidence:
    """The finished runs of experiments below a directory.

    Attributes:
        root: the directory.
        finished: the runs, the newest first.
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
                self.finished.append(FinishedRun(path, result))

    def run(self, selector: str) -> FinishedRun:
        """Return the run of an experiment that follows it most, and of equal ones the newest.

        Args:
            selector: the experiment's name; further words like model.hidden=3 pick a run of a sweep.

        Raises:
            Missing: there is no such run.
        """
        experiment, *values = selector.split()
        pairs = [value.partition("=")[::2] for value in values]
        own = [run for run in self.finished if run.result["experiment"] == experiment]
        named = [run for run in own if all(str(run.value(key)) == value for key, value in pairs)]
        if named:
            run = nearest(named)
            self.used[run.path] = run
            return run
        condition = f" with {' '.join(values)}" if values else ""
        raise Missing(f"no finished run{condition} of `python -m rnn_tasks.train experiment={experiment}`")

    def by_values(self, experiment: str) -> dict[tuple[Any, ...], FinishedRun]:
        """Return the runs of an experiment by the values of the keys that it sweeps over, in their order."""
        keys, found = list(swept(experiment)), dict[tuple[Any, ...], list[FinishedRun]]()
        for run in self.finished:
            if run.result["experiment"] == experiment:
                found.setdefault(tuple(run.value(key) for key in keys), []).append(run)
        return {values: nearest(runs) for values, runs in found.items()}

    def sweep(self, experiment: str) -> list[FinishedRun]:
        """Return a run for each choice of an experiment's sweep, in the order of the sweep.

        Raises:
            Missing: a run is missing, or the runs differ in their epochs, updates or numbers of replicates.
        """
        wanted = list(product(*swept(experiment).values()))
        by_values = self.by_values(experiment)
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
