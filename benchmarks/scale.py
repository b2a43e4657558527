"""What a sweep of many networks costs: python -m benchmarks.scale [NETWORKS].

The start of a job and runs of several replicates are measured here. One process, processes side by side and a cluster
are computed from these, the cluster by a simulation in which each job waits in a queue before it may take a core.
"""

import heapq
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from rnn_tasks import config
from rnn_tasks.train import train

NETWORKS = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
STEPS = 12_500  # of a run of the adder with its default values
MEASURED = 1000  # steps, of which the time is taken
REPLICATES = (1, 8, 32, 128)
CORES = 8  # of a machine, for the processes
QUEUE = 120  # seconds that a job waits on average, exponentially distributed
BEST_OF = 3


def words(steps, replicates):
    """A run of so many steps, with little beside."""
    sizes = [f"task.train_size={steps * 8}", "task.val_size=8", "task.test_size=1", "trainer.max_epochs=1"]
    return [*sizes, f"model.replicates={replicates}", "trainer.enable_progress_bar=false"]


def seconds_to_start():
    """Processor seconds of a command that hardly trains."""
    with tempfile.TemporaryDirectory() as place:
        before = os.times()
        command = [sys.executable, "-m", "rnn_tasks.train", *words(1, 1), f"hydra.run.dir={place}"]
        subprocess.run(command, check=True, capture_output=True)
        after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def seconds_to_train(steps, replicates):
    """Processor seconds of a run in this process."""
    with tempfile.TemporaryDirectory() as place:
        cfg = config.compose(words(steps, replicates))
        before = time.process_time()
        train(cfg, Path(place))
        return time.process_time() - before


def best(measure, *arguments):
    """The least of several measurements: other programs only add to it."""
    return min(measure(*arguments) for _ in range(BEST_OF))


def simulate(jobs, seconds, cores, queue):
    """Seconds until the last of equal jobs has ended on a cluster.

    Args:
        jobs: how many are submitted at once.
        seconds: of a job, with its start.
        cores: of the cluster, each of which does one job at a time.
        queue: seconds that a job waits on average before it may take a core.
    """
    rng = random.Random(0)
    ready = sorted(rng.expovariate(1 / queue) if queue else 0.0 for _ in range(jobs))
    free = [0.0] * cores
    for moment in ready:
        heapq.heapreplace(free, max(free[0], moment) + seconds)
    return max(free)


def main():
    start = best(seconds_to_start)
    seconds_to_train(1, 1)  # the first takes longer
    run = {}
    for replicates in REPLICATES:
        rest, whole = (best(seconds_to_train, steps, replicates) for steps in (1, MEASURED))
        run[replicates] = rest + (whole - rest) * STEPS / MEASURED
    print(f"start and end of a job: {start:.1f} seconds")
    rows = [[r, f"{seconds:.0f}", f"{seconds / r:.1f}"] for r, seconds in run.items()]
    print(tabulate(rows, ["replicates", "seconds of a run", "seconds per network"], tablefmt="github"), "\n")
    rows = []
    for replicates, seconds in run.items():
        jobs = -(-NETWORKS // replicates)
        one = start + jobs * seconds
        side_by_side = start + simulate(jobs, seconds, CORES, 0)
        cluster = [simulate(jobs, start + seconds, cores, QUEUE) for cores in (100, 1000)]
        hours = jobs * (start + seconds) / 3600
        rows.append([replicates, f"{jobs:,}", *map(duration, (one, side_by_side, *cluster)), f"{hours:.0f}"])
    titles = ["replicates", "jobs", "one process", f"{CORES} processes", "100 cores", "1,000 cores", "core hours"]
    print(tabulate(rows, titles, tablefmt="github"))


def duration(seconds):
    """A time in words, as short as it may be."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


if __name__ == "__main__":
    main()
