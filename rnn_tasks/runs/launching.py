"""Sweeps whose runs are done by other processes: joblib, Slurm, Ray.

What a run prints goes to a file, and the command prints a line for each run that ends. Where a process dies, or the
launcher itself fails, the command still ends with the summary.
"""

from __future__ import annotations

import importlib
import logging
import os
import shlex
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, read_write
from omegaconf.errors import OmegaConfBaseException

from rnn_tasks import internals
from rnn_tasks.arguments import command_line
from rnn_tasks.config import in_directory
from rnn_tasks.config.launchers import GROUPS, HERE, chosen
from rnn_tasks.errors import Interrupted, UserError, one_line, refuse, tell
from rnn_tasks.runs import summaries
from rnn_tasks.runs.directory import LOCK
from rnn_tasks.runs.watching import Watch

LOGS = ".logs"  # in the directory of a sweep: what its runs print if other processes do them
PATIENCE = 60  # seconds in which a process that did a run before, and has lost its connection, ends


class Launch:
    """A sweep that this process has handed to a launcher, or whose values a sweeper chooses.

    Attributes:
        running: the one of this process, None before and after.
        home: whether this process is the command, not one that a launcher has started.
    """

    running: Launch | None = None
    home = True

    def __init__(self, config: DictConfig) -> None:
        self.launcher, self.sweeper = (chosen(config.hydra, group) for group in GROUPS)
        self.name = f"hydra/launcher={self.launcher}" if self.launcher not in HERE else f"hydra/sweeper={self.sweeper}"
        self.config = config
        self.sweep = Path(config.hydra.sweep.dir)
        self.watch = Watch(self.sweep) if self.launcher not in HERE else None

    def start(self) -> None:
        """Prepare this process for the launcher, and print a line for each run that ends from now on.

        Raises:
            UserError: a package of the launcher, or of the sweeper, does not work.
        """
        Launch.running = self
        try:
            for part in (self.launcher, self.sweeper):
                PREPARATIONS.get(part, lambda: None)()
        except (ImportError, AttributeError) as error:  # of versions that do not fit together
            raise UserError(f"{self.name}: {one_line(error)}") from error
        if self.watch:
            self._name_place_in_full()
            self.watch.start()

    def _name_place_in_full(self) -> None:
        """Let jobs find the directory of the sweep: a worker of Ray works where its node was started."""
        with read_write(self.config.hydra):
            self.config.hydra.overrides.hydra.append(in_directory(self.sweep.absolute()))

    def stop(self) -> None:
        """Print no more lines; of joblib and Ray no process is left that does a run."""
        Launch.running = None
        ENDINGS.get(self.launcher, lambda: None)()
        if self.watch:
            self.watch.stop()

    def end_by(self, reason: BaseException) -> None:
        """Print the summary and why the sweep has not ended, and exit."""
        self.stop()
        summaries.summarize(self.sweep)
        if jobs := internals.slurm_jobs() if self.launcher == "slurm" else []:
            tell(f"Slurm still has jobs of this sweep; wait for them, or cancel them with: scancel {' '.join(jobs)}")
        if isinstance(reason, Interrupted):
            what, status = "stopped", 128 + reason.signum
        else:
            text = "a run was stopped" if isinstance(reason, SystemExit) else one_line(reason).partition(". ")[0]
            what, status = f"error: {self.name}: {text}", 1
        launcher = [f"hydra/launcher={self.launcher}"] if self.watch else []
        tell(f"{what}; go on with: {command_line('train', shlex.join([f'resume={self.sweep}', *launcher]))}")
        sys.exit(status)


@contextmanager
def outages() -> Iterator[None]:
    """End the command with the summary and one line where a launcher fails, or a signal ends the waiting for it.

    Raises:
        UserError: the command line is refused.
    """
    try:
        yield
    except (UserError, HydraException, OmegaConfBaseException):
        raise
    except (Exception, Interrupted, SystemExit) as reason:
        launch = Launch.running
        if launch is None or (launch.watch is None and isinstance(reason, SystemExit)):
            raise  # the run itself has said it
        launch.end_by(_signal_behind(reason) or reason)


def _signal_behind(error: BaseException | None) -> Interrupted | None:
    """Return the signal that an error comes from: raised within a C function of Ray's it makes a SystemError."""
    while error is not None and not isinstance(error, Interrupted):
        error = error.__cause__ or error.__context__
    return error


class Launching(Callback):
    """Hydra's callback that prepares the launcher of a sweep, reports on its runs, and redirects what these print."""

    def __init__(self) -> None:
        self.process = _process()

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        for group in GROUPS:
            if (option := chosen(config.hydra, group)) not in HERE:
                tell(f"hydra/{group}={option}: has no effect without --multirun")

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:  # Hydra makes warnings of a callback's exceptions
            Launch(config).start()
        except UserError as error:
            refuse(error)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if Launch.running:
            Launch.running.stop()

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if _process() != self.process:
            Launch.home = False
            run = Path(config.hydra.runtime.output_dir)
            _print_to(run.parent / LOGS / f"{run.name}.txt")
            _wait_for_former_process(run)


def _process() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


def _print_to(file: Path) -> None:
    """Let this process append what it prints to a file."""
    file.parent.mkdir(exist_ok=True)
    sys.stdout = sys.stderr = file.open("a", encoding="utf-8", buffering=1)


def _wait_for_former_process(run: Path) -> None:
    """Wait until the lock of a run is free: a process that has lost its node may be about to end."""
    with suppress(Timeout, OSError):
        if (run / LOCK).exists():
            FileLock(run / LOCK, timeout=PATIENCE).acquire().lock.release()


def _lost(job: str) -> None:
    """Say that a job has ended without its run; the others go on."""
    tell(f"error: {job}; its run has not finished")


def _prepare_joblib() -> None:
    warnings.filterwarnings("ignore", ".*worker stopped while some jobs were given.*")  # a new worker takes its place


def _prepare_slurm() -> None:
    internals.follow_slurm_jobs(_lost)


def _prepare_ray() -> None:
    internals.shorten_ray(tell)
    internals.survive_lost_tasks(_lost)


def _prepare_optuna() -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    optuna_logging = importlib.import_module("optuna.logging")
    optuna_logging.set_verbosity(optuna_logging.WARNING)  # Hydra says the same


def _end_ray() -> None:
    importlib.import_module("ray").shutdown()  # a cluster that was joined goes on, without the tasks of this process


PREPARATIONS: dict[str, Callable[[], None]] = {
    "joblib": _prepare_joblib,
    "slurm": _prepare_slurm,
    "ray": _prepare_ray,
    "optuna": _prepare_optuna,
}
ENDINGS: dict[str, Callable[[], None]] = {"joblib": internals.end_joblib_workers, "ray": _end_ray}
