"""Tables: rows of text laid out in columns, as text and as HTML for notebooks.

The first row is the header. A cell may be any text, such as a name in a file from elsewhere. So
what does not print is shown by its escape sequence: it can't break a line or steer a terminal. In
HTML all is escaped, too, and nothing is markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

Rows = Sequence[Sequence[str]]


def align(rows: Rows) -> str:
    """Lay out rows in columns: the first to the left, the others to the right."""
    printed = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*printed, strict=True)]
    lines = []
    for first, *others in printed:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def html_table(rows: Rows) -> str:
    """Rows as a table of HTML, laid out alike."""
    header, *body = rows
    lines = [f"<thead>{_html_row(header, 'th')}</thead>"]
    lines += ["<tbody>", *(_html_row(row, "td") for row in body), "</tbody>"]
    return "\n".join(["<table>", *lines, "</table>"])


def html_lines(lines: Iterable[str]) -> str:
    """Lines of text as a paragraph of HTML; nothing for none."""
    text = "<br>".join(map(_html, lines))
    return f"<p>{text}</p>" if text else ""


def _html_row(row: Sequence[str], tag: str) -> str:
    sides = ["left", *["right"] * (len(row) - 1)]
    cells = [
        f'<{tag} style="text-align: {side}">{_html(cell)}</{tag}>'
        for cell, side in zip(row, sides, strict=True)
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _html(text: str) -> str:
    return escape(printable(text))


def printable(text: str) -> str:
    """Escape what does not print, such as line breaks and halves of surrogate pairs."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
