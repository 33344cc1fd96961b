"""Calls of the kernel for which the standard library has no function, or not in every Python that Themis runs on."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Final

__all__ = ["LINUX", "MACHINE", "NUMBERED_ALIKE", "call", "prctl", "syscall"]

LINUX: Final = sys.platform == "linux"
MACHINE: Final = platform.machine()
NUMBERED_ALIKE: Final = LINUX and MACHINE in ("x86_64", "aarch64")
"""Whether the numbers of system calls of these modules are those of this machine."""

Argument = int | bytes | None | ctypes.Array[ctypes.c_char] | ctypes.Structure


def call(name: str, *args: Argument) -> int:
    """Call a function of the C library. Raises OSError with the name if it returns -1."""
    if not LINUX:
        raise OSError(f"{name}: there is no such call on {sys.platform}")
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    result = int(function(*map(_passed, args)))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def syscall(what: str, number: int, *args: Argument) -> int:
    """Make a system call by its number. Raises OSError if it fails; `what` names it in messages."""
    if not NUMBERED_ALIKE:
        raise OSError(f"{what}: not known for {sys.platform} on {MACHINE}")
    try:
        return call("syscall", number, *args)
    except OSError as error:
        raise OSError(error.errno, f"{what}: {os.strerror(error.errno or 0)}") from None


def prctl(option: int, *args: int | ctypes.Structure) -> None:
    """Set an option of this process, all five arguments given. Raises OSError."""
    call("prctl", option, *args, *[0] * (4 - len(args)))


def _passed(value: Argument) -> object:
    if isinstance(value, int):
        return ctypes.c_ulong(value & 0xFFFF_FFFF_FFFF_FFFF)
    return ctypes.byref(value) if isinstance(value, ctypes.Structure) else value
