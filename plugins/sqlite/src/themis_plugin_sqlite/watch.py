"""Whether the files of an open store are still those that were opened: SQLite itself writes on into deleted ones.

It looks at names, numbers and sizes, for some microseconds a commit. It must not open the database or its `-shm` file:
closing a file drops the locks that SQLite holds on it in this process.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from themis_core import StorageError

__all__ = ["FileWatch"]

_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_MAGIC: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_CHECKED_BYTES: Final = 64_000_000
"""Up to this size a database is checked when somebody else wrote to its file; it takes about 0.1 s."""
_LOOKS: Final = 5


@dataclass(frozen=True, slots=True)
class _Log:
    """What is seen of the write-ahead log; the format is that of https://sqlite.org/walformat.html."""

    size: int
    header: bytes
    last: int
    """Where the last frame begins, as the size says."""
    frame: bytes
    """That frame's header."""
    end: bytes
    """That frame's last bytes."""

    @property
    def salts(self) -> bytes:
        return self.header[16:24]


class FileWatch:
    """Made when a connection that writes was opened; `before_commit` and `after_commit` are called for each commit."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._log_path = path.with_name(f"{path.name}-wal")
        connection.execute("SELECT count(*) FROM main.sqlite_master").fetchone()  # which makes the other files
        self._known: dict[Path, tuple[int, int]] = {}
        for each in (path, self._log_path, path.with_name(f"{path.name}-shm")):
            self.add(each)
        self._log_file = self._log_path.open("rb", buffering=0)
        self._log = self._look()
        self._main = self._state()

    def add(self, path: Path) -> None:
        """Watch one more file, until `remove`."""
        self._known[path] = self._identity(path)

    def remove(self, path: Path) -> None:
        self._known.pop(path, None)

    def continues(self, before: FileWatch) -> bool:
        """Watch what was added to the watch of the connection before, if this is the same database."""
        same = self._known[self._path] == before._known[self._path]
        self._known = {**before._known, **self._known}
        return same

    def before_commit(self) -> None:
        """Check that nothing was lost since the last commit; nobody else writes now."""
        self.check()
        if self._state() != self._main:  # others brought their commits there, or wrote to it without SQLite
            self._check_content()
        self._main = self._state()

    def after_commit(self) -> None:
        """Check that what was committed is in the files that have the store's names. Raises StorageError if not."""
        self.check()
        self._main = self._state()

    def check(self) -> None:
        for path, known in self._known.items():
            if self._identity(path) != known:
                raise self._lost(f"{path} was replaced by another file")
        size = self._state()[0]
        if size < self._main[0] and self._count("page_count") * self._count("page_size") > size:
            raise self._lost(f"{self._path} was cut to {size:,} bytes")
        self._check_log()

    def close(self) -> None:
        self._log_file.close()

    def _identity(self, path: Path) -> tuple[int, int]:
        try:
            state = path.stat()
        except OSError as error:
            raise self._lost(f"{path} is gone ({error.strerror})") from error
        return state.st_dev, state.st_ino

    def _state(self) -> tuple[int, int]:
        state = self._path.stat()
        return state.st_size, state.st_mtime_ns

    def _count(self, pragma: str) -> int:
        return int(self._connection.execute(f"PRAGMA {pragma}").fetchone()[0])

    def _check_content(self) -> None:
        """Look for damage through a new connection, which has read nothing yet."""
        if self._main[0] > _CHECKED_BYTES:
            return
        with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA query_only = ON")
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if said != "ok":
            raise self._lost(f"{self._path} was written to by something else than SQLite, and is damaged")

    def _check_log(self) -> None:
        for left in reversed(range(_LOOKS)):
            now = self._look()
            problem = self._problem(self._log, now)
            if problem is None:
                self._log = now
                return
            if left:
                time.sleep(0.01)  # others may begin the log anew while it is looked at
        raise self._lost(f"{self._log_path} {problem}")

    def _problem(self, before: _Log, now: _Log) -> str | None:
        if not now.size:
            return None  # others may have emptied it; if not, the next commit leaves a hole where its header was
        if now.header[:4] not in _MAGIC:
            return "was cut or overwritten"
        if now.salts != before.salts:
            return None  # SQLite began it anew
        if now.size < before.size:
            return f"was cut to {now.size:,} bytes"
        frame = self._read(before.last, _FRAME_HEADER)
        if frame == before.frame:
            whole = self._read(before.size - len(before.end), len(before.end)) == before.end
        else:
            whole = frame[8:16] == now.salts  # written over by a newer one
        return None if whole else "was cut or overwritten"

    def _look(self) -> _Log:
        size = os.fstat(self._log_file.fileno()).st_size
        header = self._read(0, _HEADER)
        length = _FRAME_HEADER + int.from_bytes(header[8:12], "big")
        frames = max(0, size - _HEADER) // length
        size = _HEADER + frames * length if frames else size
        last = _HEADER + (frames - 1) * length if frames else 0
        return _Log(size, header, last, self._read(last, _FRAME_HEADER), self._read(max(0, size - 32), 32))

    def _read(self, place: int, length: int) -> bytes:
        self._log_file.seek(place)
        return self._log_file.read(length)

    def _lost(self, what: str) -> StorageError:
        return StorageError(
            f"{what} while the store was in use, so what was saved may be lost, and nothing more is saved: look for "
            "what removes or replaces files there, run `themis storage verify`, and bring the store back from a backup"
        )
