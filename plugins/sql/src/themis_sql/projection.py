"""What one transaction changes in the projections: worked out in memory from facts, then written at once.

It decides which events change anything; it does not read or write the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any, Final

from themis_core import (
    BatchEnded,
    BatchIntended,
    BatchSubmitted,
    Event,
    GenerationRecorded,
    ItemRecorded,
    RunFinished,
    RunStarted,
    Score,
    ScoreEntry,
    TrialFinished,
)
from themis_sql.batches import Batches
from themis_sql.codec import json_ascii, json_text, lookup_of, micros_of, pack_key, pack_name, unpack_key, unpack_name
from themis_sql.database import Database
from themis_sql.facts import COUNTS, Fact
from themis_sql.layout import WIDTHS, insert_sql
from themis_sql.names import Names, salt_of
from themis_sql.numbering import within_ids

__all__ = ["Keys", "Projection", "Rows"]

FAILED: Final = "failed"
_by_lookup = itemgetter(1, 2)


@dataclass(slots=True)
class Known:
    """What is known of one key: its row's id (None if it has no row) and what decides whether it may be replaced."""

    packed: bytes
    lookup: int
    id: int | None = None
    twin: int = 0
    """Tells it from other keys with the same lookup bits."""
    state: Any = None


class Rows:
    """Rows of one table that wait to be written, by id."""

    def __init__(self, table: str, first_id: int) -> None:
        self.table = table
        self._first = first_id
        self._twins: dict[int, int] = {}
        self._new: dict[int, tuple[Any, ...]] = {}
        self._changed: dict[int, tuple[Any, ...]] = {}

    def note_twin(self, lookup: int, twin: int) -> None:
        """Note a stored row, so that another key with its lookup bits gets the next number."""
        self._twins[lookup] = max(self._twins.get(lookup, 0), twin + 1)

    def put(self, known: Known, *values: Any) -> int:
        """Take the row of a key, in the place of one that it may have; return its id, given it now if it has none."""
        number = known.id
        if number is None:
            number = known.id = self._first + len(self._new)
            known.twin = self._twins.get(known.lookup, 0)
            self._twins[known.lookup] = known.twin + 1
        row = (number, known.lookup, known.twin, known.packed, *values)
        (self._new if number >= self._first else self._changed)[number] = row
        return number

    def write(self, database: Database) -> None:
        if self._changed:
            database.write(f"DELETE FROM {self.table} WHERE id = ?", [(each,) for each in sorted(self._changed)])
        if rows := [*self._changed.values(), *self._new.values()]:
            within_ids(len(self._new))
            if database.several_writers:  # in one order, so that no two writers wait for each other
                rows.sort(key=_by_lookup)
            database.write(insert_sql(self.table), rows)


@dataclass(slots=True)
class Keys:
    """The keys that some events name: what has to be looked up before they can be projected."""

    generations: set[str]
    scores: set[str]
    trials: set[tuple[str, str, str]]
    """Run id, slice id, trial id."""
    items: set[tuple[str, str]]
    """Digest, item id."""

    @classmethod
    def of_events(cls, events: Iterable[Event]) -> Keys:
        keys = cls(set(), set(), set(), set())
        for event in events:
            if isinstance(event, GenerationRecorded):
                keys.generations.add(event.key)
            elif isinstance(event, TrialFinished):
                keys.trials.add((event.run_id, event.slice_id, event.trial_id))
                keys.items.add((event.item_digest, event.item_id))
                keys.generations.update(event.generation_keys)
                for entry in event.scores:
                    keys.scores.add(entry.key)
                    keys.generations.update(entry.judged_by)
            elif isinstance(event, ItemRecorded):
                keys.items.add((event.item.digest, event.item.id))
        return keys

    @classmethod
    def of_facts(cls, facts: Iterable[Fact]) -> Keys:
        keys = cls(set(), set(), set(), set())
        for fact in facts:
            if fact["kind"] == "generation":
                keys.generations.add(fact["key"])
            elif fact["kind"] == "trial":
                keys.trials.add((fact["run_id"], fact["slice_id"], fact["trial_id"]))
                keys.items.add((fact["item_digest"], fact["item_id"]))
                keys.generations.update(fact["generation_keys"])
                for score in fact["scores"]:
                    keys.scores.add(score["key"])
                    keys.generations.update(score.get("judged_by", ()))
            elif fact["kind"] == "item":
                keys.items.add((fact["digest"], fact["item_id"]))
        return keys


class Projection:
    """The rows that facts change. `load` first, then `changes` and `add`, then `write`."""

    def __init__(self, database: Database, names: Names, first_ids: dict[str, int], seq: int) -> None:
        self._database = database
        self._names = names
        self._seq = seq
        """Number of the log's row in which the facts are."""
        self._items = Rows("items", first_ids["items"])
        self._generations = Rows("generations", first_ids["generations"])
        self._trials = Rows("trials", first_ids["trials"])
        self._scores = Rows("scores", first_ids["scores"])
        self._batches = Batches(database, names)
        self._links: dict[int, list[tuple[Any, ...]]] = {}
        self._unlinked: list[tuple[int]] = []

    def load(self, keys: Keys) -> None:
        """Look up what is stored of these keys."""
        self.generations = {key: Known(p := pack_key(key), lookup_of(p)) for key in keys.generations}
        self.scores = {key: Known(p := pack_key(key), lookup_of(p)) for key in keys.scores}
        self.items = {key: Known(p := pack_key(key[0]), lookup_of(p)) for key in keys.items}
        self.trials = {key: Known(p := pack_key(key[2]), lookup_of(p, salt_of(key[0], key[1]))) for key in keys.trials}
        self._find(self._generations, self.generations, "id, lookup, twin, key, status FROM generations", _generation)
        self._find(self._scores, self.scores, "id, lookup, twin, key, value, reason FROM scores", _score)
        self._find(
            self._items, self.items, "id, lookup, twin, digest, item_id, content, event, metadata FROM items", _item
        )
        self._find(
            self._trials,
            self.trials,
            "trials.id, lookup, twin, trial_id, r.run_id, a.slice_id, outcome, finished_at FROM trials"
            " JOIN arms a ON a.id = arm JOIN runs r ON r.id = a.run",
            _trial,
        )

    def _find(
        self, rows: Rows, known: dict[Any, Known], select: str, read: Callable[..., tuple[Hashable, Any]]
    ) -> None:
        """Note what is stored of these keys. `read` gives the key and the state that a row tells."""
        lookups = [each.lookup for each in known.values()]
        sql = f"SELECT {select} WHERE {rows.table}.lookup IN (*)"
        for number, lookup, twin, *values in self._database.rows_found(rows.table, sql, lookups):
            rows.note_twin(lookup, twin)
            key, state = read(*values)
            if (entry := known.get(key)) is not None:  # else it is another key with the same lookup bits
                entry.id, entry.twin, entry.state = number, twin, state

    def new_answers(self, events: Iterable[Event], least: int) -> Iterator[str]:
        """Yield the answers of at least so many characters that are sure to be added, whatever else is.

        They are those of keys that come once.
        """
        answers = [event for event in events if isinstance(event, GenerationRecorded)]
        long = [event for event in answers if len(event.generation.text) >= least]
        times = Counter(event.key for event in answers) if long else {}
        return (event.generation.text for event in long if times[event.key] == 1 and self.changes(event))

    def changes(self, event: Event) -> bool:
        """Whether the event changes anything that is stored or was added before it."""
        if isinstance(event, GenerationRecorded):
            state = self.generations[event.key].state
            return state is None or (state == FAILED and event.generation.status != FAILED)
        if isinstance(event, TrialFinished):
            known = self.trials[event.run_id, event.slice_id, event.trial_id]
            if known.id is None:
                return True
            outcome, at = known.state
            if outcome != FAILED:
                return any(self._raises_rank(entry) for entry in event.scores)
            return bool(event.outcome != FAILED or micros_of(event.at) > at)
        if isinstance(event, ItemRecorded):
            return self.items[event.item.digest, event.item.id].state is None
        if isinstance(event, BatchIntended | BatchSubmitted | BatchEnded):
            return self._batches.changes(event)
        return not self._has_run_event(event)

    def _raises_rank(self, entry: ScoreEntry) -> bool:
        rank = self.scores[entry.key].state
        return rank is not None and entry.result.rank > rank

    def _has_run_event(self, event: RunStarted | RunFinished) -> bool:
        column = "started_at" if isinstance(event, RunStarted) else "finished_at"
        run = self._names.number("runs", event.run_id)
        sql = f"SELECT 1 FROM executions WHERE run = ? AND {column} = ? AND coalesce(part, '') = ?"
        return self._database.row(sql, (run, event.at, event.part or "")) is not None

    def add(self, fact: Fact) -> None:
        _ADDERS[fact["kind"]](self, fact)

    def _add_run_started(self, fact: Fact) -> None:
        self._start(fact, fact["manifest"])
        for slice_id, dimensions in fact.get("dimensions", {}).items():
            self._names.set_dimensions(fact["run_id"], slice_id, json_text(dimensions))

    def _add_run_finished(self, fact: Fact) -> None:
        sql = "SELECT max(id) FROM executions WHERE run = ? AND coalesce(part, '') = ?"
        number = self._database.row(sql, (self._names.number("runs", fact["run_id"]), fact.get("part", "")))[0]
        if number is None:
            number = self._start(fact, None)
        self._database.run(
            "UPDATE executions SET finished_at = ?, status = ?, counts = ? WHERE id = ?",
            (fact["at"], fact["status"], json_ascii(fact["counts"]), number),
        )

    def _start(self, fact: Fact, manifest: int | None) -> int:
        number = int(self._database.row("SELECT coalesce(max(id), 0) + 1 FROM executions")[0])
        part = fact.get("part")
        row = (number, self._names.number("runs", fact["run_id"]), fact["at"], manifest, None, "running", "{}", part)
        self._database.write(insert_sql("executions"), [row])
        return number

    def _add_batch(self, fact: Fact) -> None:
        self._batches.add(fact)

    def _add_item(self, fact: Fact) -> None:
        known = self.items[fact["digest"], fact["item_id"]]
        content = fact["content"]
        places = (content, None) if isinstance(content, int) else (None, self._seq)
        known.state = (*places, fact.get("metadata"))
        self._put_item(known, fact["item_id"])

    def _put_item(self, known: Known, item_id: str) -> int:
        return self._items.put(known, pack_name(item_id), *(known.state or (None,) * 3))

    def _add_generation(self, fact: Fact) -> None:
        known = self.generations[fact["key"]]
        known.state = fact["status"]
        self._generations.put(
            known,
            fact["status"],
            (code := fact.get("error_code")) and pack_name(code),
            (reason := fact.get("finish_reason")) and pack_name(reason),
            self._names.settings(fact["model_id"], fact["params"]),
            fact["messages"],
            pack_name(fact["item_id"]),
            fact["sample_index"],
            fact.get("seed"),
            fact.get("answer"),
            fact.get("detail"),
            *(usage := fact.get("usage", ())),
            *_NO_COUNTS[len(usage) :],
            fact.get("cost"),
            fact.get("latency_s"),
            fact["attempts"],
            self._names.number("runs", fact["run_id"]),
            micros_of(fact["at"]),
        )

    def _generation(self, key: str) -> int:
        """Return the id of a generation, giving one to a key that a trial names before its record arrived."""
        known = self.generations[key]
        return known.id or self._generations.put(known, *_NO_GENERATION)

    def _add_trial(self, fact: Fact) -> None:
        run_id, slice_id, trial_id = fact["run_id"], fact["slice_id"], fact["trial_id"]
        known = self.trials[run_id, slice_id, trial_id]
        if known.id is not None:
            self._unlinked.append((known.id,))
        at = micros_of(fact["at"])
        known.state = (fact["outcome"], at)
        generations = [self.generations[key].id or self._generation(key) for key in fact["generation_keys"]]
        item = self.items[fact["item_digest"], fact["item_id"]]
        run = self._names.number("runs", run_id)
        number = self._trials.put(
            known,
            self._names.number("arms", run, slice_id, fact["model_id"], fact["prompt_variant_id"], fact["params"]),
            item.id or self._put_item(item, fact["item_id"]),
            fact["sample_index"],
            generations[-1] if generations else None,
            json_ascii(generations[:-1]) if len(generations) > 1 else None,
            fact["outcome"],
            (code := fact.get("error_code")) and pack_name(code),
            1 if fact["reused"] else 0,
            at,
        )
        self._links[number] = [self._link(number, place, score) for place, score in enumerate(fact["scores"])]

    def _link(self, trial: int, place: int, fact: Fact) -> tuple[Any, ...]:
        judged_by = [self._generation(key) for key in fact.get("judged_by", ())]
        return (
            trial,
            place,
            self._names.number("scorers", fact["score"], fact["metric"], fact.get("parse")),
            self._score(fact),
            1 if fact.get("new", True) else 0,
            json_ascii(judged_by) if judged_by else None,
        )

    def _score(self, fact: Fact) -> int:
        known = self.scores[fact["key"]]
        value, reason = fact.get("value"), fact.get("reason")
        rank = _rank(value, reason)
        if known.id is not None and rank <= known.state:
            return known.id
        known.state = rank
        parsed = fact.get("parsed")
        return self._scores.put(
            known,
            value,
            reason and pack_name(reason),
            json_ascii(parts) if (parts := fact.get("parts")) else None,
            fact.get("details"),
            None if parsed is None else int(parsed),
            (parse_reason := fact.get("parse_reason")) and pack_name(parse_reason),
            fact.get("extracted"),
            fact.get("extracted_payload"),
        )

    def write(self) -> None:
        for rows in (self._items, self._generations, self._scores, self._trials):
            rows.write(self._database)
        if self._unlinked:
            self._database.write("DELETE FROM score_links WHERE trial = ?", self._unlinked)
        if links := list(chain.from_iterable(self._links.values())):
            self._database.write(insert_sql("score_links"), links)


# Not of each projection: methods that it held would hold it, and all its rows, until Python looks for circles.
_ADDERS: Final[dict[str, Callable[[Projection, Fact], None]]] = {
    GenerationRecorded.kind: Projection._add_generation,
    ItemRecorded.kind: Projection._add_item,
    TrialFinished.kind: Projection._add_trial,
    RunStarted.kind: Projection._add_run_started,
    RunFinished.kind: Projection._add_run_finished,
    **dict.fromkeys((BatchIntended.kind, BatchSubmitted.kind, BatchEnded.kind), Projection._add_batch),
}
_SCORED: Final = Score(0.0).rank


def _rank(value: float | None, reason: str | None) -> int:
    return _SCORED if value is not None else Score(None, reason).rank


_NO_COUNTS: Final = (None,) * len(COUNTS)
_NO_GENERATION: Final = (None,) * (WIDTHS["generations"] - 4)


def _generation(key: bytes, status: str | None) -> tuple[str, str | None]:
    return unpack_key(key), status


def _score(key: bytes, value: float | None, reason: str | None) -> tuple[str, int]:
    return unpack_key(key), _rank(value, None if reason is None else unpack_name(reason))


def _item(digest: bytes, item_id: str, *places: Any) -> tuple[tuple[str, str], list[Any] | None]:
    return (unpack_key(digest), unpack_name(item_id)), None if places == (None, None, None) else list(places)


def _trial(trial_id: bytes, run_id: str, slice_id: str, *state: str) -> tuple[tuple[str, str, str], Sequence[str]]:
    return (unpack_name(run_id), unpack_name(slice_id), unpack_key(trial_id)), state
