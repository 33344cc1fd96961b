"""Turns rows into items and takes those that a query asks for, as a stream that can be read again.

Sampling keeps the items of smallest SHA-256 over seed and item id. That needs no random generator, so it is equal
on every platform and Python version, does not depend on the order of the rows, and appending rows to a dataset
displaces at most as many sampled items as were added.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import re
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, Final

from themis_core.errors import SpecError
from themis_core.planning.handing import own
from themis_core.planning.templates import compile_template, render
from themis_core.plugins import LoadedDataset, blaming
from themis_core.records import Item, Row
from themis_core.specs import DatasetQuerySpec, TransformSpec, canonical_json, digest
from themis_core.specs.guessing import did_you_mean
from themis_core.specs.problems import Place

__all__ = ["Items", "allot", "rank"]

_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_SWAPPED: Final = str.maketrans(".,", ",.")
_MARK_HINTS: Final = {
    ".": (",", ": a comma separates thousands here; where it is the decimal mark, set `decimal: ','`"),
    ",": (".", ": a point separates thousands here, by `decimal: ','`"),
}

KEPT = 5_000
"""Items kept from the first reading, so that small datasets are read once. Bounds the memory."""


def rank(seed: int, item_id: str) -> int:
    """The item's place in the random order of a seed, in [0, 2**64)."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{item_id}".encode("utf-8", "surrogatepass")).digest()[:8], "big")


def allot(count: int, sizes: dict[str, int]) -> dict[str, int]:
    """Share `count` among strata in proportion to their sizes, by largest remainder; ties go by stratum name.

    Needs count <= the sum of sizes; then no stratum gets more than it has.
    """
    total = sum(sizes.values())
    shares = {name: divmod(count * size, total) for name, size in sizes.items()}
    allotted = {name: whole for name, (whole, _) in shares.items()}
    by_remainder = sorted(shares, key=lambda name: (-shares[name][1], name))
    for name in by_remainder[: count - sum(allotted.values())]:
        allotted[name] += 1
    return allotted


class Items:
    """The items that a query takes from a dataset.

    Making one reads the whole dataset once (up to `limit`, if nothing is sampled) and checks every row; `count` and
    `digest` (over the items taken, in order) are known from then on. Iterating reads it again unless it was small.
    """

    def __init__(self, dataset: LoadedDataset, query: DatasetQuerySpec, base_dir: Path, seed: int, at: Place) -> None:
        self._dataset = dataset
        self._query = query
        self._base_dir = base_dir
        self._at = at
        self._ids = frozenset(query.item_ids) if query.item_ids is not None else None
        self._chosen: frozenset[int] | None = None
        """Ordinals, among the items that match, of those that sampling took; None if it takes all."""
        self._kept: list[Item] | None = None
        self._marks = array("Q")
        """Of each item taken, the first 8 bytes of its digest."""
        self.count = 0
        self.digest = ""
        self._survey(query.seed if query.seed is not None else seed)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._kept) if self._kept is not None else self._as_surveyed(self._taken(self._read()))

    def places(self, ids: Collection[str]) -> dict[str, str]:
        """Where these items are in their source, such as `data.jsonl:17`, as far as the loader says; read again."""
        mapping, found = _Mapping(self._dataset), dict[str, str]()
        for row in _rows(self._dataset, self._query, self._base_dir):
            if (item_id := mapping.item(row).id) in ids:
                found.setdefault(item_id, row.location)
                if len(found) == len(ids):
                    break
        return found

    def _rows_of(self, item_id: str) -> list[Row]:
        """The first two rows of an id."""
        mapping, rows = _Mapping(self._dataset), _rows(self._dataset, self._query, self._base_dir)
        return list(islice((row for row in rows if mapping.item(row).id == item_id), 2))

    def _as_surveyed(self, items: Iterator[Item]) -> Iterator[Item]:
        """Pass items on as long as they are those of the survey: what was planned must be what is run."""
        count = 0
        for count, item in enumerate(items, 1):
            if count > self.count or _mark(item) != self._marks[count - 1]:
                raise self._changed(f"item {item.id!r} is new or another")
            yield item
        if count < self.count:
            raise self._changed(f"{self.count - count} items are missing")

    def _changed(self, what: str) -> SpecError:
        return self._dataset.place.error(
            f"the dataset changed while it was used ({what}): nothing more is asked. What was answered is saved; leave "
            "the data alone and run again"
        )

    def _survey(self, seed: int) -> None:
        watch = _Watch(self._dataset, bool(self._query.filters), self._rows_of)
        if self._query.kind == "all":
            taken = self._taken(watch.items(self._read()))
        else:
            self._chosen = self._sample(self._matching(watch.items(self._read())), seed, watch)
            taken = self._taken(self._read())
        whole = hashlib.sha256()
        kept: list[Item] | None = []
        for item in taken:
            whole.update(bytes.fromhex(item.digest))
            self._marks.append(_mark(item))
            self.count += 1
            if kept is not None:
                kept.append(item)
                kept = kept if self.count <= KEPT else None
        self.digest = whole.hexdigest()
        self._kept = kept
        self._check(watch)
        if not self.count:
            raise self._at.error(f"no item is left: {watch.count} read, 0 match the query")

    def _read(self) -> Iterator[Item]:
        return map(_Mapping(self._dataset).item, _rows(self._dataset, self._query, self._base_dir))

    def _taken(self, items: Iterator[Item]) -> Iterator[Item]:
        matching: Iterable[Item] = self._matching(items)
        if (chosen := self._chosen) is not None:
            matching = (item for ordinal, item in enumerate(matching) if ordinal in chosen)
        keep = self._query.projected_fields
        for item in islice(matching, self._query.limit):
            yield item if keep is None else _with_fields(item, {k: v for k, v in item.fields.items() if k in keep})

    def _matching(self, items: Iterator[Item]) -> Iterator[Item]:
        filters = self._query.filters.items()
        for item in items:
            if self._ids is not None and item.id not in self._ids:
                continue
            if all(_matches(item, name, wanted) for name, wanted in filters):
                yield item

    def _sample(self, items: Iterator[Item], seed: int, watch: _Watch) -> frozenset[int]:
        assert self._query.count is not None  # the spec's validator saw to it
        strata = _Strata(self._query.count, seed)
        matched = 0
        for matched, item in enumerate(items, 1):
            strata.add(matched - 1, item.id, self._stratum(item))
        self._check(watch)
        if self._query.count > matched:
            raise self._at.at("count").error(f"{self._query.count} items asked for, but only {matched} match the query")
        return strata.chosen()

    def _stratum(self, item: Item) -> str:
        field = self._query.strata_field
        if field is None:
            return ""
        value = item.fields.get(field, item.metadata.get(field, _MISSING))
        if value is _MISSING:
            known = [*item.fields, *item.metadata]
            hint = did_you_mean(field, known, f" It has: {', '.join(known)}.")
            raise self._at.at("strata_field").error(f"item {item.id!r} has no field {field!r}.{hint}")
        return canonical_json(value)

    def _check(self, watch: _Watch) -> None:
        """Refuse a query that names what the dataset does not have."""
        if not watch.count:
            # A loader may have left out all rows that do not match.
            if self._ids is None and not self._query.filters:
                raise self._dataset.place.error("the dataset has no rows")
            return
        for name in self._query.filters:
            if name not in watch.fields:
                hint = did_you_mean(name, watch.fields)
                raise self._at.at("filters", name).error(f"no item has a field {name!r}.{hint}")
        cut_short = self._query.kind == "all" and self.count == self._query.limit
        if (
            self._ids is not None
            and not cut_short
            and (missing := sorted(each for each in self._ids if not watch.has(each)))
        ):
            listed = ", ".join(map(repr, missing[:5])) + (", …" if len(missing) > 5 else "")
            raise self._at.at("item_ids").error(f"{len(missing)} ids are not in the dataset: {listed}")


def _mark(item: Item) -> int:
    return int(item.digest[:16], 16)


def _rows(dataset: LoadedDataset, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
    """Read rows; a loader's error without a file of its own gets the dataset's place in the spec."""
    rows: Iterator[Row] | None = None
    while True:
        try:
            with blaming(dataset.component, "rows"):
                if rows is None:
                    copies = dataset.spec.model_copy(deep=True), query.model_copy(deep=True)
                    rows = iter(dataset.loader.rows(*copies, base_dir))
                row = next(rows, None)
                if not isinstance(row, Row | None):
                    raise TypeError(f"it yielded {type(row).__name__}, not a Row")
        except SpecError as error:
            if error.path is None:
                raise dataset.place.error(error.message) from error
            raise
        if row is None:
            return
        yield row


class _Watch:
    """Counts items as they pass, notes their fields, and refuses an id that was there before.

    Ids are held as 64-bit hashes, some hundred bytes an item with all overhead, and only during the survey.
    """

    def __init__(self, dataset: LoadedDataset, note_fields: bool, rows_of: Callable[[str], list[Row]]) -> None:
        self._place = dataset.place
        self._rows_of = rows_of
        self._note_fields = note_fields
        self._rows: dict[int, int] = {}
        self.count = 0
        self.fields: set[str] = set()

    def items(self, items: Iterator[Item]) -> Iterator[Item]:
        for item in items:
            self.count += 1
            first = self._rows.setdefault(hash(item.id), self.count)
            if first != self.count:
                raise self._twice(item.id, first)
            if self._note_fields:
                self.fields.update(item.fields, item.metadata)
            yield item

    def _twice(self, item_id: str, first: int) -> SpecError:
        remedy = "ids must differ; name another column in fields.id, or mend the data"
        rows = self._rows_of(item_id)
        if len(rows) == 2 and all(_where(row).get("line") for row in rows):
            said = f"duplicate item id {item_id!r}, the first is at {rows[0].location}: {remedy}"
            return SpecError(said, **_where(rows[1]))
        return self._place.error(
            f"duplicate item id {item_id!r} (items {first} and {self.count} of the dataset): {remedy}"
        )

    def has(self, item_id: str) -> bool:
        return hash(item_id) in self._rows


class _Strata:
    """The items of smallest rank per stratum, as many as could be needed."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._sizes: dict[str, int] = {}
        self._heaps: dict[str, list[tuple[int, int]]] = {}

    def add(self, ordinal: int, item_id: str, stratum: str) -> None:
        heap = self._heaps.setdefault(stratum, [])
        self._sizes[stratum] = self._sizes.get(stratum, 0) + 1
        entry = (-rank(self._seed, item_id), ordinal)  # negative: the heap gives up its largest rank first
        if len(heap) < self._count:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)

    def chosen(self) -> frozenset[int]:
        allotted = allot(self._count, self._sizes)
        return frozenset(
            ordinal for name, heap in self._heaps.items() for _, ordinal in heapq.nlargest(allotted[name], heap)
        )


def _matches(item: Item, name: str, wanted: Any) -> bool:
    value = item.fields.get(name, item.metadata.get(name, _MISSING))
    return any(_equal(value, each) for each in (wanted if isinstance(wanted, list) else [wanted]))


_MISSING = object()


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, str) and not isinstance(wanted, str):
        return value == json.dumps(wanted)  # CSV has only text: `level: 3` means its "3"
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


class _Mapping:
    """Makes items of rows, as `DatasetSpec.transforms` and `fields` say."""

    def __init__(self, dataset: LoadedDataset) -> None:
        self._fields = dataset.spec.fields
        self._place = dataset.place
        self._identical: dict[str, int] = {}
        self._transforms = [
            (each, compile_template(each.template, dataset.place.at("transforms", index, "template")))
            for index, each in enumerate(dataset.spec.transforms)
        ]
        special = (self._fields.output, self._fields.model, *self._fields.metadata)
        self._left_out = frozenset(column for column in special if column)

    def item(self, row: Row) -> Item:
        data = dict(row.data)
        for index, (spec, template) in enumerate(self._transforms):
            place = self._place.at("transforms", index)
            text = render(template, {"item": data}, place, row.location)
            data[spec.field] = _read_as(spec, text, place, row)
        mapping = self._fields
        fields = {name: value for name, value in data.items() if name not in self._left_out}
        for column in mapping.rename.values():
            fields.pop(column, None)
        for name, column in mapping.rename.items():
            fields[name] = self._column(data, column, row, "rename")
        item = Item(
            id=self._id(data, row),
            fields=fields,
            reference=self._column(data, mapping.reference, row, "reference"),
            metadata={name: self._column(data, name, row, "metadata") for name in mapping.metadata},
            output=self._output(data, row),
            model=_text(self._column(data, mapping.model, row, "model")),
        )
        try:
            # A copy: a loader may fill one and the same dict or list for every row.
            return own(_with_fields(item, fields))
        except (TypeError, ValueError) as error:
            raise SpecError(f"the row holds a value that JSON can't: {error}", **_where(row)) from error

    def _id(self, data: dict[str, Any], row: Row) -> str:
        column = self._fields.id or ("id" if "id" in data else None)
        if column is None:
            # Without an id, content stands for it: inserting rows then renames no other item.
            name = digest(data)[:16]
            self._identical[name] = seen = self._identical.get(name, 0) + 1
            return name if seen == 1 else f"{name}-{seen}"
        value = self._column(data, column, row, "id")
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            raise SpecError(f"the item id (column {column!r}) is {value!r}: it must be text or a number", **_where(row))
        return str(value)

    def _output(self, data: dict[str, Any], row: Row) -> str | None:
        value = self._column(data, self._fields.output, row, "output")
        if value is not None and not isinstance(value, str):
            raise SpecError(f"the output (column {self._fields.output!r}) is no text", **_where(row))
        return value

    def _column(self, data: dict[str, Any], path: str | None, row: Row, use: str) -> Any:
        if path is None:
            return None
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
                raise SpecError(f"the row has no column {path!r} (fields.{use}). {listed}", **_where(row))
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


def _where(row: Row) -> dict[str, Any]:
    path, _, line = row.location.rpartition(":")
    if path and line.isdecimal():
        return {"path": path, "line": int(line)}
    return {"path": row.location or None}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _with_fields(item: Item, fields: dict[str, Any]) -> Item:
    content = [item.id, fields, item.reference, item.metadata, item.output, item.model]
    return Item(item.id, fields, item.reference, item.metadata, item.output, item.model, digest(content))
