"""Run the experiments of the report, then write it: ``python -m rnn_tasks.reproduce --quick``."""

import os
import signal
from argparse import Namespace
from pathlib import Path
from typing import Any

from rnn_tasks import runs
from rnn_tasks.arguments import command, parser, positive
from rnn_tasks.errors import UserError
from rnn_tasks.report.experiments import EXPERIMENTS, FURTHER, QUICK_OUTPUTS, SUITE, pieces, quick
from rnn_tasks.report.jobs import Job, run
from rnn_tasks.runs.directory import OUTPUTS


def arguments() -> Namespace:
    """Build the parser of the command line."""
    command_line = parser(__doc__)
    extent = command_line.add_mutually_exclusive_group()
    extent.add_argument(
        "--all", action="store_true", help="also the sweeps that some claims need, and the handwriting reader"
    )
    extent.add_argument("--suite", action="store_true", help="the table of all tasks and cells instead")
    extent.add_argument("--quick", action="store_true", help=f"a quick look, in {QUICK_OUTPUTS}")
    cores = _cores()
    command_line.add_argument(
        "--jobs", type=positive, default=cores, help=f"processes at once (default: {cores}, the number of cores)"
    )
    return command_line.parse_args()


@command
def main() -> None:
    """Run what is not done yet, then write the report."""
    chosen = arguments()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _stop)
    root = QUICK_OUTPUTS if chosen.quick else OUTPUTS
    failed = run(_to_do(chosen, root), chosen.jobs)
    if chosen.suite:
        from rnn_tasks.report.suite.page import write as write_suite

        page = root / "report" / "suite.md"
        write_suite(root, page)
        print(page)
    else:
        from rnn_tasks.report.page import write  # this imports torch, which takes seconds

        page = root / "report" / "index.html"
        print(", ".join(f"{verdict}: {count}" for verdict, count in write(root, page).items()), page, sep="\n")
    if failed:
        raise UserError(f"{', '.join(job.experiment for job in failed)}: failed; the same command tries again")


def _to_do(chosen: Namespace, root: Path) -> list[Job]:
    """Return the experiments of which a run is not finished."""
    finished = {result.get("fingerprint") for _, result in runs.results(root) if result}
    jobs = []
    for experiment, overrides in _wanted(chosen):
        job = Job(experiment, root, overrides)
        if job.fingerprints <= finished:
            print(f"{job.name}: done before")
        else:
            jobs.append(job)
    return jobs


def _wanted(chosen: Namespace) -> list[tuple[str, list[str]]]:
    """Return experiments, each with overrides; those of the suite in pieces."""
    if chosen.suite:
        return [(experiment, piece) for experiment in SUITE for piece in pieces(experiment)]
    names = [name for name in EXPERIMENTS if chosen.all or name not in FURTHER]
    return [(name, quick(name) if chosen.quick else []) for name in names]


def _stop(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


if __name__ == "__main__":
    main()
