"""Ask a trained network: ``python -m rnn_tasks.predict adder 1011+110``.

A photo is answered as the numbers in it, a line of text for each line of digits. A photo of several digits leaves a
picture with a box around each, a directory of photos a grid of all digits, in outputs/answers.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from rnn_tasks.arguments import command, parser, replicate
from rnn_tasks.config import build_task
from rnn_tasks.errors import UserError, one_line

EXAMPLES = {"adder": "1011+110", "memory": "[1, 3, 6]", "mnist": "digit.png"}
MOST_PICTURES = 100  # of a grid


def fitting_run(inputs: list[str]) -> Path:
    """The network that comes with the project for photos, else the newest finished run whose task knows the inputs.

    Raises:
        UserError: there is none.
    """
    from rnn_tasks import runs

    if all(_is_picture(text) or os.path.isfile(text) for text in inputs):
        return runs.PRETRAINED / "handwriting"
    for path in runs.finished():
        try:
            task = build_task(runs.read_config(path))
            for text in inputs:
                task.parse(text)
            return path
        except (ValueError, UserError):
            continue
    raise UserError(
        f"{inputs[0]!r}: is no run, no photo like digit.png, and nothing that a finished run in {runs.OUTPUTS} knows"
    )


def _is_picture(word: str) -> bool:
    from PIL import Image

    from rnn_tasks.photos.digits import FORMATS

    return Image.registered_extensions().get(Path(word).suffix.lower()) in FORMATS


def _reads_photos(task: Any) -> bool:
    from rnn_tasks.tasks.mnist import Mnist

    return isinstance(task, Mnist)


def expanded(words: list[str]) -> list[str]:
    """The inputs, with the images that lie in it in the place of a directory.

    Raises:
        UserError: none lie there.
    """
    inputs = []
    for word in words:
        if _is_directory(word):
            found = sorted(str(path) for path in Path(word).iterdir() if _is_picture(path.name) and path.is_file())
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


def read_photos(run: Any, inputs: list[str], listed: bool, as_json: bool) -> int:
    """Print the numbers in photos and leave pictures of the answers; go on after one that cannot be read.

    Args:
        run: the network, of one replicate.
        inputs: the photos' paths.
        listed: begin each line with the photo's path, and draw a grid.
        as_json: print a list of input, output, confidence (of the least certain digit), and lines of digits.

    Returns:
        The exit status: 2 if there was one that cannot be read, else 0.
    """
    from rnn_tasks.photos import digits as handwriting
    from rnn_tasks.photos import reading

    rows, cases, drawn, status = [], [], [], 0
    for text in inputs:
        try:
            image = handwriting.load(text)
            lines = reading.read(run, image)
        except ValueError as error:
            where = f"{text!r}: " if str(error) == handwriting.NO_DIGIT else ""
            print(f"error: {where}{one_line(error)}", file=sys.stderr)
            status = 2
            continue
        said = [reading.numbers(line) for line in lines]
        answers = [answer for line in lines for answer in line]
        row = {"input": text, "output": "\n".join(said), "confidence": min(answer.confidence for answer in answers)}
        rows.append(row | {"lines": [[_as_json(answer) for answer in line] for line in lines]})
        if not as_json:
            print("\n".join(f"{text}: {line}" if listed else line for line in said), flush=True)
        cases += [
            {
                "inputs": a.digit.image,
                "output": f"{a.said} ({a.confidence:.0%})",
                "right": True,
                "name": Path(text).name,
            }
            for a in answers[: MOST_PICTURES - len(cases)]
        ]
        if len(answers) > 1:
            drawn.append(_answers_file(Path(text).stem, drawn))
            reading.boxed(image, lines).save(drawn[-1])
    if as_json:
        print(json.dumps(rows, indent=1))
    elif listed and cases:
        from rnn_tasks.runs import plots

        drawn.append(_answers_file("answers", drawn))
        plots.pictures(cases).savefig(drawn[-1])
    for path in drawn:
        print(path, file=sys.stderr)
    return status


def _as_json(answer: Any) -> dict[str, Any]:
    return {"box": answer.digit.box, "digit": answer.said, "confidence": answer.confidence}


def _answers_file(name: str, taken: list[Path]) -> Path:
    """Where a picture of answers goes: a name that none of this call has."""
    from rnn_tasks import runs

    place = runs.OUTPUTS / "answers"
    place.mkdir(parents=True, exist_ok=True)
    paths = (place / f"{name}{number}.png" for number in ("", *(f"-{n}" for n in range(2, len(taken) + 3))))
    return next(path for path in paths if path not in taken)


@command
def main() -> int | None:
    """Print an answer a line."""
    command_line = parser(__doc__)
    examples = (
        "like "
        + ", ".join(EXAMPLES.values())
        + ", a photo of several digits, or a directory of photos; without one they are asked for"
    )
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
        ours = path.parent == runs.PRETRAINED
        named = f"{path.name}, which comes with the package (name a run to ask that)" if ours else path
        print(f"asking {named}", file=sys.stderr)
    if chosen.replicate == "all":
        raise UserError("--replicate all: one must answer; give its number, or best")
    run = runs.load(path, chosen.weights, chosen.replicate)
    runs.tell_replicate(run, chosen.replicate)
    if inputs and _reads_photos(run.task):
        return read_photos(run, inputs, any(map(_is_directory, words)), chosen.json)
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
    else:
        print("\n".join(said for said, _ in answers))


if __name__ == "__main__":
    main()
