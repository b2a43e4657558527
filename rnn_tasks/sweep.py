"""Show how far a sweep has come, and draw its picture again: ``python -m rnn_tasks.sweep outputs/adder/NAME``."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError, Namespace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from rnn_tasks.arguments import command, parser, require_place
from rnn_tasks.errors import UserError, tell

if TYPE_CHECKING:
    from rnn_tasks.runs.sweeps import SweepRow


def share(text: str) -> float:
    """Parse a number of per cent above 0 and at most 100, like "99.5", as a share."""
    try:
        number = Decimal(text)
        if 0 < number <= 100:
            return float(number / 100)  # exactly 0.999 for 99.9, as 999 / 1000 is
    except InvalidOperation:
        pass
    raise ArgumentTypeError(f"{text!r} is no share in per cent: a number above 0, at most 100, like 99")


def arguments() -> Namespace:
    """Build the parser of the command line."""
    words = parser(__doc__)
    words.add_argument("sweep", metavar="DIR", help="the directory of a sweep, or latest for the newest")
    words.add_argument(
        "--solved",
        metavar="PERCENT",
        type=share,
        default=1.0,
        help="how much of the test a network must get right to have solved the task (default 100)",
    )
    words.add_argument("--to", metavar="FILE.csv", type=Path, help="also write a table with a row for each network")
    words.add_argument("--json", action="store_true", help="print a list with an object for each run")
    return words.parse_args()


@command
def main() -> None:
    """Print the table of a sweep and how many runs are in which state; write its tables and picture anew."""
    chosen = arguments()
    if chosen.to:
        require_place("--to", chosen.to, "networks.csv")
    from rnn_tasks.runs import finding, summaries, sweep_tables, sweeps

    sweep: Path = finding.find_sweep(chosen.sweep)
    rows = sweeps.sweep_rows(sweep, chosen.solved)
    if not rows:
        raise UserError(f"{sweep}: holds no runs")
    if chosen.json:
        print(json.dumps([sweep_tables.csv_row(row) for row in rows], indent=1))
    else:
        bar = f"; solved: {chosen.solved * 100:g} % right" if chosen.solved < 1 else ""
        tables = "\n\n".join(sweep_tables.tables_of(rows, "simple"))
        print(f"{tables}\n{sweep}: {sweep_tables.counted_states(rows)}{bar}", flush=True)
    if chosen.to:
        summaries.write_networks(chosen.to, rows)
    _write_where_possible(sweep, rows)


def _write_where_possible(sweep: Path, rows: list[SweepRow]) -> None:
    """Write the files of the summary; a directory that cannot be written, as one of somebody else, stays as it is."""
    from rnn_tasks.runs import summaries

    try:
        summaries.write_files(sweep, rows)
    except OSError as error:
        tell(f"{sweep}: cannot be written ({error.strerror or error}); its tables and picture stay as they were")


if __name__ == "__main__":
    main()
