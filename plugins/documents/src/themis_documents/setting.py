"""Sets single values of a document by the path that a user writes, such as `a.b[0].c`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from themis_documents.plain import DocumentError, dotted
from themis_documents.yaml_nodes import parse_yaml, plain_scalar

__all__ = ["kind_of", "set_value", "steps_of"]

_KEY, _INDEX = r"""(?:"[^"]*"|[^.\[\]"]+)""", r"\[\d+\]"
_PATH = re.compile(rf"{_KEY}(?:\.{_KEY}|{_INDEX})*")


def set_value(data: Any, dotted_path: str, text: str) -> Any:
    """Return a copy of `data` with the value that `text` says at `dotted_path`.

    A path is `a.b[0].c` or `a.b.0.c`, with keys that contain a dot in double quotes. The value is a YAML scalar,
    quoted text, or a flow list or mapping; anything else, such as `{{ item.question }}` or `a: b`, is text.
    Mapping keys that are missing are made, list elements are not. Raises `ValueError`.
    """
    steps = steps_of(dotted_path)
    try:
        value = _parse_value(text)
    except (DocumentError, RecursionError) as exc:
        raise ValueError(f"{dotted_path}: cannot read the value {text!r}: {exc}") from exc
    return _put(data, steps, 0, value)


def steps_of(dotted_path: str) -> list[str | int]:
    """Split a path such as `a.b[0]` into its steps. Raises `ValueError`."""
    if not _PATH.fullmatch(dotted_path):
        raise ValueError(f"{dotted_path!r} is not a path such as benchmark.slices[0].dataset_query.count")
    found = re.findall(f"{_KEY}|{_INDEX}", dotted_path)
    return [int(step[1:-1]) if step[0] == "[" else step.strip('"') for step in found]


def _parse_value(text: str) -> Any:
    text = text.strip()
    if text[:1] in ("[", "{", '"', "'") and not text.startswith("{{"):
        return parse_yaml(text, {})
    return plain_scalar(text, None)


def _put(data: Any, steps: Sequence[str | int], done: int, value: Any) -> Any:
    if done == len(steps):
        return value
    step, here = steps[done], dotted(steps[:done]) or "the top level"
    if isinstance(data, list):
        index = int(step) if str(step).isdecimal() else -1
        if not 0 <= index < len(data):
            known = f"0 to {len(data) - 1}" if data else "none, it is empty"
            raise ValueError(f"{here} is a list without an element {step!r} (there are: {known})")
        return [*data[:index], _put(data[index], steps, done + 1, value), *data[index + 1 :]]
    if isinstance(step, int):
        what = "is not set" if data is None else f"is a {kind_of(data)}"
        raise ValueError(f"{here} {what}, not a list, so it has no element {step}")
    # An empty value, such as `generation:` in YAML, is filled like a missing one.
    if data is not None and not isinstance(data, dict):
        raise ValueError(f"{here} is {data!r}, not a mapping, so {step!r} cannot be set in it")
    old = data or {}
    return {**old, step: _put(old.get(step), steps, done + 1, value)}


def kind_of(data: Any) -> str:
    """Return what plain data is, for messages."""
    return "mapping" if isinstance(data, dict) else "list" if isinstance(data, list) else "single value"
