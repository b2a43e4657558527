"""Curves that a run has logged for TensorBoard."""

from math import isfinite
from pathlib import Path

from rnn_tasks.errors import UserError, one_line

LARGEST = 1 << 28  # bytes of all event files


def logged_curves(run: Path, names: tuple[str, ...]) -> dict[str, list[tuple[int, float]]]:
    """Return optimizer step and value of the points of some curves, as far as they were logged.

    Raises:
        UserError: the event files are too large, are no ordinary files, or cannot be read.
    """
    files = list(run.glob("events.out.tfevents.*"))
    if not all(file.is_file() for file in files) or sum(file.stat().st_size for file in files) > LARGEST:
        raise UserError(f"{run}: its event files are no ordinary files, or larger than {LARGEST:,} bytes")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    try:
        events = EventAccumulator(str(run), size_guidance={"scalars": 0})
        events.Reload()
        found = {name: events.Scalars(name) for name in names if name in events.Tags()["scalars"]}
    except Exception as error:  # a damaged file raises many kinds
        raise UserError(f"{run}: its event files cannot be read ({one_line(error)[:80]})") from None
    return {
        name: [(each.step, each.value) for each in points if isfinite(each.value)] for name, points in found.items()
    }
