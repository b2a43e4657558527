"""Speed as ratios against bare PyTorch loops, in one process and in turn: ``make bench``.

A round is one epoch of the Trainer, with TensorBoard and everything else a run has, timed from its first step to its
last, and then as many steps of the plain loop that one would write without this project: the same network in torch.nn,
the same optimizer, tensors in memory. Ratios are medians over the rounds.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from tabulate import tabulate
from torch import nn

from rnn_tasks import config, runs, trainer
from rnn_tasks.checkpoints import Record


class Peer(nn.Module):
    """What the bare loop trains."""

    def __init__(self, recurrent, output_size):
        super().__init__()
        self.recurrent = recurrent
        self.head = nn.Linear(recurrent.hidden_size, output_size)


def adder_loop(task, steps):
    """Seconds that ``steps`` steps of a bare loop on the adder take."""
    peer = Peer(nn.LSTM(2, 5, batch_first=True), 1)
    optimizer = torch.optim.Adam(peer.parameters(), lr=0.01, weight_decay=5e-4, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    inputs, lengths, targets = task.train.inputs, task.train.lengths, task.train.targets
    order = torch.randperm(len(lengths)).split(task.batch_size)[:steps]
    started = time.perf_counter()
    for index in order:
        batch_lengths = lengths[index]
        longest = int(batch_lengths.max())
        states, _ = peer.recurrent(inputs[index, :longest])
        losses = F.binary_cross_entropy_with_logits(
            peer.head(states).squeeze(-1), targets[index, :longest], reduction="none"
        )
        real = torch.arange(longest) < batch_lengths[:, None]
        loss = (losses * real).sum() / batch_lengths.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
    return time.perf_counter() - started


def mnist_loop(task, steps):
    """Seconds that ``steps`` steps of a bare loop on MNIST take."""
    peer = Peer(nn.RNN(28, 256, batch_first=True), 10)
    optimizer = torch.optim.SGD(peer.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True)
    order = torch.randperm(len(task.train)).split(task.batch_size)[:steps]
    started = time.perf_counter()
    for index in order:
        states, _ = peer.recurrent(task.train.inputs[index])
        loss = F.cross_entropy(peer.head(states[:, -1]), task.train.targets[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - started


class InTurn(Callback):
    """After each epoch of the Trainer the same number of steps of the bare loop."""

    def __init__(self, loop):
        self.loop, self.rounds = loop, []

    def on_train_epoch_start(self, trainer, learner):
        self.started = time.perf_counter()

    def on_train_batch_end(self, trainer, learner, outputs, batch, batch_index):
        self.seconds = time.perf_counter() - self.started

    def on_train_epoch_end(self, trainer, learner):
        steps = trainer.num_training_batches
        with torch.enable_grad():
            self.rounds.append((self.seconds / steps * 1e3, self.loop(trainer.datamodule, steps) / steps * 1e3))


def in_turn(name, loop, *overrides):
    """A row of the table: milliseconds a step of the Trainer and of the bare loop, and their ratio."""
    with tempfile.TemporaryDirectory() as directory:
        cfg = config.compose([*overrides, "trainer.limit_val_batches=0"])
        task, model = runs.build(cfg)
        lightning = trainer.build_trainer(cfg, task, Path(directory), Record(Path(directory)))
        lightning.callbacks.append(rounds := InTurn(loop))
        lightning.fit(trainer.build_learner(cfg, task, model), datamodule=task)
    rounds = rounds.rounds[1:]  # the first warms up
    ours, bare = (statistics.median(column) for column in zip(*rounds, strict=True))
    return name, f"{ours:.2f} ms", f"{bare:.2f} ms", f"{statistics.median(a / b for a, b in rounds):.2f}"


def seconds(*words):
    """Fastest of five times of a command."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, *words], capture_output=True, check=False)
        times.append(time.perf_counter() - started)
    return f"{min(times):.2f} s"


def resident_megabytes():
    """Peak resident memory of a process that trains on MNIST."""
    code = (
        "import resource, sys; from rnn_tasks.train import main; sys.argv = ['train', 'task=mnist', 'model=rnn',"
        " 'model.hidden=256', 'trainer.max_epochs=1', 'trainer.limit_train_batches=100',"
        " f'hydra.run.dir={sys.argv[1]}']\n"
        "try: main()\nexcept SystemExit: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    with tempfile.TemporaryDirectory() as directory:
        ended = subprocess.run([sys.executable, "-c", code, directory], capture_output=True, text=True, check=True)
    return f"{ended.stdout.split()[-1]} MB"


def main():
    """Print the tables."""
    rows = [
        in_turn("adder: LSTM 5, batch 8", adder_loop, "task=adder", "trainer.max_epochs=6"),
        in_turn(
            "MNIST: RNN 256, batch 64",
            mnist_loop,
            "experiment=mnist_rnn_sgd",
            "task.batch_size=64",
            "trainer.max_epochs=8",
            "trainer.limit_train_batches=200",
            "threads=1",
        ),
    ]
    print(tabulate(rows, headers=("a training step", "Trainer", "bare loop", "ratio"), disable_numparse=True))
    print()
    rows = [
        ("--help", seconds("-m", "rnn_tasks.train", "--help")),
        ("a wrong key", seconds("-m", "rnn_tasks.train", "model.hiden=3")),
        ("training MNIST, peak resident memory", resident_megabytes()),
    ]
    print(tabulate(rows, tablefmt="plain"))


if __name__ == "__main__":
    main()
