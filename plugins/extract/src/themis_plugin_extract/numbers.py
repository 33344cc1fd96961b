"""Extraction of a number from prose: separators, signs, scale words, exponents, fractions.

The reading of a *whole* string as a number is another job, and the metrics that compare numbers do it themselves.
"""

from __future__ import annotations

import re
from functools import cached_property
from math import isfinite
from typing import Any, Final, Literal

from pydantic import Field

from themis_core import Extraction, Extractor

__all__ = ["FirstNumber", "LastNumber", "Number"]

_SCALES: Final = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_MINUS: Final = "-−‐‑–﹣－"
_SPACES: Final = "\u00a0\u2009\u202f"
_MAX_DIGITS: Final = 4300  # Python's own bound on turning text into int, whose time is quadratic
_NO_NUMBER: Final = Extraction(reason="no_number")
_NOT_FINITE: Final = Extraction(reason="not_finite")


def _pattern(decimal: str, fractions: bool) -> re.Pattern[str]:
    """Build the pattern of one number. Quantifiers are possessive, so each number is read in linear time."""
    point = re.escape(decimal)
    separators = f"[,{_SPACES}'’]" if decimal == "." else f"[. {_SPACES}'’]"
    ratio = r"(?:(?P<whole>\d++)[ ])?+(?P<above>\d++)[ ]?/[ ]?(?P<below>\d++)|" if fractions else ""
    return re.compile(
        rf"""
        (?<![A-Za-z0-9])(?<![A-Za-z0-9]_)(?<!\d{point})   # not within a name (`H2O`), a version (`1.2.3`)
        (?=[{_MINUS}+\d{point}$€£¥₹])                     # soon done where no number begins
        (?: (?<![)\]]) (?P<sign>[{_MINUS}+]) )?+          # `7)-3` subtracts
        (?: [$€£¥₹][ ]?+ (?P<late_sign>[{_MINUS}])?+ )?+
        (?:{ratio}
            (?P<digits>(?<!\d[,.])\d{{1,3}}(?P<separator>{separators})\d{{3}}(?:(?P=separator)\d{{3}})*+(?!\d)|\d++)
            (?:{point}(?P<decimals>\d++))?+
          | (?<!\.){point}(?P<only_decimals>\d++)         # an ellipsis is no decimal point
        )
        (?P<exponent>[eE][+-]?\d++)?+
        (?:[ \t-]?(?P<scale>hundred|thousand|million|billion|trillion)s?\b)?+
        (?P<percent>[ ]?(?:%|per[ ]?cent\b))?+
        """,
        re.VERBOSE | re.IGNORECASE,
    )


class Number(Extractor):
    """The first or last number of a text: an int if it is written as one, else a float.

    Read as one number: `3,000`, `$1,234.50`, `-$5`, `−7`, `.5`, `1e3`, `1.8 billion`, `45%`, `5kg`, `2nd` (2), `5.`
    at the end of a sentence. Digits that end a name (`H2O`, `x2`, `GPT4`) are not a number, and a sign right after
    a digit, letter or bracket is an operator: `16-3` holds 16 and 3. Separators of thousands are comma, apostrophe
    and the narrow and no-break spaces (with `decimal: ","` point, apostrophe and any space), and need groups of three.
    Reasons: `no_number`; `not_finite` (beyond a double, over 4,300 digits, or a division by zero).
    """

    which: Literal["first", "last"] = Field("last", description="Which number counts, if there are several.")
    decimal: Literal[".", ","] = Field(".", description="The decimal sign.")
    scale_words: bool = Field(True, description="Multiply by hundred, thousand, million, billion, trillion after it.")
    percent_as_fraction: bool = Field(False, description="Read `45%` as 0.45 instead of 45.")
    fractions: bool = Field(False, description="Read `3/4` as 0.75 and `1 3/4` as 1.75 instead of as numbers apart.")

    @cached_property
    def _number(self) -> re.Pattern[str]:
        return _pattern(self.decimal, self.fractions)

    def extract(self, text: str) -> Extraction:
        found = self._number.search(text) if self.which == "first" else self._last(text)
        if found is None:
            return _NO_NUMBER
        try:
            value = self._value(found)
        except (OverflowError, ZeroDivisionError):
            return _NOT_FINITE
        return _NOT_FINITE if type(value) is float and not isfinite(value) else Extraction(value)

    def _last(self, text: str) -> re.Match[str] | None:
        # Line by line from the end, since answers stand there and no number goes on in the next line.
        end = len(text)
        found = None
        while found is None and end >= 0:
            start = text.rfind("\n", 0, end) + 1
            for found in self._number.finditer(text, start, end):  # noqa: B007  the last one is wanted
                pass
            end = start - 1
        return found

    def _value(self, found: re.Match[str]) -> int | float:
        if found.end() - found.start() > _MAX_DIGITS:
            raise OverflowError
        parts = found.groupdict()
        scale = _SCALES[parts["scale"].lower()] if parts["scale"] and self.scale_words else 0
        if parts.get("below"):
            below = int(parts["below"])
            value = _quotient((int(parts["whole"] or 0) * below + int(parts["above"])) * 10**scale, below)
        else:
            value = _literal(parts, scale)
        if self.percent_as_fraction and parts["percent"]:
            value = value / 100
        negative = (parts["sign"] or "+") in _MINUS or parts["late_sign"] is not None
        return -value if negative else value


def _literal(parts: dict[str, Any], scale: int) -> int | float:
    whole = "".join(char for char in parts["digits"] or "0" if char.isdecimal())
    decimals = parts["decimals"] or parts["only_decimals"]
    if parts["exponent"]:
        return float(f"{whole}.{decimals or 0}{parts['exponent']}") * 10.0**scale
    if not decimals:
        return int(whole) * int(10**scale)
    if not scale:
        return float(f"{whole}.{decimals}")
    return _quotient(int(whole + decimals) * 10**scale, 10 ** len(decimals))  # 1.1 million is exactly 1100000


def _quotient(above: int, below: int) -> int | float:
    return above // below if above % below == 0 else above / below


class FirstNumber(Number):
    """The first number of a text; `extract/number` with `which: first`."""

    which: Literal["first"] = Field("first", description="Always the first number.")


class LastNumber(Number):
    """The last number of a text; `extract/number` with `which: last`."""

    which: Literal["last"] = Field("last", description="Always the last number.")
