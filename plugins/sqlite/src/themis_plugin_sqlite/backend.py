"""The storage backend `sqlite/blob`: its settings, and how they become an open store."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from themis_core import StorageBackend, StorageError, Store

__all__ = ["SqliteBlobStorageSpec"]

FILE_NAME = "themis.sqlite3"


class SqliteBlobStorageSpec(StorageBackend):
    """Event log and projections in one SQLite database, long texts as content-addressed files beside it."""

    not_identity = frozenset({"root_dir", "synchronous", "busy_timeout_s", "inline_limit_bytes"})

    root_dir: str = Field(
        default=".themis",
        description="Folder of the store, made when needed; relative to the folder of the spec file.",
    )
    synchronous: Literal["FULL", "NORMAL"] = Field(
        default="FULL",
        description=(
            "FULL: what is saved survives a power cut. NORMAL: it survives a killed process, but a power cut may "
            "take the last seconds; faster on slow disks."
        ),
    )
    busy_timeout_s: float = Field(
        default=60.0,
        ge=0.0,
        le=86_400.0,
        description="Seconds to wait for another process that writes to the same store.",
    )
    inline_limit_bytes: int = Field(
        default=65_536,
        ge=1_024,
        le=100_000_000,
        description="Texts longer than this, in bytes of UTF-8, go to blob files.",
    )

    @field_validator("root_dir")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        if not value.strip() or "\0" in value:
            raise ValueError("root_dir must name a folder, such as .themis")
        return value

    def location(self, base_dir: Path) -> str:
        return str(self._root(base_dir) / FILE_NAME)

    def open(self, base_dir: Path, *, mode: Literal["write", "read"] = "write") -> Store:
        root = self._root(base_dir)
        path = root / FILE_NAME
        if mode == "read" and not path.exists():
            raise StorageError(f"there is no store at {path}: run something first, or name another root_dir")
        # SQLAlchemy takes longer to import than the rest of a short command takes to run.
        from themis_plugin_sqlite.database import SqliteDatabase
        from themis_sql import SqlStore

        database = SqliteDatabase(path, mode=mode, synchronous=self.synchronous, busy_timeout_s=self.busy_timeout_s)
        database.connect()
        return SqlStore(database, root / "blobs", inline_limit_bytes=self.inline_limit_bytes)

    def _root(self, base_dir: Path) -> Path:
        return base_dir / Path(self.root_dir).expanduser()
