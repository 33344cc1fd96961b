"""What the worker does for one request: reads the reference and the answer, and compares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sympy import Integer, Rational

from themis_plugin_math.equality import Comparison
from themis_plugin_math.tokens import Unreadable, boxes
from themis_plugin_math.values import Value, read_value

__all__ = ["answered"]


def answered(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return `equal`, or which side is `unread` and `why`. Without an answer, only the reference is read."""
    percent = Rational(1, 100) if request["percent_as_fraction"] else Integer(1)
    try:
        reference = _read(request["reference"], percent)[-1]
    except (Unreadable, RecursionError) as error:
        return {"unread": "reference", "why": _why(error)}
    if request["answer"] is None:
        return {"equal": True}
    comparison = _comparison(request)
    try:
        values = _read(request["answer"], percent)
        equal = [comparison.equal(reference, value) for value in values]
    except (Unreadable, RecursionError) as error:
        return {"unread": "answer", "why": _why(error)}
    if any(equal) and not all(equal):
        return {"unread": "answer", "why": "several boxes with different values"}
    return {"equal": all(equal)}


def _read(text: str, percent: Any) -> list[Value]:
    return [read_value(each, percent=percent) for each in boxes(text)]


def _comparison(request: Mapping[str, Any]) -> Comparison:
    digits = 50 + len(request["reference"]) + min(len(request["answer"]), 2_000)
    return Comparison(digits, Rational(request["tolerance"]), Rational(request["relative_tolerance"]))


def _why(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)
