"""What code under evaluation tells of the steps by which it comes to its answer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from numbers import Integral, Real
from typing import Any, Final, get_args

from themis_core import Step, StepKind, Usage

__all__ = ["Steps", "plain"]

_KINDS: Final = get_args(StepKind)
DEEPEST: Final = 60
"""Levels of nesting that are kept; beneath, there is text."""
LONGEST_TEXT: Final = 1_000_000
"""Characters of a text that stands for what JSON can't say."""


@dataclass
class Doing:
    """A step under way: set what came of it."""

    output: Any = None
    cost: float | None = None
    usage: Usage | Mapping[str, int] | None = None
    error: str | None = None


class Steps:
    """The steps of one call, in the order in which they end. What JSON can't say is kept as text."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def add(
        self,
        kind: StepKind,
        name: str = "",
        input: Any = None,  # noqa: A002 - the name of the field
        output: Any = None,
        *,
        seconds: float | None = None,
        cost: float | None = None,
        usage: Usage | Mapping[str, int] | None = None,
        error: str | None = None,
    ) -> None:
        """Tell of a step that was done: a tool call, a retrieval, a model's answer, a message or another.

        Raises ValueError for another kind.
        """
        if kind not in _KINDS:
            raise ValueError(f"a step has the kind {kind!r:.60}, not one of {', '.join(_KINDS)}")
        counts = usage if isinstance(usage, Usage) else Usage(**(usage or {}))
        told = None if error is None else str(error)
        self._steps.append(Step(kind, str(name), plain(input), plain(output), seconds, cost, counts, told))

    @contextmanager
    def step(self, kind: StepKind, name: str = "", input: Any = None) -> Iterator[Doing]:  # noqa: A002
        """Do a step: its time is measured, and what it raises is told and goes on.

        with steps.step("retrieval", "index", question) as step:
            step.output = search(question)
        """
        doing, begun = Doing(), time.perf_counter()
        try:
            yield doing
        except BaseException as error:
            doing.error = doing.error or f"{type(error).__name__}: {error}"
            raise
        finally:
            seconds = time.perf_counter() - begun
            self.add(
                kind, name, input, doing.output, seconds=seconds, cost=doing.cost, usage=doing.usage, error=doing.error
            )

    @property
    def done(self) -> tuple[Step, ...]:
        """The steps so far."""
        return tuple(self._steps)


def plain(value: Any, depth: int = 0) -> Any:
    """JSON-like data for any value: numbers of other libraries become Python's, dataclasses and models dicts, sets
    lists, and all else its text."""
    if value is None or type(value) in (str, bool, int):
        return value
    if isinstance(value, float) or (isinstance(value, Real) and not isinstance(value, Integral)):
        number = float(value)
        return number if math.isfinite(number) else str(number)
    if isinstance(value, Integral):
        return int(value)
    if depth >= DEEPEST:
        return _text(value)
    if isinstance(value, Mapping):
        return {str(key): plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each, depth + 1) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value), depth + 1)
    dumped = getattr(value, "model_dump", None)  # of pydantic, which need not be what the code uses
    if callable(dumped) and not isinstance(value, type):
        return plain(dumped(), depth + 1)
    return _text(value)


def _text(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
