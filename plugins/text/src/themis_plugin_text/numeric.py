"""The metric that compares numbers, and its strict reading of a whole string as one number."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cached_property
from math import isfinite
from typing import Any, Final, Literal

from pydantic import Field

from themis_core import Score
from themis_plugin_text.references import BAD_REFERENCE, CORRECT, WRONG, ReferenceMetric

__all__ = ["NumericMatch", "read_number"]

_SCALES: Final = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_MINUS: Final = "-−‐‑–﹣－"
_MAX_LENGTH: Final = 4_300  # Python's own bound on turning text into int, whose time is quadratic
_MAX_EXPONENT: Final = 400  # doubles end at 308; exact arithmetic must not be made to write out 1e999999999
_SPACES: Final = "\u00a0\u2009\u202f"


def _pattern(decimal: str) -> re.Pattern[str]:
    point = re.escape(decimal)
    separators = f"[,{_SPACES}'’]" if decimal == "." else f"[. {_SPACES}'’]"
    word = r"[^\W\d_]{1,30}"
    return re.compile(
        rf"""
        (?P<sign>[{_MINUS}+])?[ ]?(?:[$€£¥₹]|(?:US|A|C)\$)?[ ]?(?P<late_sign>[{_MINUS}])?
        (?:(?P<digits>\d{{1,3}}(?P<separator>{separators})\d{{3}}(?:(?P=separator)\d{{3}})*+|\d++)
           (?:{point}(?P<decimals>\d*+))?+ | {point}(?P<only_decimals>\d++))
        (?:[eE](?P<exponent>[+-]?\d{{1,9}}+))?+
        (?:(?:[ -])?(?P<scale>hundred|thousand|million|billion|trillion)s?\b)?+
        (?P<percent>[ ]?(?:%|percent\b|per[ ]cent\b))?+
        (?:[ -]?(?:[$€£¥₹°]|°?{word})(?:[ ./·'’-]{word}){{0,2}}[²³]?)?   # a unit: `kg`, `km/h`, `US dollars`
        [.!]?
        """,
        re.VERBOSE | re.IGNORECASE,
    )


_PATTERNS: Final = {decimal: _pattern(decimal) for decimal in (".", ",")}


def read_number(
    value: Any, *, decimal: str = ".", scale_words: bool = True, percent_as_fraction: bool = False
) -> int | Fraction | None:
    """Read a number, or a string that is one number as a whole, exactly; None if it is none.

    A string may have a sign, a currency, separators of thousands in groups of three, an exponent of at most 400, a
    scale word, a percent sign, a unit of one to three words, and a full stop. A float is read as its shortest
    decimal form.
    """
    kind = type(value)
    if kind is int:
        return value  # type: ignore[no-any-return]
    if kind is float:
        return Fraction(repr(value)) if isfinite(value) else None
    if kind is not str or len(value) > _MAX_LENGTH:
        return None
    text = value.strip()
    if text.isdecimal():
        return int(text)
    found = _PATTERNS[decimal].fullmatch(text)
    return None if found is None else _exact(found.groupdict(), scale_words, percent_as_fraction)


def _exact(parts: dict[str, Any], scale_words: bool, percent_as_fraction: bool) -> int | Fraction | None:
    whole = "".join(char for char in parts["digits"] or "0" if char.isdecimal())
    decimals = parts["decimals"] or parts["only_decimals"] or ""
    exponent = int(parts["exponent"] or 0)
    if abs(exponent) > _MAX_EXPONENT:
        return None
    if parts["scale"] and scale_words:
        exponent += _SCALES[parts["scale"].lower()]
    if parts["percent"] and percent_as_fraction:
        exponent -= 2
    exponent -= len(decimals)
    digits = int(whole + decimals)
    if (parts["sign"] or "+") in _MINUS or parts["late_sign"]:
        digits = -digits
    return digits * 10**exponent if exponent >= 0 else Fraction(digits, 10**-exponent)


class NumericMatch(ReferenceMetric):
    """1 if the answer is the reference's number within the tolerance, else 0. The mean is the accuracy.

    |answer - reference| <= max(tolerance, relative_tolerance × |reference|), in exact arithmetic: without a tolerance,
    integers of any size must agree in every digit, and 0.1 is a tenth. Strings are read as a whole: `3,000`, `$5`,
    `-1.8 billion`, `45%`, `5 kg`, `1e3` are numbers; prose that holds a number is none, and scores 0 with a detail that
    says so (let `extract/last_number` find the number first). A reference may be a list of accepted numbers. Reason:
    `bad_reference` (not a number).
    """

    tolerance: float = Field(0.0, ge=0, description="Greatest difference that still counts as equal.")
    relative_tolerance: float = Field(
        0.0, ge=0, description="Greatest difference as a share of the reference's size: 0.01 is one per cent."
    )
    decimal: Literal[".", ","] = Field(".", description="The decimal sign in strings.")
    scale_words: bool = Field(True, description="Multiply by hundred, thousand, million, billion, trillion.")
    percent_as_fraction: bool = Field(False, description="Read `45%` as 0.45 instead of 45.")

    @cached_property
    def _tolerances(self) -> tuple[Fraction, Fraction] | None:
        if self.tolerance == self.relative_tolerance == 0:
            return None
        return Fraction(repr(self.tolerance)), Fraction(repr(self.relative_tolerance))

    def problem(self, reference: Any) -> str | None:
        accepted = self._accepted(reference)
        return None if accepted and None not in accepted else BAD_REFERENCE

    def compare(self, value: Any, reference: Any) -> Score:
        answer = self._read(value)
        if answer is None:
            return Score(0.0, details={"not_a_number": "the answer"})
        accepted = self._accepted(reference)
        return CORRECT if any(self._close(answer, each) for each in accepted if each is not None) else WRONG

    def _accepted(self, reference: Any) -> list[int | Fraction | None]:
        return [self._read(each) for each in (reference if isinstance(reference, list) else [reference])]

    def _read(self, value: Any) -> int | Fraction | None:
        return read_number(
            value,
            decimal=self.decimal,
            scale_words=self.scale_words,
            percent_as_fraction=self.percent_as_fraction,
        )

    def _close(self, answer: int | Fraction, reference: int | Fraction) -> bool:
        if answer == reference:
            return True
        if self._tolerances is None:
            return False
        absolute, relative = self._tolerances
        return abs(Fraction(answer - reference)) <= max(absolute, abs(relative * reference))
