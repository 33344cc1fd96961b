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
from themis_rows import NAN_IS_NULL, check_depth, problem
from themis_rows.strict_json import type_name

__all__ = [
    "MOST_SAMPLES",
    "Wrong",
    "count",
    "finite",
    "json_object",
    "list_of",
    "object_of",
    "optional_text",
    "plain_object",
    "text",
    "told",
]

MOST_SAMPLES: Final = 1000
"""Answers to one item."""
_BYTES_A_VALUE: Final = 8
"""An empty list takes 64 bytes of memory and 3 of a file: there is one value for so many bytes at most."""
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


def json_object(data: bytes, most: int) -> dict[str, Any]:
    """The object that JSON of at most so many bytes holds; numbers that are not finite are null."""
    if len(data) > most:
        raise Wrong(f"it has more than {most // 2**20} MiB")
    brackets = data.count(b"{") + data.count(b"[")
    if brackets + data.count(b",") > most // _BYTES_A_VALUE:
        raise Wrong(f"it has more than {most // _BYTES_A_VALUE:,} values")
    try:
        value = NAN_IS_NULL.decode(data.decode())
        check_depth(value, brackets)
    except (ValueError, RecursionError) as error:
        raise Wrong(problem(error)) from error
    return plain_object(value)


def plain_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Wrong("it is no object")
    return value
