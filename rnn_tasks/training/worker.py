"""One of the further processes of a run, started by ``workers``: ``python -m rnn_tasks.training.worker DESCRIPTOR``.

It trains what it is told to, one run after the other, and ends with the process that has started it. It prints nothing
and ignores signals: that process alone decides when a run stops.
"""

import os
import pickle
import select
import signal
import sys
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from rnn_tasks.errors import one_line


class Job(NamedTuple):
    """What a worker is told to train.

    Attributes:
        rank, size: the number of the worker, and of all processes.
        shard: first and last replicate of the worker, and the number of all; None for all of them.
        accelerator: "cpu" or "cuda".
        meeting: the file where the processes find each other.
        config: the configuration of the run, as plain containers.
        run: its directory.
        place: the current directory.
        path: where Python looks for modules.
    """

    rank: int
    size: int
    shard: tuple[int, int, int] | None
    accelerator: str
    meeting: str
    config: dict[str, Any]
    run: str
    place: str
    path: list[str]


def train(job: Job, connection: Connection) -> None:
    """Train a run together with the other processes; tell when this one can meet them, and when it has finished."""
    os.chdir(job.place)
    sys.path[:] = job.path
    from omegaconf import OmegaConf

    from rnn_tasks.training.ranks import Ranks, Shard, joined
    from rnn_tasks.training.session import build_session

    ranks = Ranks(job.rank, job.size, Shard(*job.shard) if job.shard else None, job.accelerator)
    connection.send(None)
    with joined(ranks, Path(job.meeting)):
        build_session(OmegaConf.create(job.config), Path(job.run), unsignalled(), ranks=ranks).fit()
    connection.send(None)


def unsignalled() -> Any:
    """Return the signals of a process that ignores them."""
    from rnn_tasks.training.signals import StopSignals

    class Unsignalled(StopSignals):
        def note_from_now_on(self) -> None:
            ignore_signals()  # Lightning has set handlers of its own

    return Unsignalled()


def ignore_signals() -> None:
    """Ignore the signals that stop a run."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def end_with_parent(connection: Connection) -> None:
    """End this process when the other end of the connection is closed."""
    poll = select.poll()
    poll.register(connection, 0)  # a closed end is told unasked
    poll.poll()
    os._exit(1)


def sendable(error: BaseException) -> BaseException:
    """Return an error as it can be sent to another process."""
    with suppress(Exception):
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    return RuntimeError(f"{type(error).__name__}: {one_line(error)}")


def main() -> None:
    """Train what comes until the connection is closed."""
    ignore_signals()
    connection = Connection(int(sys.argv[1]))
    threading.Thread(target=end_with_parent, args=(connection,), daemon=True).start()
    try:
        import_module("rnn_tasks.training.session")  # takes seconds, in which the job may come
        while True:
            train(connection.recv(), connection)
    except BaseException as error:
        connection.send((sendable(error), traceback.format_exc()))
        os._exit(1)


if __name__ == "__main__":
    main()
