"""The rows of a table as sequences in their order, and the answers that they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rnn_tasks import checks
from rnn_tasks.errors import UserError, printable
from rnn_tasks.tasks.answers import Kind
from rnn_tasks.tasks.columns import Column, Table
from rnn_tasks.tasks.roles import Roles
from rnn_tasks.tasks.splits import SETS

MOST_WHOLE_CLASSES = 20  # different whole numbers that are taken for classes, not for numbers
TOGETHER = 4  # rows of a sequence that stand together, on average, and then need not be sorted
SHOWN = 40  # characters of the name of a sequence in a message


@dataclass(frozen=True)
class Sequences:
    """Which rows of a table make which sequence.

    Attributes:
        names: [N], in the order of texts, whatever order the rows have.
        order: [rows], the numbers of rows, sequence by sequence, each from its first step to its last.
        lengths: [N], rows of each sequence.
    """

    names: np.ndarray
    order: np.ndarray
    lengths: np.ndarray

    @cached_property
    def starts(self) -> np.ndarray:
        """Return the place in ``order`` of the first row of each sequence, [N]."""
        return self.lengths.cumsum() - self.lengths

    @cached_property
    def members(self) -> np.ndarray:
        """Return the number of the sequence that each row in ``order`` belongs to, [rows]."""
        return np.repeat(np.arange(len(self.lengths), dtype=np.int32), self.lengths)

    @cached_property
    def steps(self) -> np.ndarray:
        """Return the step, counted from 0, that each row in ``order`` is, [rows]."""
        kind = self.order.dtype
        steps = np.arange(len(self.order), dtype=kind)
        steps -= self.starts.astype(kind)[self.members]
        return steps.astype(np.int32, copy=False)

    def chosen(self, numbers: np.ndarray) -> Sequences:
        """Return the sequences of these numbers, in their order."""
        lengths, kind = self.lengths[numbers], self.order.dtype
        places = _ranges(self.starts[numbers], lengths, kind)
        return Sequences(self.names[numbers], self.order[places], lengths)


def _ranges(starts: np.ndarray, lengths: np.ndarray, kind: np.dtype) -> np.ndarray:
    """Return the numbers from each start on, as many as its length, one range after the other."""
    numbers = np.arange(lengths.sum(), dtype=kind)
    numbers += np.repeat((starts - (lengths.cumsum() - lengths)).astype(kind), lengths)
    return numbers


def sorted_rows(keys: np.ndarray, step: np.ndarray | None) -> np.ndarray:
    """Return the numbers of rows by their sequence, then by their step, or else in the order that they have.

    Rows that mostly stand together, in their order, are moved as they stand: sorting takes several times the memory.

    Args:
        keys: [rows], the sequence of each.
        step: [rows], or None.
    """
    kind = np.dtype(np.int32 if len(keys) < 2**31 else np.int64)
    first = np.append(True, keys[1:] != keys[:-1])
    if np.count_nonzero(first) <= len(keys) // TOGETHER:
        starts = np.flatnonzero(first)
        moved = keys[starts].argsort(kind="stable")
        order = _ranges(starts[moved], np.diff(starts, append=len(keys))[moved], kind)
        if step is None or not _falls(keys[order], step[order]).any():
            return order
    return (keys.argsort(kind="stable") if step is None else np.lexsort((step, keys))).astype(kind, copy=False)


def _falls(keys: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Return between which rows of a sequence the step falls, [rows - 1]."""
    falls: np.ndarray = (keys[1:] == keys[:-1]) & (step[1:] < step[:-1])
    return falls


def sequences(table: Table, roles: Roles) -> Sequences:
    """Return the sequences of a table, their rows sorted by the column of steps where there is one.

    Raises:
        UserError: a cell is empty that says where a row belongs, two rows are the same step of a sequence, or a
            sequence is too long.
    """
    label = _filled(table, roles.sequence)
    ranks = np.empty(len(label.texts or ()), np.int32)
    names = sorted(range(len(ranks)), key=(label.texts or []).__getitem__)
    ranks[names] = np.arange(len(ranks))
    keys = ranks[label.values]
    step = None if roles.step is None else _filled(table, roles.step).values
    order = sorted_rows(keys, step)
    if step is not None and roles.step is not None:
        step = step[order]
        same = step[1:] == step[:-1]
        for place in (np.flatnonzero(same)[np.diff(keys[order])[same] == 0])[:1]:
            first, second = sorted(order[place : place + 2].tolist())
            raise UserError(
                f"{table.cell(second, roles.step)}: sequence {_short(label, second)} has this step already in"
                f" {table.place(first)}; give every step once"
            )
    lengths = np.bincount(keys, minlength=len(ranks))
    texts = np.array([(label.texts or [])[number] for number in names], dtype=object)
    for number in np.flatnonzero(lengths > checks.LONGEST)[:1]:
        raise UserError(
            f"{table.path}: sequence {printable(texts[number][:SHOWN])} has {lengths[number]:,} steps, must be at most"
            f" {checks.LONGEST:,}; cut it into several"
        )
    return Sequences(texts, order, lengths)


def _filled(table: Table, name: str) -> Column:
    column = table.columns[name]
    for row in np.flatnonzero(column.empty)[:1]:
        raise UserError(f"{table.cell(row, name)}: is empty; every row must have one")
    return column


def _short(column: Column, row: int) -> str:
    return printable((column.texts or [])[column.values[row]][:SHOWN])


@dataclass(frozen=True)
class Labels:
    """The targets of sequences.

    Attributes:
        columns: of targets, in the order of the sequences.
        asked: [rows], the rows that have a target.
        last: [N], the row in the order of each sequence that is the last with a target; -1 where none is.
        at_end: whether each sequence asks for one answer, after its last step.
    """

    columns: list[Column]
    asked: np.ndarray
    last: np.ndarray
    at_end: bool

    def answers(self) -> list[Column]:
        """Return the targets that count: the last of each sequence, or all."""
        places = self.last if self.at_end else np.flatnonzero(self.asked)
        return [replace(column, values=column.values[places]) for column in self.columns]


def labels(table: Table, targets: Sequence[str], sequences: Sequences, answer: str | None = None) -> Labels:
    """Return the targets of sequences.

    Args:
        table: that they are of.
        targets: names of columns.
        sequences: all of the table's, or some.
        answer: "end" or "every_step"; None is "end" if no sequence has two different targets.

    Raises:
        UserError: some targets of a row are empty and others are not.
    """
    columns = [replace(table.columns[name], values=table.columns[name].values[sequences.order]) for name in targets]
    asked = ~columns[0].empty
    for column in columns[1:]:
        for place in np.flatnonzero(column.empty == asked)[:1]:
            name = column.name if asked[place] else columns[0].name
            where = table.cell(int(sequences.order[place]), name)
            raise UserError(f"{where}: is empty, and another target of this row is not; fill in all or none")
    places = np.arange(len(asked), dtype=sequences.order.dtype)
    places[~asked] = -1
    last = np.maximum.reduceat(places, sequences.starts)
    at_end = answer == "end"
    if answer is None:
        at_end = all(
            bool(((column.values == np.repeat(column.values[last], sequences.lengths)) | ~asked).all())
            for column in columns
        )
    return Labels(columns, asked, last, at_end)


def kind_of(path: object, answers: Sequence[Column], kind: Kind | None) -> Kind:
    """Return the kind of targets: that which is asked for, if they can be it, or the one that they look like.

    Raises:
        UserError: the targets cannot be of this kind, or are all the same.
    """
    key = "task.path" if kind is None else f"task.kind={kind}"
    names = ", ".join(column.name for column in answers)
    text = next((column for column in answers if column.texts is not None), None)
    if len(answers) > 1 and (text or kind == "classes"):
        which = f"{text.name} holds texts" if text else f"{names} are {len(answers)} columns"
        raise UserError(f"{key}: {path}: {which}; classes need one target, several must be bits or numbers")
    bits = text is None and all(bool(np.isin(column.values, (0, 1)).all()) for column in answers)
    whole = text is None and bool((answers[0].values == np.round(answers[0].values)).all())
    if kind is None:
        few = len(answers) == 1 and whole and len(np.unique(answers[0].values)) <= MOST_WHOLE_CLASSES
        kind = "bits" if bits else "classes" if text or few else "numbers"
    if (kind == "bits" and not bits) or (kind == "numbers" and text):
        raise UserError(f"{key}: {path}: target {names} holds {'texts' if text else 'other numbers than 0 and 1'}")
    if all(len(np.unique(column.values)) < 2 for column in answers):
        value = answers[0].values[0]
        shown = printable((text.texts or [])[int(value)][:SHOWN]) if text else f"{value:g}"
        raise UserError(f"{path}: target {names} is {shown} everywhere; there is nothing to learn")
    return kind


def names_of_sets(table: Table, split_by: str, sequences: Sequences) -> list[str]:
    """Return the set of each sequence by the column that says it.

    Raises:
        UserError: a cell is empty, names no set, or differs within a sequence.
    """
    column = _filled(table, split_by)
    values, texts = column.values[sequences.order], column.texts or []
    valid = np.array([text in SETS for text in texts])[values]
    for place in np.flatnonzero(~valid)[:1]:
        shown = printable(texts[values[place]][:SHOWN])
        where = table.cell(int(sequences.order[place]), split_by)
        raise UserError(f"{where}: {shown!r}, must be {', '.join(SETS)}")
    first = values[sequences.starts]
    for place in np.flatnonzero(values != first[sequences.members])[:1]:
        name = printable(str(sequences.names[sequences.members[place]])[:SHOWN])
        where = table.cell(int(sequences.order[place]), split_by)
        raise UserError(f"{where}: sequence {name} is in two sets; give all of its rows one")
    return [texts[value] for value in first]
