"""From which checkpoint a run goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from rnn_tasks.errors import UserError, tell
from rnn_tasks.training.checkpoints import LAST, PREVIOUS, are_scores, read_checkpoint
from rnn_tasks.training.history import COLUMNS
from rnn_tasks.training.recorder import KEPT, RunRecorder

LONGEST = 1e10  # seconds of a run, three centuries


def resume_points(run: Path) -> list[Path]:
    """Return the checkpoints that a run can be resumed from, the last one first.

    Raises:
        UserError: both are damaged, or an earlier version wrote them.
        OSError: one cannot be read.
    """
    last = resume_point(run)
    previous = run / "checkpoints" / PREVIOUS
    points = [last, previous] if last is not None and last != previous and previous.is_file() else [last]
    return [point for point in points if point is not None]


def resume_point(run: Path, quiet: bool = False) -> Path | None:
    """Return the checkpoint that a run can be resumed from, if there is one.

    Where the last one is damaged, or lost, it is the one before it.

    Args:
        run: its directory.
        quiet: do not tell that the last one is damaged.

    Raises:
        UserError: both are damaged, or an earlier version wrote them.
        OSError: one cannot be read.
    """
    last, previous = (run / "checkpoints" / name for name in (LAST, PREVIOUS))
    for path in (last, previous):
        if not os.path.lexists(path):
            continue
        try:
            _check(read_checkpoint(path)["callbacks"].get(RunRecorder.__qualname__), path)
            return path
        except UserError as error:
            if path == previous or not previous.is_file():
                raise
            if not quiet:
                tell(f"{error.args[0].rpartition(';')[0]}; the run goes on from the one before it, {previous}")
    return None


def _check(state: Any, path: Path) -> None:
    """Check what a checkpoint holds of the recorder."""
    if not isinstance(state, dict) or not {*KEPT, "seconds"} <= set(state):
        raise UserError(f"{path}: comes from another version of rnn_tasks, or from an archive; train this run anew")
    epoch, failed, seconds = (state[key] for key in ("epoch", "failed", "seconds"))
    right = are_scores(state["score"]) and _are_whole(epoch) and isinstance(failed, list)
    right = right and len(epoch) == len(state["score"]) and len(failed) in (0, len(epoch))
    right = right and all(type(each) is bool for each in failed)
    right = right and isinstance(state["weights"], dict) and all(map(torch.is_tensor, state["weights"].values()))
    right = right and _is_history(state["history"], len(epoch)) and isinstance(state["val"], dict)
    right = right and _are_whole([state["done"]]) and isinstance(seconds, float) and 0 <= seconds < LONGEST
    if not right:
        raise UserError(f"{path}: is damaged; delete it to begin again")


def _are_whole(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(each) is int and each >= 0 for each in numbers)


def _is_history(history: Any, replicates: int) -> bool:
    """Return whether these are rows of a history, whose epochs go up from 0, each with replicates that there are."""
    if not (torch.is_tensor(history) and history.dtype == torch.float64 and history.shape[1:] == (len(COLUMNS),)):
        return False
    epochs, numbers = history[:, 0].tolist(), history[:, 1].tolist()
    up = sorted(set(epochs)) == list(range(len(set(epochs)))) and epochs == sorted(epochs)
    return up and set(numbers) <= set(range(replicates))
