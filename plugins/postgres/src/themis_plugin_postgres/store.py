"""A store in Postgres: the shared one, with batches repeated when a connection is lost, and kept in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from themis_blobs import FolderBlobs
from themis_core import Damage, Event, PartsRecord, StorageError, UnusedFile
from themis_plugin_postgres.database import PostgresDatabase
from themis_plugin_postgres.definitions import compare, restore
from themis_plugin_postgres.faults import PostgresFault, unable_to_check
from themis_sql import SqlStore
from themis_sql.unused import remove_unused
from themis_sql.verify import damages

__all__ = ["PostgresStore"]


class PostgresStore(SqlStore):
    """A schema and, under `blob_root`, a folder that is named by the store's id: so stores may share the root."""

    def __init__(self, database: PostgresDatabase, blob_root: Path, schema: str, *, inline_limit_bytes: int) -> None:
        blobs = FolderBlobs(blob_root / database.info.store_id)
        super().__init__(database, blobs, inline_limit_bytes=inline_limit_bytes)
        self._postgres = database
        self._schema = schema
        database.forget = self._forget

    def append(self, events: Sequence[Event]) -> None:
        append = super().append
        # A repeated batch changes nothing, so it does not matter whether a commit that was cut off took effect.
        self._postgres.repeating(lambda: append(events))

    def open_parts(self, run_id: str, of: int) -> int:
        with self._postgres.errors():
            return self._postgres.parts.open(run_id, of)

    def take_parts(self, run_id: str, part: str, most: int) -> list[int]:
        with self._postgres.errors():
            return self._postgres.parts.take(run_id, part, most)

    def finish_parts(self, run_id: str, part: str, numbers: Sequence[int]) -> None:
        with self._postgres.errors():
            self._postgres.parts.finish(run_id, part, numbers)

    def give_back_parts(self, run_id: str, part: str) -> None:
        with self._postgres.errors():
            self._postgres.parts.give_back(run_id, part)

    def parts(self, run_id: str) -> PartsRecord:
        with self._postgres.errors():
            return self._postgres.parts.how_far(run_id)

    def verify(self) -> Iterator[Damage]:
        try:
            with self._postgres.scratch() as scratch:
                changed = compare(scratch, self._schema).damages
                yield from changed.values()
                yield from damages(scratch, self._blobs, f'"{self._schema}".{{}}', without=changed)
        except PostgresFault as error:
            if unable_to_check(error):
                raise StorageError(f"the check could not be done: {self._postgres.explain(error)}") from error
            yield Damage("database", self._postgres.explain(error))  # a page that can't be read ends the check

    def _empty_projections(self) -> None:
        with self._postgres.scratch() as scratch:
            seen = compare(scratch, self._schema)
        if seen.damages:
            restore(self._postgres, self._schema, seen)
        else:
            super()._empty_projections()

    def back_up(self, target: Path) -> None:
        raise StorageError(
            "a store in Postgres is copied with the database's own tools: run pg_dump --schema="
            f"{self._schema}, and then copy the folder {self._blobs.place}"
        )

    def remove_unused_files(self, *, older_than_s: float, dry_run: bool) -> Iterator[UnusedFile]:
        with self._postgres.errors():
            yield from remove_unused(self._postgres, self._blobs, older_than_s=older_than_s, dry_run=dry_run)
