"""Extraction of a number from prose; how numbers are written is the matter of `themis_numbers`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar, Final, Literal

from pydantic import Field

from themis_core import Extraction, Extractor
from themis_numbers import Found, Notation, find_numbers

__all__ = ["FirstNumber", "LastNumber", "Number"]

_DIGIT: Final = re.compile(r"[\d¼½¾⅐-⅞↉]")
_NO_NUMBER: Final = Extraction(reason="no_number")
_NOT_FINITE: Final = Extraction(reason="not_finite")


class Number(Extractor):
    """The first or last number of a text: an int if it is written as one, else a float.

    Read as one number: `3,000`, `15\\,600`, `12,34,567`, `1 250 000`, `$1,234.50`, `-$5`, `.5`, `1e3`, `3.2 × 10^5`,
    `3/4`, `\\frac12`, `2½`, `1.8 billion`, `3M`, `45%`, `5kg`, `25 m^2`, `2nd` (2). A number that can't be read as a
    whole is `ambiguous`, and neither a part of it nor another number is taken for it: `1.234,5`, `16-3`, `2x`, `2^10`,
    `5 ft 6 in`. Digits of names (`H2O`) are no number; the parts of a date are numbers of their own. Reasons:
    `no_number`; `ambiguous`; `not_finite` (beyond a double, over 4,300 digits, an exponent over 400, or a division by
    zero).
    """

    runs_in = "inline"

    version: ClassVar[int] = 2

    which: Literal["first", "last"] = Field("last", description="Which number counts, if there are several.")
    decimal: Literal[".", ","] = Field(".", description="The decimal mark.")
    scale_words: bool = Field(True, description="Multiply by the word or letter after it: `2 million`, `3k`, `5 lakh`.")
    percent_as_fraction: bool = Field(False, description="Read `45%` as 0.45 instead of 45.")
    fractions: bool = Field(True, description="Read `3/4`, `1 3/4`, `½`; if off, they are ambiguous.")

    @cached_property
    def _notation(self) -> Notation:
        return Notation(self.decimal, self.scale_words, self.percent_as_fraction, self.fractions)

    def extract(self, text: str) -> Extraction:
        # No number goes on in the next line.
        for line in text.split("\n") if self.which == "first" else _from_the_end(text):
            if _DIGIT.search(line) and (found := find_numbers(line, self._notation)):
                return _extraction(found[0 if self.which == "first" else -1])
        return _NO_NUMBER


def _from_the_end(text: str) -> Iterator[str]:
    """The lines of a text, the last one first."""
    end = len(text)
    while end >= 0:
        start = text.rfind("\n", 0, end) + 1
        yield text[start:end]
        end = start - 1


def _extraction(found: Found) -> Extraction:
    if found.value is None:
        return Extraction(reason=found.reason)
    try:
        return Extraction(found.value if isinstance(found.value, int) else float(found.value))
    except OverflowError:
        return _NOT_FINITE


class FirstNumber(Number):
    """The first number of a text; `extract/number` with `which: first`."""

    which: Literal["first"] = Field("first", description="Always the first number.")


class LastNumber(Number):
    """The last number of a text; `extract/number` with `which: last`."""

    which: Literal["last"] = Field("last", description="Always the last number.")
