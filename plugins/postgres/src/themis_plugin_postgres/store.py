"""A store in Postgres: the shared one, with batches repeated when a connection is lost, and kept in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from themis_blobs import Blobs, is_url
from themis_core import Damage, Event, PartsRecord, StorageError, UnusedFile
from themis_plugin_postgres.config import PostgresConfig
from themis_plugin_postgres.database import PostgresDatabase
from themis_plugin_postgres.definitions import compare, restore
from themis_plugin_postgres.faults import PostgresFault, unable_to_check
from themis_sql import SqlStore
from themis_sql.unused import remove_unused
from themis_sql.verify import damages

__all__ = ["PostgresStore"]


_SAMPLED: Final = """SELECT digest FROM (SELECT digest, external FROM payloads ORDER BY id DESC LIMIT 10000) AS newest
  WHERE external = 1 LIMIT 5"""


class PostgresStore(SqlStore):
    """A schema, and the long texts of its store."""

    def __init__(self, database: PostgresDatabase, blobs: Blobs, spec: PostgresConfig) -> None:
        super().__init__(database, blobs, inline_limit_bytes=spec.inline_limit_bytes)
        self._postgres = database
        self._schema = spec.schema_name
        self._spec = spec
        database.forget = self._forget

    def prepare_blobs(self) -> None:
        """Find out whether long texts can be written, and are where they were. Raises StorageError if not."""
        self._blobs.prepare()
        with self._postgres.errors():
            sampled = {bytes(digest) for (digest,) in self._postgres.rows(_SAMPLED)}
        if sampled and self._blobs.missing(sampled) == sampled:
            raise StorageError(
                f"the long texts of the store {self._schema} are not in {self._blobs.place}: name in blobs the place "
                "where they are, or copy them to this one"
            )

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
        dump = f"run pg_dump --schema={self._schema}"
        if self._blobs.transactional:
            raise StorageError(
                f"a store in Postgres is copied with the database's own tools: {dump}, which has all of it"
            )
        if is_url(self._spec.blobs):
            copy = f"{self._blobs.place} with a tool of that service, such as rclone or aws s3 sync"
        else:
            copy = f"the folder {self._blobs.place}"
        raise StorageError(f"a store in Postgres is copied with the database's own tools: {dump}, and then copy {copy}")

    def remove_unused_files(self, *, older_than_s: float, dry_run: bool) -> Iterator[UnusedFile]:
        with self._postgres.errors():
            yield from remove_unused(self._postgres, self._blobs, older_than_s=older_than_s, dry_run=dry_run)
