r"""The classes `\w`, `\d`, `\s` and the boundary `\b` as Python's `re` has them, for the engine of `regex`.

The two differ in 30,468 characters, since `regex` follows Unicode's definition of a word (with marks, without `²`) and
its own edition of Unicode. What differs is found by asking both engines about each character that a text holds, so it
holds for every version of both. What stands for a class is made by asking about all characters. That takes some 0.3 s,
once, and is done when a first text needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import regex

__all__ = ["differs", "has_classes", "translated"]

_ESCAPES: Final = frozenset({r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", r"\b", r"\B"})
_IN_SETS: Final = _ESCAPES - {r"\b", r"\B"}
_NEAREST: Final = {"w": r"\p{L}\p{N}_", "d": r"\p{Nd}", "s": r"\s"}
"""Of each class, what in `regex` comes nearest to that of `re`."""
_BOTH: Final = tuple((re.compile(rf"\{name}").match, regex.compile(rf"\{name}").match) for name in _NEAREST)
_SAME: Final = re.compile(r"[\x00-\x1b\x20-\x7f]*")
"""Texts in which nothing can differ: `re` counts the four separators that are left out as white space."""
_COMMENT: Final = re.compile(r"\(\?#[^)]*\)?")
_FLAGS: Final = re.compile(r"\(\?([a-zA-Z]*)(?:-([a-zA-Z]+))?:")
_POSIX: Final = re.compile(r"\[:\^?\w+:\]")
_IN_SET: Final = re.compile(r"\[:\^?\w+:\]|\\.|.", re.DOTALL)


class _State(NamedTuple):
    """The flags that hold in a group, as far as they matter here."""

    ascii: bool
    verbose: bool


def differs(text: str) -> bool:
    """Whether a text holds a character that the two engines put into different classes."""
    return _SAME.fullmatch(text) is None and any(map(_is_put_otherwise, set(text)))


@lru_cache(maxsize=2**14)
def _is_put_otherwise(char: str) -> bool:
    return any((ours(char) is None) != (theirs(char) is None) for ours, theirs in _BOTH)


def has_classes(pattern: str, flags: int) -> bool:
    """Whether a pattern may match otherwise than in `re` for its classes; `flags` are those of the compiled one."""
    own_classes = regex.VERSION1 | regex.WORD  # asked for by name, and there is no such thing in `re`
    return not flags & own_classes and any(escape in pattern for escape in _ESCAPES)


def translated(pattern: str, flags: int) -> str:
    """The pattern with the classes of `re` in place of its own; `flags` are those of the compiled one."""
    return "".join(_pieces(pattern, _State(bool(flags & regex.ASCII), bool(flags & regex.VERBOSE))))


def _pieces(pattern: str, state: _State) -> Iterator[str]:
    states = [state]
    at = 0
    while at < len(pattern):
        piece = _piece(pattern, at, states[-1])
        at += len(piece)
        if piece.startswith("(") and not _COMMENT.match(piece):
            states.append(_inner(piece, states[-1]))
        elif piece == ")" and len(states) > 1:
            states.pop()
        ascii_only = states[-1].ascii
        if piece.startswith("[") and not ascii_only:
            yield _set(piece)
        else:
            yield _classes()[piece] if piece in _ESCAPES and not ascii_only else piece


def _piece(pattern: str, at: int, state: _State) -> str:
    """What begins at a position: an escape, a set, a comment, the beginning of a group, or a character."""
    char = pattern[at]
    if char == "\\":
        return pattern[at : at + 2]
    if char == "[":
        return pattern[at : _end_of_set(pattern, at)]
    if char == "#" and state.verbose:
        return pattern[at:].split("\n", 1)[0]
    if char == "(" and (match := _COMMENT.match(pattern, at) or _FLAGS.match(pattern, at)):
        return match[0]
    return char


def _inner(piece: str, outer: _State) -> _State:
    match = _FLAGS.match(piece)
    if match is None:
        return outer
    on, off = match[1], match[2] or ""
    return _State(
        ("a" in on or outer.ascii) and "u" not in on and "a" not in off,
        ("x" in on or outer.verbose) and "x" not in off,
    )


def _end_of_set(pattern: str, start: int) -> int:
    at = start + 1 + (pattern[start + 1] == "^")
    at += pattern[at] == "]"  # a first one is itself
    while pattern[at] != "]":
        posix = _POSIX.match(pattern, at)
        at = posix.end() if posix else at + 1 + (pattern[at] == "\\")
    return at + 1


def _set(piece: str) -> str:
    """A set without its classes, or one of them: a class of `re` is no list of characters that a set could hold."""
    negated = piece[1] == "^"
    parts = _IN_SET.findall(piece[1 + negated : -1])
    found = [part for part in parts if part in _IN_SETS]
    if not found:
        return piece
    alternatives = [_classes()[part] for part in dict.fromkeys(found)]
    if rest := _rest(parts):
        alternatives.append(f"[{rest}]")
    either = "|".join(alternatives)
    return f"(?s:(?!{either}).)" if negated else f"(?:{either})"


def _rest(parts: list[str]) -> str:
    """What is left of a set; a `-` beside a class is itself, and must not become a range of its neighbours."""
    rest = [
        rf"\{part}" if part == "-" and _IN_SETS.intersection(parts[max(index - 1, 0) : index + 2]) else part
        for index, part in enumerate(parts)
        if part not in _IN_SETS
    ]
    if rest and rest[0] == "^":
        rest[0] = r"\^"
    return "".join(rest)


def _characters() -> str:
    """All characters that can be in a class; in the other planes are private ones and none."""
    return "".join(map(chr, [*range(0x40000), *range(0xE0000, 0xE1000)]))


def _members(engine: str, pattern: str) -> frozenset[str]:
    findall = re.findall if engine == "re" else regex.findall
    return frozenset("".join(findall(f"(?:{pattern})+", _characters())))


@lru_cache(maxsize=1)
def _classes() -> dict[str, str]:
    """Of each escape, what stands for it: one character of that class, or a boundary."""
    found: dict[str, str] = {}
    for name, nearest in _NEAREST.items():
        found[rf"\{name}"] = one = _exactly(name, nearest)
        found[rf"\{name.upper()}"] = f"(?s:(?!{one}).)"
    word = found[r"\w"]
    found[r"\b"] = f"(?(?<={word})(?!{word})|(?={word}))"
    found[r"\B"] = f"(?(?<={word})(?={word})|(?!{word}))"
    return found


def _exactly(name: str, nearest: str) -> str:
    wanted, given = _members("re", rf"\{name}"), _members("regex", f"[{nearest}]")
    # Without regard to case: `re` asks for the character itself, and `regex` for all its forms.
    unwanted = f"(?![{_ranges(given - wanted)}])" if given - wanted else ""
    return f"(?-i:{unwanted}[{nearest}{_ranges(wanted - given)}])"


def _ranges(members: frozenset[str]) -> str:
    runs: list[list[int]] = []
    for code in sorted(map(ord, members)):
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in runs)
