"""Tables and code as Markdown and as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from tabulate import tabulate


@dataclass(frozen=True)
class Table:
    """A table of texts; cells between backquotes are code.

    Attributes:
        headings: of the columns.
        rows: as many cells each.
        caption: a paragraph above it.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def markdown(self) -> str:
        """Return the table for GitHub."""
        return tabulate(self.rows, self.headings, "github", disable_numparse=True)

    def text(self) -> str:
        """Return the table for a terminal."""
        return tabulate(self.rows, self.headings, "simple", disable_numparse=True)

    def html(self) -> Markup:
        """Return the table as an HTML element."""
        head = Markup("").join(Markup('<th scope="col">{}</th>').format(heading) for heading in self.headings)
        rows = Markup("\n").join(
            Markup("<tr>{}</tr>").format(Markup("").join(map(_html_cell, row))) for row in self.rows
        )
        return Markup("<table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}\n</tbody>\n</table>").format(head, rows)


def _html_cell(cell: str) -> Markup:
    return Markup("<td>{}</td>").format(code_spans(cell))


def code_spans(text: str) -> Markup:
    """Return text as HTML, with what stands between backquotes set as code."""
    pieces = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if i % 2 else Markup.escape(piece) for i, piece in enumerate(pieces)
    )
