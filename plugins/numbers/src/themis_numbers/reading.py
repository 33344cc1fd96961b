"""Reads numbers from tokens. What can't be read as a whole is found as ambiguous, never by a part of it.

chain    = term { operator term }       one term is a number, more are an expression, which is ambiguous
term     = [sign] [currency] quantity | function | name | closing bracket
quantity = magnitude { scale } [percent] [unit]
magnitude = numeral [exponent] [× power] | power | numeral fraction | fraction
power    = 10 raised
fraction = numeral / numeral | \\frac{numeral}{numeral} | ½
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import Any, Final, Literal

from themis_numbers.numerals import MAX_DIGITS, numeral_value
from themis_numbers.tokens import MINUS, Token, tokenize
from themis_numbers.words import (
    AMBIGUOUS_WORDS,
    LETTER_MULTIPLIERS,
    MONEY_MULTIPLIERS,
    ORDINALS,
    SCALES,
    UNITS,
)

__all__ = ["Found", "Notation", "find_numbers", "read_number"]

_MAX_EXPONENT: Final = 400  # doubles end at 308; exact arithmetic must not be made to write out 1e999999999
_CJK_SCALES: Final = dict(zip("百백千천万萬만億亿억", (2, 2, 3, 3, 4, 4, 4, 8, 8, 8), strict=True))
_OPERATORS: Final = frozenset({"times", "slash", "divide", "either", "minus", "plus", "colon"})
_NUMERIC: Final = frozenset({"numeral", "vulgar", "frac", "function", "constant"})
_WORDS_OF_ONE_LETTER: Final = frozenset("aAIiyoeuàéO")
_TEXT_COMMAND: Final = re.compile(r"\\\w+\{(.*)\}")
_BEFORE: Final = re.compile(r"\s*(?:\\\(|\\\[|\$)?\s*(?:(?:US|AU?|CA?|NZ|HK|Rs\.?|USD|EUR|GBP|JPY|INR|CNY|CHF)[ ]?)?")
_AFTER: Final = re.compile(r"\s*(?:\\\)|\\\]|\$)?\s*[.!。]?\s*")


@dataclass(frozen=True, slots=True)
class Notation:
    """How numbers are written: the settings that extractors and metrics share."""

    decimal: Literal[".", ","] = "."
    scale_words: bool = True
    percent_as_fraction: bool = False
    fractions: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """A number of a text: where it stands and its exact value, or the reason why it has none.

    An int is written as one (or is a whole fraction, power or multiple); 5.0 and 1e3 are Fractions. Reasons:
    `ambiguous`; `not_finite` (an exponent over 400, more than 4,300 digits, a division by zero).
    """

    start: int
    end: int
    value: int | Fraction | None
    reason: str | None = None
    has_unit: bool = False
    scaled: bool = False


def find_numbers(text: str, notation: Notation = Notation()) -> list[Found]:
    """Return the numbers of one line of text, in order. Time and memory grow with its length."""
    found: list[Found] = []
    for each in _Parser(text, notation).numbers():
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


@dataclass(frozen=True, slots=True)
class _Term:
    """A part of a chain. Names and closing brackets are terms without digits: `number` is false."""

    start: int
    end: int
    number: bool
    value: int | Fraction | None = None
    reason: str | None = None
    has_unit: bool = False
    scaled: bool = False
    word: bool = False


class _Parser:
    def __init__(self, text: str, notation: Notation) -> None:
        self.tokens = tokenize(text, notation.decimal)
        self.tokens.append(Token("end", "", len(text), len(text)))
        self.notation = notation
        self.at = 0

    # -- looking ahead

    def kind(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self.tokens[at].kind if 0 <= at < len(self.tokens) else "end"

    def text(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead].text

    def spaces(self, ahead: int = 0) -> int:
        """1 if a space stands there, else 0: the tokens to step over."""
        return int(self.kind(ahead) == "space")

    def end(self) -> int:
        return self.tokens[self.at - 1].end

    # -- chains

    def numbers(self) -> Iterator[Found]:
        while self.kind() != "end":
            if self.kind() == "date":
                yield from self._date()
            elif self._begins_term():
                yield from self._chain()
            elif self.kind() in ("minus", "plus", "either"):
                yield from self._signed()
            else:
                self.at += 1

    def _date(self) -> Iterator[Found]:
        token = self.tokens[self.at]
        self.at += 1
        for each in re.finditer(r"\d+", token.text):
            yield Found(token.start + each.start(), token.start + each.end(), int(each[0]), has_unit=False)

    def _begins_term(self, ahead: int = 0) -> bool:
        kind = self.kind(ahead)
        if kind == "currency":
            return self.kind(ahead + 1 + self.spaces(ahead + 1)) == "numeral"
        return kind in _NUMERIC or kind in ("name", "close")

    def _signed(self) -> Iterator[Found]:
        """Read a sign at the head of a chain, where it is no operator."""
        first = self.at
        before = self.kind(-1)
        while self.kind() in ("minus", "plus", "either"):
            self.at += 1
        signs = self.at - first
        gap = self.spaces()
        if not self._begins_term(gap) or self.kind(gap) in ("name", "close"):
            return
        if before in ("name", "scale") and (not gap or signs > 1):
            return  # a hyphen, or a dash
        either = any(token.kind == "either" for token in self.tokens[first : self.at])
        role = "ambiguous" if signs > 1 or either else self._role(first, gap)
        self.at += gap
        if role == "dash":
            return
        negative = role == "sign" and self.tokens[first].text in MINUS
        yield from self._chain(self.tokens[first].start, negative, role == "ambiguous")

    def _role(self, sign: int, gap: int) -> str:
        """Say what a sign is: one of a number, a dash or bullet, or not to be decided (`Answer: - 3`)."""
        if not gap:
            return "sign"
        before = sign - 1
        while before >= 0 and self.tokens[before].kind == "space":
            before -= 1
        if before < 0:
            return "dash"
        kind, text = self.tokens[before].kind, self.tokens[before].text
        if kind in ("equals", "open", "currency"):
            return "sign"
        return "dash" if kind in ("name", "other") and text not in "<>≤≥≠" else "ambiguous"

    def _chain(self, start: int | None = None, negative: bool = False, ambiguous: bool = False) -> Iterator[Found]:
        terms = [self._term()]
        while self._operator(terms[-1]):
            while self.kind() in ("minus", "plus", "either", "space"):
                self.at += 1
            terms.append(self._term())
        numbers = [each for each in terms if each.number]
        if not numbers:
            return
        begin = terms[0].start if start is None else start
        only = numbers[0]
        if ambiguous or len(terms) > 1:
            yield Found(begin, terms[-1].end, None, "ambiguous")
        else:
            value = -only.value if negative and only.value is not None else only.value
            yield Found(begin, only.end, value, only.reason, only.has_unit, only.scaled)

    def _operator(self, left: _Term) -> bool:
        """Step over an operator to the term behind it, if there is one with a term on both sides."""
        before = self.spaces()
        kind = self.kind(before)
        if kind not in _OPERATORS:
            return False
        after = self.spaces(before + 1)
        right = before + 1 + after
        token = self.tokens[self.at + before].text
        if token.strip() != token:  # `3 x 4`
            before = after = 0
        operand = right + int(left.number and self.kind(right) == "minus")
        if before != after or not self._begins_term(operand) or not self._operates(kind, left, operand, after):
            return False
        self.at += right
        return True

    def _operates(self, kind: str, left: _Term, right: int, gap: int) -> bool:
        name = self.text(right) if self.kind(right) == "name" else ""
        if self.kind(right) == "close":
            return False
        if kind == "colon":
            return left.number and not name and not gap
        variable = len(name) == 1 and not (gap and name in _WORDS_OF_ONE_LETTER)
        if kind == "minus":
            return not left.word and (not name or variable)
        if kind == "slash" and name:
            return variable and name not in UNITS and left.number
        return True

    # -- terms

    def _term(self) -> _Term:
        start = self.tokens[self.at].start
        kind = self.kind()
        if kind == "name":
            return self._name()
        if kind == "close":
            self.at += 1
            self._scripts()
            return _Term(start, self.end(), number=False)
        if kind == "constant":
            self.at += 1
            return _Term(start, self.end(), number=False)
        if kind == "function":
            self.at += 1
            return self._opaque(start)
        money = kind == "currency"
        if money:
            self.at += 1 + self.spaces(1)
        return self._quantity(start, money)

    def _name(self) -> _Term:
        token = self.tokens[self.at]
        self.at += 1
        scripts = self._scripts()
        word = not scripts and (len(token.text) > 1 or token.text in _WORDS_OF_ONE_LETTER)
        return _Term(token.start, self.end(), number=False, word=word)

    def _scripts(self) -> bool:
        first = self.at
        while self.kind() in ("raised", "script"):
            self.at += 1
        return self.at > first

    def _opaque(self, start: int) -> _Term:
        """Step over what a function or fraction is made of; with digits in it, it is a number that is not read."""
        first = self.at
        while self.kind() in ("space", "script", "raised"):
            self.at += 1
        for _ in range(2):
            if self.kind() == "open":
                self._group()
            elif self.kind() in ("numeral", "constant"):
                self.at += 1
        digits = any(token.kind in ("numeral", "vulgar") for token in self.tokens[first : self.at])
        return _Term(start, self.end(), digits, None, "ambiguous" if digits else None)

    def _group(self) -> None:
        depth = 0
        while self.kind() != "end":
            depth += {"open": 1, "close": -1}.get(self.kind(), 0)
            self.at += 1
            if depth == 0:
                return

    def _quantity(self, start: int, money: bool) -> _Term:
        try:
            value = self._magnitude()
            if value is not None:
                value, scaled = self._scaled(value, money)
                has_unit = self._unit()
        except (OverflowError, ZeroDivisionError):
            return _Term(start, self.end(), number=True, reason="not_finite")
        if value is None or self._is_factor():
            self._rest()
            return _Term(start, self.end(), number=True, reason="ambiguous")
        return _Term(start, self.end(), True, value, None, has_unit, scaled)

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
            len(name) == 1 and name not in UNITS and name not in _WORDS_OF_ONE_LETTER
        )

    def _rest(self) -> None:
        """Step over what touches a number that can't be read, so that no part of it is read as another."""
        while self.kind() in (*_NUMERIC, "name", "raised", "script", "exponent"):
            if self.kind() in ("frac", "function"):
                start = self.tokens[self.at].start
                self.at += 1
                self._opaque(start)
            else:
                self.at += 1

    # -- magnitudes

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
            return _whole(_power(_raised(self.text(-1))))
        factor = self._times_power()
        if factor is not None:
            return _whole(value * factor)
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
        return None if part is None else _whole(value + part)

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

    # -- what follows a magnitude

    def _scaled(self, value: int | Fraction, money: bool) -> tuple[int | Fraction, bool]:
        exponent, scaled = self._scale(money), False
        while exponent:
            scaled = True
            if self.notation.scale_words:
                value = _whole(Fraction(value) * 10**exponent)
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


def _plain(text: str) -> str:
    """An exponent as int reads it: with ASCII signs, without braces."""
    return "".join("-" if char in MINUS or char == "⁻" else char for char in text if char not in "^{}* +⁺")


def _raised(text: str) -> int:
    return int(unicodedata.normalize("NFKC", _plain(text)))


def _power(exponent: int) -> Fraction:
    if abs(exponent) > _MAX_EXPONENT:
        raise OverflowError
    return Fraction(10) ** exponent


def _whole(value: int | Fraction) -> int | Fraction:
    return int(value) if value.denominator == 1 else value


def _quotient(above: Fraction, below: Fraction) -> int | Fraction:
    return _whole(above / below)


def _vulgar(char: str) -> Fraction:
    above, below = unicodedata.normalize("NFKC", char).split("⁄")
    return Fraction(int(above), int(below))
