"""Blobs to which nothing that is stored refers: what a crash between their writing and the commit leaves.

It removes blobs, and changes no table.
"""

from __future__ import annotations

from collections.abc import Iterator

from themis_blobs import Blobs, StoredBlob
from themis_core import StorageError, UnusedFile
from themis_sql.database import CommitUnknown, Database

__all__ = ["remove_unused", "stored_digests"]


def stored_digests(database: Database) -> Iterator[bytes]:
    """Yield the hashes of all texts that are blobs, once each, in order."""
    for row in database.rows("SELECT DISTINCT digest FROM payloads WHERE external = 1 ORDER BY digest"):
        yield bytes(row[0])


def remove_unused(database: Database, blobs: Blobs, *, older_than_s: float, dry_run: bool) -> Iterator[UnusedFile]:
    """Remove blobs without owner, and parts of some that were never finished, of at least this age.

    Raises StorageError if one can't be removed.
    """
    last_id = 0 if dry_run else _last_id(database)
    # A list, because a query that is still open would keep SQLite from writing after another process has written.
    for each in list(_without_owner(database, blobs)):
        if each.age_s >= older_than_s and (dry_run or _remove(database, blobs, each, last_id)):
            yield UnusedFile(each.path, each.size_bytes, each.age_s)


def _last_id(database: Database) -> int:
    """Return the number above which all texts have theirs that are stored from now on.

    Nobody writes at that moment: a transaction that goes on has its numbers already, and others may be higher.
    """
    try:
        with database.errors(), database.transaction(alone=True):
            return int(database.row("SELECT coalesce(max(id), 0) FROM payloads")[0])
    except CommitUnknown as error:
        raise StorageError(database.explain(error.error)) from error.error


def _without_owner(database: Database, blobs: Blobs) -> Iterator[StoredBlob]:
    """Yield what no stored text refers to: both sides are sorted, so little of either is in memory."""
    owned = stored_digests(database)
    digest = next(owned, None)
    for each in blobs.stored():
        if each.digest is not None:
            while digest is not None and digest < each.digest:
                digest = next(owned, None)
        if each.digest is None or digest != each.digest:
            yield each


def _remove(database: Database, blobs: Blobs, blob: StoredBlob, last_id: int) -> bool:
    """Remove a blob unless a text that was stored meanwhile refers to it.

    Who is about to refer to one makes sure within its transaction that it is there, and this one goes on alone.
    """
    try:
        with database.errors(), database.transaction(alone=True):
            sql = "SELECT digest FROM payloads WHERE id > ? AND external = 1"
            if any(bytes(row[0]) == blob.digest for row in database.rows(sql, (last_id,))):
                return False
            blobs.remove(blob)
    except CommitUnknown:
        pass  # nothing was to be committed
    return True
