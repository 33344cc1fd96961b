"""The order in which people expect texts that may be numbers."""

from __future__ import annotations

from math import inf, isnan

__all__ = ["placed"]


def placed(label: str | None) -> tuple[bool, float, str]:
    """A key that sorts texts: numbers by their value, then words, then what is None."""
    try:
        number = float(label or "inf")
    except ValueError:
        number = inf
    return label is None, inf if isnan(number) else number, label or ""
