"""Experiments as processes of their own, several at once."""

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from threading import Event, Lock

from rnn_tasks import runs
from rnn_tasks.report.experiments import configurations


class Job:
    """An experiment to be run in a process of its own.

    Attributes:
        experiment: its name.
        run: its directory, which is named by all that shapes its numbers.
        fingerprints: of its runs.
    """

    def __init__(self, experiment: str, root: Path, overrides: list[str]) -> None:
        self.experiment, self.overrides = experiment, overrides
        configs = configurations(experiment, overrides)
        self.fingerprints = {runs.fingerprint(cfg) for cfg in configs}
        digest = blake2b("".join(sorted(self.fingerprints)).encode(), digest_size=4).hexdigest()
        self.run = root / configs[0].task.name / f"{experiment}-{digest}"
        self.log = self.run / "log.txt"

    def start(self) -> subprocess.Popen:
        """Train, or go on with what has been begun; a sweep leaves out its finished runs."""
        words = [f"experiment={self.experiment}", *self.overrides, "threads=1"]
        words += [f"hydra.run.dir={self.run}", f"hydra.sweep.dir={self.run}"]
        self.run.mkdir(parents=True, exist_ok=True)
        with self.log.open("a") as log:
            line = [sys.executable, "-m", "rnn_tasks.train", *words]
            print(shlex.join(line), file=log, flush=True)
            how = {"stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True}  # so Ctrl-C is this one's
            return subprocess.Popen(line, **how, preexec_fn=_end_with(os.getpid()))


def run(jobs: list[Job], at_once: int) -> list[Job]:
    """Run jobs, several at once; a job that fails does not keep the others from running.

    Returns:
        those that failed.
    """
    running: set[subprocess.Popen] = set()
    lock, stopping = Lock(), Event()

    def work(job: Job) -> int:
        with lock:
            if stopping.is_set():
                return 1
            print(f"{job.experiment}: runs, see {job.log}", flush=True)
            started = time.monotonic()
            running.add(process := job.start())
        status = process.wait()
        if not stopping.is_set():
            running.discard(process)
            ended = "done" if status == 0 else f"failed: {job.log.read_text().strip().splitlines()[-1]}"
            print(f"{job.experiment}: {ended}, after {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
        return status

    with ThreadPoolExecutor(at_once) as pool:
        try:
            return [job for job, status in zip(jobs, pool.map(work, jobs), strict=True) if status]
        except KeyboardInterrupt:
            with lock:
                stopping.set()
            for process in running:
                process.terminate()
            print("stopped; the same command goes on", file=sys.stderr)
            raise


def _end_with(parent: int) -> Callable[[], None]:
    """Let Linux stop a child process, which then saves what it has, when its parent has been killed."""

    def prepare() -> None:
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    return prepare
