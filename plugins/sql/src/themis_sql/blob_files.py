"""Blob files to which nothing that is stored refers: what a crash between file and commit leaves.

It removes files, and changes no table.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from themis_core import StorageError, UnusedFile
from themis_sql.database import CommitUnknown, Database
from themis_sql.payloads import BlobFiles

__all__ = ["remove_unused", "stored_digests"]

_NAME: Final = re.compile(r"[0-9a-f]{64}\.zst")


def stored_digests(database: Database) -> Iterator[str]:
    """Yield the hashes of all texts that are in blob files, once each, in order, as hexadecimal digits."""
    for row in database.rows("SELECT DISTINCT digest FROM payloads WHERE external = 1 ORDER BY digest"):
        yield bytes(row[0]).hex()


def remove_unused(database: Database, blobs: BlobFiles, *, older_than_s: float, dry_run: bool) -> Iterator[UnusedFile]:
    """Remove blob files without owner, and parts of files that were never finished, of at least this age.

    Raises StorageError if a file can't be removed.
    """
    last_id = database.row("SELECT coalesce(max(id), 0) FROM payloads")[0]
    now = time.time()
    # A list, because a query that is still open would keep SQLite from writing after another process has written.
    for path in list(_without_owner(database, blobs.folder)):
        try:
            state = path.stat()
        except FileNotFoundError:  # a part, whose writer has just finished it
            continue
        found = UnusedFile(str(path), state.st_size, max(0.0, now - state.st_mtime))
        if found.age_s >= older_than_s and (dry_run or _remove(database, path, last_id)):
            yield found


def _without_owner(database: Database, root: Path) -> Iterator[Path]:
    """Yield the files that no stored text refers to: both sides are sorted, so one folder is in memory at most."""
    owned = stored_digests(database)
    digest = next(owned, None)
    for folder in sorted(each for each in root.glob("[0-9a-f][0-9a-f]") if each.is_dir()):
        for path in sorted(folder.iterdir()):
            if path.name.startswith(".") and path.suffix == ".part":
                yield path
                continue
            if not _NAME.fullmatch(path.name) or path.name[:2] != folder.name:
                continue  # not ours; and out of order, it would make what comes after it look unused
            while digest is not None and digest < path.stem:
                digest = next(owned, None)
            if digest != path.stem:
                yield path


def _remove(database: Database, path: Path, last_id: int) -> bool:
    """Remove the file unless a text that was stored meanwhile refers to it.

    Blob files are written within the transaction that refers to them, so while this one holds the lock of all writers,
    nobody can be about to.
    """
    try:
        with database.errors(), database.transaction():
            sql = "SELECT digest FROM payloads WHERE id > ? AND external = 1"
            if any(bytes(row[0]).hex() == path.stem for row in database.rows(sql, (last_id,))):
                return False
            path.unlink(missing_ok=True)
    except CommitUnknown:
        pass  # nothing was to be committed
    except OSError as error:
        raise StorageError(f"can't remove {path}: {error.strerror or error}") from error
    return True
