"""The claims of claims.yaml, each with its verdict."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from rnn_tasks.errors import UserError, one_line
from rnn_tasks.report.contents import RULES
from rnn_tasks.report.evidence import Evidence
from rnn_tasks.report.judgement import MISSING, Judgement

SPLITS = {"test": "", "val": " in validation", "train": " in training"}


@dataclass(frozen=True)
class Claim:
    """A claim of the student's report.

    Attributes:
        id: its own name.
        claim: what is claimed, as a sentence.
        run: a selector of the run that it is about, see Evidence.run.
        rule: name of a function of RULES.
        arguments: of the rule, beside the evidence and the run.
    """

    id: str
    claim: str
    run: str
    rule: str
    arguments: Mapping[str, Any]

    @property
    def claimed(self) -> dict[str, float]:
        """The claimed accuracies in per cent, by split."""
        return self.arguments.get("claimed", {})

    @property
    def claimed_text(self) -> str:
        """The claimed accuracies, as people read them."""
        return ", ".join(f"{figure:g} %{SPLITS[split]}" for split, figure in self.claimed.items())


@dataclass(frozen=True)
class Part:
    """A part of the report.

    Attributes:
        name: short, of its figures and its anchor.
        title: its heading.
        claims: made in it.
    """

    name: str
    title: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class JudgedClaim:
    """A claim and the verdict on it."""

    claim: Claim
    judgement: Judgement

    def as_json(self) -> dict[str, Any]:
        """Return the row of claims.json."""
        claim, judgement = self.claim, self.judgement
        row = {"id": claim.id, "claim": claim.claim, "run": claim.run, "rule": claim.rule, "claimed": claim.claimed}
        return {**asdict(judgement), "measured": judgement.measured, **row}


@cache
def parts() -> tuple[Part, ...]:
    """Return the parts of claims.yaml."""
    content: Any = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("claims.yaml")))
    return tuple(Part(part["part"], part["title"], tuple(map(_claim, part["claims"]))) for part in content)


def _claim(row: dict[str, Any]) -> Claim:
    own = ("id", "claim", "run", "rule")
    arguments = {key: value for key, value in row.items() if key not in own}
    return Claim(**{key: row[key] for key in own}, arguments=arguments)


def judge(claim: Claim, evidence: Evidence) -> JudgedClaim:
    """Return the verdict of a claim's rule; "not measured" if its runs or data are missing."""
    try:
        judgement = RULES[claim.rule](evidence, claim.run, **claim.arguments)
    except UserError as reason:
        judgement = Judgement(MISSING, one_line(reason))
    return JudgedClaim(claim, judgement)
