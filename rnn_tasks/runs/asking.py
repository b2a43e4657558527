"""Asking a run problems as people write them."""

import json
import os
import sys
from pathlib import Path

from rnn_tasks.config.instantiation import build_task
from rnn_tasks.errors import UserError, one_line, tell
from rnn_tasks.photos.files import is_image_name
from rnn_tasks.runs.directory import OUTPUTS, read_config
from rnn_tasks.runs.finding import PRETRAINED, finished
from rnn_tasks.runs.run import Run


def newest_run_for(inputs: list[str]) -> Path:
    """Return the run that answers where none is named.

    For photos it is the network that comes with the project, else the newest finished run whose task can parse all
    inputs.

    Raises:
        UserError: there is no such run.
    """
    if all(is_image_name(text) or os.path.isfile(text) for text in inputs):
        return PRETRAINED / "handwriting"
    for path in finished():
        try:
            task = build_task(read_config(path))
            for text in inputs:
                task.parse(text)
        except (ValueError, UserError):
            continue
        return path
    raise UserError(
        f"{inputs[0]!r}: is no run, no photo like digit.png, and no problem that a finished run in {OUTPUTS} reads"
    )


def answer(run: Run, problems: list[str], as_json: bool) -> None:
    """Print the answer to each problem.

    Raises:
        ValueError: a text is not a problem of the run's task.
    """
    answers = [run.ask(problem) for problem in problems]
    if as_json:
        rows = zip(problems, answers, strict=True)
        values = [{"input": problem, "output": text, "confidence": sure} for problem, (text, sure) in rows]
        print(json.dumps(values, indent=1))
    else:
        print("\n".join(text for text, _ in answers))


def converse(run: Run) -> None:
    """Print the answer to each line of stdin: at a terminal up to an empty one, else of all that are not empty.

    Raises:
        ValueError: a line is not a problem of the run's task, and stdin is not a terminal, where one can try again.
    """
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if terminal:
        tell(f"problems of {run.task.name}, like {run.task.example or 'those that show prints'}; an empty line ends")
    while True:
        if terminal:
            print("> ", end="", file=sys.stderr, flush=True)
        if not (line := sys.stdin.readline()) or (terminal and not line.strip()):
            return
        if not (problem := line.strip().removeprefix("\N{BYTE ORDER MARK}").strip()):
            continue
        try:
            print(run.ask(problem)[0], flush=True)
        except ValueError as error:
            if not terminal:
                raise
            tell(f"error: {one_line(error)}")
