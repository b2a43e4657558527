"""Published figures, each with its source and the verdict on it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from rnn_tasks.errors import one_line
from rnn_tasks.report.finished import Missing
from rnn_tasks.report.judgement import MISSING, Judgement
from rnn_tasks.report.suite.entries import Entry, chosen
from rnn_tasks.report.suite.rules import RULES

OTHER_SIZE = "no network of this size is trained here"


@dataclass(frozen=True)
class Figure:
    """A published figure.

    Attributes:
        claim: a sentence with the figure.
        source: where it was read.
        run: a selector of rows of the table; empty where networks of its size are not trained.
        rule: name of a function of RULES.
        arguments: of the rule, beside the rows.
    """

    claim: str
    source: str
    run: str
    rule: str
    arguments: Mapping[str, Any]

    def judged(self, entries: Iterable[Entry]) -> Judgement:
        """Return the verdict of the rule; "not measured" if there are no such rows."""
        if not self.run:
            return Judgement(MISSING, OTHER_SIZE)
        try:
            return RULES[self.rule](chosen(entries, self.run), **self.arguments)
        except Missing as reason:
            return Judgement(MISSING, one_line(reason))


@cache
def figures() -> Sequence[Figure]:
    """Return the figures of published.yaml."""
    content: Any = OmegaConf.to_container(OmegaConf.load(Path(__file__).with_name("published.yaml")))
    return tuple(_figure(source["source"], row) for source in content for row in source["figures"])


def _figure(source: str, row: dict[str, Any]) -> Figure:
    own = ("claim", "run", "rule")
    arguments = {key: value for key, value in row.items() if key not in own}
    return Figure(row["claim"], source, row.get("run", ""), row.get("rule", ""), arguments)
