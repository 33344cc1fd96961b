"""The metric that compares the calls of an answer with those that are expected."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple

from pydantic import Field

from themis_core import Generation, Item, Metric, Score

__all__ = ["Calls"]

MOST: Final = 200
"""Calls that are compared at the most: each is with each."""
DEEPEST: Final = 100
"""Levels of arguments that are compared."""


class Call(NamedTuple):
    """One call: `arguments` is None if they are no JSON object."""

    name: str
    arguments: dict[str, Any] | None


class Calls(Metric):
    """1 if the answer makes the calls that the reference says, and no others; else 0. Its text does not matter.

    With a parse that finds JSON, that is read in their place: some models write their calls as text.

    The reference is one call or a list of them, `{"name": ..., "arguments": {...}}` or in the form of providers, also
    as JSON text; an empty list says that nothing is to be called. Reasons: `no_reference`; `bad_reference` (no such
    calls); `too_large` (more than 200 calls).
    """

    runs_in: ClassVar[Literal["inline", "thread", "process"]] = "inline"

    arguments: Literal["equal", "contain", "ignored"] = Field(
        "equal",
        description="Whether arguments must be those of the reference, may have others beside them, or don't count.",
    )
    in_order: bool = Field(False, description="Whether the calls must come in the order of the reference.")
    partial: bool = Field(
        False, description="Score the share of the calls, expected and made, that are right, in the place of 0."
    )
    tolerance: float = Field(0.0, ge=0, description="Greatest difference of two numbers that counts as equal.")

    def unscorable(self, item: Item) -> str | None:
        if item.reference is None:
            return "no_reference"
        expected = _expected(item.reference)
        if expected is None:
            return "bad_reference"
        return "too_large" if len(expected) > MOST else None

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        said = _listed(value) if isinstance(value, list | dict) else generation.tool_calls
        expected, made = _expected(item.reference) or [], [_call(each) for each in said]
        if len(made) > MOST:
            return Score(reason="too_large")
        right = self._right(expected, made)
        every = max(len(expected), len(made))
        details = {} if right == every else {"called": [each.name for each in made], "right": right}
        if self.partial:
            return Score(right / every if every else 1.0, details=details)
        return Score(float(right == every), details=details)

    def empty(self, item: Item, generation: Generation) -> Score:
        return self.score(item, generation, "")

    def _right(self, expected: Sequence[Call], made: Sequence[Call]) -> int:
        """How many calls are right: each stands for one that is expected."""
        if self.in_order:
            return _longest(expected, made, self._fits)
        fitting = [[number for number, call in enumerate(made) if self._fits(each, call)] for each in expected]
        owner: dict[int, int] = {}
        return sum(_take(each, fitting, owner, set()) for each in range(len(expected)))

    def _fits(self, wanted: Call, made: Call) -> bool:
        if wanted.name != made.name:
            return False
        if self.arguments == "ignored":
            return True
        if wanted.arguments is None or made.arguments is None:
            return False
        return self._equal(wanted.arguments, made.arguments, 0)

    def _equal(self, wanted: Any, given: Any, depth: int) -> bool:
        if depth > DEEPEST:
            return False
        if isinstance(wanted, dict):
            if not isinstance(given, dict) or (self.arguments == "equal" and len(given) != len(wanted)):
                return False
            return all(name in given and self._equal(each, given[name], depth + 1) for name, each in wanted.items())
        if isinstance(wanted, list):
            if not isinstance(given, list) or len(given) != len(wanted):
                return False
            return all(self._equal(one, other, depth + 1) for one, other in zip(wanted, given, strict=True))
        if isinstance(wanted, bool) or isinstance(given, bool):
            return given is wanted
        if isinstance(wanted, int | float) and isinstance(given, int | float):
            return given == wanted or self._is_near(wanted, given)
        return type(given) is type(wanted) and bool(given == wanted)

    def _is_near(self, wanted: float, given: float) -> bool:
        try:
            return self.tolerance > 0 and abs(given - wanted) <= self.tolerance
        except OverflowError:  # a whole number beyond doubles
            return False


def _take(wanted: int, fitting: Sequence[Sequence[int]], owner: dict[int, int], tried: set[int]) -> bool:
    """Give an expected call one of those that fit, moving others on where they can (Kuhn 1955)."""
    for made in fitting[wanted]:
        if made not in tried:
            tried.add(made)
            if made not in owner or _take(owner[made], fitting, owner, tried):
                owner[made] = wanted
                return True
    return False


def _longest(expected: Sequence[Call], made: Sequence[Call], fits: Any) -> int:
    """How many calls of both come in the same order (longest common subsequence)."""
    row = [0] * (len(made) + 1)
    for wanted in expected:
        before = row
        row = [0]
        for number, call in enumerate(made):
            row.append(before[number] + 1 if fits(wanted, call) else max(before[number + 1], row[number]))
    return row[-1]


def _expected(reference: Any) -> list[Call] | None:
    """The calls of a reference; None if it has others than calls."""
    if isinstance(reference, str):
        try:
            reference = json.loads(reference)
        except (ValueError, RecursionError):
            return None
    calls = [_call(each) for each in _listed(reference)]
    return calls if all(each.name and each.arguments is not None for each in calls) else None


def _listed(calls: Any) -> list[Any]:
    """The calls of a list, of one alone, or of a message that has them as `tool_calls`."""
    if isinstance(calls, dict) and isinstance(calls.get("tool_calls"), list):
        calls = calls["tool_calls"]
    return calls if isinstance(calls, list) else [calls]


def _call(given: Any) -> Call:
    """A call in any of the forms in which calls are written."""
    inner = given.get("function", given) if isinstance(given, Mapping) else {}
    if not isinstance(inner, Mapping):
        return Call("", None)
    name = inner.get("name")
    arguments: Any = next((inner[key] for key in ("arguments", "args", "input", "parameters") if key in inner), {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            arguments = None
    return Call(name if isinstance(name, str) else "", arguments if isinstance(arguments, dict) else None)
