"""Measure a finished run again: ``python -m rnn_tasks.evaluate adder --lengths 1-40,100,1000 --samples 1000``."""

import json
import re
from argparse import ArgumentTypeError, Namespace
from typing import Any

from rnn_tasks.errors import UserError, command, parser

LONGEST = 100_000


def lengths(text: str) -> list[int]:
    """The numbers of "1-40,100,1000"."""
    found = []
    for part in text.split(","):
        if not (match := re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())):
            raise ArgumentTypeError(f"{text!r} is no list of lengths like 1-40,100,1000")
        low, high = int(match[1]), int(match[2] or match[1])
        if not 1 <= low <= high <= LONGEST:
            raise ArgumentTypeError(f"{part!r} is no range within 1-{LONGEST}, like 1-40")
        found += range(low, high + 1)
    return sorted(set(found))


def positive(text: str) -> int:
    """A whole number from 1."""
    if not (text.isdecimal() and int(text)):
        raise ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def replicate(text: str) -> int | str:
    """A number from 0, or a word."""
    if text in ("best", "all") or text.isdecimal():
        return int(text) if text.isdecimal() else text
    raise ArgumentTypeError(f"{text!r} is no replicate: a number from 0, best or all")


def arguments() -> Namespace:
    """The command line."""
    command_line = parser(__doc__)
    command_line.add_argument("run", metavar="RUN", help="a run directory, latest, or a task's name")
    command_line.add_argument("--lengths", type=lengths, help="like 1-40,100,1000; without, the run's own test set")
    command_line.add_argument("--samples", type=positive, default=1000, help="sequences of each length (1000)")
    command_line.add_argument(
        "--ood", action="store_true", help="on other handwriting and on spoilt images too (runs of MNIST)"
    )
    command_line.add_argument("--split", choices=("test", "val"), help="with --ood: test (usual), or val to choose by")
    command_line.add_argument(
        "--weights", choices=("best", "last"), help="last epoch's (usual, where they are kept), or the best"
    )
    command_line.add_argument(
        "--replicate", type=replicate, default="best", help="a number, best by validation (usual) or all"
    )
    command_line.add_argument("--json", action="store_true", help="print the metrics as result.json has them")
    chosen = command_line.parse_args()
    if chosen.ood and chosen.lengths:
        raise UserError("--lengths: an image has 28 rows; leave it out, or --ood")
    if chosen.split and not chosen.ood:
        raise UserError("--split: chooses the images of --ood; add that, or leave it out")
    return chosen


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

    from rnn_tasks.learner import judge
    from rnn_tasks.losses import confidences
    from rnn_tasks.metrics import Reliability, Tally
    from rnn_tasks.tasks.base import evaluation_loader

    task, loss = run.task, instantiate(run.config.loss)
    replicates = getattr(run.model, "replicates", 1)
    tally = Tally(replicates, max(int(examples.lengths.max()) for examples in sets), task.extra_steps)
    reliability = Reliability(replicates)
    with torch.inference_mode():
        for batch in evaluation_loader(sets, replicates):
            logits = run.logits(batch.inputs, batch.lengths)
            logits = logits if run.replicate is None else logits[None]
            losses, right, steps = judge(logits, batch, loss)
            tally.update(losses, right, steps)
            if calibration:
                reliability.update(confidences(logits), right)
    found = tally.compute(run.failed) | {"chance": task.chance_accuracy}
    return found | reliability.compute(run.failed) if calibration else found


@command
def main() -> None:
    """Print the metrics, at every length where there are several."""
    chosen = arguments()
    from rnn_tasks import runs

    path = runs.find(chosen.run)
    usual = "best" if path and path.parent == runs.PRETRAINED else "last"
    run = runs.load(path or chosen.run, chosen.weights or usual, chosen.replicate)
    if run.result is None:
        raise UserError(f"{run.path}: has not finished; python -m rnn_tasks.train resume={run.path} goes on with it")
    runs.tell_replicate(run, chosen.replicate)
    from rnn_tasks import console

    if chosen.ood:
        found = out_of_distribution(run, chosen.split or "test")
        print(json.dumps(found, indent=1) if chosen.json else console.table(found))
        return
    metrics = evaluate(run, chosen.lengths, chosen.samples)
    print(json.dumps({"test": metrics}, indent=1) if chosen.json else console.metrics_table(metrics))


if __name__ == "__main__":
    main()
