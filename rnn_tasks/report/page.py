"""The report: one page, its text and its data."""

import json
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from omegaconf import OmegaConf
from tabulate import tabulate

from rnn_tasks.errors import UserError, one_line
from rnn_tasks.files import write_atomically
from rnn_tasks.report import (
    network_figures,
    network_rules,  # noqa: F401, adds its rules
    robustness,
    verdicts,
)
from rnn_tasks.report.evidence import FULL, OLDER, OTHER, Evidence, FinishedRun, Missing
from rnn_tasks.report.figures import drawings
from rnn_tasks.report.rules import RULES
from rnn_tasks.report.verdicts import Judgement, percent
from rnn_tasks.training.intervals import Summary, summarize, wilson

TITLE = "What small recurrent networks learn: a report, measured again"
NOT_ARGUMENTS = ("id", "claim", "rule")
SPLITS = {"test": "", "val": " in validation", "train": " in training"}
MARKS = {verdicts.HOLDS: "✓", verdicts.FAILS: "✗", verdicts.OPEN: "?", verdicts.MISSING: "–"}


@dataclass(frozen=True)
class Row:
    """A claim and what became of it.

    Attributes:
        id, claim, run, rule: as in claims.yaml.
        claimed: the report's figures by split, in per cent.
        judgement: the verdict.
    """

    id: str
    claim: str
    run: str
    rule: str
    claimed: dict[str, float]
    judgement: Judgement

    @property
    def claimed_text(self) -> str:
        return ", ".join(f"{figure:g} %{SPLITS[split]}" for split, figure in self.claimed.items())


def claims() -> list[dict[str, Any]]:
    """The parts of claims.yaml."""
    return OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("claims.yaml")))


def judge(evidence: Evidence) -> list[dict[str, Any]]:
    """The parts of claims.yaml, with a Row for each claim."""
    return [{**part, "claims": [_row(evidence, claim) for claim in part["claims"]]} for part in claims()]


def _row(evidence: Evidence, claim: dict[str, Any]) -> Row:
    arguments = {key: value for key, value in claim.items() if key not in NOT_ARGUMENTS}
    try:
        judgement = RULES[claim["rule"]](evidence, **arguments)
    except UserError as reason:
        judgement = Judgement(verdicts.MISSING, one_line(reason))
    return Row(claim["id"], claim["claim"], claim["run"], claim["rule"], claim.get("claimed", {}), judgement)


def experiments(evidence: Evidence) -> list[dict[str, str]]:
    """A row for each run of which the report gives an accuracy: its figures, those measured, and how many got there."""
    claimed: dict[str, dict[str, float]] = {}
    for claim in (claim for part in claims() for claim in part["claims"] if claim["rule"] == "accuracy"):
        claimed.setdefault(claim["run"], {}).update(claim["claimed"])
    rows = []
    for words, figures in claimed.items():
        with suppress(Missing):
            rows.append(_experiment(words, figures, evidence.run(words)))
    return rows


def _experiment(words: str, figures: dict[str, float], found: FinishedRun) -> dict[str, str]:
    test, val = (summarize(found.metric(split)) for split in ("test", "val"))
    reached = sum((one or 0) >= figures["test"] / 100 for one in found.metric("test"))
    return {
        "experiment": f"`{words}`",
        "claimed: test (validation)": f"{figures['test']:g}" + (f" ({figures['val']:g})" if "val" in figures else ""),
        "test: mean [95 %]": _interval(test),
        "best": _hundredths(test.most),
        "reached it": f"{reached} of {test.count}",
        "validation: mean [95 %]": _interval(val),
        "chance": f"{found.result['metrics']['test']['chance'] * 100:.0f}",
    }


def _interval(told: Summary) -> str:
    low, high = told.within
    return f"{_hundredths(told.mean)} [{_hundredths(low)}, {_hundredths(high)}]"


def _hundredths(share: float) -> str:
    said = percent(share).removesuffix(" %")
    return said if "." in said or share == 1 else f"{said}.00"


def write(root: Path, file: Path) -> dict[str, int]:
    """Write the report on the runs below a directory.

    Args:
        root: the directory.
        file: an .html file, beside which results.md, its PNG plots and claims.json are left; or an .md file, with its
            plots alone.

    Returns:
        how many claims got each verdict.
    """
    evidence = Evidence(root)
    parts, (drawn, missing) = judge(evidence), drawings(evidence)
    examples, further = network_figures.examples(evidence)
    tables, without = robustness.tables(evidence)
    counts = Counter(row.judgement.verdict for part in parts for row in part["claims"])
    for part in parts:
        part["drawings"] = [drawing for drawing in drawn if drawing.part == part["part"]]
        part["examples"] = examples.get(part["part"])
        part["tables"] = tables if part["part"] == robustness.PART else []
    values = {
        "title": TITLE,
        "quick": _quick(evidence),
        "older": _older(evidence),
        "counts": {verdict: counts[verdict] for verdict in MARKS},
        "parts": parts,
        "missing": list(dict.fromkeys(missing + further + without))
        + [f"{path} is damaged" for path in evidence.damaged],
        "rules": {
            name: RULES[name].__doc__.strip().replace("``", "")
            for name in {row.rule: 0 for part in parts for row in part["claims"]}
        },
        "experiments": experiments(evidence),
        "runs": _runs(evidence),
        "batch": _batch(evidence),
        "images": file.stem if file.suffix == ".md" else "results",
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    markdown = file if file.suffix == ".md" else file.with_name("results.md")
    (file.parent / values["images"]).mkdir(exist_ok=True)
    for drawing in drawn:
        image = file.parent / values["images"] / f"{drawing.name}.png"
        drawing.png(image)
        if drawing.run:
            with suppress(OSError):  # the runs may lie where one cannot write
                shutil.copyfile(image, drawing.run / image.name)
    write_atomically(markdown, _render("results.md.j2", values))
    if file.suffix == ".html":
        rows = [
            verdicts.as_json(row.judgement) | _without(row, "judgement") for part in parts for row in part["claims"]
        ]
        claims_json = json.dumps(
            {"schema": 1, "quick": bool(values["quick"]), "claims": rows}, indent=1, allow_nan=False
        )
        write_atomically(file.with_name("claims.json"), claims_json)
        write_atomically(file, _render("page.html.j2", values))
    return values["counts"]


def _claims_table(rows: list[Row]) -> str:
    cells = [
        {
            "claim": row.claim,
            "run": f"`{row.run}`",
            "reported": row.claimed_text,
            "measured [95 %]": row.judgement.measured,
            "n": row.judgement.n or "",
            "verdict": f"**{row.judgement.verdict}**",
            "why": row.judgement.why,
        }
        for row in rows
    ]
    return tabulate(cells, "keys", "github", disable_numparse=True)


def _without(row: Row, key: str) -> dict[str, Any]:
    return {name: value for name, value in row.__dict__.items() if name != key}


def _render(template: str, values: dict[str, Any]) -> str:
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
        "html_table": lambda rows: jinja2.utils.markupsafe.Markup(
            tabulate([{k: v.strip("`") for k, v in row.items()} for row in rows], "keys", "html", disable_numparse=True)
        ),
        "claims_table": _claims_table,
        "markdown_table": lambda rows: tabulate(rows, "keys", "github", disable_numparse=True),
    }
    return environment.get_template(template).render(values)


def _quick(evidence: Evidence) -> str:
    """What is to be said where runs do not follow their experiments in full."""
    used = evidence.used.values()
    if used and not (other := sum(run.tier == OTHER for run in used)):
        return ""
    of = (
        f"{other} of {len(used)} runs have other values than their experiments, like fewer epochs"
        if used
        else "No runs"
    )
    return f"{of}: what is said of the claims is preliminary. make reproduce runs the experiments in full."


def _older(evidence: Evidence) -> str:
    """What is to be said where runs were made by other code."""
    older = sum(run.tier == OLDER for run in evidence.used.values())
    return f"{older} of {len(evidence.used)} runs were made by another version of the code." if older else ""


def _runs(evidence: Evidence) -> list[dict[str, str]]:
    """A row for each run that was drawn from."""
    extent = {FULL: "in full", OLDER: "in full, other code", OTHER: "other values"}
    return [
        {
            "experiment": f"`{run.result['experiment']}`",
            "directory": f"`{run.path.relative_to(evidence.root)}`",
            "networks": str(run.replicates),
            "epochs": str(run.epochs),
            "minutes": f"{run.result['seconds'] / 60:.1f}",
            "run": extent[run.tier],
        }
        for run in sorted(evidence.used.values(), key=lambda run: str(run.path))
    ]


def _batch(evidence: Evidence) -> dict[str, str]:
    """What a batch of 16 tells."""
    said = {"fifteen_low": wilson(15, 16)[0], "fifteen_high": wilson(15, 16)[1], "sixteen_low": wilson(16, 16)[0]}
    accuracy = ""
    with suppress(Missing):
        share = verdicts.mean_of(evidence.run("mnist_rnn_adam").metric("test"))
        accuracy, none, one = percent(share), share**16, 16 * share**15 * (1 - share)
        said |= {"all_right": none, "one_wrong": one, "more_wrong": 1 - none - one}
    return {key: f"{share:.0%}" for key, share in said.items()} | {"accuracy": accuracy}
