"""Ask a trained network: ``python -m rnn_tasks.predict adder 1011+110``."""

import json
import sys
from pathlib import Path
from typing import Any

from rnn_tasks.errors import UserError, command, parser
from rnn_tasks.evaluate import replicate

EXAMPLES = {"adder": "1011+110", "memory": "[1, 3, 6]", "mnist": "digit.png"}
MOST_PICTURES = 100  # of a grid


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


def expanded(words: list[str]) -> list[str]:
    """The inputs, with the images that lie in it in the place of a directory.

    Raises:
        UserError: none lie there.
    """
    inputs = []
    for word in words:
        if _is_directory(word):
            from PIL import Image

            kinds = Image.registered_extensions()
            found = sorted(str(path) for path in Path(word).iterdir() if path.suffix.lower() in kinds)
            if not found:
                raise UserError(f"{word}: holds neither a run nor images")
            inputs += found
        else:
            inputs.append(word)
    return inputs


def _is_directory(word: str) -> bool:
    try:
        return Path(word).is_dir()
    except OSError:  # too long for a name
        return False


def converse(run: Any) -> None:
    """Ask for problems, a line each, until there are no more; on a terminal what cannot be read is asked for again.

    Raises:
        ValueError: a line that does not come from a terminal cannot be read.
    """
    terminal = sys.stdin.isatty()
    task = f"{run.task.name}, like {EXAMPLES.get(run.task.name, 'those that show prints')}"
    print(f"problems of {task}; an empty line ends", file=sys.stderr)
    while True:
        print("> " * terminal, end="", file=sys.stderr, flush=True)
        if not (text := sys.stdin.readline().strip()):
            return
        try:
            print(run.ask(text)[0], flush=True)
        except ValueError as error:
            if not terminal:
                raise
            print(f"error: {error}", file=sys.stderr)


def draw(run: Any, inputs: list[str], answers: list[tuple[str, float]]) -> Path:
    """Leave a grid of the pictures and the answers in the run's directory."""
    from rnn_tasks import plots

    shown = list(zip(inputs, answers, strict=True))[:MOST_PICTURES]
    cases = [
        {"inputs": run.task.parse(text), "output": f"{said} ({sure:.0%})", "right": True, "name": Path(text).name}
        for text, (said, sure) in shown
    ]
    path = run.path / "answers.png"
    plots.pictures(cases).savefig(path)
    return path


@command
def main() -> None:
    """Print an answer a line."""
    command_line = parser(__doc__)
    examples = "like " + ", ".join(EXAMPLES.values()) + ", or a directory of images; without one they are asked for"
    command_line.add_argument("words", metavar="[RUN] INPUT", nargs="*", help=examples)
    command_line.add_argument("--weights", choices=("best", "last"), default="best", help="best by validation (usual)")
    command_line.add_argument(
        "--replicate", type=replicate, default="best", help="a number, or best by validation (usual)"
    )
    command_line.add_argument("--json", action="store_true", help="print a list of input, output, confidence")
    chosen = command_line.parse_args()
    from rnn_tasks import runs

    words = chosen.words or ["latest"]
    pictures = _is_directory(words[0]) and not (Path(words[0]) / "config.yaml").exists()
    path = None if pictures else runs.find(words[0])
    words = words if path is None else words[1:]
    inputs = expanded(words)
    if path is None:
        path = fitting_run(inputs)
        print(f"asking {path}", file=sys.stderr)
    if chosen.replicate == "all":
        raise UserError("--replicate all: one must answer; give its number, or best")
    run = runs.load(path, chosen.weights, chosen.replicate)
    runs.tell_replicate(run, chosen.replicate)
    try:
        if not inputs:
            return converse(run)
        answers = [run.ask(text) for text in inputs]
    except ValueError as error:
        raise UserError(str(error)) from None
    if chosen.json:
        rows = zip(inputs, answers, strict=True)
        print(
            json.dumps([{"input": text, "output": said, "confidence": sure} for text, (said, sure) in rows], indent=1)
        )
    elif any(map(_is_directory, words)):
        print("\n".join(f"{text}: {said}" for text, (said, _) in zip(inputs, answers, strict=True)))
        print(draw(run, inputs, answers), file=sys.stderr)
    else:
        print("\n".join(said for said, _ in answers))


if __name__ == "__main__":
    main()
