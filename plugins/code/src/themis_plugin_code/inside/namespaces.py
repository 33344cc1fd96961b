"""Namespaces: a root folder of its own with little in it, no network, and no process in sight.

/            tmpfs, read-only: nothing of the machine but
  usr, lib…    the system's libraries and Python, read-only
  dev          null, zero, urandom
  tmp          tmpfs of a bounded size, writable: the scratch folder
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from themis_plugin_code.inside.kernel import call, syscall

__all__ = ["FIRST_NOBODY", "SCRATCH_SIZE", "become_nobody", "leave_all", "see_only"]

SCRATCH_SIZE: Final = 64 << 20
"""Bytes that the files of the scratch folder may have together."""
_NEW_USER, _NEW_PID, _NEW_NET, _NEW_MOUNT = 0x10000000, 0x20000000, 0x40000000, 0x00020000
_NEW_IPC, _NEW_UTS = 0x08000000, 0x04000000
_READ_ONLY, _NO_SUID, _NO_DEV, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_DETACH: Final = 2
_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}
_EMPTY: Final = ("etc", "home", "opt", "proc", "root", "run", "srv", "sys", "var")
"""Folders that stand there without anything in them, so that writing into one says that it is read-only."""
FIRST_NOBODY: Final = 0x7000_0000
"""User ids from here on belong to nobody; each program has one of its own, for what is counted by user."""


def leave_all() -> None:
    """Give this process and its children namespaces of their own. Raises OSError where the system does not let it."""
    rest = _NEW_PID | _NEW_NET | _NEW_MOUNT | _NEW_IPC | _NEW_UTS
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        call("unshare", rest)
        return
    call("unshare", rest | _NEW_USER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def see_only(readable: Sequence[Path], scratch: Path) -> None:
    """Make the root that the picture shows, on `scratch`, and go to the scratch folder in it."""
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)
    _mount("tmpfs", scratch, "tmpfs", _NO_SUID | _NO_DEV, "size=1m,mode=755")
    for name in (*_EMPTY, "dev", "tmp"):
        (scratch / name).mkdir()
    # Before the rest, for Python itself may be beneath /tmp.
    _mount("tmpfs", scratch / "tmp", "tmpfs", _NO_SUID | _NO_DEV, f"size={SCRATCH_SIZE},nr_inodes=4096,mode=1777")
    for path in readable:
        _show(path, scratch)
    for name in ("null", "zero", "urandom"):
        (scratch / "dev" / name).touch()
        _mount(f"/dev/{name}", scratch / "dev" / name, None, _BIND)
    _mount(None, scratch, None, _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEV)
    os.chdir(scratch)
    syscall("pivot_root", _PIVOT_ROOT.get(os.uname().machine, -1), b".", b".")
    call("umount2", b".", _DETACH)
    os.chdir("/tmp")


def become_nobody(number: int) -> None:
    """Change from root to a user that owns nothing, for good; `number` tells apart those of one moment."""
    if os.geteuid() != 0:
        return
    os.setgroups([])
    for nobody in (FIRST_NOBODY + number, 65_534):
        try:
            os.setresgid(nobody, nobody, nobody)
            os.setresuid(nobody, nobody, nobody)
            break
        except OSError:  # a container has no more than some ids
            continue
    else:
        raise OSError("there is no user id to change to")
    if not os.access(os.__file__, os.R_OK):
        raise OSError(f"only root can read Python's own files, such as {os.__file__}")


def _show(path: Path, root: Path) -> None:
    """Have a folder of the machine in the new root, read-only with all that is mounted in it; a link as a link."""
    target = root / path.relative_to("/")
    if path.is_symlink():
        if not target.is_symlink():
            target.symlink_to(path.readlink())
        return
    target.mkdir(parents=True, exist_ok=True)
    _mount(path, target, None, _BIND | _RECURSIVE)
    attributes = b"".join(each.to_bytes(8, "little") for each in (_READ_ONLY | _NO_SUID | _NO_DEV, 0, 0, 0))
    syscall("mount_setattr", 442, -100, os.fsencode(target), 0x8000, attributes, len(attributes))


def _mount(
    source: str | Path | None, target: str | Path, kind: str | None, flags: int, data: str | None = None
) -> None:
    texts = (None if each is None else os.fsencode(each) for each in (source, target, kind))
    call("mount", *texts, flags, None if data is None else data.encode())
