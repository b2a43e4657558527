"""What each column of a table is for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rnn_tasks.errors import UserError
from rnn_tasks.tasks.columns import Mode

SEQUENCE, STEP = ("sequence", "id"), ("step", "time")  # names that are recognised, in capitals, too
TARGET = "target"  # begins the names of targets
SHOWN = 10  # names of columns in a message


@dataclass(frozen=True)
class Roles:
    """What each column of a file is for.

    Attributes:
        sequence: says which rows belong together.
        step: orders the rows of a sequence; None leaves them in the order of the file.
        inputs, targets: what is read, and what is to be answered.
        split_by: says of each sequence whether it is for "train", "val" or "test"; None draws that.
    """

    sequence: str
    step: str | None
    inputs: tuple[str, ...]
    targets: tuple[str, ...] = ()
    split_by: str | None = None

    def require_columns(self, path: Path, header: Sequence[str]) -> None:
        """Refuse a file that lacks one of the columns.

        Raises:
            UserError: it does.
        """
        names = (self.sequence, self.step, *self.inputs, *self.targets, self.split_by)
        if missing := [name for name in names if name is not None and name not in header]:
            raise UserError(f"{path}: has no column {missing[0]}, which the run has read; it has {_listed(header)}")

    def modes(self) -> dict[str, Mode]:
        """Return how each column is to be read."""
        modes: dict[str, Mode] = dict.fromkeys((*self.inputs, *self.targets), "either")
        modes[self.sequence] = "text"
        if self.step is not None:
            modes[self.step] = "order"
        if self.split_by is not None:
            modes[self.split_by] = "text"
        return modes


def roles(
    path: Path,
    header: Sequence[str],
    sequence: str | None = None,
    step: str | None = None,
    inputs: Sequence[str] = (),
    targets: Sequence[str] = (),
    split_by: str | None = None,
) -> Roles:
    """Return what each column is for, by what the user says and else by its name.

    Args:
        path: of the file.
        header: the names of its columns.
        sequence, step, inputs, targets, split_by: names of columns, or nothing.

    Raises:
        UserError: a column is missing, has two roles, or there are no inputs or targets.
    """
    for key, names in (("sequence", sequence), ("step", step), ("split_by", split_by)):
        _require_columns(path, header, key, [] if names is None else [names])
    _require_columns(path, header, "inputs", inputs)
    _require_columns(path, header, "targets", targets)
    taken = [name for name in (sequence, step, split_by, *inputs, *targets) if name is not None]
    for name in taken:
        if taken.count(name) > 1:
            raise UserError(f"task.path={path}: column {name} is given two roles; give it one")
    free = [name for name in header if name not in taken]
    sequence = sequence or _recognised(path, "sequence", SEQUENCE, free)
    step = step or _recognised(path, "step", STEP, free)
    if sequence is None:
        raise UserError(
            f"{path}: has no column named sequence or id, which says what rows belong together; name it by"
            f" task.sequence=, one of {_listed(header)}"
        )
    free = [name for name in free if name not in (sequence, step)]
    targets = tuple(targets) or tuple(name for name in free if name.lower().startswith(TARGET))
    inputs = tuple(inputs) or tuple(name for name in free if name not in targets)
    if not targets:
        raise UserError(
            f"{path}: has no column whose name begins with target; name targets by task.targets=[...], of"
            f" {_listed(header)}"
        )
    if not inputs:
        raise UserError(f"{path}: has no column of inputs beside {_listed(header)}")
    return Roles(sequence, step, inputs, targets, split_by)


def _recognised(path: Path, key: str, known: Iterable[str], names: Sequence[str]) -> str | None:
    fitting = [name for name in names if name.lower() in known]
    if len(fitting) > 1:
        raise UserError(f"{path}: has columns {' and '.join(fitting)}; say by task.{key}= which one counts")
    return fitting[0] if fitting else None


def _require_columns(path: Path, header: Sequence[str], key: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in header:
            raise UserError(f"task.{key}={name}: no such column in {path}; it has {_listed(header)}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
