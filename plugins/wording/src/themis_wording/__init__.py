"""How messages say counts, paths and very long names, and what a name was probably meant to be."""

from __future__ import annotations

import re

from themis_wording.guessing import close_match, did_you_mean
from themis_wording.paths import shown_path

__all__ = ["close_match", "counted", "did_you_mean", "shortened", "shown_path"]


def counted(number: int, noun: str, one: str = "", more: str = "") -> str:
    """`1 call`, `2 calls`; with a verb for one and for more: `counted(1, "call", "is", "are")` gives `1 call is`."""
    words, verb = (noun, one) if number == 1 else (f"{noun}s", more)
    return f"{number} {words} {verb}".rstrip()


_LONG = re.compile(r"""(?<!\w)(?P<quote>['"])(?P<name>[^'"\n]{500,})(?P=quote)|(?P<word>\S{500,})""")


def shortened(message: str) -> str:
    """The message with names that nobody reads to their end, thousands of characters perhaps, cut in the middle."""
    return _LONG.sub(_cut, message)


def _cut(match: re.Match[str]) -> str:
    text = match["name"] or match["word"]
    quote = match["quote"] or ""
    return f"{quote}{text[:80]}…{text[-20:]}{quote} ({len(text):,} characters)"
