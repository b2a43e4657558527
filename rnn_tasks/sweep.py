"""Show how far a sweep has come: ``python -m rnn_tasks.sweep outputs/adder/NAME``."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from rnn_tasks.arguments import command, parser
from rnn_tasks.errors import UserError


def arguments() -> Namespace:
    """Build the parser of the command line."""
    words = parser(__doc__)
    words.add_argument("sweep", metavar="DIR", help="the directory of a sweep, or latest for the newest")
    words.add_argument("--json", action="store_true", help="print a list with an object for each run")
    words.add_argument(
        "--write", action="store_true", help="also write summary.csv, networks.csv, summary.md and plots"
    )
    return words.parse_args()


@command
def main() -> None:
    """Print a row for each run, and how many are in which state."""
    chosen = arguments()
    from rnn_tasks.runs import finding, summaries, sweep_tables, sweeps

    sweep: Path = finding.find_sweep(chosen.sweep)
    rows = sweeps.sweep_rows(sweep)
    if not rows:
        raise UserError(f"{sweep}: holds no runs")
    if chosen.json:
        print(json.dumps([sweep_tables.csv_row(row) for row in rows], indent=1))
    else:
        print(f"{sweep_tables.sweep_table(rows, 'simple')}\n{sweep}: {sweep_tables.counted_states(rows)}")
    if chosen.write:
        summaries.write_summary(sweep, show=False)


if __name__ == "__main__":
    main()
