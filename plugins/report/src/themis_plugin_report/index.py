"""The single results of runs in a temporary SQLite file, ordered by item: what the browser of results filters.

Texts are not in it: they are read from the store for those results that are shown.
"""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from threading import RLock
from typing import Any

from themis_core import RunRecord, Store

__all__ = ["Call", "Entry", "Index", "Query", "Scorer", "System", "facet_of"]

BATCH = 500
MOST_VALUES = 60
"""Of a field of metadata, to choose among."""
_SCHEMA = """
CREATE TABLE trials (
    n INTEGER PRIMARY KEY, run_id TEXT, slice INTEGER, trial_id TEXT, system INTEGER, item_id BLOB, item_digest TEXT,
    sample INTEGER, outcome TEXT, error_code TEXT, keys TEXT
);
CREATE TABLE scores (
    n INTEGER, scorer INTEGER, value REAL, correct INTEGER, unparsed INTEGER, flipped INTEGER DEFAULT 0,
    PRIMARY KEY (n, scorer)
) WITHOUT ROWID;
CREATE TABLE scored (run_id TEXT, slice INTEGER, scorer INTEGER, PRIMARY KEY (run_id, slice, scorer)) WITHOUT ROWID;
CREATE TABLE calls (
    key TEXT, run_id TEXT, system INTEGER, scorer INTEGER, PRIMARY KEY (key, run_id)
) WITHOUT ROWID;
CREATE TABLE facets (item_digest TEXT, field BLOB, value BLOB);
"""
_INDICES = """
CREATE UNIQUE INDEX by_id ON trials (run_id, slice, trial_id);
CREATE INDEX by_facet ON facets (item_digest, field);
CREATE INDEX by_item ON trials (slice, item_digest, sample);
"""
_FLIPPED = """
WITH split AS (
    SELECT t.slice, t.item_digest, t.sample, s.scorer FROM scores s JOIN trials t USING (n)
    WHERE s.correct IS NOT NULL GROUP BY 1, 2, 3, 4 HAVING min(s.correct) < max(s.correct)
)
UPDATE scores SET flipped = 1 WHERE (n, scorer) IN (
    SELECT t.n, split.scorer FROM split
    JOIN trials t ON t.slice = split.slice AND t.item_digest = split.item_digest AND t.sample = split.sample
)
"""
_FACETS = """
SELECT DISTINCT field, value FROM facets
WHERE field IN (SELECT field FROM facets GROUP BY field HAVING count(DISTINCT value) BETWEEN 2 AND ?)
ORDER BY field, value
"""
_SHARED = """
SELECT field FROM facets GROUP BY field
HAVING count(DISTINCT value) BETWEEN 2 AND min(?, count(*) / 2) ORDER BY field
"""
_SHOWN = {
    "all": "1",
    "failed": "t.outcome = 'failed'",
    "wrong": "s.correct = 0",
    "right": "s.correct = 1",
    "unparsed": "s.unparsed = 1",
    "unscored": "t.outcome != 'failed' AND s.value IS NULL AND EXISTS (SELECT 1 FROM scored d "
    "WHERE d.run_id = t.run_id AND d.slice = t.slice AND d.scorer = asked.scorer)",
    "flipped": "s.flipped = 1",
}


@dataclass(frozen=True, slots=True)
class System:
    """What is compared: a model, asked by one prompt variant with one setting, in one run."""

    run_id: str
    model_id: str
    prompt_variant_id: str
    params: str


@dataclass(frozen=True, slots=True)
class Scorer:
    """A metric or judge of a score, by the names that the spec gave."""

    score: str
    metric: str
    best: dict[str, float | None] = field(default_factory=dict, compare=False)
    """Slice to the value of a right answer; None if the metric knows none."""

    @property
    def name(self) -> str:
        return f"{self.score}/{self.metric}"


@dataclass(frozen=True, slots=True)
class Query:
    """Which results are asked for."""

    shown: str = "all"
    scorer: int = 0
    system: int | None = None
    slice_id: str | None = None
    facet: tuple[str, str] | None = None
    """A field of the item's metadata, and its value as text."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One trial, as far as the index has it."""

    n: int
    run_id: str
    slice_id: str
    trial_id: str
    system: int
    item_id: str
    item_digest: str
    sample: int
    outcome: str
    error_code: str | None
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A generation that a run used: of a system, or of a judge for a scorer."""

    run_id: str
    key: str
    system: int | None = None
    scorer: int | None = None


class Index:
    """The results of some runs. Once it is made, several threads may read it; `close`, or its end, removes the file."""

    SHOWN = tuple(_SHOWN)

    def __init__(self, store: Store, runs: Sequence[RunRecord]) -> None:
        self.systems: list[System] = []
        self.scorers: list[Scorer] = []
        self.slices: list[str] = []
        self._db = sqlite3.connect("", check_same_thread=False)  # a temporary file, which SQLite removes
        self._lock = RLock()
        self.close = weakref.finalize(self, self._db.close)
        self._db.executescript(_SCHEMA)
        for run in runs:
            self._scorers_of(run)
            self._db.executemany(f"INSERT INTO trials VALUES ({', '.join('?' * 11)})", self._trials(store, run.run_id))
            self._db.executemany("INSERT OR IGNORE INTO scored VALUES (?, ?, ?)", self._scored_by(run))
        self._db.executemany("INSERT INTO facets VALUES (?, ?, ?)", self._facets_of(store))
        self._db.executescript(_INDICES)
        for run in runs:
            self._db.executemany(
                "INSERT OR REPLACE INTO scores (n, scorer, value, correct, unparsed) "
                "SELECT n, ?, ?, ?, ? FROM trials WHERE run_id = ? AND slice = ? AND trial_id = ?",
                self._scores(store, run.run_id),
            )
        self._db.execute(_FLIPPED)
        self._db.commit()

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        with self._lock:
            cursor = self._db.execute(sql, values)
        while True:
            with self._lock:
                rows = cursor.fetchmany(BATCH)
            if not rows:
                return
            yield from rows

    def _scorers_of(self, run: RunRecord) -> None:
        for each in run.manifest["scorers"]:
            best = each.get("highest") if each.get("higher_is_better", True) else each.get("lowest")
            scorer = Scorer(each["score"], each["metric"])
            if scorer not in self.scorers:
                self.scorers.append(scorer)
            self.scorers[self.scorers.index(scorer)].best[each["slice_id"]] = best

    def _scored_by(self, run: RunRecord) -> Iterator[tuple[str, int, int]]:
        for each in run.manifest["scorers"]:
            if each["slice_id"] in self.slices:
                scorer = self.scorers.index(Scorer(each["score"], each["metric"]))
                yield run.run_id, self.slices.index(each["slice_id"]), scorer

    def scored(self) -> dict[str, dict[str, list[int]]]:
        """Run to slice to the numbers of the scorers that it has."""
        found: dict[str, dict[str, list[int]]] = {}
        for run_id, of_slice, scorer in self._rows("SELECT run_id, slice, scorer FROM scored ORDER BY 1, 2, 3"):
            found.setdefault(run_id, {}).setdefault(self.slices[of_slice], []).append(scorer)
        return found

    def _trials(self, store: Store, run_id: str) -> Iterator[tuple[Any, ...]]:
        known = {system: number for number, system in enumerate(self.systems)}
        for row in store.trial_rows(run_id):
            system = System(run_id, row.model_id, row.prompt_variant_id, row.params)
            if system not in known:
                known[system] = len(known)
                self.systems.append(system)
            if row.slice_id not in self.slices:
                self.slices.append(row.slice_id)
            yield (
                None, run_id, self.slices.index(row.slice_id), row.trial_id, known[system], _bytes(row.item_id),
                row.item_digest, row.sample_index, row.outcome, row.error_code, json.dumps(row.generation_keys),
            )  # fmt: skip

    def _scores(self, store: Store, run_id: str) -> Iterator[tuple[Any, ...]]:
        numbers = {(each.score, each.metric): number for number, each in enumerate(self.scorers)}
        for row in store.score_rows(run_id):
            if row.slice_id not in self.slices:  # of a trial that was finished a moment ago
                continue
            number = numbers[row.score, row.metric]
            best = self.scorers[number].best.get(row.slice_id)
            correct = None if row.value is None or best is None else int(row.value == best)
            unparsed = int(row.parse_reason is not None)
            yield number, row.value, correct, unparsed, run_id, self.slices.index(row.slice_id), row.trial_id

    def _facets_of(self, store: Store) -> Iterator[tuple[str, bytes, bytes]]:
        digests = (row[0] for row in self._db.execute("SELECT DISTINCT item_digest FROM trials"))
        while batch := list(islice(digests, BATCH)):
            for digest, item in store.items(batch).items():
                for name, value in item.metadata.items():
                    if not isinstance(value, dict | list):
                        yield digest, _bytes(name), _bytes(facet_of(value))

    def facets(self) -> dict[str, list[str]]:
        """The fields of the items' metadata that have few values, with these."""
        rows = self._rows(_FACETS, [MOST_VALUES])
        found: dict[str, list[str]] = {}
        for name, value in rows:
            found.setdefault(_text(name), []).append(_text(value))
        return found

    def shared_fields(self) -> list[str]:
        """The fields of the metadata that put items together: of few values, each of two items or more on average."""
        return [_text(name) for (name,) in self._rows(_SHARED, [MOST_VALUES])]

    def count(self, query: Query = Query()) -> int:
        (count,) = next(self._rows(f"SELECT count(*) {self._from(query)}", self._values(query)))
        return int(count)

    def entries(self, query: Query = Query(), offset: int = 0, limit: int = -1) -> Iterator[Entry]:
        """The results that are asked for, all of one item together."""
        rows = self._rows(
            f"SELECT t.* {self._from(query)} ORDER BY t.slice, t.item_id, t.item_digest, t.sample, t.system "
            "LIMIT ? OFFSET ?",
            [*self._values(query), limit, offset],
        )
        return map(self._entry, rows)

    def alike(self, n: int) -> list[Entry]:
        """The trial with this number and those of the same item and sample, by system."""
        same = "o.slice = t.slice AND o.item_digest = t.item_digest AND o.sample = t.sample"
        rows = self._rows(f"SELECT o.* FROM trials t JOIN trials o ON {same} WHERE t.n = ? ORDER BY o.system", [n])
        return list(map(self._entry, rows))

    def marks(self, n: int) -> dict[int, tuple[bool | None, bool]]:
        """Scorer to whether the trial is right by it, and whether systems differ about that item."""
        rows = self._rows("SELECT scorer, correct, flipped FROM scores WHERE n = ?", [n])
        return {row[0]: (None if row[1] is None else bool(row[1]), bool(row[2])) for row in rows}

    def note_calls(self, calls: Iterable[Call]) -> None:
        """Keep each generation of a run once, for whom it was first noted."""
        rows = ((each.key, each.run_id, each.system, each.scorer) for each in calls)
        self._db.executemany("INSERT OR IGNORE INTO calls VALUES (?, ?, ?, ?)", rows)

    def calls(self) -> Iterator[Call]:
        """The generations that were noted, those of one key together."""
        rows = self._rows("SELECT run_id, key, system, scorer FROM calls ORDER BY key, run_id")
        return (Call(*row) for row in rows)

    def _from(self, query: Query) -> str:
        system = "AND t.system = ?" if query.system is not None else ""
        slice_id = "AND t.slice = ?" if query.slice_id is not None else ""
        facet = (
            "AND EXISTS (SELECT 1 FROM facets f WHERE f.item_digest = t.item_digest AND f.field = ? AND f.value = ?)"
            if query.facet is not None
            else ""
        )
        joined = (
            "FROM trials t CROSS JOIN (SELECT ? AS scorer) asked "
            "LEFT JOIN scores s ON s.n = t.n AND s.scorer = asked.scorer"
        )
        return f"{joined} WHERE {_SHOWN[query.shown]} {system} {slice_id} {facet}"

    def _values(self, query: Query) -> list[Any]:
        values = [query.scorer] if query.system is None else [query.scorer, query.system]
        if query.slice_id is not None:
            values.append(self.slices.index(query.slice_id) if query.slice_id in self.slices else -1)
        return [*values, *map(_bytes, query.facet or ())]

    def _entry(self, row: Sequence[Any]) -> Entry:
        n, run_id, slice_number, trial_id, system, item_id, *rest, keys = row
        told = (n, run_id, self.slices[slice_number], trial_id, system, _text(item_id))
        return Entry(*[*told, *rest, tuple(json.loads(keys))])


def facet_of(value: Any) -> str:
    """A value of the metadata as the filter has it."""
    return value if isinstance(value, str) else json.dumps(value)


# SQLite's texts hold no lone surrogates, and what datasets call their items may.


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
