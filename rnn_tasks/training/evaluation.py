"""The one evaluator."""

from typing import Any

import torch

from rnn_tasks.tasks.base import evaluation_loader
from rnn_tasks.training.metrics import Tally
from rnn_tasks.training.scoring import forward_replicates, score


def measure(
    model: Any, task: Any, loss: Any, sets: Any, failed: Any = None, calibration: bool = False, limit: Any = 1.0
) -> dict[str, Any]:
    replicates = getattr(model, "replicates", 1)
    tally = Tally(replicates, max(int(examples.lengths.max()) for examples in sets), task.extra_steps)
    model.eval()
    first = next(model.parameters())
    loader = list(evaluation_loader(sets, replicates))
    loader = loader[:limit] if isinstance(limit, int) else loader[: int(limit * len(loader))]
    with torch.inference_mode():
        for batch in loader:
            batch = batch._replace(inputs=batch.inputs.to(first))
            tally.update(*score(forward_replicates(model, batch), batch, loss))
    return tally.compute(failed) | {"chance": task.chance_accuracy}
