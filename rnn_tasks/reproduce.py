"""Run the experiments of the report, then write it: ``python -m rnn_tasks.reproduce``."""

import ctypes
import os
import shlex
import signal
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from itertools import product
from pathlib import Path
from threading import Event, Lock
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rnn_tasks import config, runs
from rnn_tasks.errors import UserError, command, parser
from rnn_tasks.evaluate import positive

# Those that take longest first, so that several cores end at about the same time.
EXPERIMENTS = (
    *("mnist_birnn_adam", "mnist_rnn_sgd", "mnist_rnn_adam", "mnist_lstm_sgd", "mnist_lstm_sgd_slow"),
    *("memory_two_units", "adder_hidden", "adder_length5", "memory_hidden2", "memory_hidden5", "memory_hidden10"),
    "adder_loss",
)
FURTHER = (
    "mnist_handwriting",
    "mnist_ablation",
    "mnist_ablation_plain",
    "mnist_rnn_sgd_grid",
    "mnist_rnn_adam_grid",
    "memory_hidden_sizes",
    "adder_batch_size",
    "adder_loss_batch_size",
)
QUICK = {  # so little that all is over in some minutes; the first name that an experiment's begins with
    "mnist_birnn": ["trainer.max_epochs=1"],
    "mnist": ["trainer.max_epochs=2"],
    "memory_two": ["model.replicates=32", "trainer.max_epochs=2"],
    "memory": ["model.replicates=16", "trainer.max_epochs=20"],
    "adder": ["model.replicates=16"],
}
OUTPUTS, QUICK_OUTPUTS = runs.OUTPUTS, runs.OUTPUTS / "quick"


def swept(experiment: str) -> dict[str, list[Any]]:
    """The values of an experiment's sweep, by their keys; none if it is no sweep."""
    file = OmegaConf.load(config.CONF / "experiment" / f"{experiment}.yaml")
    params = OmegaConf.select(file, "hydra.sweeper.params") or {}
    return {key: OmegaConf.to_container(OmegaConf.create(f"[{values}]")) for key, values in params.items()}


def configurations(experiment: str, overrides: list[str] | None = None) -> list[DictConfig]:
    """The configuration of each run of an experiment: one, or all of its sweep."""
    choices = [[f"{key}={value}" for value in values] for key, values in swept(experiment).items()]
    return [config.compose([f"experiment={experiment}", *(overrides or []), *chosen]) for chosen in product(*choices)]


def quick(experiment: str) -> list[str]:
    """What makes an experiment a quick look."""
    return next((words for name, words in QUICK.items() if experiment.startswith(name)), [])


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


def arguments() -> Namespace:
    """The command line."""
    command_line = parser(__doc__)
    extent = command_line.add_mutually_exclusive_group()
    extent.add_argument(
        "--all", action="store_true", help="also the sweeps that some claims need, and the handwriting reader"
    )
    extent.add_argument("--quick", action="store_true", help=f"a quick look, in {QUICK_OUTPUTS}")
    command_line.add_argument("--jobs", type=positive, default=_cores(), help=f"at once (the cores: {_cores()})")
    return command_line.parse_args()


@command
def main() -> int:
    """Leave out what has been done; tell what is being done; end with the report."""
    chosen = arguments()
    root = QUICK_OUTPUTS if chosen.quick else OUTPUTS
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _stop)
    jobs, done = [], _done(root)
    for experiment in EXPERIMENTS + (FURTHER if chosen.all else ()):
        job = Job(experiment, root, quick(experiment) if chosen.quick else [])
        if job.fingerprints <= done:
            print(f"{experiment}: has been done")
        else:
            jobs.append(job)
    failed = run(jobs, chosen.jobs)
    from rnn_tasks.report.page import write

    page = root / "report" / "index.html"
    print(", ".join(f"{verdict}: {count}" for verdict, count in write(root, page).items()), page, sep="\n")
    if failed:
        raise UserError(f"{', '.join(job.experiment for job in failed)}: failed; the same command tries again")
    return 0


def _done(root: Path) -> set[str]:
    """The fingerprints of the finished runs below a directory."""
    return {result.get("fingerprint") for _, result in runs.results(root) if result}


def _stop(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _cores() -> int:
    with suppress(AttributeError):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _end_with(parent: int) -> Callable[[], None]:
    """Let Linux stop a child process, which then saves what it has, when its parent has been killed."""

    def prepare() -> None:
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


if __name__ == "__main__":
    main()
