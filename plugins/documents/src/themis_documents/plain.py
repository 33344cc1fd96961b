"""What the readers of all formats share: places in a document, what can be wrong at one, numbers that can be kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from math import isfinite

__all__ = [
    "MAX_DEPTH",
    "NOT_FINITE",
    "TOO_DEEP",
    "TOO_LONG",
    "Loc",
    "DocumentError",
    "WrittenFloat",
    "WrittenInt",
    "dotted",
    "finite",
    "nearest_line",
    "there_twice",
]

Loc = tuple[str | int, ...]
MAX_DEPTH = 200
LONGEST_KEY = 60

NOT_FINITE = "is not a finite number, and a digest needs one: write null, or leave the field out"
TOO_LONG = "a number has too many digits"
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"


class DocumentError(Exception):
    """What is wrong with a text or file: `message`, the 1-based `line` and the `path`, as far as they are known."""

    def __init__(self, message: str, line: int | None = None, path: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.path = path

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.path and self.line else self.path
        return f"{place}: {self.message}" if place else self.message


def dotted(loc: Sequence[str | int]) -> str:
    """Write a path as users do: `slices[0].scores[1].metrics[0].id`."""
    text = ""
    for step in loc:
        text += f"[{step}]" if isinstance(step, int) else f".{_key(step)}" if text else _key(step)
    return text


def _key(step: str) -> str:
    shown = step if len(step) <= LONGEST_KEY else f"{step[:LONGEST_KEY]}…"
    return shown if re.fullmatch(r"[^.\[\]\"\s]+", shown) else json.dumps(shown, ensure_ascii=False)


def nearest_line(lines: Mapping[Loc, int], loc: Loc) -> int | None:
    prefixes = (loc[:length] for length in range(len(loc), 0, -1))
    return next((lines[prefix] for prefix in prefixes if prefix in lines), None)


def finite(value: float, text: str, line: int | None) -> float:
    if not isfinite(value):
        raise DocumentError(f"{text if len(text) < 30 else text[:20] + '…'} {NOT_FINITE}", line)
    return value


def there_twice(key: str | int, first: int, second: int) -> DocumentError:
    return DocumentError(f"the key {key!r} is there twice, in lines {first} and {second}", second)


class WrittenInt(int):
    """A whole number of a YAML file, with its text there: `007`."""

    written: str


class WrittenFloat(float):
    """A number of a YAML file, with its text there: `1.10`."""

    written: str
