"""Who works on a run, as the database says: a second runner finds that even if the lock file was deleted.

The lock file decides as long as it is there, for the operating system frees it when its holder dies. A row stands for
a lock file that the holder still has open, but that has no name any more.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from themis_core import RunLocked
from themis_sql.codec import pack_name, unpack_name
from themis_sql.database import Database

__all__ = ["give_back", "holder_of", "noted_runs", "take"]

HOLDS: Final = "run_holds"
_MAKE: Final = f"CREATE TABLE IF NOT EXISTS {HOLDS} (run_id TEXT PRIMARY KEY, holder TEXT NOT NULL)"


def take(database: Database, run_id: str, path: Path, lock: Path) -> None:
    """Note this process, which holds the lock file, as the one that works on the run. Raises RunLocked if one lives."""
    with database.transaction():
        database.run(_MAKE)
        if (holder := holder_of(database, run_id, path, lock)) is not None:
            raise RunLocked(
                f"run {run_id!r} is being worked on by process {holder['pid']} on {holder['host']} since "
                f"{holder['since']}, whose lock file {lock} was deleted: wait for it, or stop it, then run again"
            )
        text = json.dumps(_this_process(path, lock))
        database.run(f"INSERT OR REPLACE INTO {HOLDS} VALUES (?, ?)", (pack_name(run_id), text))


def give_back(database: Database, run_id: str) -> None:
    with database.transaction():
        database.run(f"DELETE FROM {HOLDS} WHERE run_id = ?", (pack_name(run_id),))


def noted_runs(database: Database) -> list[str]:
    """Return the runs that somebody is noted to work on, dead or alive."""
    if database.row("SELECT 1 FROM sqlite_master WHERE name = ?", (HOLDS,)) is None:
        return []
    return [unpack_name(row[0]) for row in list(database.rows(f"SELECT run_id FROM {HOLDS}"))]


def holder_of(database: Database, run_id: str, path: Path, lock: Path) -> dict[str, Any] | None:
    """Return the process that may work on a run whose lock file nobody holds; None if the one that is noted is dead."""
    if run_id not in noted_runs(database):
        return None
    row = database.row(f"SELECT holder FROM {HOLDS} WHERE run_id = ?", (pack_name(run_id),))
    with suppress(ValueError, KeyError, TypeError):
        holder: dict[str, Any] = json.loads(row[0])
        if _may_live(holder, path, lock):
            return {name: holder[name] for name in ("pid", "host", "since")}
    return None


def _may_live(holder: dict[str, Any], path: Path, lock: Path) -> bool:
    if holder["lock"] == _identity(lock):
        return False  # nobody holds that very file
    if holder["database"] != _identity(path):
        return False  # it was noted in the store of which this is a copy
    if holder["boot"] != _text("/proc/sys/kernel/random/boot_id"):
        return False
    if holder["space"] != _space():
        return True  # in another container of this machine, whose processes can't be seen
    return _lives(holder["pid"], holder["started"])


def _this_process(path: Path, lock: Path) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "boot": _text("/proc/sys/kernel/random/boot_id"),
        "space": _space(),
        "database": _identity(path),
        "lock": _identity(lock),
    }


def _lives(pid: int, started: str | None) -> bool:
    if os.name == "nt":
        return False  # there, a lock file that is held can't be deleted
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is another user's
    return _started(pid) == started


def _started(pid: int) -> str | None:
    """Return when a process began, to tell it from a later one with its number; None where that is not known."""
    stat = _text(f"/proc/{pid}/stat")
    return None if stat is None else stat.rpartition(")")[2].split()[19]


def _identity(path: Path) -> list[int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return [state.st_dev, state.st_ino]


def _space() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _text(path: str) -> str | None:
    try:
        return Path(path).read_text("utf-8", "replace").strip()
    except OSError:
        return None
