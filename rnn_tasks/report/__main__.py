"""Write the report on finished runs: ``python -m rnn_tasks.report outputs --to outputs/report/index.html``.

DIR may also be an archive of runs, as ``--pack`` writes it. ``--suite`` writes the table of all tasks and cells.
"""

from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from rnn_tasks.arguments import command, parser
from rnn_tasks.errors import UserError
from rnn_tasks.runs.directory import OUTPUTS
from rnn_tasks.runs.finding import results


def check(root: Path, file: Path) -> None:
    """Refuse a report that cannot be written.

    Raises:
        UserError: there is no run, or the file is neither a page nor a text.
    """
    if file.suffix not in (".html", ".md"):
        raise UserError(f"--to {file}: must end in .html or .md")
    if not root.is_dir():
        raise UserError(f"{root}: no such directory; give one with runs, like {OUTPUTS}")
    if not any(result and result.get("experiment") for _, result in results(root)):
        raise UserError(f"{root}: holds no finished run of an experiment; make reproduce-quick makes some")


def arguments() -> Namespace:
    """Build the parser of the command line."""
    command_line = parser(__doc__)
    command_line.add_argument(
        "dir",
        metavar="DIR",
        nargs="?",
        type=Path,
        default=OUTPUTS,
        help=f"runs, or an archive of runs (default: {OUTPUTS})",
    )
    command_line.add_argument(
        "--to",
        metavar="FILE",
        type=Path,
        help="a page, index.html, or a text, results.md (default: DIR/report/index.html)",
    )
    command_line.add_argument("--suite", action="store_true", help="the table of all tasks and cells, a text")
    command_line.add_argument("--pack", metavar="FILE", type=Path, help="also write the runs into FILE.tar.xz")
    chosen = command_line.parse_args()
    if chosen.pack and not chosen.pack.name.endswith(".tar.xz"):
        raise UserError(f"--pack {chosen.pack}: must end in .tar.xz")
    if chosen.suite and chosen.to and chosen.to.suffix != ".md":
        raise UserError(f"--to {chosen.to}: must end in .md with --suite")
    return chosen


@command
def main() -> None:
    """Print how many claims got each verdict."""
    chosen = arguments()
    page = "suite.md" if chosen.suite else "index.html"
    if not chosen.dir.name.endswith(".tar.xz"):
        return _report(chosen, chosen.dir, chosen.to or chosen.dir / "report" / page)
    from rnn_tasks.report.archive import unpack  # this imports torch, which takes seconds

    with TemporaryDirectory() as place:
        unpack(chosen.dir, Path(place))
        return _report(chosen, Path(place), chosen.to or OUTPUTS / "report" / page)


def _report(chosen: Namespace, root: Path, file: Path) -> None:
    check(root, file)
    if chosen.suite:
        from rnn_tasks.report.suite.page import write as write_suite

        write_suite(root, file, chosen.pack)
        return print(file)
    from rnn_tasks.report.page import write

    counts = write(root, file, chosen.pack)
    print(f"{', '.join(f'{verdict}: {count}' for verdict, count in counts.items())}\n{file}")


if __name__ == "__main__":
    main()
