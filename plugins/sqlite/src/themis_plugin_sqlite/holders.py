"""Who works on which part of a run, as the database says, and who is kept out by that.

It is noted after the lock file was taken, and in one transaction with the look at those that are noted: of two that
keep each other out and come at the same instant, the second finds the first. Whether one that is noted is still at
work its lock file decides, which the operating system frees when its holder dies. A row alone stands for a lock file
that the holder still has open, but that has no name any more.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from themis_core import Holder, locked_by, shuts_out
from themis_plugin_sqlite import locks
from themis_sql.codec import pack_name, unpack_name
from themis_sql.database import Database

__all__ = ["at_work", "give_back", "noted_runs", "report", "take"]

HOLDERS: Final = "run_holders"
_MAKE: Final = (
    f"""CREATE TABLE IF NOT EXISTS {HOLDERS} (run_id TEXT NOT NULL, part TEXT NOT NULL, holder TEXT NOT NULL,
  progress TEXT NOT NULL, PRIMARY KEY (run_id, part))""",
    "DROP TABLE IF EXISTS run_holds",  # of earlier versions, which knew no parts
)
_FIELDS: Final = {"pid", "started", "host", "since", "boot", "space", "database", "lock"}


def take(database: Database, run_id: str, part: str, path: Path, lock: Path) -> None:
    """Note this process, which holds the lock file, as the one that works on the part.

    Raises RunLocked if somebody lives whom that keeps out.
    """
    with database.transaction():
        for statement in _MAKE:
            database.run(statement)
        for holder in at_work(database, run_id, path, lock.parent, besides=part):
            if shuts_out(part, holder.part):
                raise locked_by(run_id, part, holder)
        if (left := _left_by(database, run_id, part, path, lock)) is not None:
            raise locked_by(run_id, part, left, f", whose lock file {lock} was deleted")
        # So of dead ones that would keep each other out no two stay: two newcomers in their places can't both give way.
        for other in _noted_parts(database, run_id):
            if other != part and shuts_out(part, other):
                database.run(f"DELETE FROM {HOLDERS} WHERE run_id = ? AND part = ?", (pack_name(run_id), other))
        text = json.dumps(_this_process(path, lock))
        database.run(f"INSERT OR REPLACE INTO {HOLDERS} VALUES (?, ?, ?, '{{}}')", (pack_name(run_id), part, text))


def give_back(database: Database, run_id: str, part: str) -> None:
    with database.transaction():
        database.run(f"DELETE FROM {HOLDERS} WHERE run_id = ? AND part = ?", (pack_name(run_id), part))


def report(database: Database, run_id: str, part: str, progress: Mapping[str, Any]) -> None:
    with database.transaction():
        sql = f"UPDATE {HOLDERS} SET progress = ? WHERE run_id = ? AND part = ?"
        database.run(sql, (json.dumps(dict(progress)), pack_name(run_id), part))


def noted_runs(database: Database) -> list[str]:
    """Return the runs that somebody is noted to work on, dead or alive."""
    if not _is_made(database):
        return []
    return [unpack_name(row[0]) for row in list(database.rows(f"SELECT DISTINCT run_id FROM {HOLDERS}"))]


def _noted_parts(database: Database, run_id: str) -> list[str]:
    return [row[0] for row in list(database.rows(f"SELECT part FROM {HOLDERS} WHERE run_id = ?", (pack_name(run_id),)))]


def at_work(
    database: Database, run_id: str, path: Path, folder: Path, *, besides: str | None = None
) -> Iterator[Holder]:
    """Yield those who work on the run, or on parts of it but `besides`, by what is noted and by their lock files."""
    if not _is_made(database):
        return
    sql = f"SELECT part, holder, progress FROM {HOLDERS} WHERE run_id = ? ORDER BY part"
    for part, text, progress in list(database.rows(sql, (pack_name(run_id),))):
        lock = locks.lock_file(folder, run_id, part)
        if part != besides and (noted := _noted(text)) is not None and _is_at_work(noted, path, lock):
            yield _holder(part, noted, json.loads(progress))


def _left_by(database: Database, run_id: str, part: str, path: Path, lock: Path) -> Holder | None:
    """Return who may work on a part whose lock file this process holds; None if the one that is noted is dead."""
    row = database.row(f"SELECT holder FROM {HOLDERS} WHERE run_id = ? AND part = ?", (pack_name(run_id), part))
    noted = None if row is None else _noted(row[0])
    return _holder(part, noted) if noted is not None and _may_live(noted, path, lock) else None


def _is_made(database: Database) -> bool:
    return database.row("SELECT 1 FROM sqlite_master WHERE name = ?", (HOLDERS,)) is not None


def _noted(text: str) -> dict[str, Any] | None:
    with suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, dict) and found.keys() >= _FIELDS:
            return found
    return None


def _holder(part: str, noted: Mapping[str, Any], progress: Mapping[str, Any] = MappingProxyType({})) -> Holder:
    return Holder(part, noted["pid"], noted["host"], noted["since"], dict(progress))


def _is_at_work(noted: dict[str, Any], path: Path, lock: Path) -> bool:
    return locks.is_held(lock) or _may_live(noted, path, lock)


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
