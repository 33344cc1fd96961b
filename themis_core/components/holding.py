"""Who works on a run, or on a part of it: what stores say of that, and who keeps whom out.

A holder's part is a text: empty for the whole run, `3/16` for a shard, `worker <name>` for a worker.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from themis_core.errors import RunLocked

__all__ = ["DRIVER", "Holder", "PartsRecord", "knows_parts", "locked_by", "shuts_out"]

WORKER: Final = "worker "
"""Begins the part of every worker."""
DRIVER: Final = WORKER + "driver"
"""What the driver of workers holds: no other driver, shard or whole run works beside it, and its workers do. It makes
no trial itself."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that works on a run, or on a part of it, now."""

    part: str
    """Empty: the whole run; `3/16`: a shard; `worker <name>`: a worker."""
    pid: int
    host: str
    since: str
    """UTC, ISO 8601."""
    progress: Mapping[str, Any] = field(default_factory=dict)
    """What it last reported by `Store.report`."""


@dataclass(frozen=True, slots=True)
class PartsRecord:
    """How far the handing out of a run's parts is."""

    of: int
    """How many parts there are; 0 if none were opened."""
    finished: int
    leased: int
    """Those that somebody works on now: the lease of a process that was killed runs out first."""


def shuts_out(part: str, other: str) -> bool:
    """Whether who works on `part` of a run keeps out who would work on `other`; it is the same the other way round.

    Two different shards of equally many go side by side, and so do two workers of different names; nobody else does.
    """
    if part == other or not part or not other:
        return True
    return _kind(part) != _kind(other)


def locked_by(run_id: str, part: str, holder: Holder, note: str = "") -> RunLocked:
    """Return the error for who asks for a part of a run and is kept out; `note` stands behind who keeps it out."""
    what = f"run {run_id!r}" if not (part and part == holder.part) else f"{_named(part)} of run {run_id!r}"
    who = f"process {holder.pid} on {holder.host} since {holder.since}"
    return RunLocked(f"{what} is being worked on by {who}{_as(part, holder.part)}{note}: {_advice(part, holder.part)}")


def knows_parts(lock_run: Callable[..., object]) -> bool:
    """Whether a store's `lock_run` takes a part: one that was made before there were parts takes the run alone."""
    try:
        inspect.signature(lock_run).bind("run", "1/2")
    except TypeError:
        return False
    return True


def _kind(part: str) -> str:
    """`worker` for all workers; of a shard, of how many it is one."""
    return WORKER if part.startswith(WORKER) else part.rpartition("/")[2]


def _named(part: str) -> str:
    return part if part.startswith(WORKER) else f"shard {part}"


def _as(part: str, held: str) -> str:
    return f", as {_named(held)}" if held and part != held else ""


def _advice(part: str, held: str) -> str:
    if not part and held:
        return "wait until all its shards and workers have ended, or stop them, then run again"
    if not held or part == held:
        return "wait for it, or stop it, then run again"
    if held.startswith(WORKER):
        return "it is divided among workers now, and shards don't go beside them: wait for them, or stop them"
    if part.startswith(WORKER):
        return f"it is divided into {_kind(held)} shards now, and workers don't go beside them: wait, or stop them"
    return f"it is divided into {_kind(held)} shards now: run the others as K/{_kind(held)}, or wait for them"
