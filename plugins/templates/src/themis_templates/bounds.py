"""How much one rendering of a template may do and make, counted while it goes on.

It knows no template: the sandbox tells it of each step, and of what is made.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping, Sequence, Set, Sized, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from types import GeneratorType
from typing import Any

from jinja2 import TemplateRuntimeError, Undefined

__all__ = ["TooMuch", "check_arguments", "check_operation", "counting", "length_of", "looped", "made", "meter"]

MAX_CHARACTERS = 100_000_000
"""Characters that one rendering may make, intermediate texts included; an element of a list counts as eight."""
MAX_STEPS = 1_000_000
"""Rounds of loops, calls, filters and tests of one rendering."""
MAX_SECONDS = 3.0
"""Of CPU, for one rendering: comparisons of long lists cost few steps and much time."""
MAX_NUMBER = 1_000_000
"""The largest number that a filter or method takes as an argument: widths, lengths and counts."""
MAX_BITS = 1_000_000
"""Of a whole number that a template computes."""

_WIDTHS = re.compile(r"\d+")


class TooMuch(TemplateRuntimeError):
    """The template would make or do more than is allowed."""


class Meter:
    """What one rendering has done so far."""

    def __init__(self) -> None:
        self.steps = 0
        self.characters = 0
        self._begun: float | None = None
        """When it took its first step: most take none, and the clock takes as long as a small template does."""
        self._look_at = 1

    def step(self, count: int = 1) -> None:
        self.steps += count
        if self.steps >= self._look_at:
            self._look()

    def _look(self) -> None:
        self._look_at = self.steps + 256
        now = time.thread_time()
        if self._begun is None:
            self._begun = now
        if self.steps > MAX_STEPS:
            raise TooMuch(f"it takes more than {MAX_STEPS:,} steps (rounds of loops, calls, filters)")
        if now - self._begun > MAX_SECONDS:
            raise TooMuch(f"it takes more than {MAX_SECONDS:g} s")

    def make(self, characters: int) -> None:
        self.characters += characters
        if self.characters > MAX_CHARACTERS:
            raise TooMuch(f"it makes more than {MAX_CHARACTERS:,} characters")


_current: ContextVar[Meter] = ContextVar("themis_template_meter")
meter = _current.get
"""Return the count of the rendering that is going on."""


@contextmanager
def counting() -> Iterator[None]:
    """Count what one rendering does, from nothing; each rendering needs a count of its own."""
    token = _current.set(Meter())
    try:
        yield
    finally:
        _current.reset(token)


def made(value: Any) -> Any:
    """Count what came to be; what would be worked out later, or printed as an object, becomes a list."""
    if isinstance(value, str):
        meter().make(len(value))
    elif isinstance(value, list | tuple | dict):
        meter().make(8 * len(value))
    elif isinstance(value, GeneratorType | KeysView | ValuesView | Set) and not isinstance(value, set | frozenset):
        return made(list(looped(value)))
    return value


def looped(values: Any, literal: int = 0) -> Any:
    """What a loop goes through, each round counted as a step and for the text that the template has in it."""
    count = meter()
    if isinstance(values, Sized) and not isinstance(values, Undefined):
        count.step(len(values))
        count.make(literal * len(values))
        return values
    return _one_by_one(values, count, literal)


def _one_by_one(values: Iterable[Any], count: Meter, literal: int) -> Iterator[Any]:
    for value in values:
        count.step()
        count.make(literal)
        yield value


def length_of(value: Any) -> int:
    """About how many characters a value has as a text, what it holds included."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return 4 + sum(length_of(name) + length_of(each) + 4 for name, each in looped(value.items()))
    if isinstance(value, list | tuple | set | frozenset):
        return 2 + sum(length_of(each) + 4 for each in looped(value))
    return 8


def check_arguments(name: str, value: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse a filter or method whose result would be too long, before it is made."""
    given = [*args, *kwargs.values()]
    for each in given:
        if isinstance(each, int) and abs(each) > MAX_NUMBER:
            raise TooMuch(f"{name} is given a number greater than {MAX_NUMBER:,}")
    estimate = _ESTIMATES.get(name)
    if estimate is not None and meter().characters + estimate(value, given) > MAX_CHARACTERS:
        raise TooMuch(f"{name} would make more than {MAX_CHARACTERS:,} characters")


def check_operation(operator: str, left: Any, right: Any) -> None:
    if operator == "%":
        if isinstance(left, str):
            check_arguments("%", left, [right], {})
    elif isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
        if bits > MAX_BITS:
            raise TooMuch(f"a number of more than {MAX_BITS:,} bits")
    elif operator == "*":
        times, what = (left, right) if isinstance(left, int) else (right, left)
        if isinstance(times, int) and isinstance(what, Sized):
            unit = 1 if isinstance(what, str) else 8
            if times * len(what) * unit > MAX_CHARACTERS:
                raise TooMuch(f"a repetition of more than {MAX_CHARACTERS:,} characters")


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _longest(given: Sequence[Any]) -> int:
    return max((length_of(each) for each in given), default=0)


def _of_replace(value: Any, given: Sequence[Any]) -> int:
    text, (old, new) = _as_text(value), (*map(_as_text, given[:2]), "", "")[:2]
    return len(text) + text.count(old) * len(new)


def _of_join(value: Any, given: Sequence[Any]) -> int:
    # "sep".join(list) as a method, list|join("sep") as a filter
    separator, parts = (value, given[0]) if isinstance(value, str) and given else (_as_text((*given, "")[0]), value)
    count = len(parts) if isinstance(parts, Sized) else 0
    return length_of(parts) + count * len(separator)


def _of_format(value: Any, given: Sequence[Any]) -> int:
    text = _as_text(value)
    fields = text.count("%") + text.count("{")
    widths = sum(int(width[:12]) for width in _WIDTHS.findall(text))
    if "*" in text or "{:{" in text:  # widths that are arguments
        widths += fields * sum(abs(each) for each in _flat(given) if isinstance(each, int))
    return len(text) + widths + fields * length_of(list(given))


def _flat(given: Iterable[Any]) -> Iterator[Any]:
    for each in given:
        yield from each if isinstance(each, tuple) else (each,)


def _per(unit: str) -> Callable[[Any, Sequence[Any]], int]:
    """For what puts an argument, or so many blanks, at each occurrence of a text."""

    def estimate(value: Any, given: Sequence[Any]) -> int:
        text = _as_text(value)
        number = max((each for each in given if isinstance(each, int)), default=8)
        return len(text) + (text.count(unit) + 1) * max(number, _longest(given))

    return estimate


def _everywhere(value: Any, given: Sequence[Any]) -> int:
    return (length_of(value) + 1) * (_longest(given) + 1) if given else length_of(value)


_ESTIMATES: Mapping[str, Callable[[Any, Sequence[Any]], int]] = {
    "%": _of_format,
    "expandtabs": _per("\t"),
    "format": _of_format,
    "format_map": _of_format,
    "indent": _per("\n"),
    "join": _of_join,
    "pprint": lambda value, given: length_of(value),
    "replace": _of_replace,
    "string": lambda value, given: length_of(value),
    "sum": lambda value, given: length_of(value),
    "translate": _everywhere,
    "urlize": lambda value, given: 3 * length_of(value) + _as_text(value).count("/") * _longest(given),
    "wordwrap": lambda value, given: length_of(value) * (1 + _longest(list(map(_as_text, given)))),
}
"""Filters and methods that make more than they are given: at most so many characters."""
