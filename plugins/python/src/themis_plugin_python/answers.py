"""What code under evaluation returns and raises, as plain data that can cross processes."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from themis_core import EngineError, Generation, Step, Usage
from themis_plugin_python.steps import Steps, plain

__all__ = ["answer_of", "failure_of", "joined_piece", "told_place"]

_OF_RUN: Final = frozenset({"attempts", "steps_left_out"})
"""What the run itself counts."""
_FIELDS: Final = tuple(each.name for each in fields(Generation) if each.name not in _OF_RUN)
_COUNTS: Final = tuple(each.name for each in fields(Usage))


def answer_of(returned: Any, steps: Steps) -> dict[str, Any]:
    """The fields of a generation, as plain data. Raises TypeError or ValueError that says what was returned."""
    if isinstance(returned, str):
        values: dict[str, Any] = {"text": str.__str__(returned)}
    elif isinstance(returned, Generation):
        values = _of_generation(returned)
    elif isinstance(returned, Mapping):
        values = _of_mapping(returned)
    else:
        kind = "None" if returned is None else type(returned).__name__
        raise TypeError(f"it returned {kind}, not a text, a dict with the key 'text', or a Generation")
    of_answer = values.pop("steps", None) or ()
    values = {name: value if name == "text" else plain(value) for name, value in values.items()}
    told = [*steps.done, *of_answer]
    values["steps"] = [_step(each) for each in told]
    values.setdefault("status", _status(values))
    if values.get("cost") is None:
        values["cost"] = _sum([each.get("cost") for each in values["steps"]])
    if not values.get("usage"):
        values["usage"] = _used([each.get("usage") or {} for each in values["steps"]])
    return values


def _of_generation(generation: Generation) -> dict[str, Any]:
    if generation.status == "failed":
        raise EngineError(
            generation.error_code or "application_error", generation.error or "it returned a failed Generation"
        )
    if not isinstance(generation.text, str):
        raise TypeError(f"Generation.text is {type(generation.text).__name__}, not a text")
    values = {name: getattr(generation, name) for name in _FIELDS}
    values["usage"] = _counts(values["usage"])
    return values


def _counts(usage: Any) -> Any:
    """A usage as a dict of the counts that are known; what is none stays as it is, for the run to refuse."""
    if not isinstance(usage, Usage):
        return usage
    return {name: count for name in _COUNTS if (count := getattr(usage, name)) is not None}


def _of_mapping(returned: Mapping[Any, Any]) -> dict[str, Any]:
    allowed = [name for name in _FIELDS if name not in ("error", "error_code")]
    if unknown := [name for name in returned if name not in allowed]:
        raise ValueError(f"it returned a dict with the key {unknown[0]!r:.60}; known: {', '.join(allowed)}")
    if "text" not in returned:
        raise ValueError("it returned a dict without the key 'text'")
    if not isinstance(returned["text"], str):
        raise TypeError(f"it returned a dict whose 'text' is {type(returned['text']).__name__}, not a text")
    values = dict(returned)
    values["usage"] = usage = _counts(values.get("usage"))
    if isinstance(usage, Mapping) and (unknown := [name for name in usage if name not in _COUNTS]):
        raise ValueError(f"it returned a dict whose usage has {unknown[0]!r:.60}; known: {', '.join(_COUNTS)}")
    return values


def _status(values: Mapping[str, Any]) -> str:
    if values.get("refusal"):
        return "refused"
    return "answered" if values["text"].strip() or values.get("tool_calls") else "empty"


def _step(step: Any) -> Any:
    """A step as a dict of its fields; of what is none, what the run refuses by its name."""
    if isinstance(step, Step):
        names = [each.name for each in fields(Step) if each.name not in ("usage", "left_out")]
        return {**{name: plain(getattr(step, name)) for name in names}, "usage": plain(_counts(step.usage))}
    return plain(step)


def _sum(costs: Iterable[Any]) -> float | None:
    """Of those that are known; None if none is."""
    known = [each for each in costs if isinstance(each, int | float)]
    return sum(known) if known else None


def _used(usages: Sequence[Any]) -> dict[str, int]:
    total: dict[str, int] = {}
    for usage in usages:
        for name, count in usage.items() if isinstance(usage, dict) else ():
            if isinstance(count, int):
                total[name] = total.get(name, 0) + count
    return total


def joined_piece(piece: Any, steps: Steps) -> str:
    """The text of what a generator yielded; a step that it yielded joins the others. Raises TypeError."""
    if isinstance(piece, Step):
        steps.add(
            piece.kind, piece.name, piece.input, piece.output,
            seconds=piece.seconds, cost=piece.cost, usage=piece.usage, error=piece.error,
        )  # fmt: skip
        return ""
    if not isinstance(piece, str):
        raise TypeError(f"it yielded {type(piece).__name__}, not pieces of text or a Step")
    return piece


def failure_of(error: BaseException, folder: str, retry_on: Sequence[str]) -> dict[str, Any]:
    """The fields of an EngineError: the code's own, or one that says type, text and place of what it raised."""
    if isinstance(error, EngineError):
        names = ("retryable", "retry_after", "status", "unknown_outcome")
        return {
            "code": error.code,
            "message": str(error.message),
            **{name: plain(getattr(error, name, None)) for name in names},
        }
    name = type(error).__name__
    message = f"{name}: {text}" if (text := _text(error)) else name
    where = told_place(error, folder)
    return {"code": "application_error", "message": f"{message}{where}", "retryable": _is_named(error, retry_on)}


def told_place(error: BaseException, folder: str) -> str:
    """The last line of the user's own code on the way to an error, such as ` (app.py:17, in answer)`."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if Path(each.filename).is_relative_to(folder)]
    if not own:
        return ""
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno}, in {own[-1].name})"


def _is_named(error: BaseException, names: Sequence[str]) -> bool:
    kinds = type(error).__mro__
    return any(each.__name__ in names or f"{each.__module__}.{each.__qualname__}" in names for each in kinds)


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as second:  # noqa: BLE001 - a stranger's `__str__` can raise anything
        return f"(no text: its __str__ raised {type(second).__name__})"
    return text if len(text) <= 2_000 else f"{text[:2_000]}…"
