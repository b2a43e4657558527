"""A run whose replicates are split over two processes against the same run in one: ``python -m benchmarks.devices``.

Both are trained in turn, as commands. A time is that of training as result.json has it, without imports. On a machine
with other work only the ratio of processor times tells what a free one would show, so it is printed too: that of the
busiest process of the two to that of the one.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

ROUNDS = 3
RUNS = {
    "adder, LSTM 20, R = 64": ["task=adder", "model.hidden=20", "model.replicates=64", "trainer.max_epochs=2"],
    "memory, LSTM 10, R = 128": ["task=memory", "model.hidden=10", "model.replicates=128", "trainer.max_epochs=4"],
}
QUIET = ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "trainer.limit_test_batches=1"]
SHARDED = ["trainer.devices=2", "model.shard_replicates=true"]
TIMES = """
import json, os, time
from lightning import Callback

class Times(Callback):
    def on_train_start(self, *_):
        self.began = time.perf_counter(), time.process_time()

    def on_train_end(self, *_):
        wall, processor = time.perf_counter() - self.began[0], time.process_time() - self.began[1]
        with open(f"times_{os.getpid()}.json", "w", encoding="utf-8") as file:
            json.dump([wall, processor], file)
"""


def times(words):
    """The longest wall time and processor time of training among the processes of a run, in seconds."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "times.py").write_text(TIMES, encoding="utf-8")
        command = [sys.executable, "-m", "rnn_tasks.train", *QUIET, *words, "+callbacks.times._target_=times.Times"]
        path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
        subprocess.run(command, cwd=place, env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True)
        found = [json.loads(file.read_text(encoding="utf-8")) for file in Path(place).glob("times_*.json")]
    return [max(column) for column in zip(*found, strict=True)]


def main():
    """Print the table."""
    rows = []
    for name, words in RUNS.items():
        rounds = [(times(words), times([*words, *SHARDED])) for _ in range(ROUNDS)]
        row = {"": name}
        for number, kind in enumerate(("wall", "processor")):
            one, two = ([turn[which][number] for turn in rounds] for which in (0, 1))
            row[f"one, {kind}"] = f"{statistics.median(one):.1f} s"
            row[f"two, {kind}"] = f"{statistics.median(two):.1f} s"
            ratio = statistics.median(b / a for a, b in zip(one, two, strict=True))
            row[f"ratio, {kind}"] = f"{ratio:.2f}"
        rows.append(row)
    print(tabulate(rows, headers="keys", disable_numparse=True))


if __name__ == "__main__":
    main()
