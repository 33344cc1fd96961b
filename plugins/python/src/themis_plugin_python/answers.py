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

_OF_RUN: Final = frozenset({"attempts", "conversation", "error", "error_code", "steps_left_out"})
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
        values = dict(returned)
    else:
        kind = "None" if returned is None else type(returned).__name__
        raise TypeError(f"it returned {kind}, not a text, a dict with the key 'text', or a Generation")
    own = values.pop("steps", None) or ()
    if not isinstance(own, list | tuple):
        raise TypeError(f"it returned steps that are {type(own).__name__}, not a list")
    values["usage"] = _counts(values.get("usage"))
    # What is no finite number, or no text, stays as it is, for the run to refuse by its name.
    values = {
        name: value if name == "text" or isinstance(value, float) else plain(value) for name, value in values.items()
    }
    values["steps"] = _plain_steps([*steps.done, *own])
    if "text" in values and not isinstance(values["text"], str):
        raise TypeError(f"it returned a dict whose 'text' is {type(values['text']).__name__}, not a text")
    if isinstance(values.get("text"), str):
        values["text"] = str.__str__(values["text"])
    return values


def _of_generation(generation: Generation) -> dict[str, Any]:
    if generation.status == "failed":
        raise EngineError(
            generation.error_code or "application_error",
            generation.error or "it returned a failed Generation",
            usage=generation.usage,
            cost=generation.cost,
            steps=generation.steps,
        )
    return {name: value for name in _FIELDS if (value := getattr(generation, name)) not in (None, (), {})}


def _counts(usage: Any) -> Any:
    """A usage as a dict of the counts that are known; what is none stays as it is, for the run to refuse."""
    if not isinstance(usage, Usage):
        return usage
    return {name: count for name in _COUNTS if (count := getattr(usage, name)) is not None}


def _plain_steps(steps: Iterable[Any]) -> list[Any]:
    return [_step(each) for each in steps]


def _step(step: Any) -> Any:
    """A step as a dict of its fields; of what is none, what the run refuses by its name."""
    if isinstance(step, Step):
        names = [each.name for each in fields(Step) if each.name not in ("usage", "left_out")]
        return {**{name: plain(getattr(step, name)) for name in names}, "usage": plain(_counts(step.usage))}
    return plain(step)


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


def failure_of(error: BaseException, folder: str, retry_on: Sequence[str], steps: Steps) -> dict[str, Any]:
    """The fields of an EngineError: the code's own, or one that says type, text and place of what it raised.

    `values` has the steps that were done before it, and what was spent.
    """
    done = _plain_steps(steps.done)
    if isinstance(error, EngineError):
        names = ("retry_after", "status", "unknown_outcome")
        values = {
            "steps": [*done, *_plain_steps(error.steps)],
            "cost": plain(error.cost),
            "usage": plain(_counts(error.usage)),
        }
        return {
            "code": error.code,
            "message": str(error.message),
            "values": values,
            "retryable": bool(error.retryable),
            **{name: plain(value) for name in names if (value := getattr(error, name, None)) is not None},
        }
    name = type(error).__name__
    message = f"{name}: {text}" if (text := _text(error)) else name
    where = told_place(error, folder)
    return {
        "code": "application_error",
        "message": f"{message}{where}",
        "values": {"steps": done},
        "retryable": _is_named(error, retry_on),
    }


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
