"""Objects behind any other URL, by fsspec: `memory://`, `sftp://`, `hdfs://`, `webdav://` and many more."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import fsspec

from themis_blobs.objects import Objects, Stat

__all__ = ["FileSystemObjects"]

logger = logging.getLogger(__name__)


class FileSystemObjects(Objects):
    """What is beneath a URL of fsspec. Options are those of its file system."""

    def __init__(self, url: str, options: Mapping[str, Any], timeout_s: float) -> None:
        # Listings of directories that the client keeps would tell what was, not what is.
        self._files, self._root = fsspec.core.url_to_fs(url, use_listings_cache=False, **options)
        self._root = self._root.rstrip("/")
        if url.startswith("memory:"):
            logger.warning("long texts in %s are lost when this process ends: it is for tests", url)

    def put(self, name: str, data: bytes) -> None:
        path = self._path(name)
        with suppress(NotImplementedError):  # object stores have no directories
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        # Under another name first: where these are files, one that is cut off would have the name of a whole one.
        part = f"{path}.{secrets.token_hex(4)}.part"
        try:
            self._files.pipe_file(part, data)
            self._files.mv(part, path)
        except BaseException:
            with suppress(Exception):
                self._files.rm_file(part)
            raise

    def get(self, name: str) -> bytes:
        return bytes(self._files.cat_file(self._path(name)))

    def check(self, name: str) -> None:
        self._files.info(self._path(name))

    def list(self, folder: str) -> Iterator[Stat]:
        try:
            found = self._files.find(self._path(folder), detail=True)
        except FileNotFoundError:
            return
        for path, state in found.items():
            name = "/".join(str(path).split("/")[-2:])  # what stands before it, each file system writes in its own way
            yield Stat(name, int(state.get("size") or 0), _written_at(state))

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _written_at(state: Mapping[str, Any]) -> float:
    """Return when it was last written, by whichever name the file system says it; now, if it does not."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "modified", "created"):
        value = state.get(key)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, int | float):
            return float(value)
    return datetime.now(UTC).timestamp()
