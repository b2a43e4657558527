"""The training of runs at once, each in its own directory."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig

from rnn_tasks import memory
from rnn_tasks.config.instantiation import build_task
from rnn_tasks.config.stacking import networks
from rnn_tasks.errors import UserError, file_error, one_line, tell
from rnn_tasks.runs import directory, outcome
from rnn_tasks.runs.describing import describe_data
from rnn_tasks.runs.results import read_result
from rnn_tasks.runs.starting import tell_weights_apart
from rnn_tasks.stack.session import Job, build_stack, memory_of_stack
from rnn_tasks.training.checkpoints import read_checkpoint
from rnn_tasks.training.recorder import RunRecorder
from rnn_tasks.training.resuming import resume_points
from rnn_tasks.training.signals import StopSignals
from rnn_tasks.training.trainer import refusals

SHARE = 0.5  # of the memory, for the networks of a stack


Point = tuple[int, bool]


class Begun(NamedTuple):
    """A run whose directory has been claimed.

    Attributes:
        cfg: its configuration.
        directory: where it lies.
        points: the checkpoints from which it can go on, None where it begins, by its optimizer steps and whether its
            epoch has ended, which it has not where a signal came behind the last step of a run.
    """

    cfg: DictConfig
    directory: Path
    points: dict[Point, Path | None]


Outcome = dict[str, Any] | UserError  # of a run: what result.json holds, or why it has failed


def train_stack(runs: Sequence[tuple[DictConfig | None, Path]], most: int | None = None) -> dict[Path, Outcome]:
    """Train runs at once; what cannot be trained so is left for later.

    Args:
        runs: their configurations and directories. Those that have finished, or that another process trains, are left
            out, as are those with no configuration. Runs that have come equally far are trained at once; of a file, if
            their training sets have equally many texts.
        most: networks that are trained at once, None for as many as there is memory for.

    Returns:
        What came out of the runs that have finished, now or before, and of those all of whose replicates have failed.

    Raises:
        Interrupted: a signal stopped the training; each run can be resumed.
    """
    outcomes: dict[Path, Outcome] = {}
    with StopSignals() as signals, ExitStack() as locks:
        ready: list[Begun] = []
        for cfg, run in runs:
            with suppress(UserError):  # which the run tells when it is trained by itself
                if cfg is not None and (result := _claim(cfg, run, locks, ready)):
                    outcomes[run] = result
        for part in (alike for far in _equally_far(ready) for alike in _with_equal_inputs(far)):
            for jobs in _fitting(part, most):
                outcomes |= _trained(jobs, signals)
    return outcomes


def _trained(jobs: list[Job], signals: StopSignals) -> dict[Path, Outcome]:
    """Train runs at once, and return what came out; nothing where that cannot be done."""
    if len(jobs) < 2:
        return {}
    try:
        with refusals():
            return _train(jobs, signals)
    except (UserError, OSError, MemoryError) as error:
        tell(f"{len(jobs)} runs are trained one after the other instead: {one_line(error)}")
    except Exception:  # a fault of the program, or of a task of the user's own
        traceback.print_exc()
        tell(f"{len(jobs)} runs are trained one after the other instead")
    return {}


def _claim(cfg: DictConfig, run: Path, locks: ExitStack, ready: list[Begun]) -> dict[str, Any] | None:
    """Return the result of a run if it has finished, else claim its directory and add it to those that are ready.

    Raises:
        UserError: the run is refused, or another process trains it.
    """
    tell_weights_apart(cfg, run)
    describe_data(cfg)
    if result := directory.result_of(run, cfg):
        return result
    locks.enter_context(directory.claimed(run))
    cfg = directory.own_config(run, cfg)
    if result := read_result(run):
        return result
    ready.append(Begun(cfg, run, _points(run)))
    return None


def _equally_far(left: list[Begun]) -> Iterator[list[Job]]:
    """Yield the runs in groups that go on from the same point.

    A kill may have left a checkpoint of some runs, and not of others; the former have the one before it, too.
    """
    while left:
        point = min(max(run.points) for run in left)
        yield [Job(run.cfg, run.directory, run.points[point]) for run in left if point in run.points]
        left = [run for run in left if point not in run.points]


def _with_equal_inputs(jobs: list[Job]) -> list[list[Job]]:
    """Return runs in groups whose networks have equally many inputs; texts of a file get them by the training set."""
    groups: dict[int, list[Job]] = {}
    for job in jobs:
        with suppress(UserError):  # which the run tells when it is trained by itself
            groups.setdefault(build_task(job.cfg).input_size, []).append(job)
    return list(groups.values())


def _points(run: Path) -> dict[Point, Path | None]:
    points: dict[Point, Path | None] = {}
    for path in reversed(resume_points(run)):
        checkpoint = read_checkpoint(path)
        points[checkpoint["global_step"], not checkpoint["callbacks"][RunRecorder.__qualname__]["done"]] = path
    return points or {(0, True): None}


def _fitting(jobs: list[Job], most: int | None) -> Iterator[list[Job]]:
    """Yield runs in parts that the memory holds."""
    network = examples = 0.0
    with suppress(UserError):  # which a run tells when it is built
        network, examples = memory_of_stack(jobs)
    part: list[Job] = []
    for job in sorted(jobs, key=lambda job: job.cfg.model.hidden):  # the kernel pads a network to those beside it
        larger = [*part, job]
        count = sum(networks(each.cfg) for each in larger)
        needed = count * network + len({_data_of(each) for each in larger}) * examples
        if part and (needed > SHARE * memory.total() or (most is not None and count > most)):
            yield part
            larger = [job]
        part = larger
    yield part


def _data_of(job: Job) -> tuple[int, int | None]:
    """Return what may tell the examples of a run from those of another run of its stack."""
    return job.cfg.task.data_seed, job.cfg.task.get("fold")


def _train(jobs: list[Job], signals: StopSignals) -> dict[Path, Outcome]:
    session = build_stack(jobs, jobs[0].run.parent, signals)
    if session is None:
        return {}
    session.fit()
    outcomes: dict[Path, Outcome] = {}
    for seat in session.seats:
        run = seat.recorder.file.parent
        try:
            if seat.failure:
                raise seat.failure
            outcomes[run] = outcome.conclude(seat.session(), seat.cfg, run, signals)
        except UserError as error:
            outcomes[run] = error
        except OSError as error:
            outcomes[run] = file_error(error, run)
    return outcomes
