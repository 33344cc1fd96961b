"""A place in the tokens of a text, and the steps over them that every part of the grammar takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from themis_numbers.notation import Notation
from themis_numbers.tokens import Token

__all__ = ["Cursor", "NUMERIC", "Term", "WORDS_OF_ONE_LETTER"]

NUMERIC: Final = frozenset({"numeral", "vulgar", "frac", "function", "constant"})
WORDS_OF_ONE_LETTER: Final = frozenset("aAIiyoeuàéO")


@dataclass(frozen=True, slots=True)
class Term:
    """A part of a chain. Names and closing brackets are terms without digits: `number` is false."""

    start: int
    end: int
    number: bool
    value: int | Fraction | None = None
    reason: str | None = None
    has_unit: bool = False
    scaled: bool = False
    word: bool = False


class Cursor:
    """Looks at tokens from one of them on, and steps over them."""

    def __init__(self, tokens: Sequence[Token], notation: Notation) -> None:
        end = tokens[-1].end if tokens else 0
        self.tokens = [*tokens, Token("end", "", end, end)]
        self.notation = notation
        self.at = 0

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

    def _scripts(self) -> bool:
        first = self.at
        while self.kind() in ("raised", "script"):
            self.at += 1
        return self.at > first

    def _opaque(self, start: int) -> Term:
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
        return Term(start, self.end(), digits, None, "ambiguous" if digits else None)

    def _group(self) -> None:
        depth = 0
        while self.kind() != "end":
            depth += {"open": 1, "close": -1}.get(self.kind(), 0)
            self.at += 1
            if depth == 0:
                return
