"""Counts of tokens as servers write them. No I/O."""

from __future__ import annotations

import re
from typing import Any, Final

__all__ = ["MOST_TOKENS", "count"]

MOST_TOKENS: Final = 10**9
"""Counts beyond are taken for nonsense."""
_DIGITS = re.compile(r"\d{1,10}(?:\.0*)?", re.ASCII)


def count(counts: Any, *names: str) -> int | None:
    """The largest of the counts with these names; None if there is none that can be read.

    A server that sends two forms leaves zeros in one; some write numbers as texts, or all of them as floats.
    """
    found = [number for name in names if (number := _count(counts, name)) is not None]
    return max(found, default=None)


def _count(counts: Any, name: str) -> int | None:
    value = counts.get(name) if isinstance(counts, dict) else None
    if isinstance(value, str) and _DIGITS.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, float) and value.is_integer():  # some servers write all numbers as floats
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None
