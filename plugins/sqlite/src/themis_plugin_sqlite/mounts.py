"""Which file system a folder is on, and whether a write-ahead log can be trusted there.

SQLite's write-ahead log needs memory that all its processes share, so all of them must run on one machine. A network
file system lets others in, and the database is then damaged without a word.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Mount", "mount_of", "network_mount"]

NETWORK: Final = frozenset(
    {
        "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.ceph", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs",
        "fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "orangefs", "smb3", "smbfs",
    }
)  # fmt: skip
"""Types as Linux names them."""
_MOUNTS: Final = Path("/proc/mounts")


class Mount(NamedTuple):
    folder: Path
    kind: str


def network_mount(folder: Path) -> Mount | None:
    """Return the network file system that the folder (which need not be there yet) is on; None if it is on none.

    It is known on Linux only: elsewhere, None.
    """
    try:
        mounts = _MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    found = mount_of(folder.resolve(), mounts)
    return found if found is not None and found.kind in NETWORK else None


def mount_of(folder: Path, mounts: str) -> Mount | None:
    """Return the innermost mount that an absolute folder is on, by the text of /proc/mounts; of several, the last."""
    best = None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount = Mount(Path(_unescaped(fields[1])), fields[2])
        inner = best is None or len(mount.folder.parts) >= len(best.folder.parts)
        if inner and (mount.folder == folder or mount.folder in folder.parents):
            best = mount
    return best


def _unescaped(text: str) -> str:
    """Return the name whose spaces, tabs, line feeds and backslashes are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
