"""Folders and files that are not finished yet, and what a kill leaves of them.

A folder that is being written holds a locked file, so one that nobody writes any more can be told from it.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from themis_core import StorageError, UnusedFile
from themis_plugin_sqlite import locks

__all__ = ["remove_files", "remove_leftovers", "storage_errors", "unfinished"]

_MARK: Final = "unfinished"
"""Name of the run whose lock file marks a folder."""


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Give a new folder beside the target, to be renamed to it; removed if it is still there at the end."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(parents=True)
        with locks.hold(part, _MARK) as lock:
            yield part
        target.joinpath(lock.name).unlink(missing_ok=True)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished folders in this one that nobody writes any more; what isn't marked as ours stays."""
    for part in folder.glob(".*.part"):
        lock = locks.lock_file(part, _MARK)
        if lock.is_file() and not locks.is_held(lock):
            shutil.rmtree(part, ignore_errors=True)


def remove_files(paths: Iterable[Path], *, older_than_s: float, dry_run: bool) -> Iterator[UnusedFile]:
    """Remove files that were last written longer ago, yielding each; with `dry_run`, only yield them."""
    for path in paths:
        with storage_errors(f"can't look at {path}"):
            try:
                state = path.stat()
            except FileNotFoundError:  # its maker has finished it meanwhile
                continue
        found = UnusedFile(str(path), state.st_size, max(0.0, time.time() - state.st_mtime))
        if found.age_s < older_than_s:
            continue
        if not dry_run:
            with storage_errors(f"can't remove {path}"):
                path.unlink(missing_ok=True)
        yield found


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{what}: {error.strerror or error}") from error
