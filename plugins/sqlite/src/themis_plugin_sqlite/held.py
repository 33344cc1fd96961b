"""A store's file as this process holds it open beside SQLite, so that its first bytes can be read.

Whoever closes a descriptor of a file drops all POSIX locks that its process has on that file, those of SQLite's
connections too. Another process that closes the store then takes itself for the last one that has it open, and removes
the log: connections here would read what was before, or a damaged file, and commits would be lost. ("How To Corrupt An
SQLite Database File", section 2.2.) So what was opened is closed with the last connection, and not before.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

__all__ = ["Held"]

_lock = Lock()


@dataclass(slots=True)
class _File:
    descriptor: int
    users: int = 0


@dataclass(slots=True)
class Held:
    """One user of a file; `release` it once its connection is closed."""

    _key: tuple[int, int]
    _file: _File
    _released: bool = field(default=False)

    @classmethod
    def of(cls, path: Path) -> Held:
        """Raises OSError if there is no such file, or it can't be read."""
        with _lock:
            key = _identity(path.stat())
            file = _files.get(key)
            if file is None:
                descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
                key = _identity(os.fstat(descriptor))  # another file may have taken its place
                file = _files.setdefault(key, _File(descriptor))
                if file.descriptor != descriptor:
                    _spare.setdefault(key, []).append(descriptor)
            file.users += 1
            return cls(key, file)

    def first(self, count: int) -> bytes:
        """The first bytes of the file."""
        return os.pread(self._file.descriptor, count, 0)

    def release(self) -> None:
        with _lock:
            if self._released:
                return
            self._released = True
            self._file.users -= 1
            if not self._file.users:
                del _files[self._key]
                for descriptor in (self._file.descriptor, *_spare.pop(self._key, ())):
                    os.close(descriptor)


_files: dict[tuple[int, int], _File] = {}
"""By device and inode."""
_spare: dict[tuple[int, int], list[int]] = {}
"""Further descriptors of the same file, which can't be closed before."""


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
