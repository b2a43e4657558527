"""Measure a finished run again: ``python -m rnn_tasks.evaluate adder --lengths 1-40,100,1000 --samples 1000``."""

import json
import re
from argparse import ArgumentTypeError, Namespace

from rnn_tasks.arguments import command, parser, positive, replicate
from rnn_tasks.errors import UserError
from rnn_tasks.runs.evaluation import evaluate, out_of_distribution

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
    from rnn_tasks.runs import tables

    if chosen.ood:
        found = out_of_distribution(run, chosen.split or "test")
        print(json.dumps(found, indent=1) if chosen.json else tables.table(found))
        return
    metrics = evaluate(run, chosen.lengths, chosen.samples)
    print(json.dumps({"test": metrics}, indent=1) if chosen.json else tables.metrics_table(metrics))


if __name__ == "__main__":
    main()
