"""Landlock: files outside of a list can't be opened, made, moved or removed. It needs no privilege (Linux 5.13)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from themis_plugin_code.inside.kernel import prctl, syscall

__all__ = ["confine_files"]

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_RIGHTS_BY_VERSION: Final = ((1, 13), (2, 14), (3, 15), (5, 16))
"""Versions that brought a right to files, and how many rights there are from then on."""
_ONLY_FOLDERS: Final = ~(_EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15)


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64),)


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


def confine_files(readable: Sequence[Path], scratch: Path) -> None:
    """Allow reading what is beneath `readable` and all beneath `scratch`, and nothing else. Raises OSError."""
    version = syscall("Landlock", _CREATE, None, 0, 1)
    every = (1 << max(count for since, count in _RIGHTS_BY_VERSION if since <= version)) - 1
    ruleset = syscall("Landlock", _CREATE, _Ruleset(every), ctypes.sizeof(_Ruleset), 0)
    try:
        for path in readable:
            _allow(ruleset, path, _EXECUTE | _READ_FILE | _READ_DIR)
        _allow(ruleset, Path("/dev/null"), _READ_FILE | _WRITE_FILE)
        _allow(ruleset, scratch, every)
        prctl(38, 1)  # PR_SET_NO_NEW_PRIVS, without which Landlock needs a privilege
        syscall("Landlock", _RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        syscall("Landlock", _ADD, ruleset, 1, _Beneath(rights if path.is_dir() else rights & ~_ONLY_FOLDERS, opened), 0)
    finally:
        os.close(opened)
