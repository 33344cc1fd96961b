"""Holds a run, or a part of it, in its store."""

from __future__ import annotations

from contextlib import AbstractContextManager

from themis_core.components import Store, knows_parts
from themis_core.errors import StorageError

__all__ = ["entered"]


def entered(store: Store, run_id: str, part: str = "") -> AbstractContextManager[None]:
    """Hold the run, or a part of it; a stranger's store may be of a time when there were no parts."""
    if part and not knows_parts(store.lock_run):
        raise StorageError(
            f"{type(store).__name__} can't hold a part of a run (its lock_run takes none), so no shard and no worker "
            "can use it: run the whole, or use a storage that can"
        )
    lock = store.lock_run(run_id, part) if part else store.lock_run(run_id)
    lock.__enter__()
    return lock
