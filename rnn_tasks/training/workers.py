"""The further processes of a run with ``trainer.devices=N``, from the side of the process that starts them.

Each is an interpreter of its own (see worker.py) in a session of its own, so that a terminal's Ctrl-C reaches this
process alone. They are started before torch is imported here, and kept for the next run of a sweep.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from rnn_tasks.config.targets import first_foreign
from rnn_tasks.errors import UserError, tell
from rnn_tasks.training.worker import Job

if TYPE_CHECKING:  # imports torch, which takes seconds: the workers import it at the same time
    from rnn_tasks.training.ranks import Ranks

FEWEST = 2  # processes that a machine of one core may start, too, to try it
PATIENCE = 10  # seconds in which a worker of a broken run ends
Failure = tuple[BaseException, str]  # an error, and its traceback


class Worker:
    """A process that trains with this one."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        self.told: Failure | None = None
        self.owner = os.getpid()
        path = os.pathsep.join([*filter(None, sys.path), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "rnn_tasks.training.worker", str(theirs.fileno())]
        with theirs:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": path},
            )

    def is_well(self) -> bool:
        """Wait until the worker can meet the others, or has finished; return False if it has ended instead."""
        with suppress(EOFError, OSError):
            self.told = self.connection.recv()
            return self.told is None
        return False

    def failure(self) -> Failure | int | None:
        """Return why the worker has ended: its error with the traceback, else its status; None if it goes on."""
        if self.told is None and self.connection.poll(PATIENCE):
            self.is_well()
        if self.told is not None:
            return self.told
        with suppress(subprocess.TimeoutExpired):
            return self.process.wait(PATIENCE)
        return None

    def end(self) -> None:
        """End the process at once; it writes nothing that could be lost."""
        self.process.kill()
        self.process.wait()
        self.connection.close()


_idle: list[Worker] = []


def processes(cfg: DictConfig) -> int:
    """Return how many processes train a run."""
    devices = str(cfg.trainer.devices)
    return int(devices) if devices.isdecimal() else 1


@contextmanager
def ranks_of(cfg: DictConfig, run: Path) -> Iterator[Ranks]:
    """Start the further processes of a run; each trains it as long as this block lasts.

    Raises:
        UserError: the run cannot be split so; or one of them has refused it, or was killed.
        Exception: what one of them has raised.
    """
    size = processes(cfg)
    if size == 1:
        if cfg.model.get("shard_replicates"):
            tell("model.shard_replicates=true: has no effect without trainer.devices=N")
        from rnn_tasks.training.ranks import ALONE

        yield ALONE
        return
    shards = _shards(cfg, size)
    lasting = first_foreign(_plain(cfg)) is None
    workers = _start(size - 1, lasting)
    finished = False
    try:
        from rnn_tasks.training.ranks import Ranks, Shard, joined
        from rnn_tasks.training.trainer import accelerator

        with tempfile.TemporaryDirectory() as directory, _reasons(workers, run):
            meeting, kind = os.path.join(directory, "meeting"), accelerator(cfg)
            job = Job(0, size, shards[0], kind, meeting, _plain(cfg), str(run), os.getcwd(), sys.path)
            for rank, worker in enumerate(workers, 1):
                with suppress(OSError):  # it has ended, and `_wait` finds out why
                    worker.connection.send(job._replace(rank=rank, shard=shards[rank]))
            _wait(workers)
            with joined(Ranks(0, size, Shard(*shards[0]) if shards[0] else None, kind), Path(meeting)) as ranks:
                yield ranks
            _wait(workers)
        finished = lasting
    finally:
        if finished:
            _idle.extend(workers)
        else:
            for worker in workers:
                worker.end()


def _plain(cfg: DictConfig) -> dict[str, Any]:
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def _shards(cfg: DictConfig, size: int) -> list[tuple[int, int, int] | None]:
    """Return the first replicate of each process, the one behind its last, and the number of all; or None for each.

    Raises:
        UserError: there are more processes than processor cores, or than replicates to split.
    """
    cores = max(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, FEWEST)
    if size > cores:
        raise UserError(f"trainer.devices={size}: is more than this machine has processor cores; take at most {cores}")
    if not cfg.model.get("shard_replicates"):
        return [None] * size
    of = cfg.model.get("replicates", 1)
    if of < size:
        raise UserError(
            f"trainer.devices={size}: is too many to share model.replicates={of}; take at most {of}, or more replicates"
        )
    return [(of * rank // size, of * (rank + 1) // size, of) for rank in range(size)]


def _start(count: int, lasting: bool) -> list[Worker]:
    """Return workers, of a run before where these still run; not where they know code that may have changed since."""
    kept = [worker for worker in _idle if worker.owner == os.getpid() and worker.process.poll() is None]
    _idle[:] = kept[count:] if lasting else kept
    kept = kept[:count] if lasting else []
    return kept + [Worker() for _ in range(count - len(kept))]


def _wait(workers: list[Worker]) -> None:
    from rnn_tasks.training.ranks import PeerLost

    if not all(worker.is_well() for worker in workers):
        raise PeerLost


@contextmanager
def _reasons(workers: list[Worker], run: Path) -> Iterator[None]:
    """Raise in the place of PeerLost why another process has ended."""
    from rnn_tasks.training.ranks import PeerLost

    try:
        yield
    except PeerLost as lost:
        failures = {rank: worker.failure() for rank, worker in enumerate(workers, 1)}
        for failure in failures.values():
            if isinstance(failure, tuple) and not isinstance(failure[0], PeerLost):
                error, traceback = failure
                raise error from (None if isinstance(error, UserError) else _Remote(traceback))
        for rank, status in failures.items():
            if isinstance(status, int):
                how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
                raise UserError(f"rank {rank} {how}; resume={run} goes on") from lost
        raise


class _Remote(Exception):
    """The traceback of an error in another process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"
