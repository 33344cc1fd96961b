"""Locks of runs and their parts: one row each, leased for seconds and renewed while the work goes on.

Every lock has a token. A transaction that writes reads the tokens of the locks its process holds, and keeps their rows
until it ends: so one that was paused beyond its lease finds that the next process took over, and writes nothing. Who
takes a lock does so alone among those who ask for one of the run, and removes the rows that ran out of those it keeps
out, which waits for what they are just writing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from themis_core import Holder, StorageError, locked_by, shuts_out
from themis_plugin_postgres.connection import PostgresConnection
from themis_plugin_postgres.faults import PostgresFault
from themis_sql.codec import pack_name

__all__ = ["CREATE_LOCKS", "NO_TABLE", "SINCE", "RunLease", "RunLocks", "number_of", "run_key"]

CREATE_LOCKS: Final = """CREATE TABLE IF NOT EXISTS run_holders (
  key bytea NOT NULL, part text NOT NULL, run_id text NOT NULL, token bytea NOT NULL, host text NOT NULL,
  pid bigint NOT NULL, since timestamptz NOT NULL, expires timestamptz NOT NULL, progress text NOT NULL,
  PRIMARY KEY (key, part))"""

_ALONE = "SELECT pg_advisory_xact_lock(%s)"
SINCE = """to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"')"""
# That the own token may be there already is for the case that the reply to this very statement was lost.
_OTHERS = f"""SELECT part, pid, host, {SINCE}, expires > clock_timestamp() FROM run_holders
WHERE key = %s AND token <> %s"""
_ALIVE = """SELECT part, expires > clock_timestamp() FROM run_holders WHERE key = %s AND part = ANY(%s)
ORDER BY part FOR UPDATE"""
_REMOVE = "DELETE FROM run_holders WHERE key = %s AND part = ANY(%s)"
_TAKE = """INSERT INTO run_holders
VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp(), clock_timestamp() + make_interval(secs => %s), '{}')
ON CONFLICT (key, part) DO UPDATE SET expires = excluded.expires"""
_MINE = "key = %s AND part = %s AND token = %s"
_RENEW = f"UPDATE run_holders SET expires = clock_timestamp() + make_interval(secs => %s) WHERE {_MINE}"
_RELEASE = f"DELETE FROM run_holders WHERE {_MINE}"
_WAIT_S: Final = 1.0
"""Seconds to wait for a lock's row: whoever keeps it longer is just writing, and so alive."""
_LOCK_NOT_AVAILABLE: Final = "55P03"
NO_TABLE: Final = "42P01"

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class RunLease:
    """One held lock."""

    run_id: str
    part: str
    key: bytes
    token: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    ended: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    @classmethod
    def of(cls, run_id: str, part: str) -> RunLease:
        return cls(run_id, part, run_key(run_id))

    @property
    def mine(self) -> tuple[bytes, str, bytes]:
        """What `_MINE` asks for."""
        return self.key, self.part, self.token

    def __str__(self) -> str:
        return f"run {self.run_id!r}" + (f" ({self.part})" if self.part else "")


def run_key(run_id: str) -> bytes:
    """What stands for a run in an index: its name may be longer than one takes."""
    return hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).digest()


class RunLocks:
    """The locks that this process holds through one open store."""

    def __init__(self, connect: Callable[..., PostgresConnection], location: str, lease_s: float) -> None:
        self._connect = connect
        self._location = location
        self._lease_s = lease_s
        self._held: dict[tuple[bytes, str], RunLease] = {}

    def take(self, lease: RunLease) -> None:
        """Take the lock, and renew it from now on; raises RunLocked, naming the holder, if somebody keeps it out."""
        connection = self._open()
        try:
            self._insert(connection, lease)
        except BaseException:
            connection.close()
            raise
        self._held[lease.key, lease.part] = lease
        lease.thread = threading.Thread(
            target=self._keep, args=(connection, lease), name="themis-postgres-lease", daemon=True
        )
        lease.thread.start()

    def give_back(self, lease: RunLease) -> None:
        self._held.pop((lease.key, lease.part), None)
        lease.ended.set()
        if lease.thread is not None:
            lease.thread.join(2 * _WAIT_S)  # if the server does not answer, the lease ends by itself

    def check(self, connection: PostgresConnection) -> None:
        """Within a transaction: keep the rows of the held locks to its end. Raises StorageError if one was lost."""
        if not self._held:
            return
        keys, parts = zip(*self._held, strict=True)
        sql = """SELECT key, part, token FROM run_holders
WHERE (key, part) IN (SELECT * FROM unnest(%s::bytea[], %s::text[])) ORDER BY key, part FOR UPDATE"""
        found = {(key, part): token for key, part, token in connection.fetch(sql, (list(keys), list(parts)))}
        for place, lease in self._held.items():
            if found.get(place) != lease.token:
                raise self.lost(lease, connection)

    def lease_of(self, run_id: str, part: str) -> RunLease | None:
        """The lock that is held here on this part."""
        return self._held.get((run_key(run_id), part))

    def close(self) -> None:
        for lease in list(self._held.values()):
            self.give_back(lease)

    def _open(self) -> PostgresConnection:
        return self._connect(lock_timeout=f"{_WAIT_S:g}s")

    def _insert(self, connection: PostgresConnection, lease: RunLease) -> None:
        try:
            self._insert_alone(connection, lease)
        except PostgresFault as error:
            if error.state != NO_TABLE:
                raise
            number = number_of(b"run_holders")  # two that make it at once would meet in the catalogue
            connection.run(f"SELECT pg_advisory_xact_lock({number}); {CREATE_LOCKS}")
            self._insert_alone(connection, lease)

    def _insert_alone(self, connection: PostgresConnection, lease: RunLease) -> None:
        """Take the lock, in one transaction and as the only one of those who ask for one of the run."""
        connection.run("BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            connection.run("SET LOCAL lock_timeout = 0")  # each that is before in the queue ends within seconds
            connection.fetch(_ALONE, (number_of(lease.key),))
            connection.run(f"SET LOCAL lock_timeout = '{_WAIT_S:g}s'")
            self._remove_dead(connection, lease)
            values = (pack_name(lease.run_id), lease.token, socket.gethostname(), os.getpid(), self._lease_s)
            connection.run(_TAKE, (lease.key, lease.part, *values))
            connection.run("COMMIT")
        except BaseException:
            with suppress(PostgresFault):  # a lost connection has rolled back already
                connection.run("ROLLBACK")
            raise

    def _remove_dead(self, connection: PostgresConnection, lease: RunLease) -> None:
        """Remove those that ran out and would keep this one out. Raises RunLocked if one of them lives."""
        rows = connection.fetch(_OTHERS, (lease.key, lease.token))
        others = {row[0]: row for row in rows if shuts_out(lease.part, row[0])}
        if not others:
            return
        alive = [part for part, row in others.items() if row[4]] or self._alive(connection, lease, list(others))
        if alive:
            note = f" (store {self._location}; if it was killed, its lock is free after {self._lease_s:g} s)"
            raise locked_by(lease.run_id, lease.part, Holder(*others[alive[0]][:4]), note)
        connection.run(_REMOVE, (lease.key, list(others)))

    def _alive(self, connection: PostgresConnection, lease: RunLease, parts: list[str]) -> list[str]:
        """Keep the rows of these parts, which seem to have run out, and return those that live after all."""
        try:
            return [part for part, alive in connection.fetch(_ALIVE, (lease.key, parts)) if alive]
        except PostgresFault as error:
            if error.state != _LOCK_NOT_AVAILABLE:
                raise
            return parts  # one of them is just writing

    def lost(self, lease: RunLease, connection: PostgresConnection | None = None) -> StorageError:
        """What is told of a lock that somebody else has taken over."""
        rows = [] if connection is None else connection.fetch(_OTHERS, (lease.key, lease.token))
        taken = [
            f"was taken over by process {pid} on {host} since {since}"
            for part, pid, host, since, _ in rows
            if shuts_out(lease.part, part)
        ]
        return StorageError(
            f"{lease} in {self._location} {taken[0] if taken else 'was given to others'}, because this process gave no "
            f"sign of life for {self._lease_s:g} s: nothing more is saved here; stop this process, or raise lease_s"
        )

    def _keep(self, connection: PostgresConnection, lease: RunLease) -> None:
        """Renew the lease until it ends, whatever happens to connections; then give the lock back."""
        while not lease.ended.wait(self._lease_s / 4):
            connection = self._renew(connection, lease)
        for _ in range(2):  # that the connection was lost shows only when it is used
            with suppress(PostgresFault):  # a lock that can't be given back ends with its lease
                connection = self._open() if connection.closed else connection
                connection.run(_RELEASE, lease.mine)
                break
        connection.close()

    def _renew(self, connection: PostgresConnection, lease: RunLease) -> PostgresConnection:
        try:
            if connection.closed:
                connection = self._open()
            if connection.run(_RENEW, (self._lease_s, *lease.mine)) == "UPDATE 0":
                logger.error("the lock of %s was lost: another process took it over", lease)
                lease.ended.set()
        except PostgresFault as error:
            logger.debug("the lock of %s was not renewed this time: %s", lease, error)
        return connection


def number_of(name: bytes) -> int:
    """What stands for a name among the server's advisory locks."""
    return int.from_bytes(hashlib.sha256(b"themis holders " + name).digest()[:8], "big", signed=True)
