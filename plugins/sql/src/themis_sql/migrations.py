"""How a store that an earlier version made becomes one of this version, in one transaction.

To change the schema: change `schema` and `layout`, raise `layout.SCHEMA_VERSION`, add one entry to `MIGRATIONS`, and
write each plugin's `schema.sql` anew by its `generating`.
Keep a store that the version before wrote among the fixtures of the tests; they bring every one of them up to date.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Final

from themis_core import StorageError
from themis_sql.codec import lookup_of, unpack_body
from themis_sql.database import CommitUnknown, Database
from themis_sql.facts import payload_ids
from themis_sql.layout import SCHEMA_VERSION
from themis_sql.log import UNREADABLE, Log, make_register, text_digests
from themis_sql.store import replay

__all__ = ["MIGRATIONS", "Migration", "VersionedDatabase", "bring_up_to_date"]

logger = logging.getLogger(__name__)


class VersionedDatabase(Database):
    """A database that knows the version of the schema it holds, and can change its tables in a transaction."""

    @abstractmethod
    def schema_version(self) -> int:
        """Return the version of the store; at least 1."""

    @abstractmethod
    def set_schema_version(self, version: int) -> None:
        """Change it, within the transaction."""

    @abstractmethod
    def make_tables(self, names: Collection[str]) -> None:
        """Make these tables, with their indices, as they are in this version."""

    @abstractmethod
    def remake_projections(self) -> None:
        """Drop all views and all tables of the store but those of `layout.TRUTH`; make those of this version, empty."""

    def make_lookups(self) -> None:
        """Put what finds rows by lookup bits in the place of the indices that did up to version 9, if they don't."""


@dataclass(frozen=True, slots=True)
class Migration:
    """What leads from the version before to `version`."""

    version: int
    change: Callable[[VersionedDatabase], None] | None = None
    """Changes the log and the texts, which can't be made again; None if they stay as they are."""
    rebuild: bool = True
    """False if tables and views stay as they are, but for what `change` does."""


def _link_log(database: VersionedDatabase) -> None:
    """Put the rows of the log into chains; what was changed in them before is not noticed by that."""
    database.run("ALTER TABLE events RENAME TO unlinked_events")
    database.make_tables(("events", "chains"))
    log = Log(database)
    seq = 0
    while (row := database.row(_UNLINKED, (seq,))) is not None:
        seq, count, run_id, at, encoding, body = row
        log.add(seq, count, run_id, at, encoding, body, _texts_of(database, seq, encoding, body))
    database.run("DROP TABLE unlinked_events")


_UNLINKED: Final = (
    "SELECT seq, count, run_id, at, encoding, body FROM unlinked_events WHERE seq > ? ORDER BY seq LIMIT 1"
)


def _texts_of(database: Database, seq: int, encoding: int, body: bytes) -> dict[int, bytes]:
    try:
        return text_digests(database, set(payload_ids(unpack_body(encoding, body))))
    except UNREADABLE as error:
        raise StorageError(f"events {seq} does not decode: bring the store back from a backup") from error


def _add_batches(database: VersionedDatabase) -> None:
    database.make_tables(("batches",))


def _shorten_lookups(database: VersionedDatabase) -> None:
    last = 0
    while rows := list(database.rows(_SHARED_TEXTS, (last,))):
        last = rows[-1][0]
        found = [(lookup_of(bytes(digest)), number) for number, digest in rows]
        database.write("UPDATE payloads SET lookup = ? WHERE id = ?", found)


_SHARED_TEXTS: Final = "SELECT id, digest FROM payloads WHERE id > ? AND lookup IS NOT NULL ORDER BY id LIMIT 1000"

MIGRATIONS: Final = (
    Migration(2, _link_log),
    Migration(3),
    Migration(4),
    Migration(5),
    Migration(6, _add_batches, rebuild=False),
    Migration(7, make_register),
    Migration(8, _shorten_lookups),
    Migration(9, rebuild=False),  # items in the log may refer to what was asked, which earlier versions can't read
    Migration(10, methodcaller("make_lookups"), rebuild=False),
)
"""From version 1 on, without a gap."""


def bring_up_to_date(database: VersionedDatabase, location: str) -> None:
    """Run what the store lacks, all of it in one transaction: a kill at any point leaves the store as it was.

    Other processes can read meanwhile, and have to wait before they can write. Raises StorageError if it fails.
    """
    if database.schema_version() == SCHEMA_VERSION:
        return
    try:
        with database.errors(), database.transaction(alone=True):
            version = database.schema_version()  # again: another process may have been first
            pending = [each for each in MIGRATIONS if each.version > version]
            if pending:
                logger.warning("the store %s is brought from schema %d to %d", location, version, SCHEMA_VERSION)
                _run(database, pending)
                database.set_schema_version(SCHEMA_VERSION)
    except CommitUnknown as error:
        raise StorageError(database.explain(error.error)) from error.error


def _run(database: VersionedDatabase, pending: Sequence[Migration]) -> None:
    for each in pending:
        if each.change is not None:
            each.change(database)
    if any(each.rebuild for each in pending):
        # Once and last: projections are those of the newest schema, whatever the version they come from.
        database.remake_projections()
        replay(database)
    database.sort_lookups()
