"""Write the report on finished runs: ``python -m rnn_tasks.report outputs --to outputs/report/index.html``."""

from pathlib import Path

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


@command
def main() -> None:
    """Print how many claims got each verdict."""
    command_line = parser(__doc__)
    command_line.add_argument("dir", metavar="DIR", nargs="?", type=Path, default=OUTPUTS, help=f"runs ({OUTPUTS})")
    command_line.add_argument(
        "--to", metavar="FILE", type=Path, help="index.html or results.md (DIR/report/index.html)"
    )
    chosen = command_line.parse_args()
    file = chosen.to or chosen.dir / "report" / "index.html"
    check(chosen.dir, file)
    from rnn_tasks.report.page import write  # this imports torch, which takes seconds

    counts = write(chosen.dir, file)
    print(f"{', '.join(f'{verdict}: {count}' for verdict, count in counts.items())}\n{file}")


if __name__ == "__main__":
    main()
