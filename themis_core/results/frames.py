"""The scores of a run as a data frame of pandas, polars or Arrow, which are imported when they are asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal

from themis_core.components import Store
from themis_core.errors import SpecError
from themis_core.records import RunRecord, ScoreRow
from themis_core.results.labels import with_metadata
from themis_core.specs import canonical_json, settings_of

__all__ = ["frame"]

_COLUMNS = ScoreRow._fields[: ScoreRow._fields.index("parts")]
_TYPES: dict[str, type] = {"sample_index": int, "value": float, "parsed": bool}
"""All others are texts."""


def frame(library: Literal["pandas", "polars", "pyarrow"], store: Store, run: RunRecord) -> Any:
    """One row per score: the columns of `ScoreRow` but `parts` and `details`, what the parse found as `extracted`, and
    one for each label of slices (`dimensions.subject`), field of items' metadata (`metadata.category`) and single
    setting (`params.temperature`).

    Raises SpecError if the library is missing.
    """
    try:
        made = import_module(library)
    except ImportError as error:
        raise SpecError(f"this needs the package {library}: pip install {library}") from error
    names = (*_COLUMNS, "extracted", *_labels_of(store, run))
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for cells in _rows(store, run):
        for name, column in columns.items():
            column.append(_held(cells.get(name)))
    types = {name: _TYPES.get(name, str) for name in _COLUMNS}
    for name in names[len(_COLUMNS) :]:
        columns[name], types[name] = _of_one_type(columns[name])
    if library == "pandas":
        missing = {int: "Int64", bool: "boolean", float: "float64"}
        kinds = {name: missing[each] for name, each in types.items() if each is not str}
        return made.DataFrame(columns).astype({**kinds, "sample_index": "int64"})
    if library == "polars":
        return made.DataFrame(columns, schema=types)
    arrow = {str: made.string(), int: made.int64(), float: made.float64(), bool: made.bool_()}
    return made.table(columns, schema=made.schema([(name, arrow[each]) for name, each in types.items()]))


def _labels_of(store: Store, run: RunRecord) -> Iterator[str]:
    dimensions = run.manifest.get("dimensions", {})
    yield from dict.fromkeys(f"dimensions.{name}" for each in dimensions.values() for name in each)
    for each in run.manifest.get("benchmark", {}).get("slices", ()):
        slices_metadata = each.get("dataset", {}).get("fields", {}).get("metadata", ())
        yield from (f"metadata.{name}" for name in slices_metadata)
    yield from (f"params.{name}" for end in store.outcomes(run.run_id) for name in settings_of(end.params))


def _rows(store: Store, run: RunRecord) -> Iterator[Mapping[str, Any]]:
    dimensions = run.manifest.get("dimensions", {})
    for row, metadata in with_metadata(store, store.score_rows(run.run_id, whole=True), True):
        cells = dict(zip(_COLUMNS, row, strict=False))
        cells["extracted"] = None if row.extracted is None else json.loads(row.extracted)
        cells.update({f"dimensions.{name}": value for name, value in dimensions.get(row.slice_id, {}).items()})
        cells.update({f"metadata.{name}": value for name, value in metadata.items()})
        cells.update({f"params.{name}": value for name, value in settings_of(row.params).items()})
        yield cells


def _of_one_type(cells: Sequence[Any]) -> tuple[list[Any], type]:
    """Cells as they are if they have one type that all libraries know, else as texts: JSON of what is no text."""
    types = {type(cell) for cell in cells if cell is not None}
    if types == {int, float}:
        return [None if cell is None else float(cell) for cell in cells], float
    if len(types) == 1 and types < {bool, int, float} and all(-(2**63) <= cell < 2**63 for cell in cells if cell):
        return list(cells), types.pop()
    return [cell if cell is None or isinstance(cell, str) else _held(canonical_json(cell)) for cell in cells], str


def _held(value: Any) -> Any:
    """What these libraries can hold: text without lone surrogates."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
