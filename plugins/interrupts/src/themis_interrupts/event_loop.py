"""Runs a coroutine in an event loop of its own, whatever other people's code does to the loop and leaves in it.

`asyncio.run` ends with the first SystemExit that a task or callback of such code raises, and waits without end for
tasks that swallow their cancellation and for threads that don't return.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from themis_interrupts.listening import from_outside

__all__ = ["run_to_its_end"]

T = TypeVar("T")
Failure = Callable[[str, BaseException], Exception]
LeaveAlone = Callable[[Iterable[asyncio.Task[Any]]], None]
LEAVING_S = 0.5
"""Seconds that what is left in the loop has to end in."""

log = logging.getLogger("themis")


def run_to_its_end(main: Coroutine[Any, Any, T], *, failure: Failure, leave_alone: LeaveAlone) -> T:
    """Return or raise what the coroutine does. Raises RuntimeError where an event loop runs already.

    `failure` makes the error that blames other people's code, of what it was doing and what it raised; `leave_alone`
    keeps tasks that nobody waits for until they end.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
    else:
        main.close()
        name = getattr(main, "__name__", "it")
        raise RuntimeError(f"an event loop is running already: await {name}(...) in it")
    try:
        return _result(loop, loop.create_task(main), failure)
    finally:
        _close(loop, failure, leave_alone)


def _result(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T], failure: Failure) -> T:
    while True:
        try:
            return loop.run_until_complete(task)
        except BaseException as error:
            if from_outside(error):
                raise
            if not task.done() and not isinstance(error, OSError):  # which the loop's own file raises when it is closed
                log.error("%s\nthe run goes on", failure("a task or callback of its own", error))
            elif task.done() and isinstance(error, Exception):
                raise
            else:
                raise failure("a call that ended the run", error) from error


def _close(loop: asyncio.AbstractEventLoop, failure: Failure, leave_alone: LeaveAlone) -> None:
    loop.set_exception_handler(lambda loop, context: None)  # what is left has nobody to tell
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        leave_alone(left)
        last = _last(loop, left, leave_alone)
        try:
            _result(loop, loop.create_task(last), failure)
        finally:
            last.close()  # it was not begun if the loop's own file is closed
    finally:
        with suppress(OSError):
            loop.close()


async def _last(loop: asyncio.AbstractEventLoop, left: set[asyncio.Task[Any]], leave_alone: LeaveAlone) -> None:
    closing = loop.create_task(loop.shutdown_asyncgens())
    leave_alone([closing])
    await asyncio.wait([*left, closing], timeout=LEAVING_S)
