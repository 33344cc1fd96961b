"""The value of a quantity: a magnitude with its multipliers, percent sign and unit."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from themis_numbers.cursor import NUMERIC, WORDS_OF_ONE_LETTER, Term
from themis_numbers.magnitudes import Magnitudes, whole
from themis_numbers.words import (
    AMBIGUOUS_WORDS,
    LETTER_MULTIPLIERS,
    MONEY_MULTIPLIERS,
    ORDINALS,
    SCALES,
    UNITS,
)

__all__ = ["Quantities"]

_CJK_SCALES: Final = dict(zip("百백千천万萬만億亿억", (2, 2, 3, 3, 4, 4, 4, 8, 8, 8), strict=True))
_TEXT_COMMAND: Final = re.compile(r"\\\w+\{(.*)\}")


class Quantities(Magnitudes):
    """Reads quantities."""

    def _quantity(self, start: int, money: bool) -> Term:
        try:
            value = self._magnitude()
            if value is not None:
                value, scaled = self._scaled(value, money)
                has_unit = self._unit()
        except (OverflowError, ZeroDivisionError):
            return Term(start, self.end(), number=True, reason="not_finite")
        if value is None or self._is_factor():
            self._rest()
            return Term(start, self.end(), number=True, reason="ambiguous")
        return Term(start, self.end(), True, value, None, has_unit, scaled)

    def _is_factor(self) -> bool:
        """Say whether what follows makes the number a part: `5x`, `2π`, `2^n`, `3√2`, `2 x + 3`, `3 tenths`."""
        gap = self.spaces()
        kind = self.kind(gap)
        if kind in ("constant", "function", "frac"):
            return True
        if not gap and kind in ("raised", "script", "exponent", "vulgar"):
            return True
        if kind != "name":
            return False
        name = self.text(gap)
        if not gap:
            return True
        return name.lower() in AMBIGUOUS_WORDS or (
            len(name) == 1 and name not in UNITS and name not in WORDS_OF_ONE_LETTER
        )

    def _rest(self) -> None:
        """Step over what touches a number that can't be read, so that no part of it is read as another."""
        while self.kind() in (*NUMERIC, "name", "raised", "script", "exponent"):
            if self.kind() in ("frac", "function"):
                start = self.tokens[self.at].start
                self.at += 1
                self._opaque(start)
            else:
                self.at += 1

    def _scaled(self, value: int | Fraction, money: bool) -> tuple[int | Fraction, bool]:
        exponent, scaled = self._scale(money), False
        while exponent:
            scaled = True
            if self.notation.scale_words:
                value = whole(Fraction(value) * 10**exponent)
            exponent = self._scale(money)
        gap = self.spaces()
        if self.kind(gap) == "percent":
            self.at += gap + 1
            if self.notation.percent_as_fraction:
                value = Fraction(value) / 100
        return value, scaled

    def _scale(self, money: bool) -> int | None:
        """Step over a multiplier and return its power of ten; None if there is none."""
        if self.kind() == "scale":
            self.at += 1
            return _CJK_SCALES[self.text(-1)]
        gap = int(self.kind() == "space" or (self.kind() == "minus" and self.text() == "-"))
        if self.kind(gap) != "name":
            return None
        name = _word(self.text(gap))
        letters = MONEY_MULTIPLIERS if money else LETTER_MULTIPLIERS
        exponent = SCALES.get(name.lower()) or (letters.get(name) if not gap else None)
        if exponent:
            self.at += gap + 1
        return exponent

    def _unit(self) -> bool:
        """Step over a unit that leaves the value as it is, with its powers: `kg`, `km/h`, `m^2`, `°C`, `5-km`."""
        gap = self.spaces()
        ratio = gap + 1 if self.kind(gap) == "slash" else 0  # `$5/hour`
        self.at += ratio
        if not self._simple_unit():
            self.at -= ratio
            return False
        while self.kind(self.spaces()) in ("slash", "times", "name", "minus"):
            start = self.at
            self.at += self.spaces()
            if self.kind() in ("slash", "times", "minus") or _word(self.text()) == "per":
                self.at += 1
            if not self._simple_unit():
                self.at = start
                break
        return True

    def _simple_unit(self) -> bool:
        gap = int(self.kind() in ("space", "minus") and self.kind() != "end")
        kind, text = self.kind(gap), self.text(gap) if self.kind(gap) != "end" else ""
        ordinal = kind == "name" and not gap and text in ORDINALS
        known = kind in ("degree", "percent") or (kind == "currency" and text != "\\$" and not self._is_closing(gap))
        if not (ordinal or known or (kind == "name" and _word(text) in UNITS)):
            return False
        self.at += gap + 1
        self._scripts()
        if kind == "degree" and self.kind(self.spaces()) == "name" and self.text(self.spaces()) in UNITS:
            self.at += self.spaces() + 1
        return not ordinal

    def _is_closing(self, gap: int) -> bool:
        """Say whether a dollar sign begins the next amount, or ends a formula, and so is no unit."""
        return self.text(gap) == "$" and (gap == 1 or self.kind(gap + 1) == "numeral")


def _word(name: str) -> str:
    found = _TEXT_COMMAND.fullmatch(name)
    return found[1].strip() if found else name
