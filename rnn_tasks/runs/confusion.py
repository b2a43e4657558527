"""Which answers a network takes for which: classes counted in pairs, and errors of numbers in their own units."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from tabulate import tabulate
from torch import Tensor

from rnn_tasks.errors import UserError, printable
from rnn_tasks.tasks.examples import EvaluationBatches, Examples
from rnn_tasks.training.scoring import asked_mask, forward_replicates

if TYPE_CHECKING:
    from rnn_tasks.runs.run import Run

WIDEST = 20  # classes of a table; of more the most frequent mistakes are listed
LONGEST = 20  # characters of a name


def confusion(run: Run, sets: Iterable[Examples]) -> dict[str, Any]:
    """Return how often each class was answered for each.

    Args:
        run: from runs.load; the counts of its replicates are added, but for those that have failed.
        sets: examples of its task.

    Returns:
        ``classes``, their names, and ``counts``, a list of rows: [right class][answered class].

    Raises:
        UserError: the answers are neither classes nor single bits.
    """
    form = run.task.format
    if form.kind == "numbers" or form.has_parts:
        raise UserError(
            f"--confusion: {run.path} answers {form.kind}; give a run of a task with classes, or single bits"
        )
    size = max(2, form.size)
    counts = torch.zeros(size * size, dtype=torch.int64)
    parameter, live = next(run.model.parameters()), ~torch.tensor(run.failed)
    replicates = len(run.failed)
    with torch.inference_mode():
        for examples in sets:
            for batch in EvaluationBatches([examples], replicates):
                moved = batch.each(lambda part: part.to(parameter.device))
                logits = forward_replicates(run.model, moved._replace(inputs=moved.inputs.to(parameter)), form=form)
                answers, asked = form.answers(logits).long()[live].cpu(), asked_mask(batch)
                targets = batch.targets.long().expand_as(answers)
                pairs = (targets * size + answers)[..., ... if asked is None else asked]
                counts += pairs.flatten().bincount(minlength=size * size)
    kind = torch.int64 if form.kind == "classes" else torch.float32
    names = [
        run.task.write_answer(_written(torch.tensor(number, dtype=kind), form.every_step)) for number in range(size)
    ]
    return {"classes": names, "counts": counts.view(size, size).tolist()}


def _written(number: Tensor, every_step: bool) -> Tensor:
    return number[None] if every_step else number


def confusion_table(found: dict[str, Any]) -> str:
    """Return counts as a table with a row for each right class, or of many classes the most frequent mistakes."""
    names, counts = [printable(name[:LONGEST]) for name in found["classes"]], found["counts"]
    if len(names) <= WIDEST:
        rows = [[name, *row] for name, row in zip(names, counts, strict=True)]
        return tabulate(rows, headers=["right \\ answered", *names], disable_numparse=True, stralign="right")
    pairs = [(count, i, j) for i, row in enumerate(counts) for j, count in enumerate(row) if count and i != j]
    most = sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))[:WIDEST]
    rows = [[names[i], names[j], f"{count:,}"] for count, i, j in most]
    return tabulate(rows, headers=["right", "answered", "times"], disable_numparse=True, stralign="right")
