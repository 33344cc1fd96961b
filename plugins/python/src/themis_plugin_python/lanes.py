"""Where the code is called: in processes of its own, in threads, or in the event loop of the run."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Literal

from themis_core import EngineError
from themis_lanes import Crashed, Overdue, Processes, Raised, Threads
from themis_pacing import attempt_ends
from themis_plugin_python.caller import Caller

__all__ = ["Lane", "LaneName", "lane_of"]

log = logging.getLogger("themis")
LaneName = Literal["process", "thread", "async"]
WITHOUT_END_S: Final = 24 * 3600.0
"""The deadline of a call outside of a run."""
CLOSING_S: Final = 5.0
"""What `close` of the code may take."""
STARTING_S: Final = 600.0
"""What the import of the code in a process may take; the run's own deadline for starting comes before it."""
MOST_LEFT: Final = 16
"""Calls that may be left behind in threads, which can't be ended."""


class Lane(ABC):
    """Calls the code; what comes back is what `Caller.answer` returns. Raises EngineError if nothing does."""

    @abstractmethod
    async def make(self) -> None:
        """Make what the code needs once, so that what is wrong with it is found before the first call."""

    @abstractmethod
    async def call(self, handed: Mapping[str, Any]) -> dict[str, Any]: ...

    @abstractmethod
    async def close(self) -> None: ...


def lane_of(name: LaneName, caller: Caller, places: int, label: str, *, retry_late: bool) -> Lane:
    """The lane of that name. `retry_late`: whether what took too long is tried again."""
    if name == "process":
        return _InProcesses(caller, places, label, retry_late)
    if name == "thread":
        return _InThreads(caller, places, label, retry_late)
    return _InTheLoop(caller)


class _InProcesses(Lane):
    """One pool of one process for each place, so that each can be closed by itself."""

    def __init__(self, caller: Caller, places: int, label: str, retry_late: bool) -> None:
        if os.name != "posix":
            raise EngineError("application_error", "processes need a POSIX system: write `runs_in: thread`")
        self._caller = caller
        self._label = label
        self._retry_late = retry_late
        self._pools = [Processes(1, memory_mb=None, start_s=STARTING_S, name="the engine") for _ in range(places)]
        self._used: set[int] = set()
        self._free: asyncio.LifoQueue[int] = asyncio.LifoQueue()
        for place in reversed(range(places)):
            self._free.put_nowait(place)

    async def make(self) -> None:
        await self._placed("make", ())

    async def call(self, handed: Mapping[str, Any]) -> dict[str, Any]:
        return await self._placed("answer", (dict(handed),))  # type: ignore[no-any-return]

    async def _placed(self, method: str, args: tuple[Any, ...]) -> Any:
        place = await self._free.get()
        try:
            self._used.add(place)
            # The start of a process, which may import a lot, counts as well.
            async with asyncio.timeout(left := _seconds_left()):
                return await self._pools[place].call(self._caller, method, args, left, label=self._label)
        except TimeoutError as late:  # Overdue is one
            raise _too_late(left, self._retry_late) from late
        except Crashed as crash:
            raise EngineError("application_error", str(crash)) from crash
        except Raised as raised:
            raise EngineError("application_error", str(raised)) from raised
        except TypeError as error:
            raise EngineError("application_error", f"{type(error).__name__}: {error}") from error
        finally:
            self._free.put_nowait(place)

    async def close(self) -> None:
        await asyncio.gather(*map(self._closed, sorted(self._used)))
        for pool in self._pools:
            pool.close()

    async def _closed(self, place: int) -> None:
        try:
            await self._pools[place].call(self._caller, "close", (), CLOSING_S, label=f"{self._label}: close")
        except (Overdue, Crashed, Raised) as error:
            log.warning("%s: close: %s", self._label, error)


class _InThreads(Lane):
    def __init__(self, caller: Caller, places: int, label: str, retry_late: bool) -> None:
        self._caller = caller
        self._label = label
        self._retry_late = retry_late
        self._threads = Threads(places, name="themis-python")
        self._left = 0

    async def make(self) -> None:
        await self._threads.call(self._label, _seconds_left(), self._caller.make)

    async def call(self, handed: Mapping[str, Any]) -> dict[str, Any]:
        if self._left >= MOST_LEFT:
            raise EngineError(
                "application_error",
                f"not called: {self._left} calls did not come back, and threads can't be ended: use `runs_in: process`",
            )
        try:
            return await self._threads.call(self._label, _seconds_left(), partial(self._caller.answer, handed))
        except Overdue as late:
            self._left += late.left_behind
            raise _too_late(late.limit_s, self._retry_late, late.left_behind) from late

    async def close(self) -> None:
        try:
            await self._threads.call(f"{self._label}: close", CLOSING_S, self._caller.close)
        except Exception as error:  # noqa: BLE001 - whatever the code raises, the run has its answers
            log.warning("%s: close: %s: %s", self._label, type(error).__name__, error)
        self._threads.close()


class _InTheLoop(Lane):
    """The deadline is the run's own."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def make(self) -> None:
        self._caller.make()

    async def call(self, handed: Mapping[str, Any]) -> dict[str, Any]:
        return await self._caller.answer_async(handed)

    async def close(self) -> None:
        await self._caller.close_async()


def _seconds_left() -> float:
    """A little less than the attempt has, so that what ends the call is told by who ends it."""
    end = attempt_ends.get()
    if end is None:
        return WITHOUT_END_S
    left = end - time.monotonic()
    return max(0.05, left - min(1.0, left * 0.05))


def _too_late(limit_s: float, retryable: bool, left_behind: bool = False) -> EngineError:
    after = "; it can't be ended in a thread, and was left behind" if left_behind else ""
    return EngineError("timeout", f"no answer within {limit_s:.3g} s{after}", retryable=retryable)
