"""The writing half of the store: batches into the log and the projections, in one transaction each.

What a batch changes is `projection`; this is when and how it is made durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from themis_core import Event, StorageError
from themis_sql.codec import json_ascii, pack_body, pack_name, unpack_body
from themis_sql.database import CommitUnknown, Database
from themis_sql.facts import Fact, fact_of, messages_of
from themis_sql.layout import PROJECTIONS, insert_sql
from themis_sql.names import Names
from themis_sql.payloads import BlobFiles, NewPayloads, Payloads
from themis_sql.projection import Keys, Projection
from themis_sql.reader import SqlReader

__all__ = ["SqlStore", "replay"]

_NUMBERED = ("payloads", "items", "generations", "trials", "scores")
_NEXT_IDS = "SELECT " + ", ".join(
    [f"(SELECT coalesce(max(id), 0) + 1 FROM {table})" for table in _NUMBERED]
    + ["coalesce((SELECT seq + count FROM events ORDER BY seq DESC LIMIT 1), 1)"]
)
_NEXT_GROUP = "SELECT seq, encoding, body FROM events WHERE seq > ? ORDER BY seq LIMIT 1"


class SqlStore(SqlReader):
    """A store in an SQL database, with long texts in blob files beside it."""

    def __init__(self, database: Database, blob_folder: Path, *, inline_limit_bytes: int = 65_536) -> None:
        self._blobs = BlobFiles(blob_folder)
        super().__init__(database, Payloads(database, self._blobs))
        self._names = Names(database)
        self._inline_limit = inline_limit_bytes

    def append(self, events: Sequence[Event]) -> None:
        if not events:
            return
        try:
            try:
                self._append(events)
            except CommitUnknown:
                # The transaction may be there or not. A repeated batch changes nothing, so repeating it settles it.
                self._database.connect()
                self._append(events)
        except CommitUnknown as error:
            raise StorageError(self._database.explain(error.error)) from error.error
        except self._database.driver_error as error:
            raise StorageError(self._database.explain(error)) from error
        except OSError as error:
            raise StorageError(f"can't write a blob file in {self._blobs.folder}: {error.strerror or error}") from error

    def _append(self, events: Sequence[Event]) -> None:
        try:
            with self._database.transaction():
                self._save(events)
        except BaseException:
            self._names.forget()  # what was rolled back has no number any more
            raise

    def _save(self, events: Sequence[Event]) -> None:
        *ids, seq = self._database.row(_NEXT_IDS)
        first_ids = dict(zip(_NUMBERED, ids, strict=True))
        texts = NewPayloads(self._database, self._blobs, self._inline_limit, first_ids["payloads"])
        projection = Projection(self._database, self._names, first_ids)
        projection.load(Keys.of_events(events))
        messages = [messages_of(each) for each in events]
        texts.find_shared(each for each in messages if each)
        facts: list[Fact] = []
        for event, asked in zip(events, messages, strict=True):
            if projection.changes(event):
                fact = fact_of(event, asked, texts)
                projection.add(fact)
                facts.append(fact)
        if facts:
            self._log(seq, facts)
            if texts.rows:
                self._database.write(insert_sql("payloads"), texts.rows)
            projection.write()

    def _log(self, seq: int, facts: list[Fact]) -> None:
        runs = {run_id for fact in facts if (run_id := fact.get("run_id")) is not None}
        run_id = pack_name(runs.pop()) if len(runs) == 1 else None
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        self._database.run(insert_sql("events"), (seq, len(facts), run_id, at, *pack_body(json_ascii(facts))))

    def rebuild(self) -> None:
        """Make all projections again from the log, in one transaction; no other process may write meanwhile."""
        try:
            with self._database.errors(), self._database.transaction():
                self._names.forget()
                for table in PROJECTIONS:
                    self._database.run(f"DELETE FROM {table}")
                replay(self._database)
        finally:
            self._names.forget()

    def lock_run(self, run_id: str) -> AbstractContextManager[None]:
        return self._database.lock_run(run_id)

    def close(self) -> None:
        self._database.close()


def replay(database: Database) -> None:
    """Make the projections from the log, within the caller's transaction; their tables are empty."""
    names = Names(database)
    seq = 0
    # Row by row: not every driver lets one query go on while others run and change what it could see.
    while (row := database.row(_NEXT_GROUP, (seq,))) is not None:
        seq, encoding, body = row
        facts = unpack_body(encoding, body)
        *ids, _ = database.row(_NEXT_IDS)
        projection = Projection(database, names, dict(zip(_NUMBERED, ids, strict=True)))
        projection.load(Keys.of_facts(facts))
        for fact in facts:
            projection.add(fact)
        projection.write()
