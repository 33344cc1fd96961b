"""Templates of names and simple conditions, as most are, put together without Jinja2 in a tenth of its time.

    {{ name }}  {{ name.field }}  {{ name["field"] }}  {% if name %} ... {% else %} ... {% endif %}

It gives what Jinja2 would give. What it is not sure of, and what is wrong, is Jinja2's to do and to tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from keyword import iskeyword
from typing import Any, Final, NamedTuple

__all__ = ["Parts", "joined", "parts_of"]


class _Value(NamedTuple):
    """What a variable holds, or a field of it."""

    name: str
    field: str | None


class _Choice(NamedTuple):
    name: str
    held: list[Any]
    """The parts that stand there if the variable is true, and those if it is not."""
    not_held: list[Any]


Parts = Sequence[str | _Value | _Choice]

_TAG: Final = re.compile(
    r"""(?x)
    \{\{ (?P<strips>-?) \s* (?P<name>[A-Za-z_][A-Za-z0-9_]*)
         (?: \.(?P<field>[A-Za-z_][A-Za-z0-9_]*) | \[ \s* (?P<quote>["']) (?P<key>[^"'\\]*) (?P=quote) \s* \] )? \s*
         (?: \}\} | -\}\} \s* )
    | \{% (?P<strips_too>-?) \s* (?P<word> if | else | endif ) (?: (?<=if) \s+ (?P<tested>[A-Za-z_][A-Za-z0-9_]*) )? \s*
         (?: %\} | -%\} \s* )
    """
)
_OPENS: Final = re.compile(r"\{[{%#]|\{\Z")
"""What begins a tag of Jinja2's, also together with the tag that follows."""
_OF_JINJA: Final = frozenset({"true", "false", "none", "self", "super"})
"""Names that stand for something whatever the variables are called."""
_TESTED: Final = frozenset({str, bool, int, type(None), list, dict})
_LARGEST: Final = 10**18
_DEEPEST: Final = 50


def parts_of(text: str) -> Parts | None:
    """The parts of a template; None if there is more to it than names and simple conditions."""
    parts: list[Any] = []
    around: list[tuple[list[Any], _Choice]] = []
    at = 0
    for tag in _TAG.finditer(text):
        literal, at = text[at : tag.start()], tag.end()
        name, word = tag["name"] or tag["tested"] or "", tag["word"]
        if _OPENS.search(literal) or iskeyword(name) or name in _OF_JINJA or (word == "if") != bool(tag["tested"]):
            return None
        parts.append(literal.rstrip() if tag["strips"] or tag["strips_too"] else literal)
        if word == "if" and len(around) < _DEEPEST:
            choice = _Choice(name, [], [])
            parts.append(choice)
            around.append((parts, choice))
            parts = choice.held
        elif word == "else" and around and parts is around[-1][1].held:
            parts = around[-1][1].not_held
        elif word == "endif" and around:
            parts, _ = around.pop()
        elif word:
            return None
        else:
            parts.append(_Value(name, tag["field"] if tag["key"] is None else tag["key"]))
    if around or _OPENS.search(text, at):
        return None
    return [*parts, text[at:]]


def joined(parts: Parts, context: Mapping[str, Any]) -> str | None:
    """What Jinja2 would give; None if a value is missing or is neither a text nor a whole number of 18 digits."""
    texts: list[str] = []
    return "".join(texts) if _add(parts, context, texts) else None


def _add(parts: Parts, context: Mapping[str, Any], texts: list[str]) -> bool:
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, _Choice):
            value = context.get(part.name, parts)
            if type(value) not in _TESTED or value is parts:
                return False
            if not _add(part.held if value else part.not_held, context, texts):
                return False
        else:
            value = context.get(part.name)
            if part.field is not None:
                value = value.get(part.field) if type(value) is dict else None
            if type(value) is int and -_LARGEST < value < _LARGEST:
                value = str(value)
            if type(value) is not str:
                return False
            texts.append(value)
    return True
