"""Extraction of what a LaTeX box holds.

The text is read once from end to end, so 60 kB of open boxes take no longer than 60 kB of prose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import ClassVar, Final, Literal, NamedTuple

from pydantic import Field

from themis_core import Extraction, Extractor

__all__ = ["Boxed"]

_PIECE: Final = re.compile(
    r"""
    (?P<box>\\{1,4}(?:f?boxed|fbox)[ \t]{0,8}\{)
  | (?P<bare>\\{1,4}(?:f?boxed|fbox)(?![A-Za-z]))
  | \\.      # an escaped brace opens nothing
  | [{}]
    """,
    re.VERBOSE | re.DOTALL,
)
_VALUE: Final = re.compile(
    r"[ \t]{0,8}([-+−]?\d[\d.,/]{0,60}(?<![.,/])|[A-Za-z])"
    r"(?=[.,;:!?)]{0,3}(?:\s*(?:[$}\n]|\\[)\]]|\Z)|(?<=[.,;:!?)])\s))"  # nothing that could belong to it follows
)
_MENTION: Final = re.compile(r"[ \t]{0,8}(?:[A-Za-z]{2}|[`'\".,;:!?)\]}\n]|\Z)")
_PLACEHOLDER: Final = re.compile(r"(?:\s|\.\.\.|…|\\[lc]?dots|~)*")
_ALTERNATIVE: Final = re.compile(r"[\s$\\()\[\]]{0,8}(?:,|;|&|and|or|,\s?(?:and|or))[\s$\\()\[\]]{0,8}")


class _Box(NamedTuple):
    start: int
    end: int
    held: str | None
    """None if the box is never closed."""


class Boxed(Extractor):
    r"""What the last (or first) LaTeX `\boxed{…}` or `\fbox{…}` holds, nested braces included, as text.

    A box within a box is the box. Without braces, a number or a letter is read (`\boxed 5`). A box that holds nothing
    or dots is an instruction that the model repeats, and is passed over where another one holds something. Reasons:
    `no_box`; `unclosed` (the text ends within that box); `empty`; `ambiguous` (what follows a `\boxed` without braces
    can't be read as a whole, or the box is one of a list: `\boxed{3} or \boxed{4}`).
    """

    runs_in = "inline"

    version: ClassVar[int] = 2

    which: Literal["first", "last"] = Field("last", description="Which box counts, if there are several.")

    def extract(self, text: str) -> Extraction:
        boxes = sorted(_boxes(text))
        if not boxes:
            return Extraction(reason="no_box")
        telling = [box for box in boxes if box.held is None or not _PLACEHOLDER.fullmatch(box.held)]
        if not telling:
            return Extraction(reason="empty")
        chosen = 0 if self.which == "first" else len(telling) - 1
        box = telling[chosen]
        if box.held is None:
            return Extraction(reason="unclosed" if box.end == len(text) else "ambiguous")
        neighbours = telling[max(chosen - 1, 0) : chosen + 2]
        is_one_of_several = any(_are_alternatives(text, *pair) for pair in pairwise(neighbours))
        return Extraction(reason="ambiguous") if is_one_of_several else Extraction(box.held)


def _boxes(text: str) -> Iterator[_Box]:
    """The boxes that hold no other box, in the order of their ends; those without an end come last."""
    open_braces: list[tuple[int, int] | None] = []
    leaf_from = 0
    for piece in _PIECE.finditer(text):
        if piece["box"]:
            open_braces.append((piece.start(), piece.end()))
        elif piece["bare"] is not None:
            yield from _bare(text, piece)
        elif piece[0] == "{":
            open_braces.append(None)
        elif piece[0] == "}" and open_braces and (opened := open_braces.pop()):
            if opened[0] >= leaf_from:
                yield _Box(opened[0], piece.end(), text[opened[1] : piece.start()].strip())
            leaf_from = piece.end()
    yield from (_Box(opened[0], len(text), None) for opened in open_braces if opened)


def _bare(text: str, mark: re.Match[str]) -> Iterator[_Box]:
    r"""The box that a mark without braces makes; none where `\boxed` is only talked about."""
    if value := _VALUE.match(text, mark.end()):
        yield _Box(mark.start(), value.end(), value[1])
    elif not _MENTION.match(text, mark.end()):
        yield _Box(mark.start(), mark.end(), None)


def _are_alternatives(text: str, one: _Box, other: _Box) -> bool:
    between = text[one.end : other.start]
    return one.held != other.held and _ALTERNATIVE.fullmatch(between) is not None
