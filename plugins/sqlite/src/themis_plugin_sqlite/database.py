"""One connection to a store's SQLite file: made, checked and set up so that a commit is durable.

It knows no table of its own: those are `themis_sql`'s.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

from themis_blobs.folders import leave_out_of_git, make_folder, sync_folder
from themis_core import Holder, StorageError, StoreOutdated
from themis_plugin_sqlite import holders, locks
from themis_plugin_sqlite.held import Held
from themis_plugin_sqlite.lookups import LOOKUP_TABLES, Lookups, attach_notes, old_indices
from themis_plugin_sqlite.making import APPLICATION_ID, DERIVED, make_file, statements
from themis_plugin_sqlite.watch import FileWatch
from themis_sql import SCHEMA_VERSION
from themis_sql.database import CommitUnknown
from themis_sql.migrations import VersionedDatabase

__all__ = ["SqliteDatabase"]

_MAGIC: Final = b"SQLite format 3\0"
_CACHE_KIB: Final = 6_144
"""Of pages that SQLite itself holds. With 16 MB a run of 100,000 took no less time: the system holds them as well."""
_CHECKPOINT_PAGES: Final = 16_000
"""Of the log, 64 MB, after which it is brought to the main file. Most pages of a large store's indices are written
again and again in between: with a quarter of it, a run of 200,000 took a twentieth more CPU."""

logger = logging.getLogger(__name__)


class SqliteDatabase(VersionedDatabase):
    """A store's file, opened to write (and made if there is none) or to read only."""

    driver_error = sqlite3.Error
    begin = "BEGIN IMMEDIATE"  # a transaction that begins deferred fails at once when it has to wait for another

    def __init__(self, path: Path, *, mode: Literal["write", "read"], synchronous: str, busy_timeout_s: float) -> None:
        self._path = path
        self._mode = mode
        self._synchronous = synchronous
        self._timeout_s = busy_timeout_s
        self._open = False
        self._watch: FileWatch | None = None
        self._held: Held | None = None
        self._lookups = Lookups(self)

    def connect(self) -> None:
        again = self._watch is not None
        self._shut()  # without a further write: after a failed commit, nothing is to follow what it left in the log
        try:
            self._connect_checked(again)
        except BaseException:
            self._release()
            raise

    def _connect_checked(self, again: bool) -> None:
        try:
            if self._mode == "write" and not again:
                _make_folder(self._path.parent)
            if self._path.exists():
                self._held = Held.of(self._path)
                check_header(self._path, self._held)
            if self._mode == "write" and not self._path.exists():
                if again:
                    raise StorageError(
                        f"the store {self._path} is gone while it was in use: bring it back from a backup"
                    )
                make_file(self._path)
            self.connection = self._connect(again=again)
            self._held = self._held or Held.of(self._path)
        except sqlite3.Error as error:
            raise StorageError(self.explain(error)) from error
        except OSError as error:
            raise StorageError(f"can't open the store {self._path}: {error.strerror or error}") from error
        self._open = True
        try:
            version = self.schema_version()
            check_identity(self._path, self._pragma("application_id"), version)
            if self._mode == "read" and version < SCHEMA_VERSION:
                raise StoreOutdated(
                    f"{self._path} was made by an older Themis (schema {version}, this one has {SCHEMA_VERSION}):"
                    " bring it up to date with `themis storage migrate`"
                )
            if self._mode == "write":
                self._watch_files()
        except BaseException:
            self._shut()
            raise

    def _watch_files(self) -> None:
        """Watch the files from now on. Raises StorageError if this is another database than the one opened before."""
        with self.errors():
            watch = FileWatch(self._path, self.connection)
        if self._watch is not None and not watch.continues(self._watch):
            watch.close()
            raise StorageError(f"{self._path} was replaced by another file while it was in use: nothing more is saved")
        self._watch = watch

    @contextmanager
    def transaction(self, *, alone: bool = False) -> Iterator[None]:
        with super().transaction(alone=alone):
            if (version := self.schema_version()) > SCHEMA_VERSION:
                raise StorageError(
                    f"a newer Themis has brought {self._path} to schema {version} meanwhile: update this one, then run "
                    "the same command again"
                )
            yield
            if self._watch is not None:
                self._watch.before_commit()
        if self._watch is not None:
            with self.errors():
                self._watch.after_commit()

    @contextmanager
    def brief(self) -> Iterator[None]:
        # The next durable commit syncs the log as far as it is written then, with what was not waited for.
        try:
            self.run("PRAGMA synchronous = NORMAL")
            with self.transaction():
                yield
        finally:
            self.run(f"PRAGMA synchronous = {self._synchronous}")

    def clock(self) -> float:
        return float(self.row("SELECT (julianday('now') - 2440587.5) * 86400.0")[0])

    def schema_version(self) -> int:
        return self._pragma("user_version")

    def set_schema_version(self, version: int) -> None:
        self.run(f"PRAGMA user_version = {version:d}")

    def rows_found(self, table: str, sql: str, lookups: Sequence[int]) -> Iterator[Any]:
        return self._lookups.rows_found(table, sql, lookups)

    def sort_lookups(self) -> None:
        self._lookups.sort_in()

    def make_tables(self, names: Collection[str]) -> None:
        for statement in statements().of_tables(names):
            self.run(statement)

    def remake_projections(self) -> None:
        ours = {*DERIVED, *statements().views()}
        for kind, name in list(self.rows("SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view')")):
            if name in ours:
                self.run(f'DROP {kind} "{name}"')
        self.make_tables(DERIVED)
        for statement in statements().views().values():
            self.run(statement)

    def make_lookups(self) -> None:
        for name in old_indices():
            self.run(f"DROP INDEX IF EXISTS {name}")
        for kind, name in list(self.rows("SELECT type, name FROM main.sqlite_master")):
            if name.lower() in LOOKUP_TABLES:
                raise StorageError(
                    f"{self._path} has a {kind} {name} that somebody added, and Themis now makes a table of that name: "
                    "rename it, then run the same command again"
                )
        self.make_tables(LOOKUP_TABLES)

    def restore_definitions(self) -> None:
        """Make tables, views and indices that are derived as they are to be, the tables empty; remove all triggers."""
        for (name,) in list(self.rows("SELECT name FROM sqlite_master WHERE type = 'trigger'")):
            self.run(f'DROP TRIGGER "{_quoted(name)}"')
        self.remake_projections()

    @contextmanager
    def scratch(self) -> Iterator[SqliteDatabase]:
        """Open a second connection that sees the store as of now, its projections hidden by empty temporary tables.

        `main.trials` is the stored table then, and `trials` the temporary one.
        """
        database = SqliteDatabase(
            self._path, mode="read", synchronous=self._synchronous, busy_timeout_s=self._timeout_s
        )
        database.connect()
        try:
            database.run("PRAGMA query_only = OFF")
            for statement in statements().of_tables(DERIVED):
                database.run(re.sub(r"^\s*CREATE (TABLE |INDEX )", _temporary, statement))
            database.run("BEGIN")
            yield database
        finally:
            database.close()

    def copy_to(self, path: Path) -> None:
        """Copy the database as it is at one moment to a new file that is on stable storage when this returns."""
        with self.errors(), closing(sqlite3.connect(path, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = FULL")
            # In one step: it does not begin anew when others write, and in WAL mode nobody waits for it.
            self.connection.backup(copy, pages=-1)
        sync_folder(path.parent)

    def _pragma(self, name: str) -> int:
        with self.errors():
            return int(self.row(f"PRAGMA {name}")[0])

    def _connect(self, *, again: bool) -> sqlite3.Connection:
        """Open the file itself, `again` after a failed commit, and set up what holds for one connection only."""
        _take_as_they_are()
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?{self._access()}",
            uri=True,
            timeout=self._timeout_s,
            isolation_level=None,
        )
        try:
            if self._mode == "write":
                _switch_to_wal(connection, self._timeout_s)
                # When it is opened first, others that use it are not waited for: their commits did not fail.
                _settle_log(connection, self._path, self._timeout_s if again else 0.0)
                connection.execute(f"PRAGMA busy_timeout = {self._timeout_s * 1000:.0f}")
            attach_notes(connection)  # last, as what is asked of no database by name is asked of all
            if self._mode == "read":
                connection.execute("PRAGMA query_only = ON")
            # No temp_store = MEMORY: sorting a large run would then hold all of it in memory.
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
            connection.execute("PRAGMA secure_delete = OFF")  # on in some builds; costs time and nothing is deleted
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _access(self) -> str:
        if self._mode == "write" or os.access(self._path.parent, os.W_OK):
            return "mode=rw"
        # In a folder that can't be written, SQLite reads only what it is told that nobody else writes.
        log = self._path.with_name(f"{self._path.name}-wal")
        return "mode=rw" if log.exists() else "mode=ro&immutable=1"

    def explain(self, error: Exception) -> str:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        advice = _ADVICE.get(code, "check the disk and the folder's permissions, then run the same command again")
        return f"the store {self._path} failed ({error}): {advice.format(timeout=self._timeout_s)}"

    @property
    def _locks(self) -> Path:
        return self._path.parent / "locks"

    def lock_run(self, run_id: str, part: str = "") -> AbstractContextManager[None]:
        if self._mode == "read":
            raise StorageError(f"the store {self._path} was opened to read only, so no run can be locked in it")
        return self._hold(run_id, part)

    @contextmanager
    def _hold(self, run_id: str, part: str) -> Iterator[None]:
        with locks.hold(self._locks, run_id, part) as lock, self._noted(run_id, part, lock):
            if has_wal_reset_bug(sqlite3.sqlite_version_info):
                self._warn_of_wal_bug(lock)
            yield

    @contextmanager
    def _noted(self, run_id: str, part: str, lock: Path) -> Iterator[None]:
        """Note in the database too that the part is held, and watch the lock file while it is."""
        self._live(lambda: holders.take(self, run_id, part, self._path, lock))
        assert self._watch is not None
        self._watch.add(lock)
        try:
            yield
        finally:
            self._watch.remove(lock)
            with suppress(StorageError, CommitUnknown, sqlite3.Error):  # the row counts only while this process lives
                holders.give_back(self, run_id, part)

    def _live(self, change: Callable[[], None]) -> None:
        """Change what is noted of those at work, which is not repeated if nobody knows whether it was stored."""
        try:
            with self.errors():
                change()
        except CommitUnknown as error:
            raise StorageError(self.explain(error.error)) from error.error

    def is_held(self, run_id: str, part: str | None = None) -> bool:
        if locks.is_held(locks.lock_file(self._locks, run_id, part or "")):
            return True
        return any(part in (None, each.part) for each in self.at_work(run_id))

    def at_work(self, run_id: str) -> Sequence[Holder]:
        with self.errors():
            return list(holders.at_work(self, run_id, self._path, self._locks))

    def report(self, run_id: str, part: str, progress: Mapping[str, Any]) -> None:
        self._live(lambda: holders.report(self, run_id, part, progress))

    def has_others_at_work(self, run_id: str) -> bool:
        with self.errors():
            runs = holders.noted_runs(self)
        return any(self.is_held(other) for other in runs if other != run_id)

    def held_without_lock_file(self) -> str | None:
        """Return a run that is being worked on though its lock file was deleted, if there is one."""
        with self.errors():
            runs = holders.noted_runs(self)
        return next((run_id for run_id in runs if self.is_held(run_id)), None)

    def _warn_of_wal_bug(self, lock: Path) -> None:
        """Log, once for a store and an SQLite version, that it can be damaged, when others write to it too."""
        told = self._locks / f"warned-of-wal-bug-{sqlite3.sqlite_version}"
        if told.exists() or not locks.seem_held(self._locks, besides=lock):
            return
        logger.warning(
            "SQLite %s has the WAL-reset bug, which can, very rarely, damage a database that several processes use at "
            "once, as they do now with %s: use SQLite from 3.51.3 (or 3.50.7, 3.44.6), or run one at a time",
            sqlite3.sqlite_version,
            self._path,
        )
        told.touch()

    def close(self) -> None:
        try:
            self._sort_rest()
        finally:
            self._shut()

    def _shut(self) -> None:
        if self._open:
            self._open = False
            if self._watch is not None:
                self._watch.close()
            try:
                with self.errors():
                    self.connection.close()
            finally:
                self._release()

    def _sort_rest(self) -> None:
        """Leave little for the next who opens the store to note. It only saves time, so no failure is told."""
        if not self._open or self._mode == "read":
            return
        with suppress(StorageError, CommitUnknown, sqlite3.Error, OSError):
            if not self.connection.in_transaction and self._lookups.has_unsorted():
                self.run("PRAGMA busy_timeout = 0")  # nobody waits for others to save some time
                with self.brief():
                    self._lookups.sort_in()

    def _release(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None


_ADVICE: Final = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space, then run the same command again",
    sqlite3.SQLITE_BUSY: (
        "another process has been writing to it for {timeout:g} s: wait for it, or raise busy_timeout_s"
    ),
    sqlite3.SQLITE_READONLY: "it can't be written: check the permissions of the file and of its folder",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened: check the permissions of the file and of its folder",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: bring it back from a backup",
    sqlite3.SQLITE_NOTADB: "the file is damaged: bring it back from a backup",
}


_UNAVAILABLE: Final = frozenset(
    {
        sqlite3.SQLITE_AUTH, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_INTERNAL,
        sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)  # fmt: skip


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error tells of what is stored; else that could not be looked at, as on a full disk."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in _UNAVAILABLE


def check_header(path: Path, held: Held) -> None:
    """Refuse a file that is no store, or a newer one, by its first bytes alone: SQLite has not touched it yet."""
    header = held.first(100)
    if not header:
        raise StorageError(
            f"{path} is empty, so it never was a store, or what it held is lost: bring it back from a backup, or "
            "remove the file to begin anew"
        )
    if len(header) < 100 or not header.startswith(_MAGIC):
        raise StorageError(f"{path} is not a store of Themis: name another root_dir, or move the file away")
    check_identity(path, int.from_bytes(header[68:72], "big"), int.from_bytes(header[60:64], "big"))


def check_identity(path: Path, application_id: int, version: int) -> None:
    if application_id != APPLICATION_ID or not version:
        raise StorageError(f"{path} is not a store of Themis: name another root_dir, or move the file away")
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"{path} was made by a newer Themis (schema {version}, this one knows {SCHEMA_VERSION}): "
            "update themis-plugin-sqlite, or name another root_dir"
        )


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    if not (3, 7, 0) <= version <= (3, 51, 2):
        return False
    return not ((3, 44, 6) <= version < (3, 45) or (3, 50, 7) <= version < (3, 51))


def _quoted(name: str) -> str:
    return name.replace('"', '""')


def _temporary(match: re.Match[str]) -> str:
    return "CREATE TEMP TABLE " if match[1] == "TABLE " else "CREATE INDEX temp."


def _make_folder(folder: Path) -> None:
    """Make the folder of a store, if it is not there, so that git leaves out what is in it."""
    new = not folder.is_dir()
    for each in make_folder(folder):
        sync_folder(each)
    if new:
        leave_out_of_git(folder)


def _settle_log(connection: sqlite3.Connection, path: Path, timeout_s: float) -> None:
    """Bring what is in the log to the main file and empty the log, all of it on stable storage.

    What a failed sync left in the log is read back as if it were safe: a batch repeated then would find itself stored
    and be acknowledged. And a log that is empty, but not yet on the disk, would come back after a power cut without
    what the sync lost, and put older pages over those of the main file.
    """
    connection.execute(f"PRAGMA busy_timeout = {timeout_s * 1000:.0f}")
    busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy and timeout_s:
        raise sqlite3.OperationalError("others use it, so what a failed commit left in its log can't be made safe")
    log = path.with_name(f"{path.name}-wal")
    if not busy and log.exists():
        with log.open("rb+") as file:
            os.fsync(file.fileno())


def _take_as_they_are() -> None:
    """Have the driver write None and bytes as they are, unless the process has told it otherwise. It asks each for a
    form of its own first, which takes longer than to write it: a third of the time of a row, of which half is None."""
    as_it_is: list[tuple[type[Any], Callable[[Any], Any]]] = [(type(None), {}.get), (bytes, bytes)]
    for kind, same in as_it_is:
        if (kind, sqlite3.PrepareProtocol) not in sqlite3.adapters:
            sqlite3.register_adapter(kind, same)


def _switch_to_wal(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Set the journal mode, which stays with the file; SQLite does not wait for others here, so this does."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal":
            raise sqlite3.OperationalError("this file system can't hold a write-ahead log")
        return
