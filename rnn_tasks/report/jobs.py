"""Experiments as processes of their own, several at once."""

import os
import shlex
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from rnn_tasks import runs
from rnn_tasks.errors import tell
from rnn_tasks.report.experiments import configurations, swept

POLL = 0.1  # seconds between two looks at the processes


class Job:
    """An experiment that is run in a process of its own.

    Attributes:
        experiment: its name.
        name: the same, with the overrides that make it a piece of a sweep.
        fingerprints: of its runs.
        run: its directory, whose name depends on the fingerprints.
        log: what the process prints.
    """

    def __init__(self, experiment: str, root: Path, overrides: Sequence[str]) -> None:
        self.experiment, self.overrides = experiment, overrides
        pieces = [word for word in overrides if word.partition("=")[0] in swept(experiment)]
        self.name = " ".join([experiment, *pieces])
        configs = configurations(experiment, list(overrides))
        self.fingerprints = {runs.fingerprint(cfg) for cfg in configs}
        digest = blake2b("".join(sorted(self.fingerprints)).encode(), digest_size=4).hexdigest()
        self.run = root / configs[0].task.name / f"{experiment}-{digest}"
        self.log = self.run / "log.txt"

    def start(self) -> subprocess.Popen:
        """Train, or go on with an interrupted training; a sweep leaves out its finished runs."""
        overrides = [f"experiment={self.experiment}", *self.overrides, "threads=1"]
        overrides += [f"hydra.run.dir={self.run}", f"hydra.sweep.dir={self.run}"]
        self.run.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as log:
            print(shlex.join([sys.executable, "-m", "rnn_tasks.train", *overrides]), file=log, flush=True)
            command = [sys.executable, "-m", "rnn_tasks.report.child", str(os.getpid()), *overrides]
            # in a session of its own, since Ctrl-C is for the parent, which then stops its children
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def last_line(self) -> str:
        """Return the last line of the log."""
        return self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]


def run(jobs: Sequence[Job], at_once: int) -> list[Job]:
    """Run jobs, several at once; a job that fails does not keep the others from running.

    Returns:
        the jobs that failed.
    """
    waiting, running, failed = deque(jobs), dict[subprocess.Popen, tuple[Job, float]](), []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.popleft()
                print(f"{job.name}: runs, see {job.log}", flush=True)
                running[job.start()] = job, time.monotonic()
            for process in [process for process in running if process.poll() is not None]:
                job, started = running.pop(process)
                outcome = f"failed: {job.last_line()}" if process.returncode else "done"
                ended = f"{len(jobs) - len(waiting) - len(running)} of {len(jobs)} have ended"
                minutes = (time.monotonic() - started) / 60
                print(f"{job.name}: {outcome}, after {minutes:.1f} minutes; {ended}", flush=True)
                failed += [job] if process.returncode else []
            time.sleep(POLL)
    except KeyboardInterrupt:
        tell("stopped; the same command goes on")
        raise
    finally:
        for process in running:  # none, unless it was stopped
            process.terminate()
        for process in running:
            process.wait()
    return failed
