"""Calls of an engine's methods for batches: each within its deadline, what it returns and raises checked.

It saves nothing, knows no trial, and tries nothing again.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from themis_core.components import BATCH_KEY_LENGTH, BatchReply, BatchState, Engine
from themis_core.errors import EngineError
from themis_core.execution.deadline import within
from themis_core.execution.returned import as_engine_error, as_generation
from themis_core.plugins import from_outside, told
from themis_core.records import Generation, Request, Ticket
from themis_lanes import Overdue, watched
from themis_pacing import attempt_ends
from themis_plain import as_count, as_text, check_dict, kind_of, own

__all__ = ["BatchCalls"]

T = TypeVar("T")
OVER = ("ended", "expired", "cancelled", "failed")


class BatchCalls:
    """The four methods of engines that take batches. All raise EngineError, whatever the engine does."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s

    async def submit(self, engine: Engine, nonce: str, requests: Sequence[Request]) -> Ticket:
        return await self._called(engine, "submit", lambda: engine.submit(nonce, own(list(requests))), _as_ticket)

    async def find(self, engine: Engine, nonce: str) -> Ticket | None:
        return await self._called(
            engine, "find", lambda: engine.find(nonce), lambda it: None if it is None else _as_ticket(it)
        )

    async def collect(self, engine: Engine, ticket: Ticket) -> BatchState:
        return await self._called(engine, "collect", lambda: engine.collect(own(ticket)), _as_state)

    async def cancel(self, engine: Engine, ticket: Ticket) -> None:
        await self._called(engine, "cancel", lambda: engine.cancel(own(ticket)), lambda _: None)

    async def replies(self, engine: Engine, state: BatchState) -> AsyncIterator[tuple[str, Generation | EngineError]]:
        """Yield what became of each request, by the first `BATCH_KEY_LENGTH` characters of its key."""
        if state.replies is None:
            return
        stream = state.replies

        async def following() -> Any:
            try:
                return await anext(stream)
            except StopAsyncIteration:
                return None

        try:
            while (reply := await self._called(engine, "collect", following, _as_reply)) is not None:
                yield reply
        finally:
            if (close := getattr(stream, "aclose", None)) is not None:
                await self._called(engine, "collect", close, lambda _: None)

    async def _called(
        self, engine: Engine, method: str, ask: Callable[[], Awaitable[Any]], check: Callable[[Any], T]
    ) -> T:
        limit, label = self._limit_s, f"{type(engine).__name__}.{method}"
        attempt_ends.set(time.monotonic() + limit)
        try:
            return check(await within(limit, lambda: watched(label, limit, _coroutine(ask))))
        except EngineError as error:
            raise as_engine_error(error) from error.__cause__
        except Overdue as overdue:
            raise EngineError(
                "timeout", f"{method}: no reply within {limit:g} s", retryable=True, unknown_outcome=True
            ) from overdue
        except BaseException as error:
            if from_outside(error):
                raise
            raise EngineError("engine_error", f"{label}: {told(error)}", unknown_outcome=True) from error


def _coroutine(ask: Callable[[], Awaitable[Any]]) -> Coroutine[Any, Any, Any]:
    async def asking() -> Any:
        return await ask()

    return asking()


def _as_ticket(ticket: Any) -> Ticket:
    if not isinstance(ticket, Ticket):
        raise TypeError(f"it returned {kind_of(ticket)}, not a Ticket")
    check_dict(ticket.details, "Ticket.details")
    return Ticket(as_text(ticket.id, "Ticket.id"), own(ticket.details))


def _as_state(state: Any) -> BatchState:
    if not isinstance(state, BatchState):
        raise TypeError(f"it returned {kind_of(state)}, not a BatchState")
    if state.status != "running" and state.status not in OVER:
        raise ValueError(f"BatchState.status is {state.status!r:.60}, not one of running, {', '.join(OVER)}")
    if state.error is not None and not isinstance(state.error, EngineError):
        raise TypeError(f"BatchState.error is {kind_of(state.error)}, not an EngineError")
    if state.replies is not None and not hasattr(state.replies, "__anext__"):
        raise TypeError(f"BatchState.replies is {kind_of(state.replies)}, not an asynchronous iterator")
    return BatchState(
        state.status,
        as_count(state.done, "BatchState.done"),
        as_count(state.failed, "BatchState.failed"),
        as_count(state.total, "BatchState.total"),
        None if state.error is None else as_engine_error(state.error),
        state.replies,
    )


def _as_reply(reply: Any) -> tuple[str, Generation | EngineError] | None:
    if reply is None:
        return None
    if not isinstance(reply, BatchReply):
        raise TypeError(f"its replies hold {kind_of(reply)}, not a BatchReply")
    key = as_text(reply.key, "BatchReply.key")[:BATCH_KEY_LENGTH]
    if isinstance(reply.result, EngineError):
        return key, as_engine_error(reply.result)
    try:
        return key, as_generation(reply.result)
    except (TypeError, ValueError) as error:  # costs this one request, not the batch
        return key, EngineError("engine_error", str(error))
