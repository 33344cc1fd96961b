"""The writing half of the store: batches into the log and the projections, in one transaction each.

What a batch changes is `projection`; this is when and how it is made durable.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from themis_blobs import Blobs
from themis_core import Damage, Event, GenerationRecorded, Holder, ItemRecorded, LiveChange, StorageError
from themis_sql.claims import Claims
from themis_sql.codec import json_text, unpack_body
from themis_sql.database import CommitUnknown, Database
from themis_sql.facts import Fact, fact_of
from themis_sql.layout import PROJECTIONS, insert_sql
from themis_sql.live import LiveStates
from themis_sql.log import Log, LogCheck
from themis_sql.names import Names
from themis_sql.numbering import first_ids, next_seq, within_ids
from themis_sql.payloads import BULKY, NewPayloads, Payloads
from themis_sql.projection import Keys, Projection
from themis_sql.reader import SqlReader

__all__ = ["SqlStore", "replay"]

_NEXT_GROUP = "SELECT seq, encoding, body FROM events WHERE seq > ? ORDER BY seq LIMIT 1"


class _LongTexts(Exception):
    """A batch has texts that are to be written before its transaction."""

    def __init__(self, texts: Mapping[bytes, bytes]) -> None:
        super().__init__()
        self.texts = texts


class SqlStore(SqlReader):
    """A store in an SQL database, with long texts as blobs."""

    def __init__(self, database: Database, blobs: Blobs, *, inline_limit_bytes: int = 65_536) -> None:
        self._blobs = blobs
        super().__init__(database, Payloads(database, blobs))
        self._names = Names(database)
        self._log = Log(database)
        self._claims = Claims(database)
        self._live = LiveStates(database)
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
            raise StorageError(f"can't write a blob file in {self._blobs.place}: {error.strerror or error}") from error

    def _append(self, events: Sequence[Event]) -> None:
        written: dict[bytes, bytes] = {}
        save = partial(self._save, events, written)
        while True:
            try:
                self._database.settle(save)
                break
            except _LongTexts as found:
                # Not within the transaction: a bucket may take seconds, and others wait for what it holds.
                self._blobs.write(found.texts)
                written.update(found.texts)
            except BaseException:
                self._forget()  # what was noted of names and chains: it may be stored or not
                raise
        self._names.keep()
        self._log.keep()

    def _forget(self) -> None:
        """Forget numbers of names and ends of chains, which may not be what is stored."""
        self._names.forget()
        self._log.forget()

    def _save(self, events: Sequence[Event], written: Collection[bytes]) -> None:
        self._names.drop()  # what a transaction noted that was rolled back
        self._log.drop()
        seq = next_seq(self._database)
        ids = first_ids(self._database, seq)
        texts = NewPayloads(self._database, self._inline_limit, ids["payloads"])
        projection = Projection(self._database, self._names, ids, seq)
        projection.load(Keys.of_events(events))
        messages = [json_text(e.request.messages) if isinstance(e, GenerationRecorded) else "" for e in events]
        texts.find_shared(each for each in messages if each)
        texts.number_first(projection.new_answers(events, BULKY))
        facts: list[Fact] = []
        about: dict[str, str] = {}
        """What was asked about an item, by its id: for items that are saved beside it."""
        for event, asked in zip(events, messages, strict=True):
            if isinstance(event, GenerationRecorded):
                about.setdefault(event.request.item_id, asked)
            elif isinstance(event, ItemRecorded):
                asked = about.get(event.item.id, "")
            if projection.changes(event):
                fact = fact_of(event, asked, texts)
                projection.add(fact)
                facts.append(fact)
        if facts:
            within_ids(len(facts))
            self._keep_long(texts.long, written)
            self._log.append(seq, facts, texts.used)
            if texts.rows:
                within_ids(len(texts.rows))
                self._database.write(insert_sql("payloads"), sorted(texts.rows))
            projection.write()

    def _keep_long(self, texts: Mapping[bytes, bytes], written: Collection[bytes]) -> None:
        """See to it that long texts are there at the commit. Raises _LongTexts if any is not `written`."""
        if not texts:
            return
        if self._blobs.transactional:
            self._blobs.write(texts)
            return
        if new := {digest: text for digest, text in texts.items() if digest not in written}:
            raise _LongTexts(new)
        if removed := self._blobs.missing(texts):  # as unused, between the writing and here
            self._blobs.write({digest: texts[digest] for digest in removed})

    def check_log(self) -> Iterator[Damage]:
        with self._database.errors():
            yield from LogCheck(self._database).damages()

    def rebuild(self, *, accept_loss: bool = False) -> Sequence[Damage]:
        """Make all projections again from the log, in one transaction; others can't write meanwhile."""
        try:
            with self._database.errors(), self._database.transaction(alone=True):
                check = LogCheck(self._database)
                lost = list(check.damages())
                if lost and not accept_loss:
                    raise StorageError(refusal(lost))
                self._empty_projections()
                replay(self._database, without=check.lost)
                self._database.sort_lookups()
        finally:
            self._forget()
        return lost

    def _empty_projections(self) -> None:
        for table in PROJECTIONS:
            self._database.run(f"DELETE FROM {table}")

    def lock_run(self, run_id: str, part: str = "") -> AbstractContextManager[None]:
        return self._database.lock_run(run_id, part)

    def is_held(self, run_id: str, part: str | None = None) -> bool:
        return self._database.is_held(run_id, part)

    def at_work(self, run_id: str) -> Sequence[Holder]:
        return self._database.at_work(run_id)

    def report(self, run_id: str, part: str, progress: Mapping[str, Any]) -> None:
        self._database.report(run_id, part, progress)

    def has_others_at_work(self, run_id: str) -> bool:
        return self._database.has_others_at_work(run_id)

    def claim(self, run_id: str, key: str) -> bool:
        return self._claims.claim(run_id, key)

    def release(self, run_id: str, keys: Sequence[str] | None = None) -> None:
        self._claims.release(run_id, keys)

    def exchange(self, changes: Mapping[str, LiveChange]) -> dict[str, Any]:
        return self._live.exchange(changes)

    def close(self) -> None:
        self._blobs.close()
        self._database.close()


def refusal(found: Sequence[Damage]) -> str:
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        f"the log is damaged ({found[0].place}: {found[0].problem}{more}), and tables made from what is left would "
        "hide the loss: bring the store back from a backup, or add --accept-loss to go on without what is lost"
    )


def replay(database: Database, *, without: Container[int] = ()) -> None:
    """Make the projections from the log, within the caller's transaction; their tables are empty.

    `without` has the numbers of rows to pass over.
    """
    names = Names(database)
    seq = 0
    # Row by row: not every driver lets one query go on while others run and change what it could see.
    while (row := database.row(_NEXT_GROUP, (seq,))) is not None:
        seq, encoding, body = row
        if seq in without:
            continue
        facts = unpack_body(encoding, body)
        projection = Projection(database, names, first_ids(database, seq), seq)
        projection.load(Keys.of_facts(facts))
        for fact in facts:
            projection.add(fact)
        projection.write()
        names.keep()
