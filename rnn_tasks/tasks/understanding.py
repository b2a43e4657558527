"""What was understood of a file, in words."""

from __future__ import annotations

import numpy as np

from rnn_tasks.errors import printable
from rnn_tasks.tasks.columns import Column
from rnn_tasks.tasks.description import Feature, class_numbers
from rnn_tasks.tasks.preparation import Prepared
from rnn_tasks.tasks.splits import SETS

SHOWN = 12  # columns, categories or classes in a list


def report(prepared: Prepared, tolerance: float) -> str:
    """Return lines that say what was read, what is asked, and what was dropped.

    Args:
        prepared: from the file.
        tolerance: the largest error of a right number, in standard deviations.
    """
    known = prepared.description
    lengths = np.concatenate([each.lengths for each in prepared.sets])
    lines = [
        f"sequences of {prepared.table.path.name}",
        f"  sequences  {len(lengths):,} by {known.sequence}: "
        + ", ".join(f"{name} {size:,}" for name, size in zip(SETS, known.sizes, strict=True)),
        *_folds(prepared, len(lengths)),
        f"  steps      {lengths.min():,} to {lengths.max():,}, median {np.median(lengths):,.0f},"
        f" ordered by {known.step or 'the rows of the file'}",
    ]
    lines += _listed("inputs", [_input(prepared, feature) for feature in known.inputs])
    lines += _listed("targets", _targets(prepared, tolerance))
    lines.append(f"  asked      {_asked(prepared)}")
    if prepared.dropped:
        lines.append(f"  dropped    {prepared.dropped:,} sequences without a target")
    return "\n".join(lines)


def _folds(prepared: Prepared, count: int) -> list[str]:
    folds, fold = prepared.folds or (0, 0)
    if not folds:
        return []
    sizes = sorted({count // folds, -(-count // folds)})
    each = " or ".join(f"{size:,}" for size in sizes)
    return [f"  folds      {folds}, with {each} test sequences, each sequence in one; shown is task.fold={fold}"]


def _listed(head: str, texts: list[str]) -> list[str]:
    more = [f"and {len(texts) - SHOWN:,} more"] if len(texts) > SHOWN else []
    heads = [head, *[""] * len(texts)]
    return [f"  {head:<9}  {text}" for head, text in zip(heads, [*texts[:SHOWN], *more], strict=False)]


def _input(prepared: Prepared, feature: Feature) -> str:
    column = prepared.table.columns[feature.name]
    rows = [each.order for each in prepared.sets]
    empty = int(sum(column.empty[order].sum() for order in rows))
    missing = f", {empty:,} empty" if empty else ""
    if feature.categories is None:
        used = column.values[np.concatenate(rows)]
        known = used[~np.isnan(used)]
        span = f"{known.min():g} to {known.max():g}" if len(known) else "none"
        constant = ", the same in all training rows" if len(np.unique(column.values[rows[0]])) < 2 else ""
        return f"{feature.name}: numbers, {span}{constant}{missing}"
    unseen = int(sum((~feature.encode(_of(column, order)).any(1)).sum() for order in rows[1:])) - int(
        sum(column.empty[order].sum() for order in rows[1:])
    )
    new = f", {unseen:,} cells of other sets have a text that training has not, and become zeros" if unseen else ""
    return f"{feature.name}: texts, one-hot of {feature.size} ({_some(feature.categories)}){missing}{new}"


def _of(column: Column, order: np.ndarray) -> Column:
    return Column(column.name, column.values[order], column.texts)


def _some(texts: tuple[str, ...]) -> str:
    more = f" and {len(texts) - SHOWN:,} more" if len(texts) > SHOWN else ""
    return ", ".join(printable(text[:40]) for text in texts[:SHOWN]) + more


def _targets(prepared: Prepared, tolerance: float) -> list[str]:
    known = prepared.description
    answers = [prepared.labels(number).answers() for number in range(len(SETS))]
    if known.kind == "classes":
        counts = [np.bincount(class_numbers(each[0], known.classes), minlength=len(known.classes)) for each in answers]
        total = np.sum(counts, 0)
        listed = ", ".join(f"{name} {count:,}" for name, count in zip(known.classes, total.tolist(), strict=True))
        lines = [
            f"{known.targets[0].name}: {len(known.classes)} classes" + (f", {listed}" if len(total) <= SHOWN else "")
        ]
        unseen = tuple(name for name, count in zip(known.classes, counts[0], strict=True) if not count)
        return [*lines, f"without a training example: {_some(unseen)}"] if unseen else lines
    values = [np.concatenate([each[place].values for each in answers]) for place in range(len(known.targets))]
    if known.kind == "bits":
        return [f"{each.name}: a bit, {own.mean():.1%} ones" for each, own in zip(known.targets, values, strict=True)]
    return [
        f"{each.name}: numbers, {own.min():g} to {own.max():g}, right within {tolerance * each.std:.3g}"
        for each, own in zip(known.targets, values, strict=True)
    ]


def _asked(prepared: Prepared) -> str:
    if not prepared.description.every_step:
        return "one answer, after the last step"
    asked = [prepared.labels(number).asked for number in range(len(SETS))]
    count, rows = int(sum(each.sum() for each in asked)), sum(map(len, asked))
    return "an answer at every step" if count == rows else f"answers at {count:,} of {rows:,} steps"
