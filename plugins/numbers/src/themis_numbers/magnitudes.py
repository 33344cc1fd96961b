"""The exact value of a magnitude: a numeral with its exponent or power of ten, a fraction, a mixed number."""

from __future__ import annotations

import unicodedata
from fractions import Fraction
from typing import Final

from themis_numbers.cursor import Cursor
from themis_numbers.numerals import numeral_value
from themis_numbers.tokens import MINUS

__all__ = ["Magnitudes", "whole"]

_MAX_EXPONENT: Final = 400  # doubles end at 308; exact arithmetic must not be made to write out 1e999999999


class Magnitudes(Cursor):
    """Reads magnitudes. What is none is None; raises OverflowError and ZeroDivisionError."""

    def _magnitude(self) -> int | Fraction | None:
        if self.kind() == "frac":
            return self._fraction()
        if self.kind() == "vulgar":
            self.at += 1
            return self._as_fraction(_vulgar(self.text(-1)))
        self.at += 1  # first, so that a numeral of too many digits is passed over as well
        value = numeral_value(self.text(-1), self.notation.decimal)
        if value is None:
            return None
        if self.kind() == "exponent":
            self.at += 1
            return Fraction(value) * _power(int(_plain(self.text(-1)[1:])))
        if self.kind() == "raised" and value == 10:
            self.at += 1
            return whole(_power(_raised(self.text(-1))))
        factor = self._times_power()
        if factor is not None:
            return whole(value * factor)
        part = self._part(value)
        return value if part is None else self._as_fraction(part)

    def _times_power(self) -> Fraction | None:
        """Step over `× 10^5`; None if something else follows."""
        at = self.spaces()
        if self.kind(at) != "times":
            return None
        at += 1 + self.spaces(at + 1)
        if self.kind(at) == "numeral" and self.text(at) == "10" and self.kind(at + 1) == "raised":
            self.at += at + 2
            return _power(_raised(self.text(-1)))
        return None

    def _part(self, value: int | Fraction) -> int | Fraction | None:
        """Read what makes the numeral a fraction or a mixed number: `/4`, ` 3/4`, `½`, `\\frac{1}{2}`."""
        gap = self.spaces()
        below = self._below()
        if below is not None:
            return _quotient(Fraction(value), below)
        if not isinstance(value, int) or self.kind(gap) not in ("vulgar", "frac", "numeral"):
            return None
        start = self.at
        self.at += gap
        part = self._proper()
        if part is None:
            self.at = start
        return None if part is None else whole(value + part)

    def _below(self) -> Fraction | None:
        """Step over a slash with a numeral behind it, with the same space on both sides."""
        gap = self.spaces()
        if self.kind(gap) != "slash" or self.spaces(gap + 1) != gap or self.kind(2 * gap + 1) != "numeral":
            return None
        value = numeral_value(self.text(2 * gap + 1), self.notation.decimal)
        if value is None:
            return None
        self.at += 2 * gap + 2
        return Fraction(value)

    def _proper(self) -> Fraction | None:
        """Read the fraction of a mixed number: below one, of whole numbers."""
        if self.kind() == "numeral":
            above = numeral_value(self.text(), self.notation.decimal)
            self.at += 1
            below = self._below()
            part = None if below is None or not isinstance(above, int) else Fraction(_quotient(Fraction(above), below))
        else:
            read = _vulgar(self.text()) if self.kind() == "vulgar" else self._fraction()
            self.at += self.kind() == "vulgar"
            part = None if read is None else Fraction(read)
        return part if part is not None and 0 < part < 1 else None

    def _fraction(self) -> int | Fraction | None:
        """Read `\\frac{3}{4}`, `\\frac34` and `\\frac3{4}`; anything else in it can't be read."""
        start = self.at
        self.at += 1 + self.spaces(1)
        digits = self.text() if self.kind() == "numeral" else ""
        if len(digits) == 2 and digits.isdecimal():
            self.at += 1
            return self._as_fraction(_quotient(Fraction(int(digits[0])), Fraction(int(digits[1]))))
        parts = [self._argument(), self._argument()]
        if None not in parts:
            above, below = (Fraction(each) for each in parts if each is not None)
            return self._as_fraction(_quotient(above, below))
        self.at = start + 1
        self._opaque(self.tokens[start].start)
        return None

    def _argument(self) -> int | Fraction | None:
        if self.kind() == "numeral" and len(self.text()) == 1:
            self.at += 1
            return int(self.text(-1))
        at = 1 + self.spaces(1)
        negative = self.kind(at) == "minus"
        at += negative
        close = at + 1 + self.spaces(at + 1)
        if self.kind() != "open" or self.kind(at) != "numeral" or self.kind(close) != "close":
            return None
        value = numeral_value(self.text(at), self.notation.decimal)
        self.at += close + 1
        return value if value is None or not negative else -value

    def _as_fraction(self, value: int | Fraction) -> int | Fraction | None:
        return value if self.notation.fractions else None


def _plain(text: str) -> str:
    """An exponent as int reads it: with ASCII signs, without braces."""
    return "".join("-" if char in MINUS or char == "⁻" else char for char in text if char not in "^{}* +⁺")


def _raised(text: str) -> int:
    return int(unicodedata.normalize("NFKC", _plain(text)))


def _power(exponent: int) -> Fraction:
    if abs(exponent) > _MAX_EXPONENT:
        raise OverflowError
    return Fraction(10) ** exponent


def whole(value: int | Fraction) -> int | Fraction:
    return int(value) if value.denominator == 1 else value


def _quotient(above: Fraction, below: Fraction) -> int | Fraction:
    return whole(above / below)


def _vulgar(char: str) -> Fraction:
    above, below = unicodedata.normalize("NFKC", char).split("⁄")
    return Fraction(int(above), int(below))
