"""Reads numbers from tokens. What can't be read as a whole is found as ambiguous, never by a part of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from math import isfinite
from typing import Any, Final

from themis_numbers.grammar import Found, Parser
from themis_numbers.notation import Notation
from themis_numbers.numerals import MAX_DIGITS
from themis_numbers.prose import numbers_in_prose
from themis_numbers.tokens import Token, tokenize

__all__ = ["find_numbers", "read_number"]

_BEFORE: Final = re.compile(r"\s*(?:\\\(|\\\[|\$)?\s*(?:(?:US|AU?|CA?|NZ|HK|Rs\.?|USD|EUR|GBP|JPY|INR|CNY|CHF)[ ]?)?")
_WHOLE: Final = re.compile(r"[-+]?[0-9]+")
_AFTER: Final = re.compile(r"\s*(?:\\\)|\\\]|\$)?\s*[.!。]?\s*")


def find_numbers(text: str, notation: Notation = Notation()) -> list[Found]:
    """Return the numbers of one line of text, in order. Time and memory grow with its length."""
    tokens = tokenize(text, notation.decimal)
    in_prose = numbers_in_prose(tokens)
    return _by_the_grammar(text, tokens, notation) if in_prose is None else in_prose


def _by_the_grammar(text: str, tokens: Sequence[Token], notation: Notation) -> list[Found]:
    """The same of any line, token by token."""
    found: list[Found] = []
    for each in Parser(tokens, notation).numbers():
        if found and _goes_on(found[-1], each, text[found[-1].end : each.start]):
            found[-1] = Found(found[-1].start, each.end, None, "ambiguous")
        else:
            found.append(each)
    return found


def read_number(value: Any, notation: Notation = Notation()) -> int | Fraction | None:
    """Read a number, or a string that is one number as a whole, exactly; None if it is none.

    A string may have a sign, a currency, a multiplier, a percent sign, a known unit, dollar signs of LaTeX and a full
    stop. A float is read as its shortest decimal form.
    """
    if isinstance(value, float):
        return Fraction(repr(value)) if isfinite(value) else None
    if not isinstance(value, str):
        return value if type(value) is int else None
    if len(value) > MAX_DIGITS:
        return None
    if _WHOLE.fullmatch(value):  # what the grammar would say as well, in a thirtieth of its time
        return int(value)
    found = find_numbers(value, notation)
    if len(found) != 1:
        return None
    number = found[0]
    alone = _BEFORE.fullmatch(value, 0, number.start) and _AFTER.fullmatch(value, number.end)
    return number.value if alone else None


def _goes_on(before: Found, after: Found, gap: str) -> bool:
    """Say whether two numbers are one quantity, such as 2 million 500 thousand, or 5 ft 6 in."""
    if not gap:
        return True
    joined = gap.strip() in ("", "and", "&") and "\n" not in gap
    return joined and (before.scaled or (before.has_unit and after.has_unit))
