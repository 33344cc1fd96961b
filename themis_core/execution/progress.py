"""Where an execution stands, for whoever watches it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from themis_core.records import RunCost

__all__ = ["Progress", "now"]


def now() -> str:
    """The time in UTC, ISO 8601 with microseconds."""
    seconds, rest = divmod(time.time_ns(), 1_000_000_000)
    return f"{_to_the_second(seconds)}.{rest // 1000:06d}+00:00"


@lru_cache(maxsize=1)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(slots=True)
class Progress:
    """Where an execution stands; handed to the caller again and again, always the same object."""

    planned: int
    stored: int = 0
    """Trials that the run had before this execution; they are found one after another, and then count as reused."""
    done: int = 0
    reused: int = 0
    generated: int = 0
    """Engine calls that gave an answer."""
    judged: int = 0
    """Those of them that went to judging models."""
    simulated: int = 0
    """Those of them that went to models that play users."""
    failed: int = 0
    in_flight: int = 0
    cost: RunCost = field(default_factory=RunCost)
    """Of the run, earlier executions included."""
    note: str = ""
    """What the run waits for, if it waits."""
    part: str = ""
    """The part of the run that it is about, such as `3/16`; empty: the whole."""
    started: float = field(default_factory=time.monotonic)

    def plain(self) -> dict[str, Any]:
        """What `Store.report` is told of a part: numbers of this execution, and what it waits for."""
        return {
            "planned": self.planned,
            "done": self.done,
            "reused": self.reused,
            "generated": self.generated,
            "judged": self.judged,
            "simulated": self.simulated,
            "failed": self.failed,
            "in_flight": self.in_flight,
            "cost": self.cost.known,
            "unknown_cost_calls": self.cost.unknown_calls,
            "note": self.note,
        }

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Trials finished per second, those that were stored before not counted."""
        return (self.done - self.reused) / max(self.elapsed_s, 1e-9)

    @property
    def eta_s(self) -> float | None:
        """Seconds that the trials still to be made need, at the rate so far; those that are stored take none."""
        still_to_find = max(self.stored - self.reused, 0)
        return max(self.planned - self.done - still_to_find, 0) / self.rate if self.rate > 0 else None
