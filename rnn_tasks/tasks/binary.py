"""Tables of Parquet files, and of arrays that numpy has saved."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnn_tasks import memory
from rnn_tasks.errors import UserError, one_line
from rnn_tasks.tasks.columns import EMPTY, Cells, Column, Mode, NotFinite, Table, compact
from rnn_tasks.tasks.hashing import file_digest

ROWS = 1 << 18  # of a Parquet file that are converted at once
ARRAYS = ("inputs", "targets", "lengths", "sequences", "split", "input_names", "target_names")
SEQUENCE, STEP, TARGET = "sequence", "step", "target"  # columns that the table of arrays has


def parquet_header(path: Path) -> list[str]:
    """Return the names of the columns of a Parquet file.

    Raises:
        UserError: it is damaged, or two columns have one name.
    """
    names = _parquet(path).schema_arrow.names
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{path}: two columns are named {name!r}; rename one")
    return names


def read_parquet(path: Path, modes: Mapping[str, Mode]) -> Table:
    """Return the columns of a Parquet file in which a mode is given for each, see ``delimited.read``."""
    import pyarrow as pa

    file = _parquet(path)
    memory.require(4 * file.metadata.num_rows * len(modes), f"task.path={path}")
    cells, rows = {name: Cells(name, exact=mode == "order") for name, mode in modes.items()}, 0
    try:
        for batch in file.iter_batches(ROWS, columns=list(modes)):
            for name, mode in modes.items():
                try:
                    cells[name].add(_readable(path, name, batch.column(name), mode))
                except NotFinite as error:
                    raise UserError(
                        f"{path}, row {rows + error.row + 1:,}, column {name}: is infinite or NaN, must be a number"
                    ) from None
            rows += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: is damaged ({one_line(error)[:200]})") from None
    columns = {name: each.column() for name, each in cells.items()}
    return Table(path, file_digest(path), rows, columns, lambda row: f"row {row + 1:,}")


def _parquet(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        return ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: is no Parquet file, or damaged ({one_line(error)[:200]})") from None


def _readable(path: Path, name: str, cells: Any, mode: Mode) -> Any:
    """Return cells as texts in a dictionary array, as numbers, or where only their order counts as times."""
    import pyarrow as pa

    kind, types = cells.type, pa.types
    if types.is_dictionary(kind):
        cells = cells.cast(kind.value_type)
        kind = cells.type
    whole = types.is_integer(kind) or types.is_boolean(kind)
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)
    if mode == "text" and (whole or text):
        return cells.cast(pa.string()).dictionary_encode()
    if whole or types.is_floating(kind) or types.is_decimal(kind):
        if mode != "text":
            return cells.cast(pa.uint8()) if types.is_boolean(kind) else cells
    elif mode == "order" and types.is_temporal(kind):
        return cells.cast(pa.int32() if types.is_date32(kind) or types.is_time32(kind) else pa.int64())
    elif mode == "either" and text:
        return cells.cast(pa.string()).dictionary_encode()
    wanted = {"text": "texts or whole numbers", "number": "numbers", "order": "numbers or times"}
    raise UserError(f"{path}, column {name}: holds {kind}, must be {wanted.get(mode, 'numbers or texts')}")


def read_arrays(path: Path) -> Table:
    """Return the arrays of an .npz file as a table with a row for each step of each sequence.

    The file has ``inputs`` [N, T, D] or [N, T], and may have ``targets`` [N], [N, T], [N, C] or [N, T, C], where an
    answer that is not asked is NaN, ``lengths`` [N], ``sequences`` [N] and ``split`` [N], texts or whole numbers, and
    ``input_names`` [D] and ``target_names`` [C]. Targets whose second axis is as long as that of the inputs belong to
    the steps.

    Raises:
        UserError: an array is missing, has a wrong shape, or holds something else than numbers and texts.
    """
    arrays = _arrays(path)
    inputs, lengths = _inputs(path, arrays)
    count, steps, size = inputs.shape
    real = np.arange(steps) < lengths[:, None]  # [N, T]
    which, step = np.nonzero(real)
    columns = {SEQUENCE: _labels(path, SEQUENCE, arrays.get("sequences", np.arange(count)), count, which)}
    columns[STEP] = Column(STEP, step)
    if "split" in arrays:
        columns["split"] = _labels(path, "split", arrays["split"], count, which)
    names = _names(path, arrays, "input_names", "x", size)
    for name in names:
        if name in columns or name.lower().startswith(TARGET):
            raise UserError(f"{path}: an input is named {name!r}, which something else is; rename it")
    values = {name: inputs[real, place] for place, name in enumerate(names)}
    if "targets" in arrays:
        targets = _at_steps(path, arrays["targets"], lengths, real)  # [rows, C]
        names = _names(path, arrays, "target_names", TARGET, targets.shape[1])
        names = [name if name.lower().startswith(TARGET) else f"{TARGET} {name}" for name in names]
        values |= {name: targets[:, place] for place, name in enumerate(names)}
    place = _places(which, step)
    columns |= {name: _column(path, name, cells, place) for name, cells in values.items()}
    return Table(path, file_digest(path), len(which), columns, place)


def _inputs(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs [N, T, D] and lengths [N]."""
    if "inputs" not in arrays:
        raise UserError(f"{path}: has no array inputs; it has {', '.join(arrays) or 'none'}")
    inputs = arrays["inputs"]
    _require(path, "inputs", inputs, inputs.ndim in (2, 3) and inputs.shape[0] > 0, "[N, T, D] or [N, T], N at least 1")
    inputs = inputs[..., None] if inputs.ndim == 2 else inputs
    count, steps, _ = inputs.shape
    lengths = arrays.get("lengths", np.full(count, steps))
    whole = lengths.dtype.kind in "iu"
    _require(path, "lengths", lengths, lengths.shape == (count,) and whole, f"[{count}], of whole numbers")
    for number in np.flatnonzero((lengths < 1) | (lengths > steps))[:1]:
        raise UserError(f"{path}: lengths[{number}] is {lengths[number]}, must be from 1 to {steps}")
    return inputs, lengths


def _places(which: np.ndarray, step: np.ndarray) -> Any:
    return lambda row: f"sequence [{which[row]}], step [{step[row]}]"


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file that are known by name, without any code that they may hold."""
    try:
        with zipfile.ZipFile(path) as archive:
            memory.require(2 * sum(each.file_size for each in archive.infolist()), f"task.path={path}")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in ARRAYS if name in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise UserError(f"{path}: is no .npz file of plain arrays, or damaged ({one_line(error)[:200]})") from None


def _at_steps(path: Path, targets: np.ndarray, lengths: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Return targets [rows, C], where an answer at the end stands in the last row of its sequence."""
    count, steps = real.shape
    rule = f"[{count}], [{count}, {steps}], [{count}, C] or [{count}, {steps}, C]"
    _require(path, "targets", targets, targets.ndim in (1, 2, 3) and targets.shape[0] == count, rule)
    if targets.ndim > 1 and targets.shape[1] == steps:
        return targets[real].reshape(int(real.sum()), -1)
    _require(path, "targets", targets, targets.ndim < 3, rule)
    targets = targets.reshape(count, -1)
    text = targets.dtype.kind in "US"
    rows = np.full((int(real.sum()), targets.shape[1]), "" if text else np.nan, targets.dtype if text else float)
    rows[lengths.cumsum() - 1] = targets
    return rows


def _names(path: Path, arrays: Mapping[str, np.ndarray], key: str, stem: str, size: int) -> list[str]:
    """Return the names of columns: those in the file, or x, or x1, x2 and so on."""
    if key not in arrays:
        return [stem] if size == 1 else [f"{stem}{number}" for number in range(1, size + 1)]
    names = arrays[key]
    text = names.dtype.kind == "U"
    _require(path, key, names, names.shape == (size,) and text and len({*names.tolist()}) == size, f"{size} names")
    return names.tolist()


def _labels(path: Path, name: str, labels: np.ndarray, count: int, which: np.ndarray) -> Column:
    """Return a column of texts from one text, or whole number, for each sequence."""
    valid = labels.shape == (count,) and labels.dtype.kind in "Uiu"
    _require(path, name, labels, valid, f"[{count}], of texts or whole numbers")
    texts, codes = np.unique(labels, return_inverse=True)
    return Column(name, codes[which].astype(np.int32), [str(text) for text in texts.tolist()])


def _column(path: Path, name: str, cells: np.ndarray, place: Any) -> Column:
    if cells.dtype.kind == "U":
        texts, codes = np.unique(cells, return_inverse=True)
        places = np.array([EMPTY if text == "" else number for number, text in enumerate(texts)])
        return Column(name, places[codes].astype(np.int32), texts.tolist())
    _require(path, name, cells, cells.dtype.kind in "biuf", "of numbers or texts")
    numbers = cells.astype(np.float64)
    for row in np.flatnonzero(np.isinf(numbers))[:1]:
        raise UserError(f"{path}, {place(row)}, {name}: is infinite, must be a number")
    return Column(name, compact(numbers))


def _require(path: Path, name: str, array: np.ndarray, valid: bool, rule: str) -> None:
    if not valid:
        raise UserError(f"{path}: {name} {list(array.shape)} of {array.dtype}, must be {rule}")
