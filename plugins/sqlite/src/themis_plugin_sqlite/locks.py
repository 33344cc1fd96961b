"""Locks of runs and their parts: one file each, locked by the operating system, so that a dead process holds nothing.

Which parts keep each other out is not decided here, but where they are noted (`holders`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import quote, unquote

from themis_core import Holder, RunLocked, StorageError, locked_by

__all__ = ["held", "hold", "is_held", "lock_file", "seem_held"]

_TRIES: Final = 5
_PAUSE_S: Final = 0.02
_RUN: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_PART: Final = re.compile(r"[A-Za-z0-9._%-]{1,100}")


@contextmanager
def hold(folder: Path, run_id: str, part: str = "") -> Iterator[Path]:
    """Hold the lock file of a run, or of a part of it, in this folder, and give its path.

    Raises RunLocked, naming the holder, if it is taken.

    The file stays afterwards: if it were removed, two processes could hold a lock on two files of one name.
    """
    path = lock_file(folder, run_id, part)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise StorageError(f"can't make the lock file {path}: {error.strerror or error}") from error
    with file:
        if not _lock_soon(file):
            raise _held_by(file, path, run_id, part)
        try:
            _write_holder(file)
            yield path
        finally:
            with suppress(OSError):  # who reads it between the two lines sees an empty file, as while it is written
                file.truncate(0)
            _unlock(file)


def lock_file(folder: Path, run_id: str, part: str = "") -> Path:
    """The file of a run, or of a part of it; `~` is in no name of a run."""
    name = _file_name(run_id) + (f"~{_file_name(quote(part, safe=''), _PART)}" if part else "")
    return folder / f"{name}.lock"


def is_held(path: Path) -> bool:
    """Say whether somebody holds a lock file, by trying it for an instant."""
    try:
        file = path.open("rb")
    except OSError:
        return False
    with file:
        if not _lock(file, shared=True):
            return True
        _unlock(file)
        return False


def _lock_soon(file: BinaryIO) -> bool:
    """Lock it, waiting for whoever only tries it for an instant."""
    for _ in range(_TRIES):
        if _lock(file):
            return True
        time.sleep(_PAUSE_S)
    return _lock(file)


def held(folder: Path) -> str | None:
    """Say what is held, as a message for people, by trying each lock for an instant; None if nothing is.

    Raises StorageError if a lock can't be tried.
    """
    for path in sorted(folder.glob("*.lock")):
        try:
            file = path.open("rb+")
        except OSError as error:
            raise StorageError(f"can't see whether {path} is held: {error.strerror or error}") from error
        with file:
            if not _lock(file):
                run, _, part = path.stem.partition("~")
                return str(_held_by(file, path, run, unquote(part)))
            _unlock(file)
    return None


def seem_held(folder: Path, *, besides: Path) -> bool:
    """Say whether others work on something, by what the lock files but this one tell: no lock is tried, as nobody may
    be hindered.

    A process that was killed may still seem to be at work.
    """
    found = (_holder(path) for path in folder.glob("*.lock") if path.name != besides.name)
    return any(each is not None and _may_live(each) for each in found)


def _holder(path: Path) -> dict[str, Any] | None:
    try:
        holder = json.loads(path.read_bytes()[:10_000])
    except (OSError, ValueError):
        return None
    return holder if isinstance(holder, dict) and {"host", "pid"} <= holder.keys() else None


def _may_live(holder: dict[str, Any]) -> bool:
    if holder["host"] != socket.gethostname():
        return True
    if holder["pid"] == os.getpid():
        return False
    return os.name == "nt" or Path(f"/proc/{holder['pid']}").exists() or not Path("/proc").exists()


def _file_name(name: str, plain: re.Pattern[str] = _RUN) -> str:
    if plain.fullmatch(name):
        return name
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def _write_holder(file: BinaryIO) -> None:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "since": since}
    file.truncate(0)
    file.write(json.dumps(holder).encode())
    file.flush()


def _held_by(file: BinaryIO, path: Path, run_id: str, part: str) -> RunLocked:
    file.seek(0)
    try:
        told = json.loads(file.read(10_000))
        holder = Holder(part, told["pid"], told["host"], told["since"])
    except (ValueError, KeyError, TypeError):  # it is just being written
        what = f"{run_id!r}, part {part}," if part else repr(run_id)
        return RunLocked(
            f"run {what} is being worked on by another process (lock {path}): wait for it, or stop it, then run again"
        )
    return locked_by(run_id, part, holder, f" (lock {path})")


if sys.platform == "win32":
    import msvcrt

    # A byte beyond the content, because Windows also keeps others from reading what is locked.
    _PLACE = 1_000_000

    def _lock(file: BinaryIO, *, shared: bool = False) -> bool:
        file.seek(_PLACE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: BinaryIO) -> None:
        file.seek(_PLACE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO, *, shared: bool = False) -> bool:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
