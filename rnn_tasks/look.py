"""Look inside the networks of a run: ``python -m rnn_tasks.look adder``.

Fixed points, phase portraits, gates and states, how far back answers reach, and the finite automata that the networks
are; tables of all replicates, figures, and a page in outputs/look/TASK/NAME.
"""

import os
from argparse import Namespace
from pathlib import Path

from rnn_tasks.arguments import add_trust, command, parser, replicate
from rnn_tasks.errors import UserError


def arguments() -> Namespace:
    """Build the parser of the command line."""
    words = parser(__doc__)
    words.add_argument("run", metavar="RUN", help="a run directory, latest, or the name of a task")
    words.add_argument(
        "--replicate",
        type=replicate,
        default="all",
        help="its number from 0, best by validation, or all (default: all)",
    )
    words.add_argument(
        "--weights",
        choices=("best", "last"),
        default="best",
        help="of the best epoch in validation, or of the last (default: best)",
    )
    words.add_argument(
        "--to", type=Path, metavar="DIR", help="for the page and its figures (default: outputs/look/TASK/NAME)"
    )
    add_trust(words)
    return words.parse_args()


@command
def main() -> None:
    """Print the tables of all replicates, and where the page is."""
    chosen = arguments()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the fastest for such small networks
    from rnn_tasks import runs
    from rnn_tasks.runs.directory import CONFIG, OUTPUTS

    path = runs.require(chosen.run)
    if chosen.to and path.resolve() in (chosen.to.resolve(), *chosen.to.resolve().parents):
        raise UserError(f"--to {chosen.to}: is in the directory of the run, which stays as it is; name another place")
    if chosen.to and (chosen.to / CONFIG).exists():
        raise UserError(f"--to {chosen.to}: holds a run; name another place")
    if chosen.to and chosen.to.exists() and not chosen.to.is_dir():
        raise UserError(f"--to {chosen.to}: is a file; name a directory")
    run = runs.load(path, chosen.weights, chosen.replicate, chosen.trust)
    best = run if run.replicate is not None else runs.load(path, chosen.weights, "best", chosen.trust)
    runs.tell_run(best, "best")
    directory = chosen.to or OUTPUTS / "look" / run.task.name / path.resolve().name
    from rnn_tasks.report.looking.page import PAGE, write

    for section in write(run, best.replicate or 0, directory):
        for table in section.tables:
            print(f"{section.title}. {table.caption}".rstrip(), table.text(), "", sep="\n")
    print(directory / PAGE)


if __name__ == "__main__":
    main()
