"""A sweep of 24 settings by one launcher and by another, as a whole command: ``python -m benchmarks.sweep``.

One seed and 32 seeds for each setting, on one core. The time is that of the wall clock, from the start of the command
to its end, with imports, tests, figures and tables. The launchers take turns, and the other one begins each round.
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

from tabulate import tabulate  # and nothing large: a command's peak begins with the memory of the process it is made of

SWEPT = ["model.hidden=3,5,8", "optimizer.lr=0.003,0.01,0.03,0.1", "loss=bce,mse"]
SETTINGS = 24
SEEDS = (1, 32)


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
    """Do a sweep.

    Returns:
        Seconds, the peak memory of the largest process in MB, and the loss in validation of each network, by run.

    Raises:
        SystemExit: the command failed, or not all of its runs finished.
    """
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
    return seconds, used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), losses


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
            print(f"{launcher}, {SETTINGS * seeds} networks: {found[launcher][-1][0]:.1f} s", file=sys.stderr)
    rows, first = [], found[launchers[0]]
    for launcher, own in found.items():
        ratios = [reference[0] / turn[0] for turn, reference in zip(own, first, strict=True)]
        rows.append({
            "": f"{launcher}, {SETTINGS} x {seeds} networks",
            "seconds": f"{statistics.median(turn[0] for turn in own):.1f}",
            f"times as fast as {launchers[0]}": f"{statistics.median(ratios):.2f}",
            "peak MB": f"{max(turn[1] for turn in own):.0f}",
            "losses differ by": f"{max(distance(turn[2], first[0][2]) for turn in own):.0e}",
        })  # fmt: skip
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
