"""Conditions that are the same whatever they are about: slips which compile, and would change results in silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jinja2 import nodes

__all__ = ["slip"]

_CASES = ("lower", "upper")


def slip(condition: nodes.Expr) -> str | None:
    """What is wrong with a condition, if it is one of the usual slips; None if it is none."""
    for part in _parts(condition):
        if isinstance(part, nodes.Const) and isinstance(part.value, str) and part is not condition:
            return (
                f"{part.value!r} stands by itself, and so is always the same: say of each text what it is looked for "
                "in, as in: 'yes' in answer or 'no' in answer"
            )
    for compare in (condition, *condition.find_all(nodes.Compare)):
        for text, case in _compared(compare) if isinstance(compare, nodes.Compare) else ():
            if text != getattr(text, case)():
                return f"{text!r} is never in a text that `{case}` made: write {getattr(text, case)()!r}"
    return None


def _parts(condition: nodes.Expr) -> Iterator[nodes.Expr]:
    """The conditions that are put together by `and`, `or` and `not`, and the whole."""
    yield condition
    if isinstance(condition, nodes.And | nodes.Or):
        yield from _parts(condition.left)
        yield from _parts(condition.right)
    elif isinstance(condition, nodes.Not):
        yield from _parts(condition.node)


def _compared(compare: nodes.Compare) -> Iterator[tuple[str, str]]:
    """The texts that a comparison has on one side, each with the case that the other side is made to have."""
    left: nodes.Expr = compare.expr
    for operand in compare.ops:
        pairs = [(left, operand.expr)]
        if operand.op in ("eq", "ne"):
            pairs.append((operand.expr, left))
        elif operand.op not in ("in", "notin"):
            pairs = []
        for text, other in pairs:
            if isinstance(text, nodes.Const) and isinstance(text.value, str) and (case := _case_of(other)):
                yield text.value, case
        left = operand.expr


def _case_of(value: Any) -> str | None:
    if isinstance(value, nodes.Filter) and value.name in _CASES:
        return value.name
    if isinstance(value, nodes.Call) and isinstance(value.node, nodes.Getattr) and value.node.attr in _CASES:
        return value.node.attr
    return None
