"""The page: its parts, its files, and what is printed."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rnn_tasks.errors import UserError, tell
from rnn_tasks.files import write_atomically
from rnn_tasks.report.looking.machines import automata_section
from rnn_tasks.report.looking.motion import points_section
from rnn_tasks.report.looking.signals import example_section, replicates_section
from rnn_tasks.report.looking.subject import Drawing, Section, Subject
from rnn_tasks.report.page import render
from rnn_tasks.runs import plots
from rnn_tasks.runs.run import Run

PAGE = "index.html"
SECTIONS: dict[str, Callable[[Subject], Section]] = {
    "replicates": replicates_section,
    "fixed points": points_section,
    "automata": automata_section,
    "an example": example_section,
}


class Embedded(NamedTuple):
    """A figure in the page.

    Attributes:
        name: of its file.
        caption: what there is to see.
        data: the content of the PNG file, in base64.
    """

    name: str
    caption: str
    data: str


def write(run: Run, best: int, directory: Path) -> list[Section]:
    """Look at the networks of a run, and write a page and its figures into a directory.

    Args:
        run: of one replicate or all.
        best: number of the replicate that is shown in detail.
        directory: is made where it is missing; files of an earlier look are replaced.

    Returns:
        The parts of the page.

    Raises:
        UserError: nothing is known of the networks' states.
        OSError: the directory cannot be written.
    """
    subject, sections, missing = Subject.of(run, best), list[Section](), list[str]()
    for name, make in SECTIONS.items():
        tell(f"look: {name}")
        try:
            sections.append(make(subject))
        except UserError as error:
            missing.append(f"{name}: {error}")
    tell("look: figures")
    directory.mkdir(parents=True, exist_ok=True)
    values = {
        "title": f"Inside {run.task.name}, {run.path.resolve().name}",
        "about": _about(subject),
        "parts": [(section, [_embedded(drawing, directory) for drawing in section.drawings]) for section in sections],
        "missing": missing,
    }
    write_atomically(directory / PAGE, render("look.html.j2", values))
    for reason in missing:
        tell(f"left out: {reason}")
    return sections


def _about(subject: Subject) -> str:
    run = subject.run
    several = f", {len(subject.numbers)} of {run.of} replicates" if run.of > 1 else ""
    failed = len(run.failed) - len(subject.numbers) if run.replicate is None else 0
    lost = f"; {failed} have failed and are left out" if failed else ""
    detail = f"; in detail: {subject.name}" if len(subject.numbers) > 1 else ""
    used = f"{len(subject.batch.lengths)} test sequences"
    return f"{run.model.description}{several}; {run.weights} weights, {used}{lost}{detail}."


def _embedded(drawing: Drawing, directory: Path) -> Embedded:
    """Write a figure, and return it for the page."""
    file = directory / f"{drawing.name}.png"
    plots.save(drawing.figure, file)
    return Embedded(drawing.name, drawing.caption, base64.b64encode(file.read_bytes()).decode())
