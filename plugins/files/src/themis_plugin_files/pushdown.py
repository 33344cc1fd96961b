"""Which rows and columns a query can do without, decided so cautiously that the result can't change.

The core maps every row and applies the whole query itself. So a row is left out only for a column that reaches the
item unchanged and holds another text than the query wants; whatever is in doubt goes through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from themis_core import DatasetQuerySpec, DatasetSpec

__all__ = ["Wanted", "columns_needed", "ruled_out", "wanted_texts"]

Wanted: TypeAlias = tuple[tuple[str, frozenset[str]], ...]
"""Columns, each with the texts of which a row must have one there."""


def wanted_texts(dataset: DatasetSpec, query: DatasetQuerySpec) -> Wanted:
    """Find the columns whose text alone can rule a row out."""
    fields = dataset.fields
    changed = {each.field for each in dataset.transforms} | fields.rename.keys() | set(fields.rename.values())
    mapped = {fields.id or "id", fields.reference, fields.output, fields.model}
    wanted: list[tuple[str, frozenset[str]]] = []
    if query.item_ids is not None and _is_plain(fields.id or "id", changed):
        wanted.append((fields.id or "id", frozenset(query.item_ids)))
    for name, values in query.filters.items():
        texts = [each for each in (values if isinstance(values, list) else [values]) if isinstance(each, str)]
        # With one number among the values, a text such as "5" might count as equal to it.
        only_texts = len(texts) == (len(values) if isinstance(values, list) else 1)
        if only_texts and name not in mapped and _is_plain(name, changed):
            wanted.append((name, frozenset(texts)))
    return tuple(wanted)


def ruled_out(row: dict[str, Any], wanted: Wanted) -> bool:
    """Whether the row has another text in one of the columns; another type, or no value, rules nothing out."""
    for column, texts in wanted:
        value = row.get(column)
        if isinstance(value, str) and value not in texts:
            return True
    return False


def columns_needed(dataset: DatasetSpec, query: DatasetQuerySpec, available: Sequence[str]) -> list[str] | None:
    """The columns to read, in the file's order, or None for all of them."""
    fields = dataset.fields
    # A template may read any column, and without an id column the id is a digest of all of them.
    if query.projected_fields is None or dataset.transforms or (fields.id or "id") not in available:
        return None
    names = {fields.id or "id", fields.reference, fields.output, fields.model, query.strata_field}
    names |= {*fields.metadata, *fields.rename.values(), *query.projected_fields, *query.filters}
    wanted = [name for name in names if name is not None]
    return [column for column in available if _is_among(column, wanted)]


def _is_among(column: str, wanted: Iterable[str]) -> bool:
    return any(name == column or name.startswith(f"{column}.") for name in wanted)


def _is_plain(column: str, changed: Iterable[str | None]) -> bool:
    return "." not in column and column not in changed
