"""Asking a run problems as people write them."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from rnn_tasks.config.instantiation import build_task
from rnn_tasks.errors import UserError, one_line, tell
from rnn_tasks.files import is_table_name
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
    if all(is_image_name(text) or (os.path.isfile(text) and not is_table_name(text)) for text in inputs):
        return PRETRAINED / "handwriting"
    for path in finished():
        try:
            task = build_task(read_config(path))
            for text in inputs:
                problems(task, text)
        except (ValueError, UserError):
            continue
        return path
    raise UserError(
        f"{inputs[0]!r}: is no run, no photo like digit.png, and no problem that a finished run in {OUTPUTS} reads"
    )


def answer(run: Run, texts: list[str], as_json: bool) -> None:
    """Print the answer to each problem, or to each sequence of a file.

    Raises:
        ValueError: a text is not a problem of the run's task.
        UserError: a file cannot be read.
    """
    import torch

    rows = []
    for text in texts:
        for name, inputs in problems(run.task, text):
            ((output, confidence),) = run.answer(inputs[None], torch.tensor([len(inputs)]))
            rows.append({"input": text if name is None else name, "output": output, "confidence": confidence})
            if not as_json:
                print(output if name is None else f"{name}: {output}")
    if as_json:
        print(json.dumps(rows, indent=1))


def problems(task: Any, text: str) -> list[tuple[str | None, Any]]:
    """Return the problems that a text stands for: its name, or None for the text itself, and its inputs [T, D].

    Args:
        task: a rnn_tasks.tasks.Task.
        text: a problem, or for a task that reads files the name of one.

    Raises:
        ValueError: it is none of the task.
        UserError: the file cannot be read.
    """
    if is_table_name(text) and os.path.exists(text) and hasattr(task, "read"):
        return task.read(text)
    return [(None, task.parse(text))]


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
