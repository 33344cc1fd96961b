"""Rows by the first bits of their keys: most of them in sorted tables, what is newer in this process's memory.

Keys are random, so an index of them would be changed all over by each batch: of a large store, a commit would write
some hundred pages of each index. So new rows are noted in memory, from the tables themselves, and once there are many,
they are put into the sorted tables in one go, in the transaction of the batch at hand. `lookups.through` says up to
which id that was done. Each connection has its own notes, and brings them up to date before it looks anything up.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, NamedTuple

from themis_core import Damage
from themis_sql.database import Database
from themis_sql.definitions import MEND

__all__ = ["FOUND_TABLES", "LOOKUP_TABLES", "Lookups", "attach_notes", "damages", "old_indices", "statements"]

FOUND_TABLES: Final = ("payloads", "items", "generations", "trials", "scores")
"""The tables whose rows are found by lookup bits; a NULL there is of a row that nobody looks for."""
LOOKUP_TABLES: Final = ("lookups", *(f"{table}_lookups" for table in FOUND_TABLES))
"""Made from the tables above, as they are from the log."""
_MOST: Final = 16_384
"""Rows of a table from which on they are sorted in. A note takes some 40 bytes of memory."""
_FEW: Final = 1_000
"""Rows that a closed store leaves for the next to note, which takes a millisecond."""
_SHOWN: Final = 100
"""Rows of one table that are listed as damaged."""
_CONDITION: Final = re.compile(r"(\w+\.)?lookup IN \(\*\)")


def statements() -> Iterator[str]:
    """Yield what makes the sorted tables."""
    yield "CREATE TABLE lookups (name TEXT NOT NULL, through INTEGER NOT NULL, PRIMARY KEY (name)) WITHOUT ROWID"
    for table in FOUND_TABLES:
        columns = "lookup INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (lookup, id)"
        yield f"CREATE TABLE {table}_lookups ({columns}) WITHOUT ROWID"


def old_indices() -> Iterator[str]:
    """Yield the names of what stood in the place of these tables, up to schema 9."""
    yield "payloads_shared"
    yield from (f"ix_{table}_lookup" for table in FOUND_TABLES[1:])


def attach_notes(connection: sqlite3.Connection) -> None:
    """Attach a database in memory, `recent`, to a new connection, which notes there what is new.

    It takes part in each transaction: what is rolled back was not noted either.
    """
    run = connection.execute
    run("ATTACH ':memory:' AS recent")
    run(
        "CREATE TABLE recent.noted (name TEXT PRIMARY KEY, newest INTEGER, through INTEGER, made INTEGER) WITHOUT ROWID"
    )
    for table in FOUND_TABLES:
        run("INSERT INTO recent.noted VALUES (?, 0, 0, 0)", (table,))
        run(f"CREATE TABLE recent.{table}_new (id INTEGER PRIMARY KEY, lookup INTEGER NOT NULL)")
        run(f"CREATE INDEX recent.{table}_new_lookup ON {table}_new (lookup)")


class _State(NamedTuple):
    """How far a table is."""

    newest: int
    """Its last id."""
    through: int
    """The last id that was sorted in."""
    made: int
    """SQLite's count of changes to what is defined: tables that are made again raise it."""


class Lookups:
    """Finds rows for the connection of a database, which has its notes attached."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows_found(self, table: str, sql: str, lookups: Sequence[int]) -> Iterator[Any]:
        """As `Database.rows_found`."""
        if lookups:
            self._catch_up(table)
        return self._database.rows_in(_by_id(table, sql), lookups)

    def sort_in(self) -> None:
        """Sort in all that is new, within a transaction."""
        for table in FOUND_TABLES:
            now, _ = self._states(table)
            if now.newest > now.through:
                self._sort_in(table, now)

    def has_unsorted(self) -> bool:
        """Whether more is new than the next who opens the store should have to note."""
        return any(now.newest - now.through >= _FEW for now, _ in map(self._states, FOUND_TABLES))

    def _states(self, table: str) -> tuple[_State, _State]:
        """Return how far a table is, and how far it is noted."""
        found = self._database.row(_state_sql(table))
        return _State(*found[:3]), _State(*found[3:])

    def _catch_up(self, table: str) -> None:
        now, noted = self._states(table)
        is_writing = self._database.connection.in_transaction
        if now.newest < now.through and is_writing:
            now = self._take_back(table, now)
        if now.newest - now.through >= _MOST and is_writing:
            self._sort_in(table, now)
        elif now != noted:
            self._note_new(table, now, noted)

    def _note_new(self, table: str, now: _State, noted: _State) -> None:
        first = max(noted.newest, now.through)
        with self._noting():
            if now.made != noted.made or now.newest < noted.newest or now.through < noted.through:
                # Tables that were made again may have other rows by the same ids.
                self._database.run(f"DELETE FROM recent.{table}_new")
                first = now.through
            elif now.through > noted.through:  # by another process
                self._database.run(f"DELETE FROM recent.{table}_new WHERE id <= ?", (now.through,))
            self._database.run(
                f"INSERT OR REPLACE INTO recent.{table}_new SELECT id, lookup FROM {table}"
                " WHERE id > ? AND id <= ? AND lookup IS NOT NULL",
                (first, now.newest),  # others may have added more meanwhile
            )
            self._note(table, now)

    def _sort_in(self, table: str, now: _State) -> None:
        run = self._database.run
        run(
            f"INSERT INTO {table}_lookups SELECT lookup, id FROM {table}"
            " WHERE id > ? AND id <= ? AND lookup IS NOT NULL ORDER BY lookup, id",
            (now.through, now.newest),
        )
        run("INSERT OR REPLACE INTO lookups VALUES (?, ?)", (table, now.newest))
        run(f"DELETE FROM recent.{table}_new")
        self._note(table, now._replace(through=now.newest))

    def _take_back(self, table: str, now: _State) -> _State:
        """Forget rows that somebody deleted: the next ones have their ids, and would count as sorted in."""
        self._database.run(f"DELETE FROM {table}_lookups WHERE id > ?", (now.newest,))
        self._database.run("UPDATE lookups SET through = ? WHERE name = ?", (now.newest, table))
        return now._replace(through=now.newest)

    def _note(self, table: str, now: _State) -> None:
        sql = "UPDATE recent.noted SET newest = ?, through = ?, made = ? WHERE name = ?"
        self._database.run(sql, (*now, table))

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Let a connection that is to read only write to its own memory."""
        (only,) = self._database.row("PRAGMA query_only")
        try:
            if only:
                self._database.run("PRAGMA query_only = OFF")
            yield
        finally:
            if only:
                self._database.run("PRAGMA query_only = ON")


def damages(database: Database, without: Collection[str]) -> Iterator[Damage]:
    """Yield the rows of `main` that its sorted tables would not find, and tables that have others.

    Tables `without` are known to be missing or otherwise than Themis defines them.
    """
    for table in FOUND_TABLES:
        if not {"lookups", table, f"{table}_lookups"}.isdisjoint(without):
            continue
        of_sorted = (
            f"FROM main.{table} t WHERE id <= (SELECT through FROM main.lookups WHERE name = '{table}')"
            " AND lookup IS NOT NULL"
        )
        found = f"(SELECT 1 FROM main.{table}_lookups l WHERE l.lookup = t.lookup AND l.id = t.id)"
        lost = [number for (number,) in database.rows(f"SELECT id {of_sorted} AND NOT EXISTS {found} LIMIT {_SHOWN}")]
        for number in lost:
            yield Damage(f"{table}_lookups", f"{table} {number} would not be found by its key; {MEND}")
        there = database.row(f"SELECT (SELECT count(*) FROM main.{table}_lookups), (SELECT count(*) {of_sorted})")
        if not lost and there[0] != there[1]:
            yield Damage(f"{table}_lookups", f"it has rows of which {table} knows nothing; {MEND}")


@cache
def _state_sql(table: str) -> str:
    return (
        f"SELECT coalesce((SELECT max(id) FROM {table}), 0),"
        f" coalesce((SELECT through FROM lookups WHERE name = '{table}'), 0),"
        " (SELECT schema_version FROM pragma_schema_version), newest, through, made"
        f" FROM recent.noted WHERE name = '{table}'"
    )


@cache
def _by_id(table: str, sql: str) -> str:
    """Return a query that finds by lookup bits as one that finds by id."""
    found = " UNION ALL ".join(
        f"SELECT id FROM {each} WHERE lookup IN (*)" for each in (f"{table}_lookups", f"recent.{table}_new")
    )
    text, count = _CONDITION.subn(lambda match: f"{match[1] or ''}id IN ({found})", sql)
    assert count == 1, sql
    return text
