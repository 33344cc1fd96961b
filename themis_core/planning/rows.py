"""Turns the rows of a loader into items, as `DatasetSpec.transforms` and `fields` say."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any, Final

from themis_core.errors import SpecError
from themis_core.planning.templates import compile_template, render
from themis_core.plugins import LoadedDataset
from themis_core.reading import Place
from themis_core.records import Item, Row
from themis_core.specs import TransformSpec, digest
from themis_plain import own
from themis_wording import did_you_mean

__all__ = ["RowMapping", "copied", "where", "with_fields"]

_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_SWAPPED: Final = str.maketrans(".,", ",.")
_MARK_HINTS: Final = {
    ".": (",", ": a comma separates thousands here; where it is the decimal mark, set `decimal: ','`"),
    ",": (".", ": a point separates thousands here, by `decimal: ','`"),
}


def copied(row: Row) -> Row:
    """A copy: a loader may fill one and the same dict or list for every row. Raises SpecError."""
    try:
        return Row(own(dict(row.data)), row.location)
    except (TypeError, ValueError) as error:
        raise _no_json(row, error) from error


class RowMapping:
    """Makes items of the rows of one dataset. Raises SpecError for a row that none can be made of."""

    def __init__(self, dataset: LoadedDataset) -> None:
        self._fields = dataset.spec.fields
        self._place = dataset.place
        self._identical: dict[str, int] = {}
        self._transforms = [
            (each, compile_template(each.template, dataset.place.at("transforms", index, "template")))
            for index, each in enumerate(dataset.spec.transforms)
        ]
        self._id_column = self._fields.id or None
        self._reference, self._model, self._output = self._fields.reference, self._fields.model, self._fields.output
        self._metadata, self._rename = tuple(self._fields.metadata), dict(self._fields.rename)
        special = (self._output, self._model, *self._metadata, *self._rename.values())
        self._left_out = [column for column in special if column]

    def item(self, row: Row) -> Item:
        """The item of a row that was `copied`: it takes over what the row holds."""
        data = row.data
        try:
            if self._transforms:
                self._compute(data, row)
            content = (
                self._id(data, row),
                self._named(data, row) if self._left_out else data,
                None if self._reference is None else self._column(data, self._reference, row, "reference"),
                {name: self._column(data, name, row, "metadata") for name in self._metadata},
                None if self._output is None else self._text(data, self._output, row),
                None if self._model is None else _name(self._column(data, self._model, row, "model")),
            )
            return Item(*content, digest(content))
        except (TypeError, ValueError) as error:
            raise _no_json(row, error) from error

    def _compute(self, data: dict[str, Any], row: Row) -> None:
        for index, (spec, template) in enumerate(self._transforms):
            place = self._place.at("transforms", index)
            text = render(template, {"item": data}, place, row.location)
            data[spec.field] = _read_as(spec, text, place, row)

    def _named(self, data: dict[str, Any], row: Row) -> dict[str, Any]:
        """The fields of the item: without what is said elsewhere of it, and by their new names."""
        fields = {name: value for name, value in data.items() if name not in self._left_out}
        for name, column in self._rename.items():
            fields[name] = self._column(data, column, row, "rename")
        return fields

    def _id(self, data: dict[str, Any], row: Row) -> str:
        column = self._id_column or "id"
        if column in data:
            value = data[column]
        elif self._id_column is not None:
            value = self._column(data, column, row, "id")
        else:
            # Without an id, content stands for it: inserting rows then renames no other item.
            name = digest(data)[:16]
            self._identical[name] = seen = self._identical.get(name, 0) + 1
            return name if seen == 1 else f"{name}-{seen}"
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            raise SpecError(f"the item id (column {column!r}) is {value!r}: it must be text or a number", **where(row))
        return str(value)

    def _text(self, data: dict[str, Any], path: str, row: Row) -> str | None:
        value = self._column(data, path, row, "output")
        if value is not None and not isinstance(value, str):
            raise SpecError(f"the output (column {path!r}) is no text", **where(row))
        return value

    def _column(self, data: dict[str, Any], path: str, row: Row, use: str) -> Any:
        if path in data:
            return data[path]
        value: Any = data
        for step in path.split("."):
            if isinstance(value, dict) and step in value:
                value = value[step]
            elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            else:
                listed = f"Columns: {', '.join(map(str, data))}.{did_you_mean(path, data)}"
                raise SpecError(f"the row has no column {path!r} (fields.{use}). {listed}", **where(row))
        return value


def _read_as(spec: TransformSpec, text: str, place: Place, row: Row) -> Any:
    kind = spec.as_type
    if kind == "text":
        return text
    try:
        return json.loads(text) if kind == "json" else _number(text.strip(), spec.decimal)
    except ValueError:
        mark, hint = _MARK_HINTS[spec.decimal]
        hint = hint if kind == "number" and mark in text else ""
        raise place.error(f"{text!r} can't be read as {kind} ({row.location}){hint}") from None


def _number(text: str, decimal: str) -> int | float:
    """Read a JSON number, or one with marks between its thousands; no other mark may be left out."""
    if decimal == ",":
        text = text.translate(_SWAPPED)
    if not _NUMBER.fullmatch(text):
        raise ValueError
    value: int | float = json.loads(text.replace(",", ""))
    if not isfinite(value):
        raise ValueError
    return value


def where(row: Row) -> dict[str, Any]:
    path, _, line = row.location.rpartition(":")
    if path and line.isdecimal():
        return {"path": path, "line": int(line)}
    return {"path": row.location or None}


def _name(value: Any) -> str | None:
    return None if value is None else str(value)


def _no_json(row: Row, error: Exception) -> SpecError:
    return SpecError(f"the row holds a value that JSON can't: {error}", **where(row))


def with_fields(item: Item, fields: dict[str, Any]) -> Item:
    content = [item.id, fields, item.reference, item.metadata, item.output, item.model]
    return Item(item.id, fields, item.reference, item.metadata, item.output, item.model, digest(content))
