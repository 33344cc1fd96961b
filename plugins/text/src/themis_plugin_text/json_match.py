"""The metric that compares JSON values."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from pydantic import Field

from themis_core import Generation, Item, Score
from themis_plugin_text.references import BAD_REFERENCE, CORRECT, WRONG, ReferenceMetric

__all__ = ["JsonMatch"]

_MAX_PAIRS: Final = 1_000_000


class JsonMatch(ReferenceMetric):
    """1 if the answer equals the reference as JSON, else 0; with `per_field` the share of fields that are equal.

    1 equals 1.0, but not true. A text answer is read as JSON (let `extract/json` find it in prose first), and one that
    is none scores 0; a text reference is read as JSON if it is some, and is a JSON string otherwise. Reasons:
    `too_deep`; `too_large` (with `ignore_order`, over a million pairs of values to compare); `bad_reference`
    (`keys` or `per_field` with a reference that is no mapping, or one without fields).
    """

    ignore_order: bool = Field(False, description="Compare lists as bags: same elements as often, in any order.")
    ignore_extra_keys: bool = Field(False, description="Keys that the reference lacks don't count, at any depth.")
    tolerance: float = Field(0.0, ge=0, description="Greatest difference of two numbers that counts as equal.")
    keys: tuple[str, ...] | None = Field(None, min_length=1, description="Top-level keys to compare; by default all.")
    per_field: bool = Field(False, description="Score the share of the reference's top-level keys that are equal.")

    def problem(self, reference: Any) -> str | None:
        try:
            json.dumps(wanted := _read(reference))
        except RecursionError:
            return "too_deep"
        except (TypeError, ValueError):
            return BAD_REFERENCE
        if self.keys is None and not self.per_field:
            return None
        names = self._names(wanted)
        return None if isinstance(wanted, dict) and names and set(names) <= set(wanted) else BAD_REFERENCE

    def empty(self, item: Item, generation: Generation) -> Score:
        return self.compare("", item.reference)

    def compare(self, value: Any, reference: Any) -> Score:
        try:
            answer, wanted = _read(value), _read(reference)
            if self.ignore_order and _size(answer) * _size(wanted) > _MAX_PAIRS:
                return Score(reason="too_large")
            return self._score(answer, wanted)
        except RecursionError:
            return Score(reason="too_deep")

    def _score(self, answer: Any, wanted: Any) -> Score:
        if self.keys is None and not self.per_field:
            return CORRECT if self._equal(answer, wanted) else WRONG
        names = self._names(wanted)
        given = answer if isinstance(answer, dict) else {}
        wrong = [name for name in names if not (name in given and self._equal(given[name], wanted[name]))]
        if self.per_field:
            return Score(1 - len(wrong) / len(names), details={"wrong": wrong} if wrong else {})
        return WRONG if wrong else CORRECT

    def _names(self, wanted: Any) -> tuple[str, ...]:
        return self.keys or (tuple(wanted) if isinstance(wanted, dict) else ())

    def _equal(self, answer: Any, wanted: Any) -> bool:
        if isinstance(wanted, dict):
            return isinstance(answer, dict) and self._equal_objects(answer, wanted)
        if isinstance(wanted, list):
            if not isinstance(answer, list) or len(answer) != len(wanted):
                return False
            if self.ignore_order:
                return _pair_up(answer, wanted, self._equal)
            return all(map(self._equal, answer, wanted))
        if isinstance(wanted, bool) or isinstance(answer, bool):
            return answer is wanted
        if isinstance(wanted, (int, float)) and isinstance(answer, (int, float)):
            return answer == wanted or self._within_tolerance(answer, wanted)
        return type(answer) is type(wanted) and bool(answer == wanted)

    def _equal_objects(self, answer: dict[str, Any], wanted: dict[str, Any]) -> bool:
        if not self.ignore_extra_keys and len(answer) != len(wanted):
            return False
        return all(name in answer and self._equal(answer[name], wanted[name]) for name in wanted)

    def _within_tolerance(self, answer: float, wanted: float) -> bool:
        try:
            return self.tolerance > 0 and abs(answer - wanted) <= self.tolerance
        except OverflowError:  # an int beyond doubles against a float
            return False


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, strict=False)
    except ValueError:
        return value


def _size(value: Any) -> int:
    """How many values there are in a value, itself included."""
    count, waiting = 0, [value]
    while waiting:
        each = waiting.pop()
        count += 1
        if isinstance(each, (dict, list)):
            waiting.extend(each.values() if isinstance(each, dict) else each)
    return count


def _pair_up(answers: list[Any], wanted: list[Any], equal: Callable[[Any, Any], bool]) -> bool:
    """Say whether each wanted element can have an equal answer of its own (Kuhn 1955: augmenting paths).

    First come, first served would fail where equality is not transitive, as with a tolerance: 1.0 may be needed for 1.1
    although it equals 0.9 as well.
    """
    candidates = [[i for i, answer in enumerate(answers) if equal(answer, each)] for each in wanted]
    owner: dict[int, int] = {}
    for start in range(len(wanted)):
        came_from: dict[int, int] = {}
        queue, free = [start], None
        for each in queue:  # breadth first, and it grows: recursion would be as deep as the list is long
            for i in candidates[each]:
                if i in came_from:
                    continue
                came_from[i] = each
                if i not in owner:
                    free = i
                    break
                queue.append(owner[i])
            if free is not None:
                break
        if free is None:
            return False
        _reassign(owner, came_from, start, free)
    return True


def _reassign(owner: dict[int, int], came_from: dict[int, int], start: int, answer: int) -> None:
    """Hand the answers along the path from `start` on, each to the element that found it."""
    taken_by = {element: answer for answer, element in owner.items()}
    while True:
        element = came_from[answer]
        previous = taken_by.get(element)
        owner[answer] = element
        if element == start or previous is None:
            return
        answer = previous
