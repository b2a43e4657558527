"""Does memory grow? Many short runs in one process: ``python -m benchmarks.soak 2000``.

Prints the memory of the process (resident, in MB) and its threads after 100 runs, after each tenth of the rest, and at
the end.
"""

import sys
import tempfile
import threading
from pathlib import Path

from rnn_tasks import config
from rnn_tasks.train import train

WORDS = ["task.train_size=64", "task.val_size=16", "task.test_size=2", "trainer.max_epochs=1", "model.hidden=2"]
KINDS = [[], ["task=memory", "model=gru"], ["model.replicates=3"], ["model=rnn", "logger=csv"]]
WARM = 100  # runs until all that is kept for later is there


def resident() -> float:
    """Return the resident memory of this process in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1000


def main(runs: int) -> None:
    """Do the runs and print what they need."""
    cfgs = [config.compose([*WORDS, *words, "trainer.enable_progress_bar=false"]) for words in KINDS]
    before = 0.0
    for number in range(1, runs + 1):
        with tempfile.TemporaryDirectory() as place:
            train(cfgs[number % len(cfgs)].copy(), Path(place) / "run")
        if number == WARM:
            before = resident()
        if number in (WARM, runs) or (number > WARM and number % max(1, (runs - WARM) // 10) == 0):
            print(f"{number} runs: {resident():.0f} MB, {threading.active_count()} threads", flush=True)
    print(f"growth after the first {WARM} runs: {resident() - before:.1f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
