"""Whole numbers in prose, such as `So there are 42 of them: 42.`, which most answers end with.

Where no sign, operator, unit or the like can touch a number, its value is that of its digits, and the grammar, which
would say the same, has nothing to decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from themis_numbers.grammar import Found
from themis_numbers.numerals import MAX_DIGITS
from themis_numbers.tokens import Token

__all__ = ["numbers_in_prose"]

_PROSE: Final = frozenset({"name", "space", "other", "colon", "equals", "open", "close", "command", "numeral"})
_NOTHING_OF_IT: Final = frozenset({"other", "equals", "open", "close"})
"""What may follow a number without being a part of it."""


def numbers_in_prose(tokens: Sequence[Token]) -> list[Found] | None:
    """The numbers of a line in which each is only digits, by themselves; None if one may be more than these."""
    if not _PROSE.issuperset([token.kind for token in tokens]):
        return None
    found = []
    for index, token in enumerate(tokens):
        if token.kind == "numeral":
            if not token.text.isdecimal() or len(token.text) > MAX_DIGITS or not _is_alone(tokens, index):
                return None
            found.append(Found(token.start, token.end, int(token.text)))
    return found


def _is_alone(tokens: Sequence[Token], index: int) -> bool:
    for token in tokens[index + 1 : index + 3]:
        if token.kind != "space":
            return token.kind in _NOTHING_OF_IT
    return True
