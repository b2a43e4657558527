"""Tables in memory: columns of numbers, as small as their digits allow, and of texts, as numbers of distinct ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:  # takes a third of a second to import, and only tasks with a file need it
    import pyarrow

Mode = Literal["text", "number", "either", "order"]
EMPTY = -1  # the code of a text that is missing


@dataclass(frozen=True)
class Column:
    """The cells of a column.

    Attributes:
        name: in the header.
        values: [rows], numbers, NaN where a cell is empty; or the codes of texts, EMPTY where a cell is.
        texts: what the codes stand for; None for a column of numbers.
    """

    name: str
    values: np.ndarray
    texts: list[str] | None = None

    @property
    def empty(self) -> np.ndarray:
        """Return which cells are empty, [rows]."""
        return self.values == EMPTY if self.texts is not None else np.isnan(self.values)


@dataclass(frozen=True)
class Table:
    """The columns that were asked for of a file.

    Attributes:
        path: of the file.
        digest: a hash of its content.
        rows: their number.
        columns: by name.
        place: names a row, counted from 0, as people find it, like "line 17".
    """

    path: Path
    digest: str
    rows: int
    columns: dict[str, Column]
    place: Callable[[int], str] = field(repr=False)

    def cell(self, row: int, column: str) -> str:
        """Return the place of a cell, as the beginning of a message."""
        return f"{self.path}, {self.place(row)}, column {column}"


class NotFinite(ValueError):
    """A number is infinite or NaN.

    Args:
        row: in the batch, counted from 0.
    """

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row}")
        self.row = row


class Cells:
    """A column that is put together from the batches of a file.

    Args:
        name: of the column.
        exact: whether numbers are kept as they are: whole ones as int64.
    """

    def __init__(self, name: str, exact: bool = False) -> None:
        self.name, self.exact = name, exact
        self.values, self.rows = np.empty(0, np.int8), 0  # there is room for more rows
        self.codes: dict[str, int] | None = None

    def add(self, cells: pyarrow.Array) -> int:
        """Add the cells of a batch, texts as a dictionary array; return the bytes that they take.

        Raises:
            NotFinite: a number is.
        """
        import pyarrow as pa

        if pa.types.is_dictionary(cells.type):
            part = self._coded(cells)
        elif self.exact and not cells.null_count and not pa.types.is_floating(cells.type):
            part = smallest(cells.cast(pa.int64()).to_numpy(zero_copy_only=False))
        else:
            part = self._numbers(cells)
        self._append(part)
        return part.nbytes

    def _append(self, part: np.ndarray) -> None:
        """Copy a part behind those before; the system gives memory to the rows alone that have been written."""
        rows, kind = self.rows + len(part), np.result_type(self.values if self.rows else part, part)
        if rows > len(self.values) or kind != self.values.dtype:
            larger = np.empty(max(rows, 2 * len(self.values)), kind)
            larger[: self.rows] = self.values[: self.rows]
            self.values = larger
        self.values[self.rows : rows] = part
        self.rows = rows

    def _coded(self, cells: Any) -> np.ndarray:
        if self.codes is None:
            self.codes = {}
        codes = self.codes
        own = [codes.setdefault(text, len(codes)) if text else EMPTY for text in _stripped(cells.dictionary)]
        return np.array([*own, EMPTY], np.int32)[cells.indices.fill_null(len(own)).to_numpy(zero_copy_only=False)]

    def _numbers(self, cells: Any) -> np.ndarray:
        import pyarrow as pa

        numbers = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        wrong = ~np.isfinite(numbers)
        if cells.null_count:
            wrong &= cells.is_valid().to_numpy(zero_copy_only=False)
        if wrong.any():
            raise NotFinite(int(wrong.argmax()))
        return numbers if self.exact else compact(numbers)

    def column(self) -> Column:
        """Return the whole column."""
        return Column(self.name, self.values[: self.rows], None if self.codes is None else list(self.codes))


def smallest(numbers: np.ndarray) -> np.ndarray:
    """Return whole numbers in the smallest of four types that holds them."""
    low, high = numbers.min(initial=0), numbers.max(initial=0)
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return numbers.astype(kind)
    return numbers


def compact(numbers: np.ndarray) -> np.ndarray:
    """Return equal numbers of the smallest of four types that can hold them."""
    for kind in (np.int8, np.int16, np.float32):
        if np.isnan(numbers).any() and kind is not np.float32:
            continue
        with np.errstate(all="ignore"):
            small = numbers.astype(kind)
        if np.array_equal(small, numbers, equal_nan=True):
            return small
    return numbers


def _stripped(texts: Any) -> list[str]:
    return [text.strip() for text in texts.to_pylist()]
