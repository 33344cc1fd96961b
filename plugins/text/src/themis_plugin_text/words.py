"""Words and characters of any script: what metrics count, and what nobody sees."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Final, Literal, TypeAlias

import regex

__all__ = ["Tokenize", "is_unsegmented", "split_unspaced", "visible", "words_by"]

Tokenize: TypeAlias = Literal["unicode", "ascii", "char", "whitespace"]

# Scripts that set no space between words; the mark after the bracket is the sound mark of kana, of no script by itself.
_UNSPACED: Final = r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー]&&\p{L}]"


def visible(text: str) -> str:
    """The text without what shows nothing: zero-width characters, soft hyphens, marks of direction, byte order marks.

    These are the default ignorable code points of Unicode. Tags, and the joiners between pictures, stay: a flag or a
    family is another picture without them.
    """
    return text if text.isascii() else _ignorable().sub("", text)


def words_by(tokenize: Tokenize) -> Callable[[str], list[str]]:
    """How a text, in small letters, is split into words."""
    return _SPLITTERS[tokenize]


def split_unspaced(text: str) -> str:
    """The text with a space on both sides of each character of a script that sets none between words."""
    return text if text.isascii() else _one_unspaced().sub(r" \g<0> ", text)


def is_unsegmented(words: Sequence[str]) -> bool:
    """Whether words are whole sentences of a script that sets no spaces.

    That is, if such characters are most of the letters, and on average more than four of them stand in one word: words
    of these scripts that somebody segmented are shorter.
    """
    text = " ".join(words)
    if text.isascii():
        return False
    counts = [count for word in words if (count := len(_one_unspaced().findall(word)))]
    letters = sum(map(str.isalpha, text))
    return sum(counts) > 4 * len(counts) and 2 * sum(counts) > letters


def _unicode_words(text: str) -> list[str]:
    return _any_word().findall(_composed(text))


def _ascii_words(text: str) -> list[str]:
    return _ascii_word().findall(text.lower())


def _characters(text: str) -> list[str]:
    return _character().findall(_composed(text))


def _spaced_words(text: str) -> list[str]:
    return _composed(text).split()


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", visible(text).lower())


_SPLITTERS: Final[Mapping[Tokenize, Callable[[str], list[str]]]] = {
    "unicode": _unicode_words,
    "ascii": _ascii_words,
    "char": _characters,
    "whitespace": _spaced_words,
}


# Compiled when a text first needs them: the classes of Unicode take a tenth of a second.
@cache
def _ignorable() -> regex.Pattern[str]:
    return regex.compile(
        r"(?![\U000E0020-\U000E007F])(?!(?<=[\p{So}\p{Sk}\uFE0F])\u200D)\p{Default_Ignorable_Code_Point}"
    )


@cache
def _one_unspaced() -> regex.Pattern[str]:
    return regex.compile(rf"{_UNSPACED}\p{{M}}*+", regex.V1)


@cache
def _any_word() -> regex.Pattern[str]:
    spaced = rf"[\p{{Nd}}[\p{{L}}--{_UNSPACED}]]"
    return regex.compile(rf"{_UNSPACED}\p{{M}}*+|(?:{spaced}\p{{M}}*+)++", regex.V1)


@cache
def _ascii_word() -> regex.Pattern[str]:
    return regex.compile(r"[a-z0-9]+")


@cache
def _character() -> regex.Pattern[str]:
    return regex.compile(r"\S\p{M}*+")
