"""The storage backend `postgres/blob`: how its config becomes an open store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from themis_core import OnlyHere, StorageError, Store, resolve_path
from themis_plugin_postgres.address import mistake_in, own_host, shown
from themis_plugin_postgres.config import PostgresConfig

__all__ = ["PostgresBlobStorageSpec"]


class PostgresBlobStorageSpec(PostgresConfig):
    """Event log and projections in a schema of a Postgres database, long texts as content-addressed files."""

    def check(self, base_dir: Path) -> None:
        self._address()

    def location(self, base_dir: Path) -> str:
        url = self.url or os.environ.get(self.url_env, "")
        return shown(url, self.schema_name) if not mistake_in(url) else f"Postgres by {self.url_env}"

    def only_here(self, base_dir: Path) -> Sequence[OnlyHere]:
        folder = resolve_path(self.blob_root, base_dir)
        texts = (
            f"texts longer than {self.inline_limit_bytes:,} bytes are files in {folder}: name a folder that all "
            "machines have under this path"
        )
        found = [OnlyHere("blob_root", texts, folder)]
        named = self.url or os.environ.get(self.url_env, "")
        if not mistake_in(named) and (host := own_host(named)):
            database = (
                f"the database's host is {host}, which on another machine is that machine: name it by an address that "
                "all machines reach"
            )
            found.append(OnlyHere("url" if self.url else "url_env", database))
        return found

    def open(self, base_dir: Path, *, mode: Literal["write", "read"] = "write") -> Store:
        try:
            url = self._address()
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
        except BaseException:
            database.close()
            raise
        root = resolve_path(self.blob_root, base_dir)
        return PostgresStore(database, root, self.schema_name, inline_limit_bytes=self.inline_limit_bytes)

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
