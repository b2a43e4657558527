"""Ask a trained network: ``python -m rnn_tasks.predict adder 1011+110``."""

import json
import sys
from pathlib import Path

from rnn_tasks.errors import UserError, command, parser
from rnn_tasks.evaluate import replicate


def fitting_run(inputs: list[str]) -> Path:
    """The newest finished run whose task understands the inputs.

    Raises:
        UserError: there is none.
    """
    from rnn_tasks import runs

    for path in runs.finished():
        try:
            task = runs.build_task(runs.read_config(path))
            for text in inputs:
                task.parse(text)
            return path
        except (ValueError, UserError):
            continue
    raise UserError(f"{inputs[0]!r}: is neither a run nor an input that a finished run in {runs.OUTPUTS} understands")


@command
def main() -> None:
    """Print an answer a line."""
    command_line = parser(__doc__)
    command_line.add_argument("words", metavar="[RUN] INPUT", nargs="+", help='"[1, 3, 6]", 1011+110 or digit.png')
    command_line.add_argument("--weights", choices=("best", "last"), default="best", help="best by validation (usual)")
    command_line.add_argument(
        "--replicate", type=replicate, default="best", help="a number, or best by validation (usual)"
    )
    command_line.add_argument("--json", action="store_true", help="print a list of input, output, confidence")
    chosen = command_line.parse_args()
    from rnn_tasks import runs

    path, inputs = runs.find(chosen.words[0]), chosen.words[1:]
    if path is None:
        path, inputs = fitting_run(chosen.words), chosen.words
        print(f"asking {path}", file=sys.stderr)
    if not inputs:
        raise UserError('no input given; ask for example "[1, 3, 6]", 1011+110 or digit.png')
    if chosen.replicate == "all":
        raise UserError("--replicate all: one must answer; give its number, or best")
    run = runs.load(path, chosen.weights, chosen.replicate)
    runs.tell_replicate(run, chosen.replicate)
    try:
        answers = [run.ask(text) for text in inputs]
    except ValueError as error:
        raise UserError(str(error)) from None
    if chosen.json:
        rows = zip(inputs, answers, strict=True)
        print(
            json.dumps([{"input": text, "output": said, "confidence": sure} for text, (said, sure) in rows], indent=1)
        )
    else:
        print("\n".join(said for said, _ in answers))


if __name__ == "__main__":
    main()
