"""What a run has to know of its data file to read another one: columns, scales, categories and names of classes.

A run keeps it as text in its configuration, and so can answer without the file that it was trained on. Such a text may
come from anyone; ``Description.parse`` checks all of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rnn_tasks import checks
from rnn_tasks.tasks.answers import KINDS, Kind
from rnn_tasks.tasks.columns import Column

LARGEST = 150_000  # characters: a configuration has to hold them
MOST_CATEGORIES = 100  # of an input


@dataclass(frozen=True)
class Feature:
    """A column of inputs, or of numbers to be answered, and how it is written in numbers for a network.

    Attributes:
        name: of the column.
        mean, std: of the training rows; numbers x become (x - mean) / std.
        categories: texts become one-hot vectors, one that is not among these becomes zeros; None for numbers.
    """

    name: str
    mean: float = 0.0
    std: float = 1.0
    categories: tuple[str, ...] | None = None

    @property
    def size(self) -> int:
        """Return how many numbers a cell becomes."""
        return 1 if self.categories is None else len(self.categories)

    @classmethod
    def of(cls, column: Column, standardize: bool = True) -> Feature:
        """Return the feature of a column by its training rows; an empty cell does not count."""
        if column.texts is not None:
            used = np.unique(column.values[~column.empty])
            return cls(column.name, categories=tuple(sorted(column.texts[code] for code in used.tolist())))
        empty = column.empty
        known = column.values[~empty] if empty.any() else column.values
        if not standardize or not len(known):
            return cls(column.name)
        if known.dtype.kind == "f":  # whole numbers are summed exactly without a copy
            known = known.astype(np.float64, copy=False)
        mean, std = float(known.mean(dtype=np.float64)), float(known.std(dtype=np.float64))
        return cls(column.name, mean, std if std > 1e-9 * abs(mean) else 1.0)

    def encode(self, column: Column) -> np.ndarray:
        """Return the cells of a column in numbers, [rows, size]; empty ones are zeros, as the mean is."""
        if self.categories is None:
            return np.nan_to_num((column.values[:, None].astype(np.float64) - self.mean) / self.std, nan=0.0)
        numbers = {text: number for number, text in enumerate(self.categories)}
        own = np.array([*(numbers.get(text, -1) for text in column.texts or ()), -1])[column.values]
        return (own[:, None] == np.arange(self.size)).astype(np.float64)


@dataclass(frozen=True)
class Description:
    """What a run knows of its data file.

    Attributes:
        sequence, step: names of columns.
        inputs: columns that are read.
        targets: columns that are answered; bits and classes have mean 0 and deviation 1.
        kind: of the targets.
        classes: their names in the order of their numbers, where the targets are classes.
        every_step: whether answers are asked at steps, and not once at the end.
        sizes: sequences of the training, validation and test set.
        lengths: steps of the shortest and the longest sequence.
    """

    sequence: str
    step: str | None
    inputs: tuple[Feature, ...]
    targets: tuple[Feature, ...]
    kind: Kind
    classes: tuple[str, ...]
    every_step: bool
    sizes: tuple[int, int, int]
    lengths: tuple[int, int]

    def text(self) -> str:
        """Return all of it as JSON.

        Raises:
            ValueError: it is longer than a configuration can hold.
        """
        # "$" would begin an interpolation of OmegaConf's.
        text = json.dumps(asdict(self), ensure_ascii=True, separators=(",", ":")).replace("$", "\\u0024")
        if len(text) > LARGEST:
            raise ValueError(
                f"names of columns, categories and classes take {len(text):,} characters, must be at most {LARGEST:,}"
            )
        return text

    @classmethod
    def parse(cls, text: str) -> Description:
        """Return what ``text`` has written.

        Raises:
            ValueError: it is anything else.
        """
        try:
            values = json.loads(text, parse_constant=_refuse) if len(text) <= LARGEST else {}
            inputs, targets = ([_feature(each) for each in values.pop(key)] for key in ("inputs", "targets"))
            classes, sizes, lengths = (tuple(values.pop(key)) for key in ("classes", "sizes", "lengths"))
            description = cls(inputs=tuple(inputs), targets=tuple(targets), classes=classes, sizes=sizes,
                              lengths=lengths, **values)  # fmt: skip
            description._check()
            return description
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            raise ValueError("task.description: is damaged; only a run writes it") from None

    def _check(self) -> None:
        texts = [self.sequence, *(() if self.step is None else (self.step,)), *self.classes]
        names = [feature.name for feature in (*self.inputs, *self.targets)]
        _require(all(isinstance(text, str) for text in (*texts, *names)))
        _require(bool(self.inputs and self.targets) and isinstance(self.every_step, bool))
        checks.one_of(KINDS, kind=self.kind)
        _require(len(self.classes) >= 2 if self.kind == "classes" else not self.classes)
        _require(len(self.sizes) == 3)
        checks.whole_numbers(1, **{f"size{number}": size for number, size in enumerate(self.sizes)})
        checks.ranges(lengths=self.lengths)


def _feature(values: dict[str, Any]) -> Feature:
    categories = values.pop("categories")
    feature = Feature(**values, categories=None if categories is None else tuple(categories))
    _require(all(isinstance(text, str) for text in feature.categories or ()) and feature.size > 0)
    for number in (feature.mean, feature.std):
        _require(isinstance(number, float) and math.isfinite(number) and feature.std > 0)
    return feature


def _refuse(name: str) -> None:
    raise ValueError(name)


def _require(valid: bool) -> None:
    if not valid:
        raise ValueError


def class_names(column: Column) -> tuple[str, ...]:
    """Return the names of the classes in a column: texts in their order, or numbers in theirs."""
    if column.texts is not None:
        return tuple(sorted(column.texts[code] for code in np.unique(column.values).tolist()))
    return tuple(f"{number:.0f}" if number == round(number) else repr(number) for number in _distinct(column))


def _distinct(column: Column) -> list[float]:
    return np.unique(column.values.astype(np.float64)).tolist()


def class_numbers(column: Column, classes: Sequence[str]) -> np.ndarray:
    """Return the number of the class of each cell, [rows]; of an empty cell 0."""
    if column.texts is not None:
        numbers = {name: number for number, name in enumerate(classes)}
        return np.array([*(numbers.get(text, 0) for text in column.texts), 0])[column.values]
    values = np.array([float(name) for name in classes])
    return np.searchsorted(values, np.nan_to_num(column.values.astype(np.float64))).clip(0, len(classes) - 1)
