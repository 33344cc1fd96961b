"""Runs a coroutine in an event loop of its own, whatever components do to the loop and leave in it.

`asyncio.run` ends with the first SystemExit that a task or callback of a component raises, and waits without end for
tasks that swallow their cancellation and for threads that don't return.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from themis_core.execution import leave_alone
from themis_core.plugins import failure, from_outside

__all__ = ["run_to_its_end"]

T = TypeVar("T")
LEAVING_S = 0.5
"""Seconds that what is left in the loop, the store included, has to end in."""

log = logging.getLogger("themis")


def run_to_its_end(main: Coroutine[Any, Any, T]) -> T:
    """Return or raise what the coroutine does. Raises RuntimeError where an event loop runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
    else:
        main.close()
        raise RuntimeError("an event loop is running already: await run_async(...) in it")
    try:
        return _result(loop, loop.create_task(main))
    finally:
        _close(loop)


def _result(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> T:
    while True:
        try:
            return loop.run_until_complete(task)
        except BaseException as error:
            if from_outside(error):
                raise
            if not task.done():
                log.error("%s\nthe run goes on", failure("a component", "a task or callback of its own", error))
            elif isinstance(error, Exception):
                raise
            else:
                raise failure("a component", "a call that ended the run", error) from error


def _close(loop: asyncio.AbstractEventLoop) -> None:
    loop.set_exception_handler(lambda loop, context: None)  # what is left has nobody to tell
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        leave_alone(left)
        _result(loop, loop.create_task(_last(loop, left)))
    finally:
        loop.close()


async def _last(loop: asyncio.AbstractEventLoop, left: set[asyncio.Task[Any]]) -> None:
    closing = loop.create_task(loop.shutdown_asyncgens())
    leave_alone([closing])
    await asyncio.wait([*left, closing], timeout=LEAVING_S)
