"""The scores of a run as a data frame of pandas, polars or Arrow, which are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Literal

from themis_core.errors import SpecError
from themis_core.records import ScoreRow

__all__ = ["frame"]

_COLUMNS = ScoreRow._fields[: ScoreRow._fields.index("parts")]
_TYPES: dict[str, type] = {"sample_index": int, "value": float, "parsed": bool}
"""All others are texts."""


def frame(library: Literal["pandas", "polars", "pyarrow"], rows: Iterable[ScoreRow]) -> Any:
    """One row per score, with the columns of `ScoreRow` but `parts`. Raises SpecError if the library is missing."""
    try:
        made = import_module(library)
    except ImportError as error:
        raise SpecError(f"this needs the package {library}: pip install {library}") from error
    cells = list(zip(*(map(_held, row[: len(_COLUMNS)]) for row in rows), strict=True)) or [()] * len(_COLUMNS)
    data = dict(zip(_COLUMNS, cells, strict=True))
    types = {name: _TYPES.get(name, str) for name in _COLUMNS}
    if library == "pandas":
        return made.DataFrame(data).astype({"sample_index": "int64", "value": "float64", "parsed": "boolean"})
    if library == "polars":
        return made.DataFrame(data, schema=types)
    arrow = {str: made.string(), int: made.int64(), float: made.float64(), bool: made.bool_()}
    return made.table(data, schema=made.schema([(name, arrow[each]) for name, each in types.items()]))


def _held(value: Any) -> Any:
    """What these libraries can hold: text without lone surrogates."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
