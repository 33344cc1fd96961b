"""Long texts as content-addressed files, `ab/<sha256>.zst` under one folder."""

from __future__ import annotations

import errno
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from themis_blobs.base import Blobs, BlobUnreachable, StoredBlob, object_name, pack, unpack
from themis_blobs.folders import leave_out_of_git, make_folder, sync_folder
from themis_core import StorageError

__all__ = ["FolderBlobs"]

_NAME: Final = re.compile(r"[0-9a-f]{64}\.zst")
_LOST: Final = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.EIO})
"""Errors of a file that mean that its content is gone; others mean that it could not be looked at."""


class FolderBlobs(Blobs):
    """A folder, made with the first text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def place(self) -> str:
        return str(self.folder)

    def path(self, digest: bytes) -> Path:
        return self.folder / object_name(digest)

    def where(self, digest: bytes) -> str:
        return f"the blob file {self.path(digest)}"

    def prepare(self) -> None:
        """Look whether the folder can be written to, or made, without making it."""
        there = next(each for each in (self.folder, *self.folder.parents) if each.exists())
        if not there.is_dir():
            raise StorageError(
                f"{there} is no folder, so no long texts can be kept in {self.folder}: name another place"
            )
        if not os.access(there, os.W_OK | os.X_OK):
            raise StorageError(
                f"the folder {there} can't be written to, so no long texts can be kept in {self.folder}: change its "
                "rights, or name another place"
            )

    def write(self, texts: Mapping[bytes, bytes]) -> None:
        for digest, text in texts.items():
            if not self._holds(digest):  # that it exists proves nothing: a crash may have left it torn
                self._write(self.path(digest), pack(text))

    def _write(self, path: Path, packed: bytes) -> None:
        made = make_folder(path.parent)
        if self.folder.parent.parent in made:  # what the spec names was not there
            leave_out_of_git(self.folder.parent)
        part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
        try:
            with part.open("xb") as file:
                file.write(packed)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        for folder in (path.parent, *made):
            sync_folder(folder)

    def read(self, digest: bytes) -> bytes:
        where = self.where(digest)
        try:
            packed = self.path(digest).read_bytes()
        except FileNotFoundError as error:
            raise StorageError(f"{where} is missing: bring it back from a backup") from error
        except OSError as error:
            kind = StorageError if error.errno in _LOST else BlobUnreachable
            raise kind(f"{where} can't be read: {error.strerror or error}") from error
        return unpack(packed, digest, where)

    def _holds(self, digest: bytes) -> bool:
        try:
            self.read(digest)
        except StorageError:
            return False
        return True

    def missing(self, digests: Iterable[bytes]) -> set[bytes]:
        return {digest for digest in digests if not self.path(digest).is_file()}

    def stored(self) -> Iterator[StoredBlob]:
        now = time.time()
        for folder in sorted(each for each in self.folder.glob("[0-9a-f][0-9a-f]") if each.is_dir()):
            for path in sorted(folder.iterdir()):
                is_part = path.name.startswith(".") and path.suffix == ".part"
                if not is_part and not (_NAME.fullmatch(path.name) and path.name[:2] == folder.name):
                    continue  # not ours; and out of order, it would make what comes after it look unused
                try:
                    state = path.stat()
                except FileNotFoundError:  # a part, whose writer has just finished it
                    continue
                digest = None if is_part else bytes.fromhex(path.stem)
                yield StoredBlob(str(path), digest, state.st_size, max(0.0, now - state.st_mtime))

    def remove(self, blob: StoredBlob) -> None:
        try:
            Path(blob.path).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"can't remove {blob.path}: {error.strerror or error}") from error
