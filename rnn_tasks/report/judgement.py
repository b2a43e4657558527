"""What a rule says about a claim."""

from dataclasses import dataclass

from rnn_tasks.report.formatting import percent

HOLDS, FAILS, OPEN, MISSING = "holds", "does not hold", "cannot be told", "not measured"


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim, and what it rests on.

    Attributes:
        verdict: HOLDS, FAILS, OPEN or MISSING.
        why: the reason, as a clause.
        value, low, high: what was measured and its 95 % interval, in units of ``unit``.
        unit: "%" (the value is a share of 1), "% of ..." or a word.
        n: number of replicates, pairs or settings that were compared.
        statistic: name of the test or interval.
    """

    verdict: str
    why: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = "%"
    n: int = 0
    statistic: str = ""

    @property
    def measured(self) -> str:
        """The value with its interval, as people read it."""
        if self.value is None:
            return ""
        value = f"{self._text(self.value)} {self.unit}"
        if self.low is None or self.high is None:
            return value
        return f"{value} [{self._text(self.low)}, {self._text(self.high)}]"

    def _text(self, number: float) -> str:
        return percent(number).removesuffix(" %") if self.unit.startswith("%") else f"{number:.2f}"
