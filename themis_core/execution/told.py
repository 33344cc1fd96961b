"""What an application says of its answer, in a dict, as a generation. It knows no way by which that came."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, Final

from themis_core.errors import EngineError
from themis_core.execution.returned import as_generation
from themis_core.execution.steps import as_steps
from themis_core.records import Generation, Step, Usage

__all__ = ["failure_with_steps", "generation_of"]

_OF_RUN: Final = frozenset({"attempts", "conversation", "error", "error_code", "steps_left_out"})
"""What the run itself says."""
_FIELDS: Final = tuple(each.name for each in fields(Generation) if each.name not in _OF_RUN)
_STATUSES: Final = ("answered", "empty", "refused", "truncated")
_COUNTS: Final = tuple(each.name for each in fields(Usage))


def generation_of(values: Mapping[str, Any]) -> Generation:
    """The generation of an answer that an application tells as a dict of its fields, checked as a whole.

    `text` is needed. Without `status` it is refused if there is a refusal, empty if there is neither text nor a tool
    call, and answered otherwise. Without `cost` or `usage` those of its steps are summed up, unless a `model` step
    lacks what another one tells: the sum is unknown then. Raises TypeError or ValueError that name the field.
    """
    if unknown := [name for name in values if name not in _FIELDS]:
        raise ValueError(f"it has the key {unknown[0]!r:.60}; known: {', '.join(_FIELDS)}")
    if "text" not in values:
        raise ValueError("it has no key 'text'")
    if not isinstance(values["text"], str):
        raise TypeError(f"its 'text' is {type(values['text']).__name__}, not a text")
    told = {name: value for name, value in values.items() if value is not None and name != "usage"}
    told["usage"] = _usage(values.get("usage"))
    told.setdefault("status", _status(told))
    if told["status"] not in _STATUSES:
        raise ValueError(f"its status is {told['status']!r:.60}, not one of {', '.join(_STATUSES)}")
    steps, _ = as_steps(told.get("steps", ()), "Generation.steps")
    if "cost" not in told:
        told["cost"] = _sum(steps, attrgetter("cost"))
    if told["usage"] == Usage():
        told["usage"] = Usage(**{name: _sum(steps, attrgetter(f"usage.{name}")) for name in _COUNTS})
    return as_generation(Generation(**told))


def failure_with_steps(
    code: str, message: str, values: Mapping[str, Any], *, retryable: bool = False, **more: Any
) -> EngineError:
    """The error of an application that failed and tells what it had done: its `steps`, `cost` and `usage`.

    Cost and usage are summed up as those of an answer are. `more` are further fields of EngineError. Raises TypeError
    or ValueError.
    """
    told = {name: values.get(name) for name in ("steps", "cost", "usage")}
    done = generation_of({"text": "", **told})
    usage = None if done.usage == Usage() else done.usage
    steps = tuple(told["steps"] or ())
    return EngineError(code, message, retryable=retryable, usage=usage, cost=done.cost, steps=steps, **more)


def _usage(usage: Any) -> Usage:
    if isinstance(usage, Usage):
        return usage
    if usage is None:
        return Usage()
    if not isinstance(usage, Mapping):
        raise TypeError(f"its usage is {type(usage).__name__}, not an object with {', '.join(_COUNTS)}")
    if unknown := [name for name in usage if name not in _COUNTS]:
        raise ValueError(f"its usage has {unknown[0]!r:.60}; known: {', '.join(_COUNTS)}")
    return Usage(**usage)


def _status(told: Mapping[str, Any]) -> str:
    if told.get("refusal"):
        return "refused"
    return "answered" if told["text"].strip() or told.get("tool_calls") else "empty"


def _sum(steps: Sequence[Step], tell: Callable[[Step], Any]) -> Any:
    """The sum of what steps tell; None if none does, or if a model was asked and its step does not."""
    known = [value for step in steps if (value := tell(step)) is not None]
    lacking = any(step.kind == "model" and tell(step) is None for step in steps)
    return sum(known) if known and not lacking else None
