"""The walls around one program, raised in the process that will run it; which of them stand, and why one does not."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from themis_plugin_code.inside.kernel import LINUX, call, prctl
from themis_plugin_code.inside.landlock import confine_files
from themis_plugin_code.inside.namespaces import FIRST_NOBODY, become_nobody, see_only
from themis_plugin_code.inside.seccomp import filter_calls

__all__ = ["MOST_OPEN", "MOST_WRITTEN", "Walls", "raise_walls"]

MOST_OPEN: Final = 64
"""Files that a program may have open at the same time."""
MOST_WRITTEN: Final = 16 << 20
"""Bytes of one file that it writes."""
MOST_THREADS: Final = 128
_SYSTEM: Final = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/nix/store")

Walls = dict[str, dict[str, str]]
"""Limit to `{"by": what makes it hold}`, or to `{"missing": why it does not}`."""


def raise_walls(job: Mapping[str, Any], namespaces: str | None, number: int) -> Walls:
    """Raise all walls that this system has; there is no way back.

    `namespaces` is None if this process has some of its own, else why not; `number` tells apart the programs that run
    at the same time. What fails is missing from what holds, and its reason is given.
    """
    walls: Walls = {}
    readable, scratch = _readable(job["site_packages"]), Path(job["scratch"])
    why = namespaces or _failed(lambda: see_only(readable, scratch))
    if why is None:
        walls["network"] = {"by": "namespaces"}
        walls["files"] = _wall("namespaces", _failed(lambda: become_nobody(number)))
        _limit_threads()
    else:
        os.chdir(scratch)
        walls["files"] = _wall("Landlock", _failed(lambda: confine_files(readable, scratch)), why)
    walls |= _limited_resources(job)
    if LINUX:
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: it ends with its warden
        _drop_capabilities()
    landlock = walls["files"].get("by") == "Landlock"
    unfiltered = _failed(lambda: filter_calls(files=landlock))
    walls["processes"] = _wall("seccomp", unfiltered)
    walls.setdefault("network", _wall("seccomp", unfiltered, why))
    if landlock and unfiltered:
        walls["files"] = _wall("Landlock", f"{unfiltered}, and Landlock alone lets modes be changed", why)
    return walls


def _failed(wall: Callable[[], None]) -> str | None:
    """Raise a wall, and return why that failed; None if it stands."""
    try:
        wall()
    except OSError as error:
        return error.strerror or str(error)
    except ValueError as error:  # a limit that this system takes for none
        return str(error)
    return None


def _wall(by: str, missing: str | None, before: str | None = None) -> dict[str, str]:
    return {"by": by} if missing is None else {"missing": "; ".join(filter(None, (before, missing)))}


def _readable(site_packages: bool) -> list[Path]:
    """The folders of Python and of the system's libraries that there are, none of them within another."""
    prefixes = {sys.base_prefix, sys.base_exec_prefix, *((sys.prefix,) if site_packages else ())}
    found: list[Path] = []
    for path in sorted((*map(Path, _SYSTEM), *map(Path, prefixes)), key=lambda each: len(each.parts)):
        if path.exists() and not any(path.is_relative_to(other) for other in found):
            found.append(path)
    return found


def _limited_resources(job: Mapping[str, Any]) -> Walls:
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, MOST_WRITTEN)
    _limit(resource.RLIMIT_NOFILE, MOST_OPEN)
    # Hard and soft alike: the kernel then kills, which a program can't catch.
    cpu = _failed(lambda: _limit(resource.RLIMIT_CPU, job["cpu_s"]))
    memory = _failed(lambda: _limit(resource.RLIMIT_AS, job["memory_mb"] << 20))
    if not LINUX:
        memory = f"{sys.platform} does not enforce it"
    return {"cpu": _wall("resource limit", cpu), "memory": _wall("resource limit", memory)}


def _limit_threads() -> None:
    """Limit threads where they are counted for this program alone; elsewhere its memory limits them."""
    counted_by_namespace = tuple(map(int, os.uname().release.split(".")[:2])) >= (5, 14)
    if os.getuid() >= FIRST_NOBODY or counted_by_namespace:
        _limit(resource.RLIMIT_NPROC, MOST_THREADS)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _drop_capabilities() -> None:
    header = (0x20080522).to_bytes(4, sys.byteorder) + bytes(4)
    call("capset", ctypes.create_string_buffer(header), ctypes.create_string_buffer(24))
