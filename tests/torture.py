"""Rounds of faults: ``make torture``, or ``python -m tests.torture 200`` from the root of the checkout.

Each round trains a run, several replicates or a sweep, and disturbs it one to three times: by SIGKILL, SIGTERM or
SIGINT, to the process or to its group, once or twice in a row, at a random moment or at the n-th file that is written;
by a disk that is full from the n-th file on or for large files, or by one that can only be read. Then it goes on to its
end. The end must be that of a run that was never disturbed, bit for bit, and nothing finished may be done again.
"""

import logging
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from errno import ENOSPC, EROFS
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import forked
from helpers import age_events, assert_equal_ends

TRAINING = ["task.train_size=480", "task.val_size=32", "task.test_size=2", "task.batch_size=16", "trainer.max_epochs=6"]
TRAINING += ["trainer.enable_progress_bar=false", "task.test_lengths=[1,2]", "trainer.log_every_n_steps=5"]
KINDS = {
    "single": ["model=lstm", "model.layers=2", "model.dropout=0.3"],
    "replicates": ["model=gru", "model.replicates=3", "trainer.patience=3"],
    "sweep": ["--multirun", "seed=range(3)", "hydra.sweep.dir=run"],
}
FAULTS = ["kill", "terminate", "interrupt", "group", "twice", "write", "full", "limit", "read-only"]
REASONS = {"full": (ENOSPC, "No space left on device"), "read-only": (EROFS, "Read-only file system")}
SIGNALS = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "interrupt": signal.SIGINT, "group": signal.SIGTERM}


def main(rounds: int, first: int = 0) -> int:
    """Do so many rounds and return how many ended otherwise than they should."""
    wrong = 0
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        whole = {kind: undisturbed(kind, Path(place)) for kind in KINDS}
        for number in range(first, first + rounds):
            kind = list(KINDS)[number % len(KINDS)]
            try:
                print(
                    f"round {number}: {kind}, {', '.join(disturbed(number, kind, Path(place), *whole[kind]))}",
                    flush=True,
                )
            except Exception as error:
                wrong += 1
                print(f"round {number}: {kind}, WRONG: {type(error).__name__} {str(error)[:2000]}", flush=True)
    print(f"{rounds} rounds, {wrong} of them wrong")
    return wrong


def undisturbed(kind: str, place: Path) -> tuple[Path, float]:
    """Train without a fault; return the directory and the seconds."""
    run, began = place / f"whole_{kind}", time.monotonic()
    ended = attempt(kind, run, None)
    assert ended.returncode == 0, ended.stderr
    return run, time.monotonic() - began


def disturbed(number: int, kind: str, place: Path, whole: Path, seconds: float) -> list[str]:
    """Train with faults until the end; return what was done and check that the end is that of ``whole``."""
    chance, done = random.Random(number), []
    run = place / f"round_{number}"
    for _ in range(chance.randint(1, 3)):
        fault = chance.choice(FAULTS)
        finished = {path: path.read_bytes() for path in run.rglob("result.json")}
        ended = attempt(kind, run, fault, chance, seconds)
        done.append(f"{fault} ({ended.returncode})")
        assert "Traceback" not in ended.stderr, ended.stderr
        assert "is damaged" not in ended.stderr, ended.stderr
        if fault in ("full", "limit", "read-only") and ended.returncode:
            assert any(line.startswith("error: ") for line in ended.stderr.splitlines()), ended.stderr
        for path, content in finished.items():
            assert path.read_bytes() == content, f"{path} was done again"
    ended = attempt(kind, run, None)
    assert ended.returncode == 0 and "Traceback" not in ended.stderr, ended.stderr
    for part in sorted(path.parent.relative_to(whole) for path in whole.rglob("result.json")):
        assert_equal_ends(run / part, whole / part)
        strange = [
            path.name for path in (run / part).rglob("*") if path.name.endswith(".tmp") or path.name[:3] == "tmp"
        ]
        assert not strange, strange
    shutil.rmtree(run)
    return done


def attempt(kind, run, fault, chance=random, seconds=0.0):
    """Start or go on with a run, disturb it, and return the ended process."""
    words = [*KINDS[kind], *TRAINING]
    if kind == "sweep":
        words[words.index("hydra.sweep.dir=run")] = f"hydra.sweep.dir={run}"
    elif (run / "config.yaml").exists():
        words = [f"resume={run}"]
    else:
        words.append(f"hydra.run.dir={run}")
    for part in {path.parent for path in run.rglob("events.out.tfevents.*")}:
        age_events(part)
    process = Disturbed(words, (fault, chance.randint(1, 25)))
    if fault in SIGNALS or fault == "twice":
        time.sleep(chance.uniform(0, 1.1 * seconds))
        for _ in range(1 + (fault == "twice")):
            send(
                process.process.pid,
                SIGNALS.get(fault, chance.choice([signal.SIGINT, signal.SIGTERM])),
                fault == "group",
            )
            time.sleep(chance.uniform(0, 0.2))
    return process.wait(120)


def send(pid, signum, to_group):
    with suppress(ProcessLookupError):  # it has ended before
        os.killpg(pid, signum) if to_group else os.kill(pid, signum)


class Disturbed(forked.Started):
    """A process of rnn_tasks.train that leads a group of its own and meets a fault."""

    def __init__(self, words, fault):
        self.words = ["train", *words]
        self.place = tempfile.TemporaryDirectory()
        self.streams = [Path(self.place.name, name) for name in ("stdout", "stderr")]
        target = (fault, words, str(Path.cwd()), dict(os.environ), self.streams)
        self.process = forked.SERVER.Process(target=_train, args=target)
        self.process.start()


def _train(fault, words, cwd, environment, streams):
    os.setsid()
    kind, number = fault
    if kind == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000 * number, 1000 * number))
    elif kind in ("write", "full", "read-only"):
        _disturb_writing(kind, number)
    forked._run_as_main("train", words, cwd, environment, streams)


def _disturb_writing(kind, number):
    """Kill this process in the n-th os.fsync or os.replace, or let these and all that follow fail."""
    count = 0

    def disturbed(original):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if kind == "write" and count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            if kind != "write" and count >= number:
                raise OSError(*REASONS[kind])
            return original(*args, **kwargs)

        return call

    for name in ("fsync", "replace", "link"):
        setattr(os, name, disturbed(getattr(os, name)))


if __name__ == "__main__":
    sys.exit(min(1, main(*map(int, sys.argv[1:] or ["200"]))))
