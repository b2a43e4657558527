"""What was measured with the weights of a finished run, kept in its directory."""

import json
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from rnn_tasks.files import write_atomically
from rnn_tasks.report.finished import FinishedRun
from rnn_tasks.runs.identity import NUMERICS
from rnn_tasks.training import checkpoints

OOD, LENGTHS = "ood.json", "lengths.json"

# Of each file; raised by hand when what is measured is meant to change.
VERSIONS = {OOD: 1, LENGTHS: 1}


def measured_once(run: FinishedRun, name: str, measure: Callable[[], Any]) -> Any:
    """Return what was measured before, or measure it and keep it.

    It is measured again when the run's weights, the file's version or that of the numerics have changed.

    Args:
        run: whose weights are measured.
        name: of the file in its directory, one of VERSIONS.
        measure: gives what JSON can hold.
    """
    if found := kept(run.path, name):
        return found
    loaded = run.loaded
    found = measure()
    run.loaded = loaded  # what is kept here stands for the network
    with suppress(OSError):  # the directory may be read-only
        write_atomically(run.path / name, packed(name, found, _weights(run.path)))
    return found


def kept(run: Path, name: str) -> Any:
    """Return what was measured before with the same weights and versions; None if there is nothing."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads((run / name).read_text(encoding="utf-8"))
        if content["key"] == _key(name, _weights(run)):
            return content["sets"]
    return None


def packed(name: str, sets: Any, weights: bytes) -> str:
    """Return the content of a file; ``weights`` are empty where a run comes without."""
    return json.dumps({"key": _key(name, weights), "sets": sets}, allow_nan=False)


def _key(name: str, weights: bytes) -> str:
    return blake2b(repr((VERSIONS[name], NUMERICS)).encode() + weights, digest_size=16).hexdigest()


def _weights(run: Path) -> bytes:
    with suppress(OSError):
        return (run / "checkpoints" / checkpoints.LAST).read_bytes()
    return b""
