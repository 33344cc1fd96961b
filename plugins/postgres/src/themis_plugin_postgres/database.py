"""A store's schema in a Postgres database: connections, transactions, and what a lost connection means.

It knows no table of its own: those are `themis_sql`'s, and the lock's.
"""

from __future__ import annotations

import json
import logging
import random
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from typing import Any, Final, Literal, TypeVar

from themis_core import Holder, StorageError
from themis_plugin_postgres import creation
from themis_plugin_postgres.address import shown
from themis_plugin_postgres.config import PostgresConfig
from themis_plugin_postgres.connection import PostgresConnection
from themis_plugin_postgres.definitions import make_temporary
from themis_plugin_postgres.faults import IN_THE_WAY, PostgresFault, advice_on
from themis_plugin_postgres.locks import NO_TABLE, SINCE, RunLease, RunLocks, number_of, run_key
from themis_plugin_postgres.parts import RunParts
from themis_sql.layout import PROJECTIONS, WIDTHS, insert_sql
from themis_sql.migrations import VersionedDatabase

__all__ = ["PostgresDatabase"]

T = TypeVar("T")
_LOOKED_UP: Final = 1_000
"""Values of one look-up."""
_COPIED: Final = 8
"""Rows from which COPY is faster than INSERT."""
_LOOK_UP_SETTINGS: Final = dict.fromkeys(("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit"), "off")
"""Look-ups are of some keys, by an index; the planner would read whole tables while a new store has no statistics."""
_BYTES: Final = bytes(range(256))
_TEXT: Final = "\\x00 \\n \\' '' \" % %s \t\r\n \x7f \xe9 \u20ac \U0001f642 NULL \\. "
"""What is written and read back when a store is opened: all bytes, and what quoting could change."""
_TRIES: Final = 6
"""How often a transaction is begun beside those of other writers, until it waits to be alone."""
_FIRST_WAIT_S: Final = 0.02
_MOST_WAIT_S: Final = 2.0
_BRIEF_WAIT_S: Final = 1
"""Seconds to wait for a row of what is not durable."""
_END: Final = object()

logger = logging.getLogger(__name__)


class PostgresDatabase(VersionedDatabase):
    """A schema, opened to write (and filled if there is no store) or to read only.

    One connection writes and looks up. Streams have others, one each while they last, so that their rows need not be
    in memory. Each is made when it is first needed, and made again when it was lost.
    """

    driver_error = PostgresFault
    placeholder = "%s"
    begin = "BEGIN ISOLATION LEVEL REPEATABLE READ"
    several_writers = True
    for_update = " FOR UPDATE"

    def __init__(self, url: str, spec: PostgresConfig, *, mode: Literal["write", "read"]) -> None:
        self._url = url
        self._spec = spec
        self._mode = mode
        self._location = shown(url, spec.schema_name)
        self._seq = 0
        self._locks = RunLocks(self._new_connection, self._location, spec.lease_s)
        self.parts = RunParts(self._by_itself, self._alone, self._make_live, self._locks)
        self._main: PostgresConnection | None = None
        self._idle: list[PostgresConnection] = []
        self._streaming: set[PostgresConnection] = set()
        self._writing = False
        self._is_brief = False
        self._closed = False
        self._place = f'"{spec.schema_name}".{{}}'
        self.forget: Callable[[], None] = lambda: None
        """Called when the connection that writes is made again: perhaps to another server, which may lack something."""
        self.info = creation.StoreInfo(0, "")

    def connect(self) -> None:
        """Connect, check what is stored and make the tables if there are none."""
        with self.errors():
            self._connect()

    def _connect(self) -> PostgresConnection:
        if self._closed:
            raise StorageError(f"the store {self._location} is closed")
        if self._main is not None:
            self._main.close()
        connection = self._new_connection(**_LOOK_UP_SETTINGS)
        try:
            self.info = self._prepared(connection)
        except BaseException:
            connection.close()
            raise
        self._main = connection
        self.forget()
        return connection

    def _prepared(self, connection: PostgresConnection) -> creation.StoreInfo:
        """Return what the store says of itself, made now if this is the first connection and one that writes."""
        known = self.info.store_id
        make = self._mode == "write" and not known
        info = creation.prepare(connection, self._location, self._spec.schema_name, make=make)
        if known and known != info.store_id:
            raise StorageError(f"{self._location} holds another store than before: run the same command again")
        return info

    def _new_connection(self, **settings: str) -> PostgresConnection:
        return PostgresConnection(self._url, self._spec, self._mode, **settings)

    def _connection(self) -> PostgresConnection:
        """Return the connection that writes and looks up, made again if it was lost outside a transaction."""
        if self._main is None or (self._main.closed and not self._writing):
            return self._connect()
        return self._main

    def repeating(self, do: Callable[[], T]) -> T:
        """Return what it returns, repeating it on a new connection if one was lost.

        That it was lost may show late, so the time of `reconnect_timeout_s` begins when it does.
        """
        deadline: float | None = None
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                return do()
            except (StorageError, PostgresFault) as error:
                fault = _fault_of(error)
                if fault is None or not fault.lost:
                    raise
                limit = self._spec.reconnect_timeout_s
                if deadline is None:
                    deadline = time.monotonic() + limit
                    logger.warning("lost %s (%s); trying again for %g s", self._location, fault, limit)
                if time.monotonic() + wait_s > deadline:
                    raise
            time.sleep(wait_s)
            wait_s = min(wait_s * 2, _MOST_WAIT_S)

    def _look_up(self, sql: str, values: Sequence[Any]) -> list[Any]:
        if self._writing:
            return self._connection().fetch(sql, values)
        return self.repeating(lambda: self._connection().fetch(sql, values))

    def row(self, sql: str, values: tuple[Any, ...] = ()) -> Any:
        found = self._look_up(self._named(_driver_text(sql, values)), values)
        return found[0] if found else None

    def rows_in(self, sql: str, values: Sequence[Any]) -> Iterator[Any]:
        text = self._named(_driver_text(sql, values)).replace("IN (*)", "= ANY(%s)")
        for start in range(0, len(values), _LOOKED_UP):
            yield from self._look_up(text, (list(values[start : start + _LOOKED_UP]),))

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> Iterator[Any]:
        text = self._named(_driver_text(sql, values))
        if self._writing:  # only the connection that writes sees what is not committed
            yield from self._connection().stream_beside(text, values)
            return
        connection, first, rest = self.repeating(lambda: self._open_stream(text, values))
        self._streaming.add(connection)
        try:
            if first is not _END:
                yield first
                yield from rest
        except BaseException:
            connection.close()  # the rest of the rows is on its way
            raise
        finally:
            self._streaming.discard(connection)
        self._idle.append(connection)

    def _open_stream(self, text: str, values: Sequence[Any]) -> tuple[PostgresConnection, Any, Any]:
        """Return a connection, the first row and the rest of them; a first row shows that the connection is alive."""
        if self._closed:
            raise StorageError(f"the store {self._location} is closed")
        # No timeout: a stream lasts as long as its reader takes.
        connection = self._idle.pop() if self._idle else self._new_connection(statement_timeout="0")
        try:
            rows = connection.stream(text, values)
            return connection, next(rows, _END), rows
        except BaseException:
            connection.close()
            raise

    def _named(self, sql: str) -> str:
        """Return the statement with the schema before each of its tables: what a session's path leads to can change."""
        return _qualified(sql, self._place)

    def write(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        table = _table_of(sql)
        if table is None:
            self._connection().run_many(self._named(_driver_text(sql, rows)), rows)
        elif len(rows) < _COPIED:
            self._connection().insert(self._place.format(table), rows)
        else:
            self._connection().copy(self._place.format(table), rows)

    def run(self, sql: str, values: tuple[Any, ...] = ()) -> None:
        done = self._connection().run(self._named(_driver_text(sql, values)), values)
        if sql == "COMMIT" and done != "COMMIT":  # said without an error if a statement before it failed
            raise PostgresFault("the transaction was rolled back")

    def settle(self, do: Callable[[], T], *, alone: bool = False) -> T:
        for attempt in range(_TRIES):
            try:
                return super().settle(do, alone=alone)
            except PostgresFault as fault:
                if fault.state not in IN_THE_WAY:
                    raise
            time.sleep(random.uniform(0, _FIRST_WAIT_S * 2**attempt))
        # Whoever is alone has nobody's rows in the way; all others wait, so this is the last resort.
        return super().settle(do, alone=True)

    def take_seq(self) -> int:
        return self._seq

    @contextmanager
    def transaction(self, *, alone: bool = False) -> Iterator[None]:
        if self._mode == "read":
            raise StorageError(f"the store {self._location} was opened to read only")
        self._connection()
        with self._marked(), super().transaction(alone=alone):
            yield

    def _begin(self, *, alone: bool) -> None:
        """Begin, see that all is as it was, and take a number for the log: by one round trip.

        What the transaction sees is settled by its first query, so it waits for its lock before that, and takes its
        number after it: of two transactions one of which sees the other's rows, that one has the higher number.
        """
        if self._is_brief:
            self._begin_brief()
            return
        connection, place = self._connection(), self._place.format
        mode = "SHARE ROW EXCLUSIVE" if alone else "ROW EXCLUSIVE"
        try:
            # Names mean this store to the end of the transaction, whoever else may have the session.
            found = connection.fetch(
                f"{self.begin}; LOCK TABLE {place('events')} IN {mode} MODE;"
                f" SELECT set_config('search_path', '\"{self._spec.schema_name}\"', true);"
                " SELECT version, store_id, current_setting('themis.session', true),"
                f" nextval('{place(creation.SEQUENCE)}') FROM {place('store_info')}"
            )
            [(version, store_id, token, self._seq)] = found or [(0, "", connection.token, 0)]
            connection.check_token(token)
            if store_id != self.info.store_id:
                raise StorageError(f"{self._location} holds another store than before: run the same command again")
            if version != self.info.version:
                raise StorageError(
                    f"a newer Themis has brought {self._location} to schema {version} meanwhile: update this one, then "
                    "run the same command again"
                )
            self._locks.check(connection)
        except BaseException:
            self._roll_back()
            raise

    @contextmanager
    def brief(self) -> Iterator[None]:
        self._is_brief = True
        try:
            with self.transaction():
                yield
        finally:
            self._is_brief = False

    def _begin_brief(self) -> None:
        """Begin a transaction that sees what others committed meanwhile, and waits for no disk."""
        connection = self._connection()
        settings = {
            "synchronous_commit": "off",
            "search_path": f'"{self._spec.schema_name}"',
            # A process that stands still within its own keeps the others from theirs, but not from saving.
            "lock_timeout": f"{_BRIEF_WAIT_S}s",
        }
        changed = [f"set_config('{name}', '{value}', true)" for name, value in settings.items()]
        try:
            [(token, *_)] = connection.fetch(
                "BEGIN ISOLATION LEVEL READ COMMITTED;"
                f" SELECT current_setting('themis.session', true), {', '.join(changed)}"
            )
            connection.check_token(token)
        except BaseException:
            self._roll_back()
            raise

    def clock(self) -> float:
        return float(self.row("SELECT extract(epoch FROM clock_timestamp())::float8")[0])

    def read_back(self) -> None:
        """Write a batch by each way that rows take, read it and take it back.

        Raises StorageError if something between here and the tables changes what it is given.
        """
        first = -secrets.randbits(60) - 2 * _COPIED
        payloads = [(first + n, None, _BYTES[n:], f"{_TEXT}{n}", _BYTES[: n + 1], n % 2) for n in range(1 + _COPIED)]
        scores = [(first + n, first >> 30, n, _BYTES, 0.1 + n * 1e-17, _TEXT, *[None] * 6) for n in range(1 + _COPIED)]
        with self.errors(), self._marked():
            self.run(self.begin)
            try:
                for table, rows in ("payloads", payloads), ("scores", scores):
                    self.write(insert_sql(table), rows[:1])
                    self.write(insert_sql(table), rows[1:])
                    found = self.rows_in(f"SELECT * FROM {table} WHERE id IN (*)", [row[0] for row in rows])
                    if sorted(tuple(row) for row in found) != rows:
                        raise StorageError(
                            f"{self._location} gives back other values of {table} than it was given, so nothing is "
                            "saved there: look for a trigger, a rule or a proxy that changes what is written"
                        )
            finally:
                self._roll_back()

    def schema_version(self) -> int:
        return int(self.row("SELECT version FROM store_info")[0])

    def set_schema_version(self, version: int) -> None:
        self.run("UPDATE store_info SET version = ?", (version,))
        self.info = self.info._replace(version=version)

    def make_tables(self, names: Collection[str]) -> None:
        creation.make_tables(self._connection(), names)

    def remake_projections(self) -> None:
        creation.remake_projections(self._connection())

    @contextmanager
    def scratch(self) -> Iterator[PostgresDatabase]:
        """Open a connection that sees the store as of now, its projections hidden by empty temporary tables."""
        scratch = PostgresDatabase(self._url, self._spec, mode="write")
        with self.errors():
            scratch._main = scratch._new_connection(
                statement_timeout="0", idle_in_transaction_session_timeout="0", **_LOOK_UP_SETTINGS
            )
        scratch._place = "{}"  # so that the temporary tables hide the stored ones
        scratch._writing = True  # all on this connection, which is not made again when it is lost
        try:
            scratch.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
            for table in PROJECTIONS:
                make_temporary(scratch, table)
            yield scratch
        finally:
            scratch.close()

    @contextmanager
    def _marked(self) -> Iterator[None]:
        self._writing = True
        try:
            yield
        finally:
            self._writing = False

    def explain(self, error: Exception) -> str:
        advice = advice_on(_fault_of(error))
        where = "url" if self._spec.url is not None else self._spec.url_env
        return f"the store {self._location} failed ({error}): " + advice.format(
            where=where, timeout=self._spec.statement_timeout_s, schema=self._spec.schema_name
        )

    def lock_run(self, run_id: str, part: str = "") -> AbstractContextManager[None]:
        if self._mode == "read":
            raise StorageError(f"the store {self._location} was opened to read only, so no run can be locked in it")
        return self._hold(run_id, part)

    def is_held(self, run_id: str, part: str | None = None) -> bool:
        of_part, values = ("", ()) if part is None else (" AND part = ?", (part,))
        sql = f"SELECT 1 FROM run_holders WHERE key = ?{of_part} AND expires > clock_timestamp() LIMIT 1"
        return bool(self._held(sql, (run_key(run_id), *values)))

    def at_work(self, run_id: str) -> Sequence[Holder]:
        sql = f"""SELECT part, pid, host, {SINCE}, progress FROM run_holders
WHERE key = ? AND expires > clock_timestamp() ORDER BY part"""
        found = self._held(sql, (run_key(run_id),))
        return [Holder(part, pid, host, since, json.loads(told)) for part, pid, host, since, told in found]

    def report(self, run_id: str, part: str, progress: Mapping[str, Any]) -> None:
        lease = self._locks.lease_of(run_id, part)
        if lease is None:
            return
        sql = "UPDATE run_holders SET progress = ? WHERE key = ? AND part = ? AND token = ?"
        with self.errors():
            self.repeating(lambda: self.run(sql, (json.dumps(dict(progress)), *lease.mine)))

    def has_others_at_work(self, run_id: str) -> bool:
        sql = "SELECT 1 FROM run_holders WHERE key <> ? AND expires > clock_timestamp() LIMIT 1"
        return bool(self._held(sql, (run_key(run_id),)))

    def _held(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        """Return the rows of a look at the locks; their table is made with the first of them."""
        try:
            return self._look_up(self._named(_driver_text(sql, values)), values)
        except PostgresFault as error:
            if error.state == NO_TABLE:
                return []
            raise StorageError(self.explain(error)) from error

    def _by_itself(self, sql: str, values: Sequence[Any]) -> list[Any]:
        text = self._named(sql)
        return self.repeating(lambda: self._connection().fetch(text, values))

    def _alone(self, number: int, statements: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Run statements in one transaction, beside no other one with the number; return the rows of the last."""

        def run() -> list[Any]:
            connection = self._connection()
            connection.run("BEGIN ISOLATION LEVEL READ COMMITTED")
            try:
                connection.fetch("SELECT pg_advisory_xact_lock(%s)", (number,))
                for sql, values in statements[:-1]:
                    connection.run(self._named(sql), values)
                sql, values = statements[-1]
                found = connection.fetch(self._named(sql), values)
                connection.run("COMMIT")
            except BaseException:
                with suppress(PostgresFault):  # a lost connection has rolled back already
                    connection.run("ROLLBACK")
                raise
            return found

        return self.repeating(run)

    def _make_live(self, statement: str) -> None:
        """Make a table of what is so now only; two that make it at once would meet in the catalogue."""
        place = f'SET LOCAL search_path TO "{self._spec.schema_name}"'
        self._connection().run(f"SELECT pg_advisory_xact_lock({number_of(b'live')}); {place}; {statement}")

    @contextmanager
    def _hold(self, run_id: str, part: str) -> Iterator[None]:
        lease = RunLease.of(run_id, part)
        with self.errors():
            self.repeating(lambda: self._locks.take(lease))
        try:
            self._warn_of_fsync()
            yield
            self._count_rows()
        finally:
            self._locks.give_back(lease)

    def _count_rows(self) -> None:
        """Have the planner know the small tables: the server counts by itself only what changes much."""
        with suppress(PostgresFault, StorageError):  # nothing depends on it but the time of queries
            for table in ("runs", "executions", "arms", "scorers", "settings"):
                self._connection().run(f"ANALYZE {self._place.format(table)}")

    def _warn_of_fsync(self) -> None:
        with self.errors():
            if self.row("SHOW fsync")[0] == "off":
                logger.warning("the server of %s has fsync off: a power cut may destroy what is saved", self._location)

    def close(self) -> None:
        self._closed = True
        self._locks.close()
        for connection in (*self._idle, *self._streaming, self._main):
            if connection is not None:
                connection.close()
        self._idle.clear()


def _driver_text(sql: str, values: Sequence[Any]) -> str:
    """Return the statement in psycopg's style, which means nothing by % if there are no values."""
    return _with_values(sql) if values else sql


@lru_cache(maxsize=512)
def _with_values(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")


_VIEWS: Final = ("v_runs", "v_trials", "v_generations", "v_scores", "v_compare_pairs")
_TABLES: Final = "|".join((*WIDTHS, "blobs", "store_info", "run_holders", "run_parts", *_VIEWS))
_NAMED: Final = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE)(\s+)({_TABLES})\b")


@lru_cache(maxsize=512)
def _qualified(sql: str, place: str) -> str:
    return _NAMED.sub(lambda found: found[1] + found[2] + place.format(found[3]), sql)


@lru_cache(maxsize=64)
def _table_of(sql: str) -> str | None:
    """Return the table of a statement that inserts whole rows and does nothing else."""
    found = re.fullmatch(r"INSERT INTO (\w+) VALUES \([?, ]+\)", sql)
    return None if found is None else found[1]


def _fault_of(error: BaseException | None) -> PostgresFault | None:
    """Return the fault that the error is, or was caused by."""
    while error is not None and not isinstance(error, PostgresFault):
        error = error.__cause__
    return error
