"""Reads how many tokens a reply was billed for. No I/O."""

from __future__ import annotations

from typing import Any

from themis_core import Usage

__all__ = ["read_usage"]

MOST_TOKENS = 10**9
"""Counts beyond are taken for nonsense."""


def read_usage(data: Any) -> Usage | None:
    """The token counts in a body, that of an error included; None if it has none that can be read."""
    usage = data.get("usage") if isinstance(data, dict) else None
    if not isinstance(usage, dict):
        return None
    taken, given = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    reasoning = _count(usage.get("completion_tokens_details"), "reasoning_tokens")
    cached = _count(usage.get("prompt_tokens_details"), "cached_tokens")
    read = Usage(
        input_tokens=taken,
        output_tokens=given,
        reasoning_tokens=_part_of(reasoning, given),
        cached_input_tokens=_part_of(cached, taken),
    )
    return None if read == Usage() else read


def _count(counts: Any, name: str) -> int | None:
    value = counts.get(name) if isinstance(counts, dict) else None
    if isinstance(value, float) and value.is_integer():  # some servers write all numbers as floats
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _part_of(part: int | None, whole: int | None) -> int | None:
    return None if part is not None and whole is not None and part > whole else part
