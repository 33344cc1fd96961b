"""Tables for notebooks: HTML in which every cell is text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from themis_output.printing import cell, safe

__all__ = ["html_line", "html_table"]


def html_line(text: str) -> str:
    """A paragraph of one line, shown and not read."""
    return f"<p>{escape(safe(text))}</p>"


def html_table(header: Sequence[str], rows: Iterable[Sequence[object]], *, above: str = "") -> str:
    """A table, with a line above it. Whatever a cell holds is shown and not read: no tag, no handler, no link."""
    lines = [_row("th", header), *(_row("td", row) for row in rows)]
    told = f"<p>{escape(cell(above))}</p>" if above else ""
    return f"{told}<table><thead>{lines[0]}</thead><tbody>{''.join(lines[1:])}</tbody></table>"


def _row(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(cell(each))}</{tag}>' for each in cells)}</tr>"
