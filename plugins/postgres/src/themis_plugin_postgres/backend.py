"""The storage backend `postgres/blob`: how its config becomes an open store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from themis_blobs import Blobs, is_url, need_client, open_place
from themis_core import OnlyHere, StorageError, Store, resolve_path
from themis_plugin_postgres.address import mistake_in, own_host, shown
from themis_plugin_postgres.config import PostgresConfig

if TYPE_CHECKING:
    from themis_plugin_postgres.database import PostgresDatabase

__all__ = ["PostgresBlobStorageSpec"]


class PostgresBlobStorageSpec(PostgresConfig):
    """Event log and projections in a schema of a Postgres database; long texts there, in a folder or behind a URL."""

    def check(self, base_dir: Path) -> None:
        self._address()
        need_client(self.blobs, distribution="themis-plugin-postgres")

    def location(self, base_dir: Path) -> str:
        url = self.url or os.environ.get(self.url_env, "")
        return shown(url, self.schema_name) if not mistake_in(url) else f"Postgres by {self.url_env}"

    def only_here(self, base_dir: Path) -> Sequence[OnlyHere]:
        found = self._texts_only_here(base_dir)
        named = self.url or os.environ.get(self.url_env, "")
        if not mistake_in(named) and (host := own_host(named)):
            database = (
                f"the database's host is {host}, which on another machine is that machine: name it by an address that "
                "all machines reach"
            )
            found.append(OnlyHere("url" if self.url else "url_env", database))
        return found

    def _texts_only_here(self, base_dir: Path) -> list[OnlyHere]:
        if self.blobs == "database" or (is_url(self.blobs) and not self.blobs.lower().startswith("memory:")):
            return []
        long = f"texts longer than {self.inline_limit_bytes:,} bytes are"
        other = "name a folder that all machines have under this path, or write `database` or the URL of a bucket"
        if is_url(self.blobs):
            return [OnlyHere("blobs", f"{long} in the memory of this process: {other}")]
        folder = resolve_path(self.blobs, base_dir)
        return [OnlyHere("blobs", f"{long} files in {folder}: {other}", folder)]

    def open(self, base_dir: Path, *, mode: Literal["write", "read"] = "write") -> Store:
        try:
            url = self._address()
            need_client(self.blobs, distribution="themis-plugin-postgres")
        except ValueError as error:
            raise StorageError(str(error)) from None
        # psycopg takes longer to import than the rest of a short command takes to run.
        from themis_plugin_postgres.database import PostgresDatabase
        from themis_plugin_postgres.store import PostgresStore
        from themis_sql.migrations import bring_up_to_date

        database = PostgresDatabase(url, self, mode=mode)
        database.connect()
        try:
            if mode == "write":
                bring_up_to_date(database, self.location(base_dir))
                database.read_back()
            store = PostgresStore(database, self._blobs(database, base_dir), self)
            if mode == "write":
                store.prepare_blobs()
        except BaseException:
            database.close()
            raise
        return store

    def _blobs(self, database: PostgresDatabase, base_dir: Path) -> Blobs:
        """Return the place of the long texts; stores may share what `blobs` names, as each has its id there."""
        if self.blobs == "database":
            from themis_plugin_postgres.table_blobs import TableBlobs

            return TableBlobs(database, self.schema_name)
        return open_place(
            self.blobs,
            database.info.store_id,
            base_dir,
            self.blob_options,
            timeout_s=self.blob_timeout_s,
            retry_s=self.reconnect_timeout_s,
        )

    def _address(self) -> str:
        """Return the URL. Raises ValueError that says where it should be and quotes nothing of it."""
        if self.url is not None:
            return self.url
        url = os.environ.get(self.url_env, "").strip()
        if not url:
            raise ValueError(
                f"the environment variable {self.url_env} is not set: set it to the URL of the database, such as "
                "postgresql://user:password@host/database, or name another variable in url_env"
            )
        if mistake := mistake_in(url):
            raise ValueError(f"the environment variable {self.url_env} {mistake}")
        return url
