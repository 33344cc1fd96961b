"""Threads that run calls, each bounded in time. One that does not come back is left behind, and replaced."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from themis_lanes.errors import Overdue, Raised
from themis_lanes.watch import Interrupt, Timed, watching

__all__ = ["Threads", "beside"]

T = TypeVar("T")
Outcome = tuple[Any, BaseException | None]


@dataclass(slots=True)
class _Job(Generic[T]):
    label: str
    limit_s: float
    function: Callable[[], T]
    tell: Callable[[Outcome], object]
    is_wanted: Callable[[], bool]
    context: Context = field(default_factory=copy_context)

    def run(self) -> bool:
        """Do it and tell what came of it, unless nobody waits any longer; whether the thread is still its pool's."""
        if not self.is_wanted():
            return True
        call = Timed(self.label, self.limit_s, self._lose)
        outcome: Outcome = None, Overdue(self.limit_s)
        try:
            outcome = _outcome(call, self)
        except Interrupt:  # it came while the outcome was on its way
            call.leave()
        if call.lost:
            return False
        self.tell(outcome)
        return True

    def _lose(self) -> None:
        self.tell((None, Overdue(self.limit_s, left_behind=True)))


def _outcome(call: Timed, job: _Job[Any]) -> Outcome:
    try:
        with call:
            return job.context.run(job.function), None
    except (KeyboardInterrupt, StopIteration) as error:  # no user's, who reach the main thread; no coroutine raises it
        return None, Raised(type(error).__name__, str(error))
    except Interrupt:
        call.leave()
        return None, Overdue(job.limit_s)
    except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
        return None, error


class Threads:
    """At most `size` daemon threads for the calls of one event loop; those that were left behind are not counted."""

    def __init__(self, size: int, name: str = "themis-lane") -> None:
        self._size = size
        self._name = name
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._threads = 0
        self._at_work = 0
        self._closed = False

    async def call(self, label: str, limit_s: float, function: Callable[[], T]) -> T:
        """Return or raise what a function does in one of the threads, with the caller's context variables.

        Raises Overdue if it is not done `limit_s` seconds after a thread took it; the time in the queue does not count.
        """
        if self._closed:
            raise RuntimeError("the threads are closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outcome] = loop.create_future()

        def tell(outcome: Outcome) -> None:
            with suppress(RuntimeError):  # a loop that is closed has nobody left who waits
                loop.call_soon_threadsafe(self._told, future, outcome)

        if self._at_work >= self._threads and self._threads < self._size:
            self._add()
        self._at_work += 1
        self._jobs.put(_Job(label, limit_s, function, tell, lambda: not future.done()))
        try:
            result, error = await future
        finally:
            self._at_work -= 1
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    def _told(self, future: asyncio.Future[Outcome], outcome: Outcome) -> None:
        if not future.done():
            future.set_result(outcome)
        if isinstance(error := outcome[1], Overdue) and error.left_behind:
            self._threads -= 1
            if self._at_work > self._threads and not self._closed:  # others may have waited for that thread
                self._add()

    def close(self) -> None:
        """Let the threads end once they are idle. Waits for nothing."""
        self._closed = True
        for _ in range(self._threads):
            self._jobs.put(None)

    def _add(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                while (job := self._jobs.get()) is not None and job.run():
                    pass
                return
            except Interrupt:  # one that came too late, and is nobody's any more
                continue


def beside(label: str, limit_s: float, function: Callable[[], T]) -> T:
    """Return or raise what a function does in a thread of its own, for who has no event loop.

    Raises Overdue after `limit_s` seconds, whatever the function does: it is left behind then.
    """
    told: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
    job = _Job(label, limit_s, function, told.put, lambda: True)
    with watching():
        threading.Thread(target=job.run, name="themis-beside", daemon=True).start()
        result, error = told.get()
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]
