"""How many calls of a service are in flight, and when the next may start; both learn from what is refused.

They know no request and no error. Times are of `time.monotonic`, which is the event loop's clock.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

from themis_pacing.learning import LearnedRate

__all__ = ["AdaptiveLimit", "Pace"]


class AdaptiveLimit:
    """Places for calls in flight: additive increase, multiplicative decrease.

    Source: D.-M. Chiu and R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in
    Computer Networks", 1989. The first in the queue gets the next place.
    """

    DECREASE: Final = 0.8

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        """Places there are now, a whole number of which count; from 1 to `most`."""
        self._taken = 0
        self._cut_at = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Take a place if one is free and nobody waits for it."""
        if self._waiting or self._taken >= int(self.limit):
            return False
        self._taken += 1
        return True

    async def wait(self) -> None:
        """Take a place as soon as it is this caller's turn."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # it was given a place in the moment when it was cancelled
            raise

    def release(self) -> None:
        """Give a place back."""
        self._taken -= 1
        self._serve()

    @property
    def taken(self) -> int:
        """Places that are taken: more than `limit` for a while after it was lowered."""
        return self._taken

    @property
    def wanted(self) -> int:
        """Places that are taken or waited for."""
        return self._taken + len(self._waiting)

    def resize(self, limit: float) -> None:
        """Have so many places from now on; with none, those who wait go on to do so."""
        self.limit = limit
        self._serve()

    def _serve(self) -> None:
        while self._waiting and self._taken < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    def cut(self, begun: float, now: float) -> None:
        """A call that started at `begun` was one too many. Calls from before the last cut belong to its episode."""
        if begun >= self._cut_at:
            self._cut_at = now
            self.limit = max(1.0, min(self.limit, float(self._taken)) * self.DECREASE)

    def grow(self) -> None:
        """A call that still has its place succeeded: about one place more per round, if all places are in use."""
        if self.limit < self.most and self._taken >= int(self.limit):
            self.limit = min(float(self.most), self.limit + 1 / self.limit)


class Pace:
    """When calls start: one gate for all, and a distance between them, that of the policy or one that was learned."""

    def __init__(self) -> None:
        self.shut_until = 0.0
        """Until when the gate is shut, for those who were let through just before it was."""
        self._open_at = 0.0
        self._waiting: deque[tuple[asyncio.Future[None], float]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._learned = LearnedRate()

    def pass_now(self, now: float, spacing: float) -> bool:
        """Start a call if that may be now and nobody waits; the next one follows after `spacing` seconds or more."""
        if self._waiting or now < self._ready_at(now):
            return False
        self._start(now, spacing)
        return True

    async def wait(self, spacing: float) -> None:
        """Return when it is this caller's turn to start a call, or when all are let go."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, spacing))
        self._set_timer()
        await turn

    def hold(self, until: float) -> None:
        """Start no call before then."""
        self.shut_until = max(self.shut_until, until)
        self._open_at = max(self._open_at, until)
        self._set_timer()

    def refuse(self, begun: float, now: float) -> None:
        """A call that started at `begun` was refused for coming too soon. Call `hold` as well."""
        self._learned.refuse(begun, now)

    def let_go(self) -> None:
        """Let all who wait return at once."""
        self._open_at = 0.0
        while self._waiting:
            turn, _ = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)

    def _start(self, now: float, spacing: float) -> None:
        self._learned.start(now, self._open_at)
        rate = self._learned.rate(now)
        if rate is not None and (learned := 1 / rate) > spacing:
            # A timer that came late is made up for, or the rate would stay beneath the one that is meant.
            self._open_at = max(self._open_at, now - learned) + learned
        elif spacing:
            self._open_at = now + spacing

    def _ready_at(self, now: float) -> float:
        """When the next call may start."""
        return self._open_at

    def _set_timer(self) -> None:
        if self._timer is None and self._waiting:
            at = self._ready_at(time.monotonic())
            self._timer = asyncio.get_running_loop().call_at(at, self._open)

    def _open(self) -> None:
        self._timer = None
        while self._waiting and (now := time.monotonic()) >= self._ready_at(now):
            turn, spacing = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._learned.paced += 1
                self._start(now, spacing)
        self._set_timer()
