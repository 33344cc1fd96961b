"""The grammar of numbers in a text.

chain    = term { operator term }       one term is a number, more are an expression, which is ambiguous
term     = [sign] [currency] quantity | function | name | closing bracket
quantity = magnitude { scale } [percent] [unit]
magnitude = numeral [exponent] [× power] | power | numeral fraction | fraction
power    = 10 raised
fraction = numeral / numeral | \\frac{numeral}{numeral} | ½
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from themis_numbers.cursor import NUMERIC, WORDS_OF_ONE_LETTER, Term
from themis_numbers.quantities import Quantities
from themis_numbers.tokens import MINUS
from themis_numbers.words import UNITS

__all__ = ["Found", "Parser"]

_OPERATORS: Final = frozenset({"times", "slash", "divide", "either", "minus", "plus", "colon"})


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


class Parser(Quantities):
    """Reads the chains of terms of one text."""

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
        return kind in NUMERIC or kind in ("name", "close")

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

    def _operator(self, left: Term) -> bool:
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

    def _operates(self, kind: str, left: Term, right: int, gap: int) -> bool:
        name = self.text(right) if self.kind(right) == "name" else ""
        if self.kind(right) == "close":
            return False
        if kind == "colon":
            return left.number and not name and not gap
        variable = len(name) == 1 and not (gap and name in WORDS_OF_ONE_LETTER)
        if kind == "minus":
            return not left.word and (not name or variable)
        if kind == "slash" and name:
            return variable and name not in UNITS and left.number
        return True

    def _term(self) -> Term:
        start = self.tokens[self.at].start
        kind = self.kind()
        if kind == "name":
            return self._name()
        if kind == "close":
            self.at += 1
            self._scripts()
            return Term(start, self.end(), number=False)
        if kind == "constant":
            self.at += 1
            return Term(start, self.end(), number=False)
        if kind == "function":
            self.at += 1
            return self._opaque(start)
        money = kind == "currency"
        if money:
            self.at += 1 + self.spaces(1)
        return self._quantity(start, money)

    def _name(self) -> Term:
        token = self.tokens[self.at]
        self.at += 1
        scripts = self._scripts()
        word = not scripts and (len(token.text) > 1 or token.text in WORDS_OF_ONE_LETTER)
        return Term(token.start, self.end(), number=False, word=word)
