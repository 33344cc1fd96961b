"""Guesses what a name was meant to be, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["close_match", "did_you_mean"]


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return ` Did you mean 'this'?`, to follow a sentence, or what is to be said otherwise."""
    guess = close_match(word, known)
    return f" Did you mean {guess!r}?" if guess else otherwise


def close_match(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be."""
    words = list(known)
    for close in difflib.get_close_matches(word, words, n=1):
        return close
    folded = {word.casefold(): word for word in words}
    close_folded = difflib.get_close_matches(word.casefold(), folded, n=1)
    return folded[close_folded[0]] if close_folded else None
