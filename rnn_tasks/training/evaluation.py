"""The evaluator: the metrics of a model with replicates on sets of examples."""

from collections.abc import Callable, Iterable
from itertools import chain, islice
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from rnn_tasks.errors import UserError
from rnn_tasks.tasks.base import Task
from rnn_tasks.tasks.examples import Batch, EvaluationBatches, Examples
from rnn_tasks.training.metrics import Reliability, Tally
from rnn_tasks.training.scoring import forward_replicates, score


def _limited(batches: EvaluationBatches, limit: int | float) -> Iterable[Batch]:
    count = min(limit, len(batches)) if isinstance(limit, int) else int(limit * len(batches))
    if not count:
        raise UserError(f"a share of {limit}: leaves none of the {len(batches)} batches that are evaluated; take more")
    return islice(batches, count)


def measure(
    model: nn.Module,
    task: Task,
    loss: Callable[[Tensor, Tensor], Tensor],
    sets: Iterable[Examples],
    failed: list[bool] | None = None,
    calibration: bool = False,
    limit: int | float = 1.0,
    longest: int = 0,
) -> dict[str, Any]:
    """Return the loss, accuracy and sequence accuracy of each replicate, over all examples and by length.

    The model runs in evaluation mode, on the device and in the precision of its parameters.

    Args:
        model: with R replicates; a model without the attribute ``replicates`` counts as one.
        task: whose examples these are.
        loss: of each answer alone, [..., C], [...] -> [...].
        sets: the examples; those of an iterator are made when they are measured, and not kept.
        failed: [R], replicates whose numbers are left out.
        calibration: also measure how well the confidences of answers agree with their accuracy (targets [B] only).
        limit: how much is measured, like Lightning's ``limit_test_batches``: an int is a number of batches, a float a
            share of them. An iterator is measured in full.
        longest: steps of the longest sequence of an iterator; those of the task's own sets are known.

    Returns:
        What Tally.compute and, with ``calibration``, Reliability.compute give, ``chance``, and ``best_loss`` where the
        task knows it. None stands in the place of a replicate that has failed or whose loss is not finite. The dict is
        empty if ``limit`` is 0.

    Raises:
        UserError: the share leaves no batch.
    """
    if not limit:
        return {}
    replicates = getattr(model, "replicates", 1)
    if isinstance(sets, list):
        longest = max(longest, *(int(examples.lengths.max()) for examples in sets))
        batches: Iterable[Batch] = _limited(EvaluationBatches(sets, replicates), limit)
    else:
        batches = chain.from_iterable(EvaluationBatches([examples], replicates) for examples in sets)
    longest = max(longest, task.longest)
    tally, reliability = Tally(replicates, longest, task.extra_steps), Reliability(replicates)
    parameter, training = next(model.parameters()), model.training
    tally.to(parameter.device)
    model.eval()
    best: list[tuple[float, int]] = []  # the best possible loss of a batch, and how many answers it has
    with torch.inference_mode():
        for batch in batches:
            best_loss = task.best_loss(batch)
            batch = batch.each(lambda part: part.to(parameter.device))
            batch = batch._replace(inputs=batch.inputs.to(parameter))
            logits = forward_replicates(model, batch, form=task.format)
            scored = score(logits, batch, loss, task.format)
            tally.update(*scored)
            if best_loss is not None:
                best.append((best_loss, int(scored.counts[0].sum())))
            if calibration:
                reliability.update(task.format.confidences(logits).cpu(), scored.right.cpu())
    model.train(training)
    failed = failed or [False] * replicates
    finite = [isfinite(number) for number in tally.results()["loss"]]
    failed = [bad or not ok for bad, ok in zip(failed, finite, strict=True)]
    if task.chance_accuracy is None:
        task.setup()
    metrics = tally.results(failed) | {"chance": task.chance_accuracy}
    if best:
        metrics["best_loss"] = sum(each * count for each, count in best) / sum(count for _, count in best)
    return metrics | reliability.compute(failed) if calibration else metrics
