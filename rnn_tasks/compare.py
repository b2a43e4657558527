"""Test whether two settings differ: ``python -m rnn_tasks.compare outputs/adder/A outputs/adder/B``."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from rnn_tasks.arguments import command, parser

if TYPE_CHECKING:
    from rnn_tasks.report.comparison import Comparison
    from rnn_tasks.training.intervals import Summary

TITLES = {"sequence_accuracy": "exact match", "accuracy": "accuracy", "loss": "loss"}


def arguments() -> Namespace:
    """Build the parser of the command line."""
    words = parser(__doc__)
    help = "a run directory, latest, the name of a task, or the directory of a sweep over seeds"
    words.add_argument("first", metavar="A", help=help)
    words.add_argument("second", metavar="B", help="the other one")
    words.add_argument(
        "--metric",
        choices=tuple(TITLES),
        default="sequence_accuracy",
        help="right whole sequences, right single answers, or the loss (default: sequence_accuracy)",
    )
    words.add_argument("--split", choices=("test", "val", "train"), default="test", help="default: test")
    words.add_argument("--json", action="store_true", help="print everything as data")
    return words.parse_args()


@command
def main() -> None:
    """Print both means, their difference with its interval, and the test."""
    chosen = arguments()
    from rnn_tasks.report.comparison import compare

    found = compare(chosen.first, chosen.second, chosen.metric, chosen.split)
    print(json.dumps(asdict(found), indent=1) if chosen.json else described(found))


def described(found: Comparison) -> str:
    """Return a comparison in words."""
    scale, unit = (1, "") if found.metric == "loss" else (100, " points")
    if found.low is None or found.high is None:
        ends = "(no interval, for there is no spread)"
    else:
        ends = f"[{found.low * scale:.4g}, {found.high * scale:.4g}]"
    lines = [
        f"{TITLES[found.metric]} in {found.split}, mean over networks [95 % interval]",
        f"A: {_mean(found.first, found.metric)}",
        f"B: {_mean(found.second, found.metric)}",
        f"A - B: {found.effect * scale:+.4g}{unit} {ends}, p = {found.p:.2g} ({found.test})",
        "The difference is significant at the level of 5 %."
        if found.differ
        else "No difference can be told from chance at the level of 5 %.",
    ]
    if found.differing:
        lines.append(f"Their tasks differ in {', '.join(found.differing)}: the test examples may not be the same.")
    return "\n".join(lines)


def _mean(summary: Summary, metric: str) -> str:
    if metric == "loss":
        text = f"{summary.mean:.4g} [{summary.low:.4g}, {summary.high:.4g}]"
    else:
        from rnn_tasks.runs.tables import percent

        text = percent(summary)
    return f"{text} of {summary.count} networks" + (f", {summary.failed} failed" if summary.failed else "")


if __name__ == "__main__":
    main()
