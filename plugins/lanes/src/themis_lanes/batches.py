"""Collects calls for what does many of them at once, and finds the one that a batch fails by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from themis_lanes.errors import GivenUp, Overdue

__all__ = ["Batches"]

T = TypeVar("T")

LINGER_S = 0.05
"""Seconds for which a batch that is not full waits for further calls."""


class Batches(Generic[T]):
    """The batches of one component. `make` makes many calls at once, and gives a list of their results.

    `name` is what that is called in errors, and `from_outside` says which errors are not its own.
    """

    def __init__(
        self,
        size: int,
        make: Callable[[Sequence[T]], Awaitable[Any]],
        name: str,
        from_outside: Callable[[BaseException], bool],
    ) -> None:
        self._size = size
        self._make = make
        self._name = name
        self._from_outside = from_outside
        self._waiting: list[tuple[T, asyncio.Future[Any]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def add(self, call: T) -> Any:
        """Return or raise what comes of one call when it is made as part of a batch."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((call, future))
        if len(self._waiting) >= self._size:
            self._flush()
        elif self._timer is None:
            self._timer = loop.call_later(LINGER_S, self._flush)
        returned, error = await future
        if error is not None:
            raise error
        return returned

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch = [each for each in self._waiting if not each[1].done()]
        self._waiting = []
        if batch:
            task = asyncio.get_running_loop().create_task(self._do(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Make no more calls."""
        for task in self._tasks:
            task.cancel()

    async def _apart(self, batch: Sequence[tuple[T, asyncio.Future[Any]]], error: BaseException) -> None:
        """Make a batch that failed in parts: halves; or, as each that hangs takes a thread with it, one by one."""
        size = 1 if isinstance(error, Overdue) and error.left_behind else len(batch) // 2
        for start in range(0, len(batch), size):
            await self._do(batch[start : start + size])

    async def _do(self, batch: Sequence[tuple[T, asyncio.Future[Any]]]) -> None:
        """Make a batch; where that fails, in halves, until what fails is one call alone."""
        try:
            results = self._as_many(await self._make([call for call, _ in batch]), len(batch))
        except BaseException as error:  # noqa: BLE001 - raised where each is awaited
            if len(batch) > 1 and not isinstance(error, GivenUp | _Misfit) and not self._from_outside(error):
                await self._apart(batch, error)
                return
            results = [(None, TypeError(str(error)) if isinstance(error, _Misfit) else error)] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)

    def _as_many(self, returned: Any, count: int) -> list[tuple[Any, BaseException | None]]:
        if not isinstance(returned, list | tuple):
            raise _Misfit(f"{self._name} returned {type(returned).__name__}, not a list of results")
        results = list(returned)
        if len(results) != count:
            raise _Misfit(f"{self._name} returned a list of length {len(results)}, not {count}, one for each call")
        return [(each, None) for each in results]


class _Misfit(TypeError):
    """What was returned is not the results of a batch, which fewer calls would not change."""
