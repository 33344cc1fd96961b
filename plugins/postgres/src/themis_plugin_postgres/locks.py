"""Locks of runs: one row each, leased for seconds and renewed while the run goes on.

Every lock has a token. A transaction that writes reads the tokens of the locks its process holds, and keeps their rows
until it ends: so one that was paused beyond its lease finds that the next process took over, and writes nothing.
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

from themis_core import RunLocked, StorageError
from themis_plugin_postgres.connection import PostgresConnection
from themis_plugin_postgres.faults import PostgresFault
from themis_sql.codec import pack_name

__all__ = ["CREATE_LOCKS", "RunLease", "RunLocks"]

CREATE_LOCKS: Final = """CREATE TABLE run_locks (
  key bytea PRIMARY KEY, run_id text NOT NULL, token bytea NOT NULL,
  host text NOT NULL, pid bigint NOT NULL, since timestamptz NOT NULL, expires timestamptz NOT NULL)"""

# That the own token may be there already is for the case that the reply to this very statement was lost.
_TAKE = """INSERT INTO run_locks AS held
VALUES (%s, %s, %s, %s, %s, clock_timestamp(), clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (key) DO UPDATE SET token = excluded.token, host = excluded.host, pid = excluded.pid,
  since = excluded.since, expires = excluded.expires
WHERE held.expires <= clock_timestamp() OR held.token = excluded.token RETURNING 1"""
_RENEW = "UPDATE run_locks SET expires = clock_timestamp() + make_interval(secs => %s) WHERE key = %s AND token = %s"
_RELEASE = "UPDATE run_locks SET expires = '-infinity' WHERE key = %s AND token = %s"
_HOLDER = """SELECT pid, host, to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"')
FROM run_locks WHERE key = %s"""
_WAIT_S: Final = 1.0
"""Seconds to wait for a lock's row: whoever keeps it longer is just writing, and so alive."""
_LOCK_NOT_AVAILABLE: Final = "55P03"

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class RunLease:
    """One held lock."""

    run_id: str
    key: bytes
    token: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    ended: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    @classmethod
    def of(cls, run_id: str) -> RunLease:
        return cls(run_id, hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).digest())


class RunLocks:
    """The locks that this process holds through one open store."""

    def __init__(self, connect: Callable[..., PostgresConnection], location: str, lease_s: float) -> None:
        self._connect = connect
        self._location = location
        self._lease_s = lease_s
        self._held: dict[bytes, RunLease] = {}

    def take(self, lease: RunLease) -> None:
        """Take the lock, and renew it from now on; raises RunLocked, naming the holder, if it is taken."""
        connection = self._open()
        try:
            self._insert(connection, lease)
        except BaseException:
            connection.close()
            raise
        self._held[lease.key] = lease
        lease.thread = threading.Thread(
            target=self._keep, args=(connection, lease), name="themis-postgres-lease", daemon=True
        )
        lease.thread.start()

    def give_back(self, lease: RunLease) -> None:
        self._held.pop(lease.key, None)
        lease.ended.set()
        if lease.thread is not None:
            lease.thread.join(2 * _WAIT_S)  # if the server does not answer, the lease ends by itself

    def check(self, connection: PostgresConnection) -> None:
        """Within a transaction: keep the rows of the held locks to its end. Raises StorageError if one was lost."""
        if not self._held:
            return
        sql = "SELECT key, token FROM run_locks WHERE key = ANY(%s) ORDER BY key FOR UPDATE"
        found = dict(connection.fetch(sql, (list(self._held),)))
        for lease in self._held.values():
            if found.get(lease.key) != lease.token:
                raise StorageError(
                    f"run {lease.run_id!r} in {self._location} was taken over by {_holder(connection, lease.key)}, "
                    f"because this process gave no sign of life for {self._lease_s:g} s: nothing more is saved here; "
                    "stop this process, or raise lease_s"
                )

    def close(self) -> None:
        for lease in list(self._held.values()):
            self.give_back(lease)

    def _open(self) -> PostgresConnection:
        return self._connect(lock_timeout=f"{_WAIT_S:g}s")

    def _insert(self, connection: PostgresConnection, lease: RunLease) -> None:
        values = (pack_name(lease.run_id), lease.token, socket.gethostname(), os.getpid(), self._lease_s)
        try:
            if connection.fetch(_TAKE, (lease.key, *values)):
                return
        except PostgresFault as error:
            if error.state != _LOCK_NOT_AVAILABLE:
                raise
        raise RunLocked(
            f"run {lease.run_id!r} is being worked on by {_holder(connection, lease.key)} (store {self._location}): "
            f"wait for it, or stop it, then run again; if it was killed, its lock is free after {self._lease_s:g} s"
        )

    def _keep(self, connection: PostgresConnection, lease: RunLease) -> None:
        """Renew the lease until it ends, whatever happens to connections; then give the lock back."""
        while not lease.ended.wait(self._lease_s / 4):
            connection = self._renew(connection, lease)
        for _ in range(2):  # that the connection was lost shows only when it is used
            with suppress(PostgresFault):  # a lock that can't be given back ends with its lease
                connection = self._open() if connection.closed else connection
                connection.run(_RELEASE, (lease.key, lease.token))
                break
        connection.close()

    def _renew(self, connection: PostgresConnection, lease: RunLease) -> PostgresConnection:
        try:
            if connection.closed:
                connection = self._open()
            if connection.run(_RENEW, (self._lease_s, lease.key, lease.token)) == "UPDATE 0":
                logger.error("the lock of run %r was lost: another process took it over", lease.run_id)
                lease.ended.set()
        except PostgresFault as error:
            logger.debug("the lock of run %r was not renewed this time: %s", lease.run_id, error)
        return connection


def _holder(connection: PostgresConnection, key: bytes) -> str:
    found = connection.fetch(_HOLDER, (key,))
    return "process {} on {} since {}".format(*found[0]) if found else "another process"
