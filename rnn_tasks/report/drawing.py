"""A figure of the report, and how it is written."""

import re
from collections.abc import Callable, Iterable
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from rnn_tasks.report.evidence import Evidence
from rnn_tasks.runs import plots


class Drawing(NamedTuple):
    """A figure with its texts.

    Attributes:
        name: of its file, without the suffix.
        part: of the report, see claims.yaml.
        caption: what there is to see.
        alt: a description with the main numbers, for readers who cannot see it.
        figure: the figure.
        run: the directory of the run that it shows, if it shows a single one.
    """

    name: str
    part: str
    caption: str
    alt: str
    figure: Figure
    run: Path | None = None

    @property
    def wide(self) -> bool:
        """Whether it takes the full width of a page."""
        return self.figure.get_figwidth() > 1.5 * plots.PANEL[0]

    @plots.styled
    def svg(self) -> str:
        """Return the figure as an SVG element, whose ids start with the drawing's name."""
        file = StringIO()
        self.figure.savefig(file, format="svg", metadata={"Date": None})
        text = file.getvalue()
        element = re.sub(r'((?: id="|url\(#|href="#))', rf"\1{self.name}-", text[text.index("<svg") :])
        return element.replace("<svg ", f'<svg role="img" aria-label="{_escaped(self.alt)}" ', 1)

    @plots.styled
    def png(self, path: Path) -> None:
        """Write the figure as PNG."""
        self.figure.savefig(path, format="png")


Draw = Callable[[Evidence], Iterable[Drawing]]  # raises UserError if a run is missing


def file_name(selector: str) -> str:
    """Return a selector of a run as a part of a file's name."""
    return selector.replace("model.", "").replace(" ", "_").replace("=", "")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
