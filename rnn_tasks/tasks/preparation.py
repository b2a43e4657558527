"""From a table to the examples of a task: sets, scales and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rnn_tasks import memory
from rnn_tasks.errors import UserError
from rnn_tasks.seeds import generator
from rnn_tasks.tasks import sequences as rows
from rnn_tasks.tasks.answers import Kind
from rnn_tasks.tasks.columns import Column, Table
from rnn_tasks.tasks.description import MOST_CATEGORIES, Description, Feature, class_names, class_numbers
from rnn_tasks.tasks.examples import Examples
from rnn_tasks.tasks.roles import Roles
from rnn_tasks.tasks.sequences import Labels, Sequences
from rnn_tasks.tasks.splits import SETS, fold_split, given_split, split

BYTES = 4  # of a number in an example
BLOCK = 1 << 20  # rows that are encoded at once


@dataclass(frozen=True)
class Choices:
    """What a user decides about a file, beside the roles of its columns; see ``File``."""

    kind: Kind | None
    answer: str | None
    missing: str
    standardize: bool
    val_share: float
    test_share: float
    data_seed: int
    folds: int | None = None
    fold: int = 0


@dataclass(frozen=True)
class Prepared:
    """A table that is divided into sets and understood.

    Attributes:
        table: as it was read.
        roles: of its columns.
        sets: the sequences of each of SETS.
        description: what was understood.
        dropped: sequences without a target.
        fill: whether missing inputs are allowed.
        folds: how many there are and which one is the test, None without a cross-validation.
    """

    table: Table = field(repr=False)
    roles: Roles
    sets: list[Sequences] = field(repr=False)
    description: Description
    dropped: int
    fill: bool
    folds: tuple[int, int] | None = None

    def labels(self, number: int) -> Labels:
        """Return the targets of a set."""
        answer = "every_step" if self.description.every_step else "end"
        return rows.labels(self.table, self.roles.targets, self.sets[number], answer)

    def examples(self) -> list[Examples]:
        """Return the examples of each set; the table loses all columns but the targets."""
        for name in self.table.columns.keys() - {*self.roles.inputs, *self.roles.targets}:
            del self.table.columns[name]
        inputs = encoded(self.table, self.description.inputs, self.sets, self.fill)
        return [self._examples(number, each) for number, each in enumerate(inputs)]

    def _examples(self, number: int, inputs: Tensor) -> Examples:
        chosen, labels, known = self.sets[number], self.labels(number), self.description
        columns = labels.columns if known.every_step else labels.answers()
        if known.kind == "classes":
            values = class_numbers(columns[0], known.classes)[:, None]
        else:
            pairs = zip(known.targets, columns, strict=True)
            values = np.concatenate([feature.encode(column).astype(np.float32) for feature, column in pairs], 1)
        lengths, asked = torch.from_numpy(chosen.lengths), None
        if known.every_step:
            targets = padded(chosen, values)  # [N, T, C]
            asked = None if labels.asked.all() else padded(chosen, labels.asked)
        else:
            targets = torch.from_numpy(values)  # [N, C]
        targets = targets.squeeze(-1) if targets.shape[-1] == 1 else targets
        return Examples(inputs, lengths, targets, asked, known.every_step)


def prepare(table: Table, roles: Roles, choices: Choices) -> Prepared:
    """Return a table divided into sets, and what was understood of it.

    Raises:
        UserError: there are too few sequences, or a column cannot be what it is to be.
    """
    found = _find(table, roles, choices)
    where = "every_step" if found.every_step else "end"
    training = rows.labels(table, roles.targets, found.sets[0], where).answers()
    sizes = [len(each.lengths) for each in found.sets]
    description = Description(
        sequence=roles.sequence,
        step=roles.step,
        inputs=tuple(_input(table, name, found.sets[0], choices.standardize) for name in roles.inputs),
        targets=tuple(_target(column, found.kind, choices.standardize) for column in training),
        kind=found.kind,
        classes=found.classes,
        every_step=found.every_step,
        sizes=(sizes[0], sizes[1], sizes[2]),
        lengths=(min(int(each.lengths.min()) for each in found.sets), longest(found.sets)),
    )
    folds = None if choices.folds is None else (choices.folds, choices.fold)
    return Prepared(table, roles, found.sets, description, found.dropped, choices.missing == "mean", folds)


class _Found(NamedTuple):
    # Sets of a table, kind and place of its answers, and how many sequences have none.
    sets: list[Sequences]
    kind: Kind
    classes: tuple[str, ...]
    every_step: bool
    dropped: int


def _find(table: Table, roles: Roles, choices: Choices) -> _Found:
    found = rows.sequences(table, roles)
    answer = rows.labels(table, roles.targets, found, choices.answer)
    keep = np.flatnonzero(answer.last >= 0)
    if len(keep) < len(SETS):
        raise UserError(
            f"{table.path}: has {len(keep)} sequence{'s' * (len(keep) != 1)} with targets, needs at least {len(SETS)};"
            f" targets are {', '.join(roles.targets)}, and {roles.sequence} says which rows are one sequence"
        )
    dropped = len(found.lengths) - len(keep)
    if dropped:
        found = found.chosen(keep)
        answer = rows.labels(table, roles.targets, found, "end" if answer.at_end else "every_step")
    kind = rows.kind_of(table.path, answer.answers(), choices.kind)
    sets = [found.chosen(numbers) for numbers in _divided(table, roles, found, answer, kind, choices)]
    classes = class_names(answer.answers()[0]) if kind == "classes" else ()
    return _Found(sets, kind, classes, not answer.at_end, dropped)


def _divided(
    table: Table, roles: Roles, kept: Sequences, answer: Labels, kind: Kind, choices: Choices
) -> list[np.ndarray]:
    """Return the numbers of the sequences of each set."""
    try:
        if roles.split_by is not None:
            sets = given_split(rows.names_of_sets(table, roles.split_by, kept))
        else:
            by_class = answer.at_end and len(answer.columns) == 1 and kind != "numbers"
            classes = _classes(answer.answers()[0]) if by_class else None
            sets = _drawn(len(kept.lengths), choices, classes)
    except UserError as error:
        where = f" by column {roles.split_by}" if roles.split_by else ""
        raise UserError(f"{table.path}{where}: {error}") from None
    return [np.flatnonzero(sets.numpy() == number) for number in range(len(SETS))]


def _drawn(count: int, choices: Choices, classes: Tensor | None) -> Tensor:
    """Return the number in SETS of each of so many sequences, which ``data_seed`` decides alone."""
    if choices.folds is None:
        stream = generator(choices.data_seed, "file", "split")
        return split(count, choices.val_share, choices.test_share, stream, classes)
    stream = generator(choices.data_seed, "file", "folds")
    return fold_split(count, choices.val_share, choices.folds, choices.fold, stream, classes)


def _classes(column: Column) -> Tensor:
    return torch.from_numpy(class_numbers(column, class_names(column)).astype(np.int64))


def _of(table: Table, name: str, order: np.ndarray) -> Column:
    column = table.columns[name]
    return Column(name, column.values[order], column.texts)


def _input(table: Table, name: str, training: Sequences, standardize: bool) -> Feature:
    feature = Feature.of(_of(table, name, training.order), standardize)
    if feature.size > MOST_CATEGORIES:
        raise UserError(
            f"{table.path}, column {name}: holds {feature.size:,} different texts, at most {MOST_CATEGORIES} can be"
            " inputs"
        )
    if not feature.size:
        raise UserError(f"{table.path}, column {name}: is empty in all training rows; leave it out by task.inputs=")
    return feature


def _target(column: Column, kind: Kind, standardize: bool) -> Feature:
    return Feature.of(column, standardize) if kind == "numbers" else Feature(column.name)


def encoded(table: Table, features: Sequence[Feature], sets: Sequence[Sequences], fill: bool) -> list[Tensor]:
    """Return the inputs [N, T, D] of each set.

    Args:
        table: that they are of, which loses its columns one by one, so that the memory does not hold them twice.
        features: of its columns.
        sets: sequences of the table.
        fill: allow empty cells, which become zeros.

    Raises:
        UserError: a cell is empty and must not be, or there is too little memory.
    """
    size = sum(feature.size for feature in features)
    numbers = sum(len(each.lengths) * int(each.lengths.max()) * size for each in sets)
    columns = sum(column.values.nbytes for column in table.columns.values())
    places = sum(part.nbytes for each in sets for part in (each.order, each.members, each.steps))
    key = f"task.path={table.path}: {size:,} inputs, sequences padded to {longest(sets):,} steps"
    memory.require(BYTES * numbers + columns + places, key)
    memory.give_back()
    inputs = [np.zeros((len(each.lengths), int(each.lengths.max()), size), np.float32) for each in sets]
    start = 0
    for feature in features:
        for chosen, whole in zip(sets, inputs, strict=True):
            for first in range(0, len(chosen.order), BLOCK):
                block = slice(first, first + BLOCK)
                column = _of(table, feature.name, chosen.order[block])
                if not fill:
                    _require_filled(table, column, chosen.order[block])
                place = chosen.members[block], chosen.steps[block], slice(start, start + feature.size)
                whole[place] = feature.encode(column)
        start += feature.size
        del table.columns[feature.name]
    return [torch.from_numpy(each) for each in inputs]


def _require_filled(table: Table, column: Column, order: np.ndarray) -> None:
    for place in np.flatnonzero(column.empty)[:1]:
        where = table.cell(int(order[place]), column.name)
        raise UserError(f"{where}: is empty; fill it in, or take task.missing=mean for the mean of the training rows")


def longest(sets: Sequence[Sequences]) -> int:
    """Return the steps of the longest sequence."""
    return max(int(each.lengths.max()) for each in sets)


def padded(chosen: Sequences, values: np.ndarray) -> Tensor:
    """Return values of rows [rows, ...] as those of sequences, [N, T, ...], with zeros in the padding."""
    whole = np.zeros((len(chosen.lengths), int(chosen.lengths.max()), *values.shape[1:]), values.dtype)
    whole[chosen.members, chosen.steps] = values
    return torch.from_numpy(whole)
