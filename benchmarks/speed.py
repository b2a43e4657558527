"""Speed against what one would write without this project, in one process, on one core and in turn: ``make bench``.

A round is one epoch of the Trainer, with TensorBoard and everything else a run has, timed from its first step to its
last, and then as many steps of each peer (see peers.py). Times are medians over the rounds, ratios medians of the
rounds' ratios. Steps are optimizer steps that end with updated weights. First of all the peers must agree with the
project on what a step is (agreement.py).
"""

import math
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise

from tabulate import tabulate

from benchmarks.agreement import require_same_steps
from benchmarks.peers import PlainAdder, PlainMnist, StackedAdder
from benchmarks.timing import between, middle, ratio, rounds
from rnn_tasks.models import kernel

try:
    from benchmarks.jax_peer import JaxAdder, JaxScanAdder
except ImportError:  # the extra `bench` is not installed
    JAX = {}
else:
    JAX = {"JAX": JaxAdder, "JAX, scan": JaxScanAdder}

PLAIN = {"nn, one network": PlainAdder}
MANY = {"baddbmm": StackedAdder, **JAX}  # peers that train many networks at once
DEFAULT = ["task=adder", "task.train_size=1600"]  # clipping, cosine schedule, bce, lengths from 1 to 20
EVEN = ["task.lengths=[10,10]", "task.test_lengths=[10,10]"]  # eleven steps each
ADDER = [*DEFAULT, *EVEN, "scheduler=none", "loss=mse", "trainer.gradient_clip_val=0"]
MNIST = ["task=mnist", "optimizer=sgd", "optimizer.lr=0.001", "optimizer.weight_decay=0.0005"]
MNIST += ["trainer.gradient_clip_val=0"]


def agreements():
    """What the peers are compared in, small: words and contenders by name."""
    few = ["task.train_size=48", "task.batch_size=8", "task.val_size=8", "task.test_size=1"]
    clip, short = "trainer.gradient_clip_val=0.05", ["task.lengths=[1,6]", "task.test_lengths=[1,6]"]
    runs = {}
    for cell in ("lstm", "rnn"):
        own = [*few, f"model={cell}"]
        adders = {
            "lengths 1 to 6": [*DEFAULT, *short, clip], "one length": [*DEFAULT, *EVEN, clip], "mse alone": ADDER
        }  # fmt: skip
        for name, words in adders.items():
            runs[f"adder, {cell.upper()}, {name}"] = [*words, *own, "model.replicates=3"], PLAIN | MANY
        runs[f"MNIST, {cell.upper()}"] = [*MNIST, *own, "model.hidden=16", "optimizer.lr=0.1"], {"nn": PlainMnist}
    return runs


def adders(words, name, counts=(1, 32, 128), kernels=(True,)):
    """Adders of 5 units, batch 8: one network and many, against all peers."""
    own = ("Trainer", "no compiler")[: len(kernels)]
    pairs = [(which, peer) for which in own for peer in JAX]
    rows = []
    for count in counts:
        found = rounds([*words, f"model.replicates={count}"], PLAIN | (MANY if count > 1 else {}), kernels)
        row = {"": f"{name}, R = {count}"}
        for column in (*own, *PLAIN, *MANY):
            row[column] = f"{middle(found, column):.2f}" if column in found[0] else ""
        for which, peer in pairs:
            row[f"{which} / {peer}"] = f"{ratio(found, which, peer):.2f}" if peer in found[0] else ""
        alone = ratio(found, "Trainer", "nn, one network")
        row |= {"Trainer / nn": f"{alone:.2f}", "networks at the price of one": f"{count / alone:.0f}"}
        rows.append(row)
    return rows


def replicates():
    """The adder with mean squared errors alone, and without a compiler."""
    kernels = (True, False) if kernel.library() else (True,)
    return sum((adders([*ADDER, f"model={cell}"], cell.upper(), kernels=kernels) for cell in ("lstm", "rnn")), [])


def defaults():
    """The adder with its default values, and with sequences of one length."""
    return adders(DEFAULT, "LSTM, lengths 1 to 20") + adders([*DEFAULT, *EVEN], "LSTM, 11 steps")


def epochs():
    """What share of an epoch of the adder with all its default values is not training steps."""
    rows = []
    for count in (1, 32):
        found = between(["task=adder", f"model.replicates={count}"])
        row = {"": f"LSTM, R = {count}", "epoch": f"{statistics.median(each['epoch'] for each in found):.2f} s"}
        for part in ("between", "validation"):
            row[f"{part}, share"] = f"{statistics.median(each[part] / each['epoch'] for each in found):.1%}"
        rows.append(row)
    return rows


def large():
    """MNIST, batch 64: the Trainer against a bare loop of nn.RNN or nn.LSTM."""
    rows = []
    for cell, hidden in (("rnn", 256), ("lstm", 128)):
        words = [*MNIST, f"model={cell}", f"model.hidden={hidden}", "task.batch_size=64"]
        found = rounds([*words, "trainer.limit_train_batches=60"], {"nn": PlainMnist})
        faster = f"{1 / ratio(found, 'Trainer', 'nn'):.2f}"
        times = {name: f"{middle(found, name):.2f}" for name in ("Trainer", "nn")}
        rows.append({"": f"MNIST, {cell.upper()} {hidden}, batch 64", **times, "samples a second, ratio": faster})
    return rows


def growth():
    """How the time of a step of 32 LSTM adders grows with R, T, H and B, each alone."""
    axes = {
        "R": (1, 8, 32, 128, 512), "T": (6, 11, 21, 51, 101), "H": (2, 5, 10, 20, 40, 80), "B": (1, 2, 8, 32, 128)
    }  # fmt: skip
    rows = []
    for axis, values in axes.items():
        times = []
        for value in values:
            sizes = {"R": 32, "T": 11, "H": 5, "B": 8, axis: value}
            length = f"[{sizes['T'] - 1},{sizes['T'] - 1}]"
            words = [*ADDER, f"model.replicates={sizes['R']}", f"model.hidden={sizes['H']}", f"task.lengths={length}"]
            words += [f"task.batch_size={sizes['B']}", f"task.train_size={40 * sizes['B']}"]
            times.append(middle(rounds(words, count=3), "Trainer"))
        points = list(zip(values, times, strict=True))
        powers = [math.log(b / a) / math.log(y / x) for (x, a), (y, b) in pairwise(points)]
        linear = next((values[i + 1] for i, power in enumerate(powers) if power > 0.9), None)
        more = next((values[i + 1] for i, power in enumerate(powers) if power > 1.2), None)
        said = f"less than linear up to {values[-1]}" if linear is None else f"less than linear below {linear}"
        said += f", more than linear at {more}" if more else ""
        rows.append((axis, "  ".join(f"{value}: {time:.2f}" for value, time in points), said))
    return rows


def seconds(*words):
    """Fastest of five times of a command."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, *words], capture_output=True)
        times.append(time.perf_counter() - started)
    return f"{min(times):.2f} s"


def resident_megabytes():
    """The most memory that a training of MNIST holds."""
    words = ["experiment=mnist_rnn_sgd", "trainer.max_epochs=1", "trainer.limit_train_batches=50", "model.replicates=1"]
    code = (
        "import sys, tempfile; from pathlib import Path; from rnn_tasks import config;"
        "from rnn_tasks.train import train; train(config.compose(sys.argv[1:]), Path(tempfile.mkdtemp()));"
        "print(int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) // 1024)"
    )
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return f"{ended.stdout.split()[-1]} MB"


def main():
    """Print the tables."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    require_same_steps(agreements())
    tables = {
        "Adder, 5 units, batch 8, 11 steps long: milliseconds a step": replicates,
        "Adder with its default values (clipping, cosine schedule, bce), batch 8: milliseconds a step": defaults,
        "An epoch of the adder with its default values, and what of it is not training steps": epochs,
        "MNIST: milliseconds a step": large,
    }
    for title, rows in tables.items():
        print(title)
        print(tabulate(rows(), headers="keys", disable_numparse=True), "\n", flush=True)
    print("How milliseconds a step grow (LSTM through the Trainer; R = 32, T = 11, H = 5, B = 8 where not said)")
    print(tabulate(growth(), tablefmt="plain", disable_numparse=True), "\n")
    rows = [
        ("--help", seconds("-m", "rnn_tasks.train", "--help")),
        ("a wrong key", seconds("-m", "rnn_tasks.train", "model.hiden=3")),
        ("training MNIST, peak resident memory", resident_megabytes()),
    ]
    print(tabulate(rows, tablefmt="plain"))


if __name__ == "__main__":
    main()
