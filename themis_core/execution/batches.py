"""Collects answers for a metric that scores many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from themis_core.components import ToScore
from themis_core.execution.scoring import Call
from themis_core.plugins import from_outside
from themis_lanes import Overdue
from themis_wording import counted

__all__ = ["Batches", "GivenUp"]

LINGER_S = 0.05
"""Seconds for which a batch that is not full waits for further answers."""

_Waiting = tuple[Call, asyncio.Future[Any]]


class Batches:
    """The batches of one metric. `make` makes a call of `score_batch`."""

    def __init__(self, size: int, make: Callable[[Call], Awaitable[Any]]) -> None:
        self._size = size
        self._make = make
        self._waiting: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def add(self, call: Call) -> Any:
        """Return or raise what comes of one call of `score` when it is made as part of a batch."""
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
            task = asyncio.get_running_loop().create_task(self._score(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Score nothing more."""
        for task in self._tasks:
            task.cancel()

    async def _apart(self, batch: Sequence[_Waiting], error: BaseException) -> None:
        """Score a batch that failed in parts: halves; or, as each that hangs takes a thread with it, one by one."""
        size = 1 if isinstance(error, Overdue) and error.left_behind else len(batch) // 2
        for start in range(0, len(batch), size):
            await self._score(batch[start : start + size])

    async def _score(self, batch: Sequence[_Waiting]) -> None:
        """Score a batch; where that fails, in halves, until what fails is one answer alone."""
        first = batch[0][0]
        try:
            call = first._replace(method="score_batch", args=([ToScore(*each.args) for each, _ in batch],))
            scores = _as_many(await self._make(call), len(batch))
        except BaseException as error:  # noqa: BLE001 - raised where each is awaited
            if len(batch) > 1 and not isinstance(error, GivenUp | _Misfit) and not from_outside(error):
                await self._apart(batch, error)
                return
            scores = [(None, TypeError(str(error)) if isinstance(error, _Misfit) else error)] * len(batch)
        for (_, future), scored in zip(batch, scores, strict=True):
            if not future.done():
                future.set_result(scored)


class GivenUp(TimeoutError):
    """A component is not called any longer in this run."""


class _Misfit(TypeError):
    """What was returned is not the scores of a batch, which fewer answers would not change."""


def _as_many(returned: Any, count: int) -> list[tuple[Any, BaseException | None]]:
    if not isinstance(returned, list | tuple):
        raise _Misfit(f"score_batch returned {type(returned).__name__}, not a list of scores")
    scores = list(returned)
    if len(scores) != count:
        raise _Misfit(f"score_batch returned {counted(len(scores), 'score')} for {counted(count, 'answer')}")
    return [(each, None) for each in scores]
