"""Tables read from files of several formats, each once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rnn_tasks import memory
from rnn_tasks.errors import UserError
from rnn_tasks.files import TABLES, is_table_name
from rnn_tasks.tasks import binary, delimited
from rnn_tasks.tasks.columns import Mode, Table

_kept: dict[tuple[object, ...], Table] = {}  # the table read last, until it is released


def header(path: Path) -> list[str]:
    """Return the names of the columns of a file; those of arrays are known when they are read.

    Raises:
        UserError: there is no such file, it is of another format, damaged or larger than the memory.
    """
    _require_regular(path)
    if _is_text(path):
        return delimited.header(path)
    return binary.parquet_header(path) if path.suffix.lower() == ".parquet" else list(read(path, {}).columns)


def read(path: Path, modes: Mapping[str, Mode]) -> Table:
    """Return the columns of a file in which a mode is given for each; of arrays all.

    The table is kept until it is released, so that a file is read once when a run begins: the run is described, then
    its examples are made.

    Args:
        path: of the file.
        modes: see ``delimited.read``.

    Raises:
        UserError: one line names the first fault of the file.
    """
    _require_regular(path)
    key = _key(path, modes)
    if key not in _kept:
        _kept.clear()
        if _is_text(path):
            table = delimited.read(path, modes)
        elif path.suffix.lower() == ".parquet":
            table = binary.read_parquet(path, modes)
        else:
            table = binary.read_arrays(path)
        if not table.rows:
            raise UserError(f"{path}: has no rows")
        _kept[key] = table
        memory.give_back()  # of the blocks of the file up to half its size would stay
    return _kept[key]


def release() -> None:
    """Let go of the table that is kept."""
    _kept.clear()


def _key(path: Path, modes: Mapping[str, Mode]) -> tuple[object, ...]:
    """Return what tells a table from others; the columns of arrays do not depend on what is asked for."""
    status = path.stat()
    asked = () if path.suffix.lower() == ".npz" else tuple(sorted(modes.items()))
    return os.path.abspath(path), status.st_size, status.st_mtime_ns, asked


def _is_text(path: Path) -> bool:
    return path.suffix.lower() not in (".parquet", ".npz")


def _require_regular(path: Path) -> None:
    """Refuse what is no ordinary file, which reading might wait for, or do something.

    Raises:
        UserError: one line says what it is instead.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a directory; give one file")
    if not path.exists():
        raise UserError(f"{path}: no such file; if it has moved, put it, or a link to it, back there")
    if not path.is_file():
        raise UserError(f"{path}: is no ordinary file")
    if not is_table_name(path.name):
        raise UserError(f"{path}: must have a name that ends in {', '.join(TABLES)}, by its format")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path}: cannot be read; allow that by chmod")
    memory.require(path.stat().st_size, f"task.path={path}")
