"""The training of runs at once, each in its own directory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from rnn_tasks import memory
from rnn_tasks.config.stacking import networks
from rnn_tasks.errors import UserError, file_error, one_line, tell
from rnn_tasks.runs import directory, outcome
from rnn_tasks.runs.results import read_result
from rnn_tasks.runs.starting import tell_weights_apart
from rnn_tasks.stack.session import Job, build_stack, bytes_of_network
from rnn_tasks.training.checkpoints import read_checkpoint
from rnn_tasks.training.resuming import resume_points
from rnn_tasks.training.signals import StopSignals
from rnn_tasks.training.trainer import refusals

SHARE = 0.5  # of the memory, for the networks of a stack


Outcome = dict[str, Any] | UserError  # of a run: what result.json holds, or why it has failed


def train_stack(runs: Sequence[tuple[DictConfig | None, Path]], most: int | None = None) -> dict[Path, Outcome]:
    """Train runs at once; what cannot be trained so is left for later.

    Args:
        runs: their configurations and directories. Those that have finished, or that another process trains, are left
            out, as are those with no configuration. Runs that have come equally far are trained at once.
        most: networks that are trained at once, None for as many as there is memory for.

    Returns:
        What came out of the runs that have finished, now or before, and of those all of whose replicates have failed.

    Raises:
        Interrupted: a signal stopped the training; each run can be resumed.
    """
    outcomes: dict[Path, Outcome] = {}
    try:
        with StopSignals() as signals, ExitStack() as locks, refusals():
            ready = []
            for cfg, run in runs:
                if cfg is None:
                    continue
                claimed = _claimed(cfg, run, locks)
                if isinstance(claimed, dict):
                    outcomes[run] = claimed
                elif claimed is not None:
                    ready.append((claimed, run))
            for part in _equally_far(ready):
                for jobs in _fitting(part, most):
                    if len(jobs) > 1:
                        outcomes |= _train(jobs, signals)
    except Exception as error:  # of any kind, as of a task of the user's own; each run then says it of itself
        tell(f"trained one after the other instead: {one_line(error)}")
    return outcomes


def _claimed(cfg: DictConfig, run: Path, locks: ExitStack) -> DictConfig | dict[str, Any] | None:
    """Claim the directory of a run and return its configuration; the result of a finished one, None for a refusal."""
    try:
        tell_weights_apart(cfg, run)
        if result := directory.result_of(run, cfg):
            return result
        locks.enter_context(directory.claimed(run))
        cfg = directory.own_config(run, cfg)
        return read_result(run) or cfg
    except UserError:  # which the run tells when it is trained by itself
        return None


def _equally_far(runs: list[tuple[DictConfig, Path]]) -> Iterator[list[Job]]:
    """Yield the runs in groups that go on after the same optimizer step.

    A kill may have left a checkpoint of some runs, and not of others; the former have the one before it, too.
    """
    left = [(cfg, run, _points(run)) for cfg, run in runs]
    while left:
        step = min(max(points) for _, _, points in left)
        yield [Job(cfg, run, points[step]) for cfg, run, points in left if step in points]
        left = [each for each in left if step not in each[2]]


def _points(run: Path) -> dict[int, Path | None]:
    """Return the checkpoints from which a run can go on, by its optimizer steps; None where it begins."""
    paths = resume_points(run)
    points: dict[int, Path | None] = {read_checkpoint(path)["global_step"]: path for path in paths}
    return points if len(points) > 1 else {0: None, **points}


def _fitting(jobs: list[Job], most: int | None) -> Iterator[list[Job]]:
    """Yield runs in parts that the memory holds."""
    size = bytes_of_network(jobs)
    fitting = int(SHARE * memory.total() / size)
    limit = fitting if most is None else min(most, fitting)
    part: list[Job] = []
    for job in sorted(jobs, key=lambda job: job.cfg.model.hidden):  # the kernel pads a network to those beside it
        if part and sum(networks(each.cfg) for each in (*part, job)) > limit:
            yield part
            part = []
        part.append(job)
    yield part


def _train(jobs: list[Job], signals: StopSignals) -> dict[Path, Outcome]:
    session = build_stack(jobs, jobs[0].run.parent, signals)
    session.fit()
    outcomes: dict[Path, Outcome] = {}
    for seat, job in zip(session.seats, jobs, strict=True):
        try:
            if seat.failure:
                raise seat.failure
            outcomes[job.run] = outcome.conclude(seat.session(), job.cfg, job.run, signals)
        except UserError as error:
            outcomes[job.run] = error
        except OSError as error:
            outcomes[job.run] = file_error(error, job.run)
    return outcomes
