"""What a log of another tool must hold to be imported: checks of single values, and how all that is wrong is told."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from lzma import LZMAError
from math import isfinite
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

from themis_core import SpecError, shown_path
from themis_rows.strict_json import type_name

__all__ = ["MOST_SAMPLES", "Wrong", "count", "finite", "list_of", "object_of", "optional_text", "text", "told"]

MOST_SAMPLES: Final = 1000
"""Answers to one item."""
_MOST_TOKENS: Final = 2**53
_RAISED: Final = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError),
    *(BadZipFile, LZMAError, struct.error, zlib.error),
)
"""What reading something malformed raises; RecursionError and NotImplementedError are RuntimeErrors."""


class Wrong(ValueError):
    """A value is not what it should be; the message is for a person."""


@contextmanager
def told(path: Path, what: str, *, line: int | None = None) -> Iterator[None]:
    """Raise whatever the block raises on reading `what` as a SpecError that names it and its place."""
    try:
        yield
    except _RAISED as error:
        reason = str(error) if isinstance(error, Wrong) else f"{type(error).__name__}: {error}"
        message = f"{what} can't be read ({reason}): mend the log, or leave this out of it"
        raise SpecError(message, path=shown_path(path), line=line) from error


def text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise Wrong(f"{what} is {type_name(value)}, not a text")
    return value


def optional_text(value: Any, what: str) -> str | None:
    return None if value is None else text(value, what)


def object_of(value: Any, what: str) -> dict[str, Any]:
    """The object; an empty one for null."""
    if value is not None and not isinstance(value, dict):
        raise Wrong(f"{what} is {type_name(value)}, not an object")
    return value or {}


def list_of(value: Any, what: str) -> list[Any]:
    """The list; an empty one for null."""
    if value is not None and not isinstance(value, list):
        raise Wrong(f"{what} is {type_name(value)}, not a list")
    return value or []


def count(value: Any, what: str, least: int = 0, most: int = _MOST_TOKENS) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Wrong(f"{what} is no whole number from {least} to {most}")
    return value


def finite(value: Any) -> float | None:
    """The number; None for what is none, or has no place in a float."""
    try:
        return float(value) if isinstance(value, int | float) and isfinite(value) else None
    except OverflowError:
        return None
