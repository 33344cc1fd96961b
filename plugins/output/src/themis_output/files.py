"""Files that a command writes for others: whole or not at all, and only plain files are ever replaced.

What is written comes to be in a file beside the target and takes its place when it is whole. A device, a pipe or a
socket has no place that could be taken: the content is written into it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

__all__ = ["CannotWrite", "atomic_output", "whole_folder"]

_LEFT_S: Final = 86_400.0


class CannotWrite(Exception):
    """A file could not be written; the message names it and says why."""


@contextmanager
def atomic_output(path: Path) -> Iterator[Path]:
    """Give a path to write a new file to; what it holds is at `path` when the block ends well, else all is as before.

    A link is followed, and a file that is replaced keeps its permissions. Raises CannotWrite if `path` can't be
    written.
    """
    try:
        target = _plain_target(path)
        if target is None:
            with TemporaryDirectory(prefix="themis-") as folder:
                part = Path(folder) / "output"
                yield part
                _write_into(path, part)
        else:
            yield from _replaced(target)
    except OSError as error:
        raise CannotWrite(f"can't write {path}: {error.strerror or error}") from error


def _new_part(target: Path) -> Path:
    """A path beside the target for what is under way, after what killed processes left of it is removed.

    A part in which nothing has changed for a day is written by nobody any more.
    """
    start = f".{target.name[:200]}."
    for each in target.parent.glob(f"{escape(start)}{'[0-9a-f]' * 8}.part"):
        with suppress(OSError):
            if time.time() - _last_change(each) > _LEFT_S:
                _remove(each)
    return target.with_name(f"{start}{secrets.token_hex(4)}.part")


def _last_change(path: Path) -> float:
    """Seconds since 1970, of the newest that is in a folder."""
    inner = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    return float(max(each.lstat().st_mtime for each in (path, *inner)))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _replaced(target: Path) -> Iterator[Path]:
    part = _new_part(target)
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            part.chmod(stat.S_IMODE(target.stat().st_mode))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _plain_target(path: Path) -> Path | None:
    """The file that may be replaced, or made; None for what can only be written into."""
    target = Path(os.path.realpath(path))
    try:
        found = path.stat()
    except FileNotFoundError:
        return target
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(21, "it is a folder: name a file")
    # What /dev/stdout leads to is a file that somebody has open. Another one in its place would not be read.
    opened = Path(os.path.abspath(path)).parts[:2] in (("/", "dev"), ("/", "proc"))  # noqa: PTH100 - links are kept
    return target if stat.S_ISREG(found.st_mode) and not opened else None


def _write_into(path: Path, part: Path) -> None:
    with part.open("rb") as source:
        if stat.S_ISSOCK(path.stat().st_mode):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(path))
                connection.sendfile(source)
            return
        # Not made and not cut: it is there, and may be a file that a shell appends to.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND), "wb") as target:
            shutil.copyfileobj(source, target)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to write into; it is at `path` when the block ends well, else nothing is there.

    Raises CannotWrite if something is at `path` already, but for an empty folder, or if it can't be written.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise CannotWrite(f"{path} is there already: name a new folder")
    target = Path(os.path.realpath(path))
    part = _new_part(target)
    try:
        part.mkdir(parents=True)
        yield part
        with suppress(FileNotFoundError):
            target.rmdir()
        part.rename(target)
    except OSError as error:
        raise CannotWrite(f"can't write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
