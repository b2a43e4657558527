"""Which answers a network takes for which: classes counted in pairs, and errors of numbers in their own units."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from tabulate import tabulate
from torch import Tensor

from rnn_tasks.errors import UserError, printable
from rnn_tasks.tasks.examples import EvaluationBatches
from rnn_tasks.training.scoring import asked_mask, forward_replicates

if TYPE_CHECKING:
    from rnn_tasks.runs.run import Run

WIDEST = 20  # classes of a table; of more the most frequent mistakes are listed
LONGEST = 20  # characters of a name


def confusion(run: Run) -> dict[str, Any]:
    """Return how often each class of the test set was answered for each, or the errors of numbers.

    Args:
        run: from runs.load; its replicates count together, but for those that have failed.

    Returns:
        ``classes``, their names, and ``counts``, a list of rows: [right class][answered class]. Of numbers ``targets``,
        their names, and ``mean_absolute_error`` and ``root_mean_squared_error`` of each, in its own units.

    Raises:
        UserError: the answers are sets of bits.
    """
    form = run.task.format
    if form.kind == "bits" and form.has_parts:
        raise UserError(
            f"--confusion: {run.path} answers sets of bits; give a run with classes, single bits or numbers"
        )
    run.task.setup()
    return _errors(run) if form.kind == "numbers" else _counts(run)


def _answers(run: Run) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the targets and the answers that are asked of the live replicates, both [M] or [M, C]."""
    form, parameter, live = run.task.format, next(run.model.parameters()), ~torch.tensor(run.failed)
    with torch.inference_mode():
        for batch in EvaluationBatches(run.task.test, len(run.failed)):
            moved = batch.each(lambda part: part.to(parameter.device))
            logits = forward_replicates(run.model, moved._replace(inputs=moved.inputs.to(parameter)), form=form)
            answers, asked = form.answers(logits)[live].cpu(), asked_mask(batch, form.has_parts)
            targets = batch.targets.expand_as(answers)
            parts = [form.size] * form.has_parts
            asked_of = (each if asked is None else each[:, asked] for each in (targets, answers))
            first, second = (each.reshape(-1, *parts) for each in asked_of)
            yield first, second


def _counts(run: Run) -> dict[str, Any]:
    form = run.task.format
    size = max(2, form.size)
    counts = torch.zeros(size * size, dtype=torch.int64)
    for targets, answers in _answers(run):
        counts += (targets.long() * size + answers.long()).bincount(minlength=size * size)
    kind = torch.int64 if form.kind == "classes" else torch.float32
    names = [
        run.task.write_answer(_written(torch.tensor(number, dtype=kind), form.every_step)) for number in range(size)
    ]
    return {"classes": names, "counts": counts.view(size, size).tolist()}


def _errors(run: Run) -> dict[str, Any]:
    size = run.task.format.size
    scales = getattr(run.task, "scales", None) or [(f"number {place + 1}", 1.0) for place in range(size)]
    errors = torch.cat([(answers - targets).view(-1, size) for targets, answers in _answers(run)]).double()
    errors *= torch.tensor([scale for _, scale in scales], dtype=torch.float64)
    return {
        "targets": [name for name, _ in scales],
        "mean_absolute_error": errors.abs().mean(0).tolist(),
        "root_mean_squared_error": errors.square().mean(0).sqrt().tolist(),
    }


def _written(number: Tensor, every_step: bool) -> Tensor:
    return number[None] if every_step else number


def confusion_table(found: dict[str, Any]) -> str:
    """Return counts as a table with a row for each right class, or of many classes the most frequent mistakes.

    Of numbers it is a table of their errors.
    """
    if "targets" in found:
        return tabulate(found, headers=["", "mean absolute error", "root mean squared error"], floatfmt=".4g")
    names, counts = [printable(name[:LONGEST]) for name in found["classes"]], found["counts"]
    if len(names) <= WIDEST:
        rows = [[name, *row] for name, row in zip(names, counts, strict=True)]
        return tabulate(rows, headers=["right \\ answered", *names], disable_numparse=True, stralign="right")
    pairs = [(count, i, j) for i, row in enumerate(counts) for j, count in enumerate(row) if count and i != j]
    most = sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:WIDEST]
    rows = [[names[i], names[j], f"{count:,}"] for count, i, j in most]
    return tabulate(rows, headers=["right", "answered", "times"], disable_numparse=True, stralign="right")
