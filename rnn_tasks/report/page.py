"""The report: one page, its text and its data."""

import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from rnn_tasks.errors import UserError, tell
from rnn_tasks.files import write_atomically
from rnn_tasks.report import contents, judgement
from rnn_tasks.report.archive import pack
from rnn_tasks.report.claims import JudgedClaim, judge, parts
from rnn_tasks.report.drawing import Drawing
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.finished import OLDER, OTHER, FinishedRun, Missing
from rnn_tasks.report.formatting import mean_of, percent
from rnn_tasks.report.markup import Table, code_spans
from rnn_tasks.report.tables import ExperimentRow, claims_table, experiments_table, runs_table
from rnn_tasks.training.intervals import wilson

TITLE = "What small recurrent networks learn: a report, measured again"
MARKS = {judgement.HOLDS: "✓", judgement.FAILS: "✗", judgement.OPEN: "?", judgement.MISSING: "–"}


@dataclass
class Section:
    """A part of the report with all that stands in it.

    Attributes:
        name, title: as in claims.yaml.
        claims: with their verdicts.
        tables, drawings: beside the claims.
        examples: caption and texts, if there are any.
    """

    name: str
    title: str
    claims: list[JudgedClaim] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    examples: tuple[str, list[str]] | None = None

    @property
    def claims_table(self) -> Table:
        return claims_table(self.claims)


def write(root: Path, file: Path, archive: Path | None = None) -> dict[str, int]:
    """Write the report on the runs below a directory, and say on stderr what is being done.

    Args:
        root: the directory.
        file: an .html file, beside which results.md, its PNG plots and claims.json are left; or an .md file, with its
            plots alone.
        archive: a file for the runs that the report has used, see archive.pack.

    Returns:
        the number of claims with each verdict.
    """
    _progress("reading the runs")
    evidence = Evidence(root)
    sections, missing = _sections(evidence)
    counts = Counter(judged.judgement.verdict for section in sections for judged in section.claims)
    images = file.stem if file.suffix == ".md" else "results"
    values = {
        "title": TITLE,
        "quick": quick_note(evidence.used.values()),
        "older": older_note(evidence.used.values()),
        "counts": {verdict: counts[verdict] for verdict in MARKS},
        "parts": sections,
        "missing": missing + [f"{path} is damaged" for path in evidence.damaged],
        "rules": _rules(sections),
        "experiments": experiments(evidence),
        "runs": runs_table(evidence.used.values(), evidence.root),
        "batch": _batch(evidence),
        "images": images,
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    _write_images([drawing for section in sections for drawing in section.drawings], file.parent / images)
    _progress("writing the page")
    markdown = file if file.suffix == ".md" else file.with_name("results.md")
    write_atomically(markdown, render("results.md.j2", values))
    if file.suffix == ".html":
        rows = [judged.as_json() for section in sections for judged in section.claims]
        data = {"schema": 1, "quick": bool(values["quick"]), "claims": rows}
        write_atomically(file.with_name("claims.json"), json.dumps(data, indent=1, allow_nan=False))
        write_atomically(file, render("page.html.j2", values))
    if archive:
        _progress(f"writing {archive}")
        pack(evidence, archive)
    return {verdict: counts[verdict] for verdict in MARKS}


def _sections(evidence: Evidence) -> tuple[list[Section], list[str]]:
    """Return the parts of the report, and why something is left out, each reason once."""
    sections = {part.name: Section(part.name, part.title) for part in parts()}
    missing: list[str] = []
    for number, part in enumerate(parts(), 1):
        _progress(f"claims, part {number} of {len(parts())}")
        sections[part.name].claims = [judge(claim, evidence) for claim in part.claims]
    for number, draw in enumerate(contents.FIGURES, 1):
        _progress(f"figures, {number} of {len(contents.FIGURES)}")
        with _noting(missing):
            for drawing in draw(evidence):
                sections[drawing.part].drawings.append(drawing)
    _progress("examples and tables")
    for examples in contents.EXAMPLES:
        with _noting(missing):
            run = evidence.run(examples.selector).load()
            sections[examples.part].examples = examples.caption, examples.write(run)
    for name, tables in contents.TABLES.items():
        sections[name].tables, reasons = tables(evidence)
        missing += reasons
    return list(sections.values()), list(dict.fromkeys(missing))


def experiments(evidence: Evidence) -> Table:
    """Return a row for each run of which the student's report gives an accuracy, if the run is there."""
    claimed: dict[str, dict[str, float]] = {}
    for claim in (claim for part in parts() for claim in part.claims if claim.rule == "accuracy"):
        claimed.setdefault(claim.run, {}).update(claim.claimed)
    rows = []
    for selector, figures in claimed.items():
        with suppress(Missing):
            rows.append(ExperimentRow.of(selector, figures, evidence.run(selector)))
    return experiments_table(rows)


def render(template: str, values: dict[str, Any]) -> str:
    """Return a template of this folder, filled with values."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=template.endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "mark": MARKS.get,
        "slug": lambda verdict: verdict.replace(" ", "-"),
        "code_spans": code_spans,
    }
    return environment.get_template(template).render(values)


def _write_images(drawings: list[Drawing], directory: Path) -> None:
    """Write each drawing as PNG into a directory, and beside the run that it shows."""
    directory.mkdir(exist_ok=True)
    for number, drawing in enumerate(drawings, 1):
        _progress(f"images, {number} of {len(drawings)}")
        image = directory / f"{drawing.name}.png"
        drawing.png(image)
        if drawing.run:
            with suppress(OSError):  # the run's directory may be read-only
                shutil.copyfile(image, drawing.run / image.name)


def _rules(sections: list[Section]) -> dict[str, str]:
    """Return what the rules of the claims demand, by their names, in the order of the claims."""
    names = dict.fromkeys(judged.claim.rule for section in sections for judged in section.claims)
    return {name: (contents.RULES[name].__doc__ or "").strip() for name in names}


def quick_note(used: Collection[FinishedRun], command: str = "reproduce") -> str:
    """Return a warning if runs do not follow their experiments in full."""
    other = sum(run.tier == OTHER for run in used)
    if used and not other:
        return ""
    runs = f"{other} of {len(used)} runs have other values than their experiments, such as fewer epochs"
    return (
        f"{runs if used else 'No runs'}: the verdicts are preliminary. `make {command}` runs the experiments in full."
    )


def older_note(used: Collection[FinishedRun]) -> str:
    """Return a note if runs were made with another version of the numerics."""
    older = sum(run.tier == OLDER for run in used)
    return f"{older} of {len(used)} runs were made with another version of the numerics." if older else ""


def _batch(evidence: Evidence) -> dict[str, str]:
    """Return what a batch of 16 tells about an accuracy."""
    shares = {"fifteen_low": wilson(15, 16)[0], "fifteen_high": wilson(15, 16)[1], "sixteen_low": wilson(16, 16)[0]}
    accuracy = ""
    with suppress(Missing):
        share = mean_of(evidence.run("mnist_rnn_adam").metric("test"))
        accuracy, none, one = percent(share), share**16, 16 * share**15 * (1 - share)
        shares |= {"all_right": none, "one_wrong": one, "more_wrong": 1 - none - one}
    return {key: f"{share:.0%}" for key, share in shares.items()} | {"accuracy": accuracy}


@contextmanager
def _noting(reasons: list[str]) -> Iterator[None]:
    """Add the reason to a list if runs or data are missing or damaged."""
    try:
        yield
    except UserError as reason:
        reasons.append(str(reason))


def _progress(step: str) -> None:
    tell(f"report: {step}")
