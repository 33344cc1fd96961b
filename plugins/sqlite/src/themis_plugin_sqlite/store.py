"""A store in SQLite: the shared one, with what keeps its file and its folder in order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Literal

from themis_blobs import FolderBlobs
from themis_blobs.folders import sync_folder
from themis_core import Damage, RunLocked, StorageError, UnusedFile
from themis_plugin_sqlite import locks, lookups
from themis_plugin_sqlite.database import SqliteDatabase, is_damage
from themis_plugin_sqlite.leftovers import remove_files, remove_leftovers, storage_errors, unfinished
from themis_plugin_sqlite.making import differing, part_files
from themis_plugin_sqlite.places import BLOBS, FILE_NAME
from themis_sql import SqlStore
from themis_sql.migrations import bring_up_to_date
from themis_sql.unused import remove_unused, stored_digests
from themis_sql.verify import CouldNotCheck, damages

__all__ = ["SqliteStore", "open_store"]


def open_store(
    folder: Path,
    *,
    mode: Literal["write", "read"],
    synchronous: str = "FULL",
    busy_timeout_s: float = 60.0,
    inline_limit_bytes: int = 65_536,
) -> SqliteStore:
    """Open the store in a folder, made by an earlier version or not; made now if there is none and `mode` is write."""
    database = SqliteDatabase(folder / FILE_NAME, mode=mode, synchronous=synchronous, busy_timeout_s=busy_timeout_s)
    database.connect()
    try:
        if mode == "write":
            bring_up_to_date(database, str(folder / FILE_NAME))
    except BaseException:
        database.close()
        raise
    return SqliteStore(database, folder, inline_limit_bytes=inline_limit_bytes)


class SqliteStore(SqlStore):
    """The database `themis.sqlite3` and the folder `blobs` beside it."""

    def __init__(self, database: SqliteDatabase, folder: Path, *, inline_limit_bytes: int = 65_536) -> None:
        super().__init__(database, FolderBlobs(folder / BLOBS), inline_limit_bytes=inline_limit_bytes)
        self._sqlite = database
        self._folder = folder

    def verify(self) -> Iterator[Damage]:
        try:
            with self._sqlite.scratch() as scratch:
                for (said,) in scratch.rows("PRAGMA integrity_check"):
                    if said != "ok":
                        yield Damage("database", str(said))
                changed = set()
                for name, each in differing(scratch.connection):
                    changed.add(name)
                    yield each
                yield from lookups.damages(scratch, changed)
                yield from damages(scratch, self._blobs, "main.{}", without=changed)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise CouldNotCheck(f"could not check the store: {self._sqlite.explain(error)}") from error
            yield Damage("database", self._sqlite.explain(error))  # it ends the check, and is what it was to find

    def rebuild(self, *, accept_loss: bool = False) -> Sequence[Damage]:
        # A run at work knows names by their old numbers, and in tables that had been damaged they may change.
        if (message := locks.held(self._folder / "locks")) is not None:
            raise RunLocked(message)
        if (run_id := self._sqlite.held_without_lock_file()) is not None:
            raise RunLocked(f"run {run_id!r} is being worked on: wait for it, or stop it, then rebuild again")
        return super().rebuild(accept_loss=accept_loss)

    def _empty_projections(self) -> None:
        self._sqlite.restore_definitions()

    def back_up(self, target: Path) -> None:
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise StorageError(f"{target} is there already: name a new folder for the backup")
        with storage_errors(f"can't write the backup {target}"):
            remove_leftovers(target.absolute().parent)
            with unfinished(target.absolute()) as part:
                self._copy(part)
                if target.exists():
                    target.rmdir()
                part.rename(target)
            sync_folder(target.absolute().parent)

    def _copy(self, folder: Path) -> None:
        """Copy the database first: whatever its copy refers to is a finished blob file then, and stays one."""
        self._sqlite.copy_to(folder / FILE_NAME)
        source, copies = self._blobs, FolderBlobs(folder / BLOBS)
        with closing(open_store(folder, mode="read")) as copy:
            for digest in stored_digests(copy._sqlite):
                copies.write({digest: source.read(digest)})
            found = list(islice(copy.verify(), 3))
        if found:
            told = "; ".join(f"{each.place}: {each.problem}" for each in found)
            raise StorageError(f"the backup was not kept, because it does not verify ({told}): verify the store")

    def remove_unused_files(self, *, older_than_s: float, dry_run: bool) -> Iterator[UnusedFile]:
        with self._sqlite.errors():
            yield from remove_unused(self._sqlite, self._blobs, older_than_s=older_than_s, dry_run=dry_run)
            yield from remove_files(part_files(self._folder, FILE_NAME), older_than_s=older_than_s, dry_run=dry_run)
