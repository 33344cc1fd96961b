"""Calls in processes of a bounded pool: what ends there, hangs there or eats memory there costs its own call alone."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import pickle
import sys
import time
from collections import deque
from typing import Any, Final

from themis_lanes import worker
from themis_lanes.errors import Crashed, Overdue, Raised
from themis_lanes.process import WorkerProcess

__all__ = ["Processes"]

MOST_PICKLES: Final = 256
"""Targets of which the pickle is kept."""
COMPUTING: Final = 0.4
"""The least share of their time for which calls compute where further workers would not help them: half of it, less
what others on the same cores and the way to and from the worker take."""
PATIENCE_S: Final = 1.0
"""How long a call waits for a place while there could be more: who has one may be stuck."""
CLOSING_S: Final = 5.0
"""How long `close` waits for what it killed. Only what the system itself holds up takes longer."""


class Processes:
    """A pool of at most `size` worker processes, each started when it is first needed, and used for many calls.

    With `at_first`, there are no more than so many as long as calls compute, such as one for each core. The others are
    for calls that wait: to start a worker and to import what a target needs takes as long as many calls.

    Use it in one thread, from one event loop at a time; `close` as well. A worker keeps a target from call to call, as
    it was when it was first sent.
    """

    def __init__(
        self,
        size: int,
        *,
        at_first: int | None = None,
        memory_mb: int | None,
        start_s: float = 30.0,
        name: str = "the pool",
    ) -> None:
        """`memory_mb`: what a worker may hold; `start_s`: how long it may take to start and to load a target."""
        if os.name != "posix":
            raise RuntimeError("calls in processes of their own need a POSIX system, such as Linux or macOS")
        self._size = size
        self._places = size if at_first is None else min(at_first, size)
        self._worked_s = 0.0
        self._computed_s = 0.0
        """Of the time for which calls were at work."""
        self._memory_mb = memory_mb
        self._start_s = start_s
        self._name = name
        self._closed = False
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: list[WorkerProcess] = []
        self._busy: list[WorkerProcess] = []
        self._killed: list[WorkerProcess] = []
        """Those whose end was not seen yet."""
        self._pickles: dict[int, tuple[object, bytes, bytes]] = {}

    async def call(self, target: object, method: str, args: tuple[Any, ...], limit_s: float, *, label: str = "") -> Any:
        """Return what `target.method(*args)` returns in a worker. Cancelling it ends that worker.

        `limit_s` counts from the moment when a worker that knows the target is asked. Raises Overdue; Crashed, also if
        the pool is closed or a worker needs longer than `start_s`; Raised, also for what can't be sent from or to
        the worker; TypeError for a target or arguments that can't be pickled.

        The result is unpickled here: a method that wants to can run code in this process by what it returns.
        """
        await self._take_place()
        try:
            key, loaded = self._target(target)
            request = _pickled((key, method, args), f"the arguments of {method}")
            try:
                answer = await self._ask(key, loaded, request, limit_s, label or method)
            except _Suspect:  # what another target left behind may have ended it
                answer = await self._ask(key, loaded, request, limit_s, label or method, fresh=True)
        finally:
            self._leave_place()
        return _result(*answer)

    def running(self) -> list[tuple[str, float]]:
        """Return the label of each call that a worker is at, and for how many seconds, the longest first."""
        now = time.monotonic()
        return sorted(((each.label, now - each.since) for each in self._busy), key=lambda each: -each[1])

    def close(self) -> None:
        """End all workers at once. Calls that are running or wait for a place raise Crashed."""
        self._closed = True
        while self._waiting:
            if not (turn := self._waiting.popleft()).done():
                turn.set_exception(self._was_closed())
        while self._idle:
            self._end(self._idle.pop())
        busy = list(self._busy)
        for each in busy:
            each.kill()  # its call sees that, and closes the rest in its own loop
        until = time.monotonic() + CLOSING_S
        for each in (*busy, *self._killed):
            each.wait(max(0.0, until - time.monotonic()))

    def _was_closed(self) -> Crashed:
        return Crashed(f"{self._name} was closed")

    async def _take_place(self) -> None:
        if self._closed:
            raise self._was_closed()
        if self._taken < self._places and not self._waiting:
            self._taken += 1
            return
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        patience = loop.call_later(PATIENCE_S, self._open_all) if self._places < self._size else None
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave_place()  # it was given a place in the moment when it was cancelled
            raise
        finally:
            if patience is not None:
                patience.cancel()

    def _leave_place(self) -> None:
        self._taken -= 1
        if self._computed_s < COMPUTING * self._worked_s:
            self._open_all()
        else:
            self._serve()

    def _open_all(self) -> None:
        """Let there be all workers from now on."""
        self._places = self._size
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._taken < self._places:
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def _target(self, target: object) -> tuple[bytes, bytes]:
        """Return the name of a target, which is the digest of its pickle, and what tells a worker of it."""
        known = self._pickles.get(id(target))
        if known is None:
            pickled = _pickled(target, type(target).__qualname__)
            key = hashlib.blake2b(pickled, digest_size=worker.KEY_BYTES).digest()
            known = (target, key, key + pickled)
            self._pickles[id(target)] = known  # with the target itself, so that no other gets its id
            if len(self._pickles) > MOST_PICKLES:
                self._pickles.pop(next(iter(self._pickles)))  # the oldest
        return known[1:]

    async def _ask(
        self, key: bytes, loaded: bytes, request: bytes, limit_s: float, label: str, *, fresh: bool = False
    ) -> tuple[bytes, bytes]:
        one = self._worker(key, fresh=fresh)
        one.label, one.since = label, time.monotonic()
        self._busy.append(one)
        try:
            answer = await self._prepare(one, key, loaded)
            if answer[0] == worker.DONE:
                one.since = time.monotonic()
                try:
                    answer = await one.ask(worker.CALL, request, limit_s)
                    self._computed_s += one.computed_s
                finally:
                    self._worked_s += time.monotonic() - one.since
            if answer[0] == worker.OUT_OF_MEMORY:
                limit = "" if self._memory_mb is None else f" (limit {self._memory_mb} MB)"
                raise Crashed(f"its process ran out of memory{limit}")
        except BaseException as error:
            self._end(one)
            if self._closed and isinstance(error, Crashed):
                raise self._was_closed() from None
            if isinstance(error, Crashed) and one.known - {key}:
                raise _Suspect(*error.args) from error
            raise
        finally:
            self._busy.remove(one)
        if self._closed:
            self._end(one)
        else:
            self._idle.append(one)
        return answer

    def _worker(self, key: bytes, *, fresh: bool) -> WorkerProcess:
        """Take an idle worker, one that knows the target if there is one, or start one."""
        self._idle.sort(key=lambda each: key in each.known)
        while self._idle and not fresh:
            if (one := self._idle.pop()).is_usable():
                return one
            self._end(one)
        try:
            return WorkerProcess()
        except OSError as error:
            raise Crashed(f"its process could not be started: {error}") from error

    async def _prepare(self, one: WorkerProcess, key: bytes, loaded: bytes) -> tuple[bytes, bytes]:
        """Have the worker started, and know the target; return the last answer."""
        steps = [] if one.is_settled else [(worker.SETTINGS, self._settings())]
        if key not in one.known:
            steps.append((worker.LOAD, loaded))
        until = time.monotonic() + self._start_s
        for kind, content in steps:
            try:
                answer = await one.ask(kind, content, until - time.monotonic())
            except Overdue:
                raise Crashed(f"its process was not ready within {self._start_s:g} s") from None
            if answer[0] != worker.DONE:
                return answer
        one.is_settled = True
        one.remember(key)
        return worker.DONE, b""

    def _settings(self) -> bytes:
        return json.dumps({"sys_path": sys.path, "memory_mb": self._memory_mb}, default=str).encode()

    def _end(self, one: WorkerProcess) -> None:
        one.end()
        self._killed = [each for each in (*self._killed, one) if not each.is_gone()]


class _Suspect(Crashed):
    """The process ended that had served another target as well, which may be at fault."""


def _pickled(value: object, what: str) -> bytes:
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _, text, _ = worker.describe(error)
        raise TypeError(f"{what} can't be sent to another process: {text}") from error


def _result(kind: bytes, content: bytes) -> Any:
    if kind == worker.RAISED:
        raise Raised(*json.loads(content))
    try:
        return pickle.loads(content)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        name, text, trace = worker.describe(error)
        raise Raised(name, f"what it returned can't be read in this process: {text}", trace) from error
