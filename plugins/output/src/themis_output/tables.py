"""Tables of text: aligned, and on a terminal never wider than it is.

Numbers, and what people copy, stay in one piece. Other cells are wrapped where words and the parts of an id end; where
even that does not help, the table is printed as it would be into a file. It knows no command.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest

from themis_output.printing import cell, echo, stdout
from themis_output.sharing import told_once

__all__ = ["Figure", "aligned", "fits", "lines", "table"]

GAP = "  "
LONGEST_PIECE = 24
"""Characters without a place to break from which on a cell is broken anywhere."""
MEASURED = 200
"""Rows that say how wide the columns of a stream are."""
_PIECE = re.compile(r"[^\s_/:@-]*[\s_/:@-]+|[^\s_/:@-]+")


class Figure(str):
    """A number that is written already, such as an interval: its column is one of numbers."""

    __slots__ = ()


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    whole: Collection[str] = (),
    shared: Collection[str] = (),
) -> None:
    """Print a table, its numbers to the right.

    The columns in `whole` are never wrapped, and numbers never are. Those in `shared` are said once, above the table,
    if it is too wide and they are equal in all rows.
    """
    if rows and not fits(columns, rows):
        above, columns, rows = told_once(columns, rows, names=shared)
        for line in above:
            echo(line)
    cells = [[cell(value) for value in row] for row in rows]
    right = [_is_number(values) for values in zip(*rows, strict=True)] if rows else [False] * len(columns)
    whole_too = [is_right or name in whole for name, is_right in zip(columns, right, strict=True)]
    on_terminal = stdout().isatty()
    widths = (_narrowed(columns, cells, whole_too) if on_terminal else None) or _widths(columns, cells)
    for line in _lines(columns, widths, right):
        echo(line, bold=True)
    if on_terminal:
        echo(GAP.join("─" * width for width in widths), dim=True)
    for row in cells:
        for line in _lines(row, widths, right):
            echo(line)


def aligned(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A table of any length, line by line and never wrapped; its widths are those of the first rows."""
    lines = ([cell(value) for value in row] for row in rows)
    first = list(islice(lines, MEASURED))
    widths = _widths(columns, first)
    for line in chain([columns], first, lines):
        yield from _lines(line, [max(width, _width(text)) for width, text in zip(widths, line, strict=True)])


def lines(columns: Sequence[str], rows: Sequence[Sequence[object]], *, left: Collection[str]) -> list[str]:
    """A table as lines that are never wrapped; the columns in `left` start at the left, the others end at the right."""
    cells = [[cell(value) for value in row] for row in rows]
    widths = _widths(columns, cells)
    right = [name not in left for name in columns]
    return [line for row in (columns, *cells) for line in _lines(row, widths, right)]


def fits(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> bool:
    """Whether nothing has to be wrapped: the terminal is wide enough, or it is no terminal."""
    widths = _widths(columns, [[cell(value) for value in row] for row in rows])
    return not stdout().isatty() or sum(widths) <= _room(len(columns))


def _is_number(values: Sequence[object]) -> bool:
    return all(isinstance(value, (int, float, Figure, type(None))) for value in values)


def _room(columns: int) -> int:
    return shutil.get_terminal_size().columns - len(GAP) * (columns - 1)


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(_width, texts)) for texts in zip(columns, *cells, strict=True)]


def _width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _narrowed(columns: Sequence[str], cells: Sequence[Sequence[str]], whole: Sequence[bool]) -> list[int] | None:
    """Widths that fit the terminal, taken from the widest columns first; None if there are none."""
    room = _room(len(columns))
    widths = [min(width, room) for width in _widths(columns, cells)]  # a cell may hold a whole answer
    least = [
        max(_longest_piece(name), *(_width(text) if is_whole else _longest_piece(text) for text in texts), 1)
        for name, is_whole, *texts in zip(columns, whole, *cells, strict=True)
    ]
    while sum(widths) > room:
        spare = [width if width > least[index] else 0 for index, width in enumerate(widths)]
        if not any(spare):
            return None
        widths[spare.index(max(spare))] -= 1
    return widths if all(width >= needed for width, needed in zip(widths, least, strict=True)) else None


def _longest_piece(text: str) -> int:
    return min(LONGEST_PIECE, max((_width(piece.rstrip()) for piece in _PIECE.findall(text)), default=0))


def _wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width`; nothing of it is lost but blanks at the ends of lines."""
    if _width(text) <= width:
        return [text]
    lines = [""]
    for piece in _PIECE.findall(text):
        if _width((lines[-1] + piece).rstrip()) <= width:
            lines[-1] += piece
            continue
        *full, last = _folded(piece, width)
        lines += [*full, last]
    return [line.rstrip() for line in lines if line.strip()]


def _folded(piece: str, width: int) -> list[str]:
    """A piece, broken anywhere if it is too long for a line."""
    lines = [""]
    for character in piece:
        if _width((lines[-1] + character).rstrip()) > width:
            lines.append("")
        lines[-1] += character
    return lines


def _lines(row: Sequence[str], widths: Sequence[int], right: Sequence[bool] = ()) -> Iterator[str]:
    wrapped = [_wrapped(text, width) for text, width in zip(row, widths, strict=True)]
    for line in zip_longest(*wrapped, fillvalue=""):
        yield GAP.join(
            " " * (width - _width(text)) + text if is_right else text + " " * (width - _width(text))
            for text, width, is_right in zip(line, widths, right or [False] * len(widths), strict=True)
        ).rstrip()
