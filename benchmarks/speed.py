"""Speed against what one would write without this project, in one process, on one core and in turn: ``make bench``.

A round is one epoch of the Trainer, with TensorBoard and everything else a run has, timed from its first step to its
last, and then as many steps of each peer (see peers.py). Times are medians over the rounds, ratios medians of the
rounds' ratios. Steps are optimizer steps that end with updated weights.
"""

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import torch
from lightning.pytorch.callbacks import Callback
from tabulate import tabulate

from benchmarks import peers
from rnn_tasks import config
from rnn_tasks.models import kernel
from rnn_tasks.training.session import build_session
from rnn_tasks.training.signals import StopSignals

ADDER = [  # eleven steps, every sequence as long as the others
    "task=adder", "task.lengths=[10,10]", "task.test_lengths=[10,10]", "task.train_size=1600",
    "scheduler=none", "loss=mse", "trainer.gradient_clip_val=0",
]  # fmt: skip


class InTurn(Callback):
    """Milliseconds a step of each epoch of the Trainer, and after it of as many steps of each peer.

    Args:
        contenders: functions of (examples) that give a peer's steps, by name.
        kernels: whether the epochs take the compiled kernel, in turn.
    """

    def __init__(self, contenders, kernels=(True,)):
        self.contenders, self.kernels, self.rounds = contenders, kernels, []

    def on_train_start(self, trainer, learner):
        found = {name: peer(trainer.datamodule.train) for name, peer in self.contenders.items()}
        self.steps = {name: steps for name, steps in found.items() if steps is not None}

    def on_train_epoch_start(self, trainer, learner):
        self.compiled = self.kernels[trainer.current_epoch % len(self.kernels)]
        without = "sequential" if learner.model.replicates == 1 else "stacked"
        learner.model.backend = None if self.compiled else without
        self.started = time.perf_counter()

    def on_train_batch_end(self, trainer, learner, outputs, batch, batch_index):
        self.seconds = time.perf_counter() - self.started

    def on_train_epoch_end(self, trainer, learner):
        steps = trainer.datamodule.schedule.batches
        if self.compiled:
            self.rounds.append({})
        self.rounds[-1]["Trainer" if self.compiled else "no compiler"] = self.seconds / steps * 1e3
        if self.compiled:
            with torch.enable_grad():
                for name, peer in self.steps.items():
                    started = time.perf_counter()
                    peer(steps)
                    self.rounds[-1][name] = (time.perf_counter() - started) / steps * 1e3


def rounds(words, contenders=None, kernels=(True,), count=5):
    """Milliseconds a step in each of ``count`` rounds, without a first one that warms up."""
    with tempfile.TemporaryDirectory() as directory:
        epochs = f"trainer.max_epochs={(count + 1) * len(kernels)}"
        quiet = ["trainer.limit_val_batches=0", "trainer.enable_progress_bar=false", "threads=1"]
        cfg = config.compose([*words, epochs, *quiet])
        turns = InTurn(contenders or {}, kernels)
        build_session(cfg, Path(directory), StopSignals(), (turns,)).fit()
    return turns.rounds[1:]


def middle(found, name):
    return statistics.median(turn[name] for turn in found if name in turn)


def ratio(found, name, peer):
    return statistics.median(turn[name] / turn[peer] for turn in found if name in turn and peer in turn)


def replicates():
    """The adder (5 units, batch 8, 11 steps): one network and many, against all peers."""
    names = ("Trainer", "no compiler", "nn, one network", "baddbmm", "JAX")
    rows = []
    for cell in ("lstm", "rnn"):
        for count in (1, 32, 128):
            contenders = {"nn, one network": lambda examples, cell=cell: peers.plain_adder(cell, 5, 8, examples)}
            if count > 1:
                contenders |= {
                    name: lambda examples, cell=cell, count=count, peer=peer: peer(cell, 5, 8, examples, count)
                    for name, peer in (("baddbmm", peers.stacked_adder), ("JAX", peers.jax_adder))
                }
            kernels = (True, False) if kernel.library() else (True,)
            found = rounds([*ADDER, f"model={cell}", f"model.replicates={count}"], contenders, kernels)
            row = {"": f"{cell.upper()}, R = {count}"}
            row |= {name: f"{middle(found, name):.2f}" for name in names if name in found[0]}
            if "JAX" in found[0]:
                row["Trainer / JAX"] = f"{ratio(found, 'Trainer', 'JAX'):.2f}"
                if "no compiler" in found[0]:
                    row["no compiler / JAX"] = f"{ratio(found, 'no compiler', 'JAX'):.2f}"
            row["networks at the price of one"] = f"{count / ratio(found, 'Trainer', 'nn, one network'):.0f}"
            rows.append(row)
    return rows


def large():
    """MNIST, 256 units, batch 64: the Trainer against a bare loop of nn.RNN or nn.LSTM."""
    rows = []
    for cell in ("rnn", "lstm"):
        words = ["task=mnist", f"model={cell}", "model.hidden=256", "task.batch_size=64", "optimizer=sgd"]
        words += ["trainer.gradient_clip_val=0", "trainer.limit_train_batches=60"]
        contenders = {"nn": lambda examples, cell=cell: peers.plain_mnist(cell, 256, 64, examples)}
        found = rounds(words, contenders)
        faster = f"{1 / ratio(found, 'Trainer', 'nn'):.2f}"
        times = {name: f"{middle(found, name):.2f}" for name in ("Trainer", "nn")}
        rows.append({"": f"MNIST, {cell.upper()} 256, batch 64", **times, "samples a second, ratio": faster})
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
    print("Adder, 5 units, batch 8, 11 steps long: milliseconds a step")
    print(tabulate(replicates(), headers="keys", disable_numparse=True), "\n")
    print(tabulate(large(), headers="keys", disable_numparse=True), "\n")
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
