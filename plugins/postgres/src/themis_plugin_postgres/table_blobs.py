"""Long texts in the database itself: a table of the store's schema, written by the transaction that refers to them.

What is in the table is compressed already, and the server is told so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from themis_blobs import Blobs, StoredBlob, pack, unpack
from themis_core import StorageError
from themis_plugin_postgres.database import PostgresDatabase
from themis_plugin_postgres.faults import PostgresFault
from themis_sql.database import CommitUnknown

__all__ = ["TableBlobs"]

_IS_THERE: Final = "SELECT to_regclass(quote_ident(?) || '.blobs') IS NOT NULL"
_MAKE: Final = (
    "CREATE TABLE IF NOT EXISTS blobs (digest bytea PRIMARY KEY, body bytea NOT NULL)",
    "ALTER TABLE blobs ALTER COLUMN body SET STORAGE EXTERNAL",
)
# What is there is written again only if it is something else, as after damage.
_WRITE: Final = """INSERT INTO blobs AS there VALUES (?, ?) ON CONFLICT (digest) DO UPDATE SET body = excluded.body
  WHERE there.body <> excluded.body"""
_READ: Final = "SELECT digest, body FROM blobs WHERE digest IN (*)"
_READ_AT_ONCE: Final = 16
_NO_TABLE: Final = "42P01"


class TableBlobs(Blobs):
    """The table `blobs`, made when a store is first opened to write with it."""

    transactional = True

    def __init__(self, database: PostgresDatabase, schema: str) -> None:
        self._database = database
        self._schema = schema

    @property
    def place(self) -> str:
        return f"the table blobs of the schema {self._schema}"

    def where(self, digest: bytes) -> str:
        return f"the row {digest.hex()} of the table {self._schema}.blobs"

    def prepare(self) -> None:
        database = self._database
        try:
            with database.errors():
                if database.row(_IS_THERE, (self._schema,))[0]:  # to make it would need a right, even then
                    return
                with database.transaction(alone=True):  # so that one process makes it
                    for statement in _MAKE:
                        database.run(statement)
        except CommitUnknown as error:
            raise StorageError(database.explain(error.error)) from error.error

    def write(self, texts: Mapping[bytes, bytes]) -> None:
        for digest in sorted(texts):  # in one order, so that no two writers wait for each other
            self._database.run(_WRITE, (digest, pack(texts[digest])))

    def read(self, digest: bytes) -> bytes:
        return self.read_many((digest,))[digest]

    def read_many(self, digests: Collection[bytes]) -> dict[bytes, bytes]:
        wanted = list(dict.fromkeys(digests))
        found = {}
        for start in range(0, len(wanted), _READ_AT_ONCE):
            for digest, body in self._rows(_READ, wanted[start : start + _READ_AT_ONCE]):
                found[digest] = unpack(body, digest, self.where(digest))
        for digest in wanted:
            if digest not in found:
                raise StorageError(f"{self.where(digest)} is missing: bring it back from a backup")
        return found

    def missing(self, digests: Iterable[bytes]) -> set[bytes]:
        wanted = list(digests)
        there = {digest for digest, _ in self._rows("SELECT digest, 0 FROM blobs WHERE digest IN (*)", wanted)}
        return set(wanted) - there

    def _rows(self, sql: str, digests: list[bytes]) -> list[tuple[bytes, bytes]]:
        try:
            return [(bytes(digest), body) for digest, body in self._database.rows_in(sql, digests)]
        except PostgresFault as error:
            if error.state == _NO_TABLE:
                return []
            raise StorageError(self._database.explain(error)) from error

    def stored(self) -> Iterator[StoredBlob]:
        """Yield nothing: a row is there if, and only if, the transaction that refers to it was committed."""
        return iter(())

    def remove(self, blob: StoredBlob) -> None:
        raise AssertionError("nothing of a table is told to be stored")
