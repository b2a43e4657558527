"""Measure a finished run again: ``python -m rnn_tasks.evaluate adder --lengths 1-40,100,1000 --samples 1000``."""

import json
from argparse import Namespace
from pathlib import Path

from rnn_tasks.arguments import add_trust, command, command_line, lengths, parser, positive, replicate, require_place
from rnn_tasks.errors import UserError


def arguments() -> Namespace:
    """Build the parser of the command line.

    Raises:
        UserError: options contradict each other, or the picture cannot be written there.
    """
    words = parser(__doc__)
    words.add_argument("run", metavar="RUN", help="a run directory, latest, or the name of a task")
    words.add_argument(
        "--lengths",
        type=lengths,
        help="of new test sequences, like 1-40,100,1000 (default: the run's own test set)",
    )
    words.add_argument("--samples", type=positive, default=1000, help="test sequences of each length (default: 1000)")
    words.add_argument(
        "--ood", action="store_true", help="also on other handwriting and on corrupted images (runs of MNIST)"
    )
    words.add_argument(
        "--split", choices=("test", "val"), help="images of --ood; val for choosing between networks (default: test)"
    )
    words.add_argument(
        "--weights",
        choices=("best", "last"),
        help="of the best epoch in validation, or of the last (default: last, if kept)",
    )
    words.add_argument(
        "--replicate",
        type=replicate,
        default="best",
        help="its number from 0, best by validation, or all (default: best)",
    )
    words.add_argument(
        "--confusion",
        action="store_true",
        help="which class of the test set is taken for which; of numbers, their errors",
    )
    words.add_argument(
        "--plot", metavar="FILE.png", type=Path, help="draw the share of replicates without an error over the length"
    )
    words.add_argument("--json", action="store_true", help="print the metrics as they are in result.json")
    add_trust(words)
    chosen = words.parse_args()
    _check(chosen)
    return chosen


def _check(chosen: Namespace) -> None:
    """Refuse options that contradict each other, and a picture that cannot be written."""
    if chosen.ood and chosen.lengths:
        raise UserError("--lengths: an image has 28 rows; leave out --lengths or --ood")
    if chosen.confusion and (chosen.ood or chosen.lengths):
        raise UserError("--confusion: is of the run's own test set; leave out --lengths and --ood")
    if chosen.split and not chosen.ood:
        raise UserError("--split: chooses the images of --ood; add --ood, or leave out --split")
    if chosen.plot:
        if chosen.ood or chosen.confusion:
            raise UserError("--plot: draws what is measured by length; leave out --ood and --confusion")
        if chosen.plot.suffix != ".png":
            raise UserError(f"--plot {chosen.plot}: must end in .png")
        require_place("--plot", chosen.plot, "survival.png")


@command
def main() -> None:
    """Print the metrics, a row for each length or set of images."""
    chosen = arguments()
    from rnn_tasks import runs

    path = runs.require(chosen.run)
    run = runs.load(path, chosen.weights or runs.weights_to_measure(path), chosen.replicate, chosen.trust)
    if run.result is None:
        raise UserError(f"{run.path}: has not finished; go on with {command_line('train', f'resume={run.path}')}")
    from rnn_tasks.runs import tables
    from rnn_tasks.runs.confusion import confusion, confusion_table
    from rnn_tasks.runs.evaluation import evaluate, out_of_distribution

    if chosen.confusion:
        found = confusion(run)
        runs.tell_run(run, chosen.replicate)
        print(json.dumps(found, indent=1) if chosen.json else confusion_table(found))
    elif chosen.ood:
        sets = out_of_distribution(run, chosen.split or "test")
        runs.tell_run(run, chosen.replicate)
        print(json.dumps(sets, indent=1) if chosen.json else tables.table(sets))
    else:
        test = evaluate(run, chosen.lengths, chosen.samples)
        runs.tell_run(run, chosen.replicate)
        print(json.dumps({"test": test}, indent=1) if chosen.json else tables.metrics_table(test), flush=True)
        if chosen.plot:
            from rnn_tasks.runs.survival_plots import save_survival

            save_survival(test["by_length"], run.task.lengths, chosen.plot)


if __name__ == "__main__":
    main()
