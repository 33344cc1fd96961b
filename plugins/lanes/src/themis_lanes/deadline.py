"""Awaits other people's code no longer than a deadline, whether it lets itself be cancelled or not.

A deadline measures that code, not the event loop: where the loop was late itself, what arrived meanwhile is looked
at first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from themis_lanes.errors import Overdue

__all__ = ["Deadlines", "leave_alone"]

T = TypeVar("T")
LATE_S = 0.01
"""Seconds by which the loop may be late without saying anything of what it did not look at."""
ROUNDS = 8
"""Rounds of the loop in which a reply that is there is read."""
TIDYING_S = 0.5
"""Seconds that a cancelled call has to close what it has open."""

_left_alone: set[asyncio.Task[Any]] = set()
"""What goes on although it was cancelled; a loop keeps no tasks alive by itself."""


class Deadlines:
    """Awaits calls. `from_outside` says which errors end who awaits them, such as the user's Ctrl-C."""

    def __init__(self, from_outside: Callable[[BaseException], bool]) -> None:
        self._from_outside = from_outside

    async def within(self, limit_s: float, ask: Callable[[], Awaitable[T]]) -> T:
        """Return or raise what a coroutine does, or raise Overdue after so many seconds.

        It runs in a task of its own, and nobody waits for that longer than told: it can swallow its cancellation.
        """
        loop = asyncio.get_running_loop()
        task = loop.create_task(self.outcome(ask))
        try:
            if not await _done(task, limit_s):
                task.cancel()
                raise Overdue(limit_s, left_behind=not await _done(task, TIDYING_S))
        finally:
            if not task.done():
                task.cancel()
                leave_alone([task])
        if task.cancelled():
            raise asyncio.CancelledError("it cancelled its own task")
        result, error = task.result()
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    async def outcome(self, ask: Callable[[], Awaitable[T]]) -> tuple[T | None, BaseException | None]:
        """What a coroutine returns and raises: from a task, SystemExit would end the loop, GeneratorExit who awaits."""
        try:
            return await ask(), None
        except BaseException as error:
            if self._from_outside(error):
                raise
            return None, error


def leave_alone(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Keep tasks that nobody waits for until they end: one that was thrown away would complain about it."""
    for task in tasks:
        _left_alone.add(task)
        task.add_done_callback(_left_alone.discard)


async def _done(task: asyncio.Task[Any], limit_s: float) -> bool:
    """Wait for a task so long; whether it is done. As `asyncio.wait` does, which takes three times as long for it."""
    waiting = _Waiting(task, limit_s)
    task.add_done_callback(waiting.end)
    try:
        await waiting.over
    finally:
        waiting.timer.cancel()
        task.remove_done_callback(waiting.end)
    return task.done()


class _Waiting:
    """Waits for a task. No function that knows itself: that would keep each reply until Python looks for circles."""

    __slots__ = ("loop", "over", "task", "timer")

    def __init__(self, task: asyncio.Task[Any], limit_s: float) -> None:
        self.task = task
        self.loop = loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = loop.create_future()
        self.timer = loop.call_later(limit_s, self._due)

    def end(self, _: Any = None) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def _due(self) -> None:
        # What has arrived may not have been read yet: it gets as long as nobody looked, once, so that it ends.
        late = self.loop.time() - self.timer.when()
        if late > LATE_S and not self.task.done():
            self.timer = self.loop.call_later(late, self._look_again, ROUNDS)
        else:
            self.end()

    def _look_again(self, rounds: int) -> None:
        if rounds and not self.task.done():
            self.loop.call_soon(self._look_again, rounds - 1)
        else:
            self.end()
