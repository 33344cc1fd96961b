"""The value of a numeral: digits with what separates their groups."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

__all__ = ["MAX_DIGITS", "numeral_value"]

MAX_DIGITS: Final = 4_300  # Python's own bound on turning text into int, whose time is quadratic
_DIGITS: Final = re.compile(r"\d+")
_MARK: Final = {".": ".", ",": ",", "'": "'", "’": "'", "_": "_"}


def numeral_value(text: str, decimal: str) -> int | Fraction | None:
    """Return the value: an int if it is written without a decimal mark, else a Fraction.

    None if the groups are no number: 1,2345 or 1.234.567,89 where the decimal mark is a point. Raises OverflowError
    beyond 4,300 digits.
    """
    if len(text) > MAX_DIGITS:
        raise OverflowError
    groups = _DIGITS.findall(text)
    marks = [_mark(each) for each in _DIGITS.split(text)[:-1]]
    bare = marks.pop(0) == decimal  # .5
    if bare:
        groups.insert(0, "0")
        marks.insert(0, decimal)
    if decimal not in marks:
        return int("".join(groups)) if _grouped(groups, marks, decimal) else None
    if marks.count(decimal) > 1:
        return None
    point = marks.index(decimal) + 1
    if not _grouped(groups[:point], marks[: point - 1], decimal) or not _decimals(groups[point:], marks[point:]):
        return None
    decimals = "".join(groups[point:])
    return Fraction(int("".join(groups[:point]) + decimals), 10 ** len(decimals))


def _mark(between: str) -> str:
    """What a separator stands for: LaTeX's `{,}` and `,\\!` are commas, `\\,` and the like thin spaces."""
    if not between:
        return ""
    if "," in between and between != "\\," and between != "{\\,}":
        return ","
    return _MARK.get(between[0], " ")


def _grouped(groups: list[str], marks: list[str], decimal: str) -> bool:
    """Say whether groups are thousands (1,234,567) or, with commas, of the Indian form (12,34,567)."""
    if not marks:
        return True
    first, *middle, last = groups
    if len(set(marks)) > 1 or first.startswith("0") or len(last) != 3:
        return False
    if len(first) <= 3 and all(len(each) == 3 for each in middle):
        return True
    return marks[0] == "," != decimal and len(first) <= 2 and all(len(each) == 2 for each in middle)


def _decimals(groups: list[str], marks: list[str]) -> bool:
    """Say whether decimals are plain, or in groups of three with spaces: 3.141 592 65."""
    if not marks:
        return True
    *full, last = groups
    return set(marks) <= {" "} and all(len(each) == 3 for each in full) and len(last) <= 3
