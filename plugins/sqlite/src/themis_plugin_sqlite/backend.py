"""The storage backend `sqlite/blob`: its settings, and how they become an open store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from themis_core import (
    OnlyHere,
    SpecError,
    StorageBackend,
    StorageError,
    Store,
    StoreMissing,
    path_kind,
    resolve_path,
)
from themis_plugin_sqlite.places import FILE_NAME

__all__ = ["SqliteBlobStorageSpec"]


class SqliteBlobStorageSpec(StorageBackend):
    """Event log and projections in one SQLite database, long texts as content-addressed files beside it."""

    backend = "sqlite"
    not_identity = frozenset(
        {"root_dir", "synchronous", "busy_timeout_s", "inline_limit_bytes", "allow_network_file_system"}
    )

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

    allow_network_file_system: bool = Field(
        default=False,
        description=(
            "Write to a store on a network file system: only if processes of one machine alone ever use it, or it may "
            "be damaged."
        ),
    )

    @field_validator("root_dir")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        if not value.strip() or "\0" in value:
            raise ValueError("root_dir must name a folder, such as .themis")
        return value

    def location(self, base_dir: Path) -> str:
        return str(self._root(base_dir) / FILE_NAME)

    def only_here(self, base_dir: Path) -> Sequence[OnlyHere]:
        root = self._root(base_dir)
        advice = (
            f"the store is a file in {root}, which processes of one machine alone can share, as SQLite's locks are not "
            "kept between machines: use the backend postgres, or run all of it on one machine"
        )
        return (OnlyHere("root_dir", advice, root),)

    def open(self, base_dir: Path, *, mode: Literal["write", "read"] = "write") -> Store:
        root = self._root(base_dir)
        path = root / FILE_NAME
        try:
            kind = path_kind(path)
        except SpecError as error:
            raise StorageError(f"the store {error}") from error
        if mode == "read" and kind == "nothing":
            raise StoreMissing(f"there is no store at {path}: run something first, or name another root_dir")
        if mode == "write" and not self.allow_network_file_system:
            _refuse_network(root)
        from themis_plugin_sqlite.store import open_store

        return open_store(
            root,
            mode=mode,
            synchronous=self.synchronous,
            busy_timeout_s=self.busy_timeout_s,
            inline_limit_bytes=self.inline_limit_bytes,
        )

    def _root(self, base_dir: Path) -> Path:
        return resolve_path(self.root_dir, base_dir)


def _refuse_network(root: Path) -> None:
    from themis_plugin_sqlite.mounts import network_mount

    mount = network_mount(root)
    if mount is not None:
        raise StorageError(
            f"the store in {root} would be on a network file system ({mount.kind} at {mount.folder}), where SQLite can "
            "damage it: give root_dir a folder on a local disk, use the backend postgres, or set "
            "allow_network_file_system: true if processes of one machine alone use the store"
        )
