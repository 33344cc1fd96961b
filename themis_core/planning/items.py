"""Takes the items that a query asks for, as a stream that can be read again."""

from __future__ import annotations

import hashlib
import json
import logging
from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, NoReturn

from themis_core.errors import SpecError
from themis_core.planning.rows import RowMapping, copied, where, with_fields
from themis_core.plugins import LoadedDataset, calling, policy_in_force
from themis_core.reading import Place
from themis_core.records import Item, Part, Row
from themis_core.specs import DatasetQuerySpec, canonical_json
from themis_lanes import in_time
from themis_plain import Kept
from themis_sampling import Strata
from themis_wording import counted, did_you_mean

__all__ = ["Items", "Share"]

log = logging.getLogger("themis")
_MARK = 8
"""Bytes by which an item is known again."""
_TOGETHER = 64
"""Rows that are read under one deadline, at the most."""
_MOMENT_S = 0.02
_PARTS = 256
"""Of the hashes of ids, of which one at a time is looked through."""


class Share(NamedTuple):
    """What of items is in one part of a plan."""

    part: Part
    by_item: bool
    """Whether all samples of an item are in one part."""
    most: int = 1
    """Samples of each item."""

    def samples(self, item_id: str, of: int | None = None) -> Sequence[int]:
        """Which of the first so many samples of an item are in the part; by default of all."""
        every = range(self.most if of is None else of)
        if self.by_item:
            return every if self.part.has(item_id, None) else ()
        return [each for each in every if self.part.has(item_id, each)]


class Items:
    """The items that a query takes from a dataset, or those of them that have samples in a share.

    Making one reads the whole dataset once (up to `limit`, if nothing is sampled) and checks every row; `count` and
    `digest` (over the items taken, in order, all of them) are known from then on. Iterating gives what was read, each
    time anew; the dataset is read again only if its items could not be kept. Of an item that is in no share only id and
    digest are looked at.
    """

    def __init__(
        self,
        dataset: LoadedDataset,
        query: DatasetQuerySpec,
        base_dir: Path,
        seed: int,
        at: Place,
        share: Share | None = None,
        *,
        indexed: bool = False,
    ) -> None:
        self._dataset = dataset
        self._query = query
        self._base_dir = base_dir
        self._at = at
        self._ids = frozenset(query.item_ids) if query.item_ids is not None else None
        self._chosen: frozenset[int] | None = None
        """Ordinals, among the items that match, of those that sampling took; None if it takes all."""
        self._kept = Kept(Item, indexed=indexed)
        self._parts: dict[Part, array[int]] = {}
        """By part, which items have samples in it, if that was noted: see `index`."""
        self._marks = bytearray()
        """Of each item taken that is in the share, the first 8 bytes of its digest."""
        self._share = share
        self._shared = [0] * (share.most if share else 0)
        """By sample index, how many items have that sample in the share."""
        self.count = 0
        self.digest = ""
        self._survey(query.seed if query.seed is not None else seed)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._kept) if self._kept.whole else self._as_surveyed(self._own(self._taken(self._read())))

    def every(self) -> Iterator[Item]:
        """All items that the query takes, whatever the share: read anew if there is one, and kept nowhere."""
        return iter(self) if self._share is None else self._in_full()

    def is_counted(self, item: Item) -> bool:
        """Whether an item counts in the share, where its samples may be in several: it has the first of them."""
        return self._share is None or 0 in self._share.samples(item.id, 1)

    def samples(self, of: int) -> int:
        """How many samples there are in the share, of so many of each item."""
        return self.count * of if self._share is None else sum(self._shared[:of])

    def index(self, of: int, by_item: bool, most: int) -> None:
        """Note of each of so many parts which items have samples in it, for `shared`: 4 bytes for each sample."""
        self._parts = {}
        if not self._kept.whole:
            log.warning("the items are too many to be kept: they are read again for each part of the run")
            return
        for number, item in enumerate(self):
            samples = (None,) if by_item else range(most)
            for part in {Part.holding(item.id, sample, of) for sample in samples}:
                self._parts.setdefault(part, array("Q")).append(number)

    def shared(self, share: Share | None) -> Iterator[Item]:
        """The items that may have samples in a share: those alone, if it was noted which they are."""
        if share is None or not self._parts:
            return iter(self)
        return map(self._kept.at, self._parts.get(share.part, ()))

    def _in_full(self) -> Iterator[Item]:
        whole = hashlib.sha256()
        for item in self._taken(self._read()):
            whole.update(bytes.fromhex(item.digest))
            yield item
        if whole.hexdigest() != self.digest:
            raise self._changed("its items are others")

    def _own(self, items: Iterator[Item]) -> Iterator[Item]:
        """Those of the items that have samples in the share, which are counted as they are surveyed."""
        share = self._share
        return items if share is None else (item for item in items if share.samples(item.id))

    def places(self, ids: Collection[str]) -> dict[str, str]:
        """Where these items are in their source, such as `data.jsonl:17`, as far as the loader says; read again."""
        mapping, found = RowMapping(self._dataset), dict[str, str]()
        for row in _rows(self._dataset, self._query, self._base_dir):
            if (item_id := mapping.item(row).id) in ids:
                found.setdefault(item_id, row.location)
                if len(found) == len(ids):
                    break
        return found

    def _as_surveyed(self, items: Iterator[Item]) -> Iterator[Item]:
        """Pass items on as long as they are those of the survey: what was planned must be what is run."""
        at = 0
        for item in items:
            if self._marks[at : at + _MARK] != bytes.fromhex(item.digest)[:_MARK]:
                raise self._changed(f"item {item.id!r} is new or another")
            at += _MARK
            yield item
        if at < len(self._marks):
            raise self._changed(f"{counted((len(self._marks) - at) // _MARK, 'item', 'is', 'are')} missing")

    def _changed(self, what: str) -> SpecError:
        return self._dataset.place.error(
            f"the dataset changed while it was used ({what}): nothing more is asked. What was answered is saved; leave "
            "the data alone and run again"
        )

    def _survey(self, seed: int) -> None:
        watch = _Watch(self._ids or (), note_fields=bool(self._query.filters))
        if self._query.kind == "all":
            taken = self._taken(watch.items(self._read()))
        else:
            self._chosen = self._sample(self._matching(watch.items(self._read())), seed, watch)
            taken = self._taken(self._read())
        whole = hashlib.sha256()
        for item in taken:
            content = bytes.fromhex(item.digest)
            whole.update(content)
            self.count += 1
            if self._share is None or self._is_shared(self._share, item.id):
                self._marks += content[:_MARK]
                self._kept.add(item)
        self.digest = whole.hexdigest()
        self._check(watch)
        if not self.count:
            raise self._at.error(f"no item is left: {watch.count} read, 0 match the query")

    def _is_shared(self, share: Share, item_id: str) -> bool:
        """Whether an item has samples in the share, which are counted."""
        samples = share.samples(item_id)
        for sample in samples:
            self._shared[sample] += 1
        return bool(samples)

    def _read(self) -> Iterator[Item]:
        return map(RowMapping(self._dataset).item, _rows(self._dataset, self._query, self._base_dir))

    def _taken(self, items: Iterator[Item]) -> Iterator[Item]:
        """What of the items the query takes. What it does not ask for costs no step."""
        taken = self._matching(items)
        if (chosen := self._chosen) is not None:
            taken = (item for ordinal, item in enumerate(taken) if ordinal in chosen)
        if self._query.limit is not None:
            taken = islice(taken, self._query.limit)
        if (keep := self._query.projected_fields) is not None:
            taken = (with_fields(item, {k: v for k, v in item.fields.items() if k in keep}) for item in taken)
        return taken

    def _matching(self, items: Iterator[Item]) -> Iterator[Item]:
        if (ids := self._ids) is not None:
            items = (item for item in items if item.id in ids)
        if filters := self._query.filters.items():
            items = (item for item in items if all(_matches(item, name, wanted) for name, wanted in filters))
        return items

    def _sample(self, items: Iterator[Item], seed: int, watch: _Watch) -> frozenset[int]:
        assert self._query.count is not None  # the spec's validator saw to it
        strata = Strata(self._query.count, seed)
        matched = 0
        for matched, item in enumerate(items, 1):
            strata.add(matched - 1, item.id, self._stratum(item))
        self._check(watch)
        if self._query.count > matched:
            told = f"{counted(self._query.count, 'item')} asked for, but the query matches only {matched}"
            raise self._at.at("count").error(told)
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
        """Refuse ids that are there twice, and a query that names what the dataset does not have."""
        if marks := watch.repeated():
            self._refuse_twice(marks, watch.count)
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
        if watch.missing and not cut_short:
            missing = sorted(watch.missing)
            listed = ", ".join(map(repr, missing[:5])) + (", …" if len(missing) > 5 else "")
            raise self._at.at("item_ids").error(
                f"{counted(len(missing), 'id', 'is', 'are')} not in the dataset: {listed}"
            )

    def _refuse_twice(self, marks: Collection[int], count: int) -> NoReturn:
        """Read once more, up to the first id that was there before: only the hashes of ids were kept."""
        mapping = RowMapping(self._dataset)
        first: dict[str, tuple[int, Row]] = {}
        for number, row in enumerate(islice(_rows(self._dataset, self._query, self._base_dir), count), 1):
            item_id = mapping.item(row).id
            if hash(item_id) in marks and (before := first.setdefault(item_id, (number, row)))[0] != number:
                raise self._twice(item_id, before, (number, row))
        raise self._changed("an id was there twice")

    def _twice(self, item_id: str, before: tuple[int, Row], again: tuple[int, Row]) -> SpecError:
        remedy = "ids must differ; name another column in fields.id, or mend the data"
        if all(where(row).get("line") for _, row in (before, again)):
            said = f"duplicate item id {item_id!r}, the first is at {before[1].location}: {remedy}"
            return SpecError(said, **where(again[1]))
        return self._dataset.place.error(
            f"duplicate item id {item_id!r} (items {before[0]} and {again[0]} of the dataset): {remedy}"
        )


def _rows(dataset: LoadedDataset, query: DatasetQuerySpec, base_dir: Path) -> Iterator[Row]:
    """Read rows; a loader's error without a file of its own gets the dataset's place in the spec."""
    return chain.from_iterable(_some_rows(dataset, query, base_dir))


def _some_rows(dataset: LoadedDataset, query: DatasetQuerySpec, base_dir: Path) -> Iterator[list[Row]]:
    """Some rows at a time, under one deadline: one for each would take half as long as to read it."""
    limit_s = policy_in_force.get().start_timeout_s
    most = min(_TOGETHER, query.limit or _TOGETHER)
    try:
        with calling(dataset.component, "rows"):
            copies = dataset.spec.model_copy(deep=True), query.model_copy(deep=True)
            rows = iter(dataset.loader.rows(*copies, base_dir))
        failed: BaseException | None = None
        while failed is None:
            some: list[Row] = []
            try:
                in_time("the next row", limit_s, _read, rows, some, most)
            except BaseException as error:  # noqa: BLE001 - raised below
                failed = error
            yield some  # what was read is looked at first, and what is wrong in it told
            if not some:
                break
        if failed is not None:
            with calling(dataset.component, "rows"):
                raise failed
    except SpecError as error:
        if error.path is None:
            raise dataset.place.error(error.message) from error
        raise


def _read(rows: Iterator[Row], some: list[Row], most: int) -> None:
    """Read up to so many rows, and no more once it took a moment: the deadline is that of a row."""
    until = monotonic() + _MOMENT_S
    for row in rows:
        if not isinstance(row, Row):
            raise TypeError(f"it yielded {type(row).__name__}, not a Row")
        some.append(copied(row))
        if len(some) == most or monotonic() > until:
            return


class _Watch:
    """Counts items as they pass, notes their fields and which ids of `wanted` were not there, and finds repeated ids.

    Of each id it holds a 64-bit hash in 8 bytes; a set of them would be the most that a run of a large dataset holds.
    """

    def __init__(self, wanted: Iterable[str], *, note_fields: bool) -> None:
        self._note_fields = note_fields
        self._marks = [array("q") for _ in range(_PARTS)]
        self._look_at = 4 * _PARTS
        """The count at which to look for repeated ids before the end: a loader that begins anew may never end."""
        self.count = 0
        self.fields: set[str] = set()
        self.missing = set(wanted)

    def items(self, items: Iterator[Item]) -> Iterator[Item]:
        for item in items:
            self.count += 1
            mark = hash(item.id)
            self._marks[mark % _PARTS].append(mark)
            if self._note_fields:
                self.fields.update(item.fields, item.metadata)
            if self.missing:
                self.missing.discard(item.id)
            if self.count == self._look_at:
                self._look_at *= 2
                if self.repeated():
                    return
            yield item

    def repeated(self) -> set[int]:
        """Hashes of the ids that came more than once."""
        parts = [part for part in self._marks if len(set(part)) < len(part)]
        return {mark for part in parts for mark, times in Counter(part).items() if times > 1}


def _matches(item: Item, name: str, wanted: Any) -> bool:
    value = item.fields.get(name, item.metadata.get(name, _MISSING))
    return any(_equal(value, each) for each in (wanted if isinstance(wanted, list) else [wanted]))


_MISSING = object()


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, str) and not isinstance(wanted, str):
        return value == json.dumps(wanted)  # CSV has only text: `level: 3` means its "3"
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)
