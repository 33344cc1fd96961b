"""What runs ask for at this moment, so that two of them don't ask for the same.

A claim counts while its run is held; what a killed process left is taken over. The table is made with the first claim,
which only a run that is not alone makes, and it is neither part of the log nor of what is made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from themis_core import StorageError
from themis_sql.codec import pack_name, unpack_name
from themis_sql.database import CommitUnknown, Database

__all__ = ["CLAIMS", "Claims"]

T = TypeVar("T")
CLAIMS: Final = "claims"
_MAKE: Final = f"CREATE TABLE IF NOT EXISTS {CLAIMS} (generation_key TEXT PRIMARY KEY, run_id TEXT NOT NULL)"


class Claims:
    """The claims in one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._made = False

    def claim(self, run_id: str, key: str) -> bool:
        """As `Store.claim`."""
        if not self._made:
            self._settle(lambda: self._database.run(_MAKE), alone=True)
            self._made = True
        return self._settle(lambda: self._claim(run_id, key))

    def _claim(self, run_id: str, key: str) -> bool:
        database = self._database
        row = database.row(f"SELECT run_id FROM {CLAIMS} WHERE generation_key = ?", (key,))
        owner = None if row is None else unpack_name(row[0])
        if owner not in (None, run_id) and database.is_held(owner):
            return False
        if owner != run_id:
            database.run(f"DELETE FROM {CLAIMS} WHERE generation_key = ?", (key,))
            database.run(f"INSERT INTO {CLAIMS} VALUES (?, ?)", (key, pack_name(run_id)))
        return True

    def release(self, run_id: str, keys: Sequence[str] | None = None) -> None:
        """As `Store.release`."""
        if not self._made:
            return
        self._settle(lambda: self._release(pack_name(run_id), keys))

    def _release(self, name: str, keys: Sequence[str] | None) -> None:
        if keys is None:
            self._database.run(f"DELETE FROM {CLAIMS} WHERE run_id = ?", (name,))
        else:
            sql = f"DELETE FROM {CLAIMS} WHERE run_id = ? AND generation_key = ?"
            self._database.write(sql, [(name, key) for key in sorted(keys)])

    def _settle(self, do: Callable[[], T], *, alone: bool = False) -> T:
        try:
            with self._database.errors():
                return self._database.settle(do, alone=alone)
        except CommitUnknown as error:
            raise StorageError(self._database.explain(error.error)) from error.error
