"""A line for each run of a sweep that ends, read from the runs' directories: other processes write there."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

from rnn_tasks.errors import UserError, printable, tell
from rnn_tasks.files import read_text
from rnn_tasks.runs.results import RESULT, read_result
from rnn_tasks.runs.sweeps import FAILURE

SHARE = 0.05  # of the time that is spent on looking, at most


class Watch:
    """Looks at the directory of a sweep until it is stopped, and prints a line for each run that ends.

    Args:
        sweep: its directory, which need not exist yet.
    """

    def __init__(self, sweep: Path) -> None:
        self.sweep = sweep
        self.ended = {run: _time_of_end(run) for run in self._runs()}  # what had ended before is not told again
        self.before = sum((run / RESULT).exists() for run in self.ended)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look_again_and_again, daemon=True)

    def start(self) -> None:
        """Begin to look, in a thread."""
        if self.before:
            tell(f"{self.before} of its runs had finished before")
        self._thread.start()

    def stop(self) -> None:
        """Look once more and end."""
        self._stopped.set()
        self._thread.join()
        self.look()

    def look(self) -> None:
        """Print a line for each run that has ended since the last time."""
        for run in self._runs():
            ended = _time_of_end(run)
            if ended and ended != self.ended.get(run):
                self.ended[run] = ended
                tell(f"{run.name}: {_outcome(run)}")

    def _runs(self) -> list[Path]:
        with suppress(OSError):
            return sorted(path for path in self.sweep.iterdir() if path.is_dir() and path.name[0] != ".")
        return []

    def _look_again_and_again(self) -> None:
        pause = 1.0
        while not self._stopped.wait(pause):
            began = time.monotonic()
            self.look()
            pause = max(1.0, (time.monotonic() - began) / SHARE)


def _time_of_end(run: Path) -> int:
    """Return when a run finished or failed, in nanoseconds; 0 if it has not yet."""
    for name in (RESULT, FAILURE):
        with suppress(OSError):
            return (run / name).stat().st_mtime_ns
    return 0


def _outcome(run: Path) -> str:
    """Return in a few words how a run ended."""
    try:
        if not (run / RESULT).exists():
            return f"failed: {printable(read_text(run / FAILURE, 10_000).strip())}"
        result = read_result(run)
    except (UserError, OSError, ValueError) as error:
        return printable(str(error))
    seconds = f"{result['seconds']:g} seconds" if result else "not finished"
    shares = [
        f"{split} accuracy {100 * sum(values) / len(values):.2f} %"
        for split, metrics in (result["metrics"] if result else {}).items()
        if split in ("test", "val") and (values := [value for value in metrics["accuracy"] if value is not None])
    ]
    return ", ".join([*shares[::-1][:1], seconds])
