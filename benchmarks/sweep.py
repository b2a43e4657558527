"""A sweep of 24 settings by one launcher and by another, as a whole command: ``python -m benchmarks.sweep``.

One seed and 32 seeds for each setting, on one core. The time is that of the wall clock, from the start of the command
to its end, with imports, tests, figures and tables; processor time beside it tells what other programs took. The
launchers take turns, and the other one begins each round.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate  # and nothing large: a command's peak begins with the memory of the process it is made of

SWEPT = ["model.hidden=3,5,8", "optimizer.lr=0.003,0.01,0.03,0.1", "loss=bce,mse"]
SETTINGS = 24
SEEDS = (1, 32)


class Sweep(NamedTuple):
    """What one took.

    Attributes:
        seconds: by the wall clock.
        processor: seconds of processor time, of all its processes.
        megabytes: the peak memory of its largest process.
        losses: in validation, of each network, by run.
    """

    seconds: float
    processor: float
    megabytes: float
    losses: dict[str, list[float]]


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("--epochs", type=int, default=2, metavar="N", help="of each run (default: 2; a run has 10)")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="times that each is measured (default: 2)")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, metavar="N", help="of a setting (default: 1 32)")
    parser.add_argument(
        "--launchers", nargs="+", default=["basic", "stacked"], metavar="NAME", help="(default: basic stacked)"
    )
    return parser.parse_args()


def sweep(launcher, seeds, epochs):
    """Do a sweep and return what it took; SystemExit if the command failed or not all of its runs finished."""
    words = [f"hydra/launcher={launcher}", f"model.replicates={seeds}", f"trainer.max_epochs={epochs}"]
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        where = [f"hydra.sweep.dir={directory}/sweep", "trainer.enable_progress_bar=false"]
        command = [sys.executable, "-m", "rnn_tasks.train", "--multirun", *SWEPT, *words, *where]
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)  # its own peak: that of RUSAGE_CHILDREN is over all sweeps so far
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        losses = {file.parent.name: losses_of(file) for file in Path(directory, "sweep").glob("*/result.json")}
        if process.returncode or len(losses) != SETTINGS:
            output.seek(0)
            last = "\n".join(output.read().splitlines()[-5:])
            ended = f"status {process.returncode}, {len(losses)} of {SETTINGS} runs finished"
            raise SystemExit(f"hydra/launcher={launcher}: {ended}\n{last}")
    megabytes = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return Sweep(seconds, used.ru_utime + used.ru_stime, megabytes, losses)


def losses_of(file):
    """The loss in validation of each network of a run, NaN where it failed."""
    losses = json.loads(file.read_text(encoding="utf-8"))["metrics"]["val"]["loss"]
    return [math.nan if loss is None else loss for loss in losses]


def distance(losses, others):
    """The largest difference between the losses of two sweeps; infinite where a network failed in one of them only."""
    pairs = [pair for run, own in losses.items() for pair in zip(own, others[run], strict=True)]
    kept = [(a, b) for a, b in pairs if not (math.isnan(a) and math.isnan(b))]
    return max((math.inf if math.isnan(a - b) else abs(a - b) for a, b in kept), default=0.0)


def rows_of(launchers, seeds, epochs, rounds):
    """One row of the table for each launcher; ratios are to the first of them."""
    found = {launcher: [] for launcher in launchers}
    for number in range(rounds):
        for launcher in launchers if number % 2 == 0 else reversed(launchers):
            found[launcher].append(sweep(launcher, seeds, epochs))
            print(f"{launcher}, {SETTINGS * seeds} networks: {found[launcher][-1].seconds:.1f} s", file=sys.stderr)
    rows, first = [], found[launchers[0]]
    for launcher, own in found.items():
        row = {"": f"{launcher}, {SETTINGS} x {seeds} networks"}
        for kind, title in (("seconds", "wall"), ("processor", "processor")):
            times, others = ([getattr(turn, kind) for turn in turns] for turns in (own, first))
            faster = statistics.median(other / time for time, other in zip(times, others, strict=True))
            row |= {f"{title}, s": f"{statistics.median(times):.1f}", f"{launchers[0]} / it, {title}": f"{faster:.2f}"}
        row["peak MB"] = f"{max(turn.megabytes for turn in own):.0f}"
        row["losses differ by"] = f"{max(distance(turn.losses, first[0].losses) for turn in own):.0e}"
        rows.append(row)
    return rows


def main():
    """Print the table."""
    chosen = arguments()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    rows = [row for n in chosen.seeds for row in rows_of(chosen.launchers, n, chosen.epochs, chosen.rounds)]
    print(
        f"A sweep of {SETTINGS} settings of the adder, {chosen.epochs} epochs each (by default a run has 10), one core"
    )
    print(f"Medians of {chosen.rounds} sweeps; the memory is that of the largest process")
    print(tabulate(rows, headers="keys", disable_numparse=True))


if __name__ == "__main__":
    main()
