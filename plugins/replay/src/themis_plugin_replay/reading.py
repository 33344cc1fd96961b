"""Recorded files as rows with their lines: JSON Lines, JSON and CSV; no meaning of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from themis_core import SpecError, shown_path
from themis_rows import NAN_STAYS, csv_rows, json_object, json_rows, jsonl_rows

__all__ = ["decode", "is_plain_jsonl", "rows"]

_Rows: TypeAlias = Iterator[tuple[int, dict[str, Any]]]

# A verdict that is NaN says that there is none.
_jsonl = partial(jsonl_rows, decoder=NAN_STAYS)
_READERS: Final[Mapping[str, Callable[[Path], _Rows]]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": partial(json_rows, decoder=NAN_STAYS),
    ".csv": csv_rows,
}

decode = partial(json_object, decoder=NAN_STAYS)
"""Decode one line of JSON Lines."""


def is_plain_jsonl(path: Path) -> bool:
    """Whether rows can be read where they are, by their offset."""
    return path.suffix in (".jsonl", ".ndjson")


def rows(path: Path) -> _Rows:
    """Yield (line on which it starts, row); raises SpecError that names file and line."""
    kind = path.with_suffix("").suffix if path.suffix in (".gz", ".zst") else path.suffix
    if kind not in _READERS:
        known = ", ".join(_READERS)
        message = f"the name says no format: it must end in one of {known}, also with .gz or .zst behind"
        raise SpecError(message, path=shown_path(path))
    return _READERS[kind](path)
