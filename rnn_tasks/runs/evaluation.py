"""The metrics of a finished run, on its own test set and on others."""

from typing import Any

from rnn_tasks.errors import UserError


def evaluate(run: Any, lengths: list[int] | None = None, samples: int = 1000) -> dict[str, Any]:
    """Test metrics of a loaded run.

    Args:
        run: from runs.load.
        lengths: of new test sequences; without, the run's own test set is measured.
        samples: sequences of each length.
    """
    if lengths is None:
        run.task.setup()
    return measure(run, run.task.test if lengths is None else run.task.test_examples(lengths, samples))


def out_of_distribution(run: Any, split: str = "test") -> dict[str, dict[str, Any]]:
    """Metrics of a loaded run of MNIST on each of the sets of mnist_ood, with its calibration.

    Args:
        run: from runs.load.
        split: "test", or "val" to choose by.

    Raises:
        UserError: it is a run of another task.
    """
    from rnn_tasks.tasks import mnist, mnist_ood

    if not isinstance(run.task, mnist.Mnist):
        raise UserError(f"--ood: {run.path} is a run of {run.task.name}; give one of mnist")
    found = mnist_ood.sets(run.task, split)
    return {name: measure(run, [examples], calibration=True) for name, examples in found.items()}


def measure(run: Any, sets: list[Any], calibration: bool = False) -> dict[str, Any]:
    """Metrics of a loaded run on examples.

    Args:
        run: from runs.load.
        sets: Examples.
        calibration: also how well its confidences are those of being right.
    """
    import torch
    from hydra.utils import instantiate

    from rnn_tasks.tasks.answers import confidences
    from rnn_tasks.tasks.base import evaluation_loader
    from rnn_tasks.training.metrics import Reliability, Tally
    from rnn_tasks.training.scoring import score

    task, loss = run.task, instantiate(run.config.loss)
    replicates = getattr(run.model, "replicates", 1)
    tally = Tally(replicates, max(int(examples.lengths.max()) for examples in sets), task.extra_steps)
    reliability = Reliability(replicates)
    with torch.inference_mode():
        for batch in evaluation_loader(sets, replicates):
            logits = run.logits(batch.inputs, batch.lengths)
            logits = logits if run.replicate is None else logits[None]
            losses, right, steps = score(logits, batch, loss)
            tally.update(losses, right, steps)
            if calibration:
                reliability.update(confidences(logits), right)
    found = tally.compute(run.failed) | {"chance": task.chance_accuracy}
    return found | reliability.compute(run.failed) if calibration else found
