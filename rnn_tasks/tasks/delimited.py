"""Tables of text: comma- or tab-separated values, read once and in blocks, with faults named by line and column."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from rnn_tasks import memory
from rnn_tasks.errors import UserError, one_line, printable
from rnn_tasks.tasks.columns import Cells, Column, Mode, NotFinite, Table
from rnn_tasks.tasks.hashing import Hashed, uncompressed

BLOCK = 1 << 22  # bytes that are parsed at once; a row must be shorter
SAMPLE = 1 << 20  # bytes at the beginning that decide which columns hold numbers
FEW = 20  # different numbers that may be categories if they stand among texts
SHOWN = 40  # characters of a cell in a message
WHOLE, NUMBER = r"-?([0-9]{1,18}|[1-8][0-9]{18})", r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
DECIMAL_COMMA = r"[+-]?[0-9]+,[0-9]+"
TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}(:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?)?)?"
ZONE = r"(Z|[+-][0-9]{2}(:?[0-9]{2})?)"
# What a cell must match, by the kind of its column, and how a message calls that.
KINDS = {
    "whole": (WHOLE, "whole number"),
    "number": (NUMBER, "number"),
    "time": (TIME, "time like 2026-11-27 14:30"),
    "zoned": (TIME + ZONE, "time like 2026-11-27T14:30Z"),
}
NOT_A_NUMBER = ("NA", "N/A", "NaN", "nan", "-nan", "inf", "-inf", "null", "NULL", "None", "?")  # written for missing


def delimiter(path: Path) -> str:
    """Return what stands between two cells of a file, by its name."""
    return "\t" if ".tsv" in path.name.lower()[-7:] else ","


def header(path: Path) -> list[str]:
    """Return the names of the columns.

    Raises:
        UserError: they are missing, empty or equal, the file is empty or not UTF-8, or has another delimiter.
    """
    _, first = next(_rows(path), (1, []))
    names = [name.strip() for name in first]
    if not names:
        raise UserError(f"{path}: is empty; its first line must be the names of the columns")
    other = next((sign for sign in ";\t|" if sign in names[0]), "")
    if len(names) == 1 and other:
        wanted = {",": "commas", "\t": "tabs"}[delimiter(path)]
        raise UserError(f"{path}, line 1: has columns apart by {other!r}; save it with {wanted} between them")
    if all(re.fullmatch(NUMBER, name) for name in names):
        raise UserError(
            f"{path}, line 1: {_quote(','.join(names))} are no names of columns; begin with a line of names"
        )
    for number, name in enumerate(names, 1):
        if not name:
            raise UserError(f"{path}, line 1: column {number} has no name; name it, or leave it out")
        if name in names[: number - 1]:
            raise UserError(f"{path}, line 1: two columns are named {name!r}; rename one")
    return names


def read(path: Path, modes: Mapping[str, Mode]) -> Table:
    """Return the columns of a file in which a mode is given for each.

    Args:
        path: a regular file.
        modes: "text" and "number" say what a column holds, "order" is for numbers or times that are only compared;
            with "either" the first megabyte decides.

    Raises:
        UserError: one line names the line and the column of the first fault.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    names = header(path)
    if next(islice(_rows(path), 1, None), None) is None:
        raise UserError(f"{path}: has no rows below its header")
    kinds = _kinds(path, names, modes)
    cells, rows = {name: Cells(name, exact=modes[name] == "order") for name in kinds}, 0
    with path.open("rb") as file:
        hashed = Hashed(file)
        try:
            for batch in arrow.open_csv(uncompressed(path, hashed), *_options(path, names, kinds)):
                rows = _add(path, cells, batch, rows)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            _explain(path, names, kinds, error)
        while hashed.read(BLOCK):
            pass
    columns = {name: each.column() for name, each in cells.items()}
    columns |= {name: _as_numbers(columns[name]) for name, mode in modes.items() if mode == "either"}
    if any("\n" in text for column in columns.values() for text in column.texts or ()):
        _refuse_open_quote(path)
    return Table(path, hashed.content.hexdigest(), rows, columns, lambda row: f"line {_line(path, row):,}")


def _options(path: Path, names: list[str], kinds: Mapping[str, str]) -> tuple[Any, Any, Any]:
    """Return Arrow's options for reading, parsing and converting."""
    import pyarrow as pa
    from pyarrow import csv as arrow

    types: dict[str, Any] = {
        "text": pa.dictionary(pa.int32(), pa.string()),
        "whole": pa.int64(),
        "number": pa.float64(),
        "time": pa.timestamp("us"),
        "zoned": pa.timestamp("us", tz="UTC"),
    }
    # Names are given, as Arrow would not strip them.
    reading = arrow.ReadOptions(block_size=BLOCK, column_names=names, skip_rows_after_names=1)
    parsing = arrow.ParseOptions(delimiter=delimiter(path), newlines_in_values=True)
    missing = {"null_values": [""], "strings_can_be_null": True, "quoted_strings_can_be_null": True}
    own = {name: types[kind] for name, kind in kinds.items()}
    return reading, parsing, arrow.ConvertOptions(column_types=own, include_columns=list(kinds), **missing)


def _as_numbers(column: Column) -> Column:
    """Return a column of texts that turn out to be numbers, in none of the first rows, as one of numbers."""
    if column.texts is None or not all(re.fullmatch(NUMBER, text) for text in column.texts):
        return column
    return Column(column.name, np.array([*map(float, column.texts), np.nan])[column.values])


def _add(path: Path, cells: dict[str, Cells], batch: Any, rows: int) -> int:
    """Add a batch to the columns, and return the number of rows so far."""
    taken = 0
    for name, column in cells.items():
        try:
            taken += column.add(batch.column(name))
        except NotFinite as error:
            line = _line(path, rows + error.row)
            raise UserError(f"{path}, line {line:,}, column {name}: is infinite or NaN, must be a number") from None
    rows += batch.num_rows
    memory.require(taken / max(1, batch.num_rows) * rows, f"task.path={path}")
    return rows


def _kinds(path: Path, names: list[str], modes: Mapping[str, Mode]) -> dict[str, str]:
    """Return the kind of each column that is wanted: "text", or one of KINDS, by the rows at the beginning."""
    places = {name: names.index(name) for name in modes}
    cells: dict[str, list[str]] = {name: [] for name in modes}
    size = 0
    for _, row in islice(_rows(path), 1, None):
        if (size := size + sum(map(len, row)) + len(row)) > SAMPLE:
            break
        if len(row) == len(names):
            for name, place in places.items():
                if cell := row[place].strip():
                    cells[name].append(cell)
    fixed = {"text": "text", "number": "number"}
    return {name: fixed.get(mode) or _kind(path, name, mode, cells[name]) for name, mode in modes.items()}


def _kind(path: Path, name: str, mode: Mode, cells: list[str]) -> str:
    if mode == "either" and not cells:
        return "text"
    among = ["whole", "number", "time", "zoned"] if mode == "order" else ["number"]
    for kind in among:
        if all(re.fullmatch(KINDS[kind][0], cell) for cell in cells):
            return kind
    strange = {cell for cell in cells if not re.fullmatch(NUMBER, cell)}
    numbers = len(set(cells)) - len(strange)
    spoilt = numbers > FEW and numbers > len(strange)
    missing = numbers > 0 and strange <= {*NOT_A_NUMBER}
    commas = all(re.fullmatch(DECIMAL_COMMA, cell) for cell in strange)
    # Numbers but for some cells: the first of them is named when the column is read.
    return "number" if mode == "order" or spoilt or missing or commas else "text"


def _rows(path: Path, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows, blank lines left out, each with the number of its first line.

    Raises:
        UserError: the file is not UTF-8, a cell is too long for Python's csv, or a gzip file is damaged.
    """
    opened: Any = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        rows, line = csv.reader(text, delimiter=delimiter(path), strict=strict), 0
        while True:
            try:
                row = next(rows, None)
            except (csv.Error, EOFError, OSError, zlib.error) as error:
                raise UserError(f"{path}, line {line + 1:,}: cannot be read ({one_line(error)})") from None
            if row is None:
                return
            if any(not cell.isprintable() and re.search("[\udc80-\udcff]", cell) for cell in row):
                raise UserError(f"{path}, line {line + 1:,}: is not UTF-8; save the file in that encoding")
            if row:
                yield line + 1, row
            line = rows.line_num


def _line(path: Path, row: int) -> int:
    """Return the number of the line that a row, counted from 0 after the header, begins in."""
    return next(islice(_rows(path), row + 1, None))[0]


def _explain(path: Path, names: Sequence[str], kinds: Mapping[str, str], error: Exception) -> NoReturn:
    """Raise a UserError for the first row that Arrow cannot have read."""
    for line, row in islice(_rows(path), 1, None):
        if len(row) != len(names):
            raise UserError(f"{path}, line {line:,}: has {len(row)} cells, and the header {len(names)}") from None
        for name, cell in zip(names, map(str.strip, row), strict=True):
            rule, wanted = KINDS.get(kinds.get(name, ""), ("", ""))
            if rule and cell and not re.fullmatch(rule, cell):
                advice = f"; write {cell.replace(',', '.')}" if re.fullmatch(DECIMAL_COMMA, cell) else ""
                advice = "; leave the cell empty if it is missing" if cell in NOT_A_NUMBER else advice
                raise UserError(
                    f"{path}, line {line:,}, column {name}: {_quote(cell)} is no {wanted}{advice}"
                ) from None
    if "straddling" in str(error):
        raise UserError(f"{path}: has quotes that are not closed, or a row of more than {BLOCK >> 20} MB") from None
    raise UserError(f"{path}: cannot be read ({one_line(error)[:200]})") from error


def _refuse_open_quote(path: Path) -> None:
    """Refuse a file that ends within quotes: everything from there on would be one cell."""
    for _ in _rows(path, strict=True):
        pass


def _quote(cell: str) -> str:
    return repr(printable(cell[:SHOWN])) + ("..." if len(cell) > SHOWN else "")
