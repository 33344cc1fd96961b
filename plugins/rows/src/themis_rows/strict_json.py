"""JSON without the doubts: duplicate keys, NaN, infinities and bottomless nesting are errors."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, Final, NoReturn

__all__ = ["DECODER", "MAX_DEPTH", "NAN_IS_NULL", "NAN_STAYS", "check_depth", "problem", "type_name"]

MAX_DEPTH: Final = 200
"""Most lists and objects around a value; as in spec files."""


class _Refused(ValueError):
    """What is JSON, but leaves doubts."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # A hook for every object costs some 0.3 µs. Looking for duplicates only where they are likely would be no
    # cheaper, because the decoder itself forgets them.
    data = dict(pairs)
    if len(data) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in data if names.count(name) > 1)
        raise _Refused(f"the key {twice!r} is there twice")
    return data


def _number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        _constant(text)
    return value


def _constant(text: str) -> NoReturn:
    raise _Refused(f"{text if len(text) < 30 else text[:27] + '...'} is not a finite number; write null or text")


DECODER: Final = json.JSONDecoder(object_pairs_hook=_members, parse_float=_number, parse_constant=_constant)
"""Raises ValueError or RecursionError, which `problem` puts into words."""


NAN_IS_NULL: Final = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_float=lambda text: value if isfinite(value := float(text)) else None,
    parse_constant=lambda text: None,
)
"""The same with null for what is no finite number."""

NAN_STAYS: Final = json.JSONDecoder(object_pairs_hook=_members)
"""The same with what is no finite number as it is."""


def check_depth(value: Any, brackets: int) -> None:
    """Raise ValueError if the value is nested too deep; `brackets` opening ones are in its text.

    With few brackets nothing can be deep, so that ordinary rows are not walked through.
    """
    if brackets <= MAX_DEPTH:
        return
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise RecursionError


def problem(error: Exception) -> str:
    """What to tell a person about an error of `DECODER` or `check_depth`."""
    if isinstance(error, RecursionError):
        return f"nested more than {MAX_DEPTH} levels deep"
    if isinstance(error, json.JSONDecodeError):
        return f"no valid JSON: {error.msg} (column {error.colno})"
    # Python's decoder itself raises a bare ValueError for one thing only: whole numbers that are too long for it.
    return "a number has too many digits" if type(error) is ValueError else str(error)


def type_name(value: Any) -> str:
    """The JSON name of a value's type, with its article."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
