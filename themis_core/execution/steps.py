"""Steps of a generation, checked where they enter and kept within bounds; what is left out is counted."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any, Final, get_args

from themis_core.records import Step, StepKind, Usage
from themis_plain import as_amount, as_count, as_text, canonical_json, told_type

__all__ = ["LONGEST_STEP", "LONGEST_STEPS", "MOST_STEPS", "as_steps", "left_out_told"]

MOST_STEPS: Final = 1_000
"""Steps that are kept of one generation: the first ones."""
LONGEST_STEP: Final = 256 * 1024
"""Bytes of JSON that are kept of one step's input and output."""
LONGEST_STEPS: Final = 1024 * 1024
"""Bytes of JSON that are kept of all inputs and outputs of one generation."""
LONGEST_NAME: Final = 200
"""Characters of a step's name."""
LONGEST_ERROR: Final = 4_000
"""Characters of a step's error."""
_KINDS: Final = get_args(StepKind)
_FIELDS: Final = tuple(each.name for each in fields(Step))
_COUNTS: Final = tuple(each.name for each in fields(Usage))


def as_steps(steps: Any, what: str) -> tuple[tuple[Step, ...], int]:
    """The steps that are kept, as plain values, and the number of those that are not.

    Each may be a Step or a dict of its fields. Input and output of a step that is longer than `LONGEST_STEP`, or with
    which all would be longer than `LONGEST_STEPS`, are left out, so that the step keeps its place. Raises TypeError or
    ValueError; `what` names the steps in the message.
    """
    if not isinstance(steps, tuple | list):
        raise TypeError(f"{what} is {told_type(steps)}, not a tuple")
    kept: list[Step] = []
    left = LONGEST_STEPS
    for step in steps[:MOST_STEPS]:
        plain, size = _plain(step, f"one of {what}")
        if size > min(left, LONGEST_STEP):
            plain, size = replace(plain, input=None, output=None, left_out=plain.left_out + size), 0
        left -= size
        kept.append(plain)
    return tuple(kept), len(steps) - len(kept)


def left_out_told(steps: tuple[Step, ...], left_out: int) -> str | None:
    """What a run tells of steps that are not whole; None if all are. It names no number, so that equal ones count."""
    if left_out:
        return f"a generation has more than {MOST_STEPS:,} steps: the rest is counted, and left out"
    if any(each.left_out for each in steps):
        return (
            f"inputs and outputs of steps are left out: a step may have {LONGEST_STEP // 1024} KiB of them, and all of "
            f"a generation {LONGEST_STEPS // 1024} KiB"
        )
    return None


def _plain(step: Any, what: str) -> tuple[Step, int]:
    """The step with plain values, and the bytes of its input and output."""
    if isinstance(step, dict):
        step = _from_dict(step, what)
    if not isinstance(step, Step):
        raise TypeError(f"{what} is {told_type(step)}, not a Step or a dict of its fields")
    if step.kind not in _KINDS:
        raise ValueError(f"{what} has the kind {step.kind!r:.60}, not one of {', '.join(_KINDS)}")
    taken, given = _as_json(step.input, f"the input of {what}"), _as_json(step.output, f"the output of {what}")
    plain = Step(
        step.kind,
        _cut(as_text(step.name, f"the name of {what}"), LONGEST_NAME),
        None if taken is None else json.loads(taken),
        None if given is None else json.loads(given),
        None if step.seconds is None else as_amount(step.seconds, f"seconds of {what}"),
        None if step.cost is None else as_amount(step.cost, f"the cost of {what}"),
        _usage(step.usage, f"the usage of {what}"),
        None if step.error is None else _cut(as_text(step.error, f"the error of {what}"), LONGEST_ERROR),
        as_count(step.left_out, f"left_out of {what}"),
    )
    return plain, len(taken or "") + len(given or "")


def _from_dict(data: dict[str, Any], what: str) -> Step:
    if unknown := [name for name in data if name not in _FIELDS]:
        raise ValueError(f"{what} has the field {unknown[0]!r:.60}; known: {', '.join(_FIELDS)}")
    return Step(**{**data, "usage": Usage() if data.get("usage") is None else data["usage"]})


def _usage(usage: Any, what: str) -> Usage:
    given = {name: getattr(usage, name) for name in _COUNTS} if isinstance(usage, Usage) else usage
    if not isinstance(given, dict):
        raise TypeError(f"{what} is {told_type(usage)}, not a Usage or a dict of its fields")
    if unknown := [name for name in given if name not in _COUNTS]:
        raise ValueError(f"{what} has the field {unknown[0]!r:.60}; known: {', '.join(_COUNTS)}")
    return Usage(**{name: as_count(count, f"{name} in {what}") for name, count in given.items() if count is not None})


def _as_json(value: Any, what: str) -> str | None:
    """JSON of a value, in ASCII; None for None."""
    if value is None:
        return None
    try:
        return canonical_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{what} holds what JSON can't say: {error}") from error


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
