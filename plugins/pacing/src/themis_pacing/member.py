"""One process's side of a service that several ask: what it has used and met, and how it keeps to its share. No I/O.

Times are of `time.monotonic`; what goes out and comes in are durations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from themis_pacing.breaker import Breaker
from themis_pacing.limits import AdaptiveLimit, Pace
from themis_pacing.pool import FORGOTTEN_S, Need, Share

__all__ = ["STALE_S", "Member", "SharedLimit", "SharedPace"]

LATE_S: Final = 0.25
"""Seconds by which calls may start later than their window says: an event loop can be late."""
SAME_S: Final = 0.05
"""Seconds by which two moments may differ that are one: a word takes its time."""
STALE_S: Final = FORGOTTEN_S / 2
"""Seconds without a word after which a member goes by the part that is its own if all have the same."""


class SharedLimit(AdaptiveLimit):
    """Places that are this process's share: refusals are noted, and the pool draws the conclusions."""

    def __init__(self, most: int, when_short: Callable[[], object]) -> None:
        super().__init__(most)
        self.limit = 0.0
        self.grown = 0
        self.cut_by: tuple[float, float] | None = None
        """When the last call began that was one too many, and when that was known."""
        self._when_short = when_short

    def take(self) -> bool:
        if super().take():
            return True
        self._when_short()
        return False

    def cut(self, begun: float, now: float) -> None:
        self.cut_by = begun, now
        self.limit = min(self.limit, max(1.0, self.taken * self.DECREASE))
        self._when_short()

    def grow(self) -> None:
        self.grown += self.taken >= int(self.limit)


class SharedPace(Pace):
    """Calls start in windows that are this process's share of the service's time, while its rate is limited."""

    def __init__(self, when_short: Callable[[], object]) -> None:
        super().__init__()
        self.is_limited = False
        """Whether there is a rate to share; without one, calls start as in `Pace`."""
        self.parts: int | None = None
        """Of how many equal parts one is this process's, while nobody tells it its share."""
        self.least = 0.0
        """Seconds between calls that all processes learned from refusals."""
        self.started: tuple[int, float] | None = None
        """How many calls started, and when the first of them did; until `tell`."""
        self.refused: tuple[int, float, float] | None = None
        """How many calls came too soon, when the first of them was refused, and when it began; until `tell`."""
        self._windows: deque[list[float]] = deque()
        self._over = 0.0
        """Seconds by which the last call went beyond its window."""
        self._used = 0, 0.0
        """Calls that started in windows, and the seconds that they took; until `asks`."""
        self._when_short = when_short

    def asks(self, now: float) -> tuple[float, float, int]:
        """Seconds that calls would take of the service's time, beyond the windows that there are, those of the first,
        and how many calls: those that wait, and as many as lately started."""
        self._drop_old(now)
        waiting = [max(spacing, self.least) for turn, spacing in self._waiting if not turn.done()]
        (calls, used), self._used = self._used, (0, 0.0)
        if not self.is_limited or not (waiting or calls):
            return 0.0, 0.0, 0
        asked = max(0.0, self._over + sum(waiting) + used - sum(end - begin for begin, end in self._windows))
        return asked, min(asked, waiting[0] if waiting else 0.0), len(waiting) + calls

    @property
    def waits_for_window(self) -> bool:
        return self.is_limited and not self._windows and bool(self._waiting)

    def add_window(self, begin: float, length: float) -> None:
        over, self._over = min(self._over, length), max(0.0, self._over - length)
        if length > over:
            self._windows.append([begin + over, begin + length])

    def drop_windows(self) -> None:
        self._windows.clear()

    def look_again(self) -> None:
        """What it may do has changed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._open()

    def hold(self, until: float) -> None:
        super().hold(until)
        self._when_short()

    def pass_now(self, now: float, spacing: float) -> bool:
        if super().pass_now(now, spacing):
            return True
        if self.is_limited:
            self._when_short()
        return False

    def _drop_old(self, now: float) -> None:
        """Cut off what is over of the windows."""
        while self._windows:
            window = self._windows[0]
            window[0] = max(window[0], now - LATE_S)
            if window[0] < window[1]:
                break
            self._windows.popleft()

    def _ready_at(self, now: float) -> float:
        if not self.is_limited or self.parts is not None:
            return self._open_at
        self._drop_old(now)
        return max(self._open_at, self._windows[0][0]) if self._windows else float("inf")

    def refuse(self, begun: float, now: float) -> None:
        if self.parts is not None:
            super().refuse(begun, now)
        times, first_at, first_begun = self.refused or (0, now, begun)
        self.refused = times + 1, first_at, first_begun
        self.is_limited = True  # until it is told how
        self._when_short()

    def paced(self) -> int:
        """Calls that had to wait for their turn since the last time that this was asked."""
        paced, self._learned.paced = self._learned.paced, 0
        return paced

    def _start(self, now: float, spacing: float) -> None:
        calls, first_at = self.started or (0, now)
        self.started = calls + 1, first_at
        if self.parts is not None:
            super()._start(now, max(spacing, self.least) * self.parts)
        elif self.is_limited:
            self._use(max(spacing, self.least))

    def _use(self, spacing: float) -> None:
        self._used = self._used[0] + 1, self._used[1] + spacing
        while self._windows and spacing > 0:
            window = self._windows[0]
            taken = min(spacing, window[1] - window[0])
            window[0] += taken
            spacing -= taken
            if window[1] - window[0] < 1e-9:
                self._windows.popleft()
        self._over += max(0.0, spacing - 1e-9)
        if not self._windows:
            self._when_short()


class Member:
    """One process among those that ask a service: it makes their `Need`, and takes its `Share`."""

    def __init__(
        self,
        name: str,
        most: int,
        breaker: Breaker,
        *,
        requests_per_s: float | None = None,
        tokens_per_s: float | None = None,
        when_short: Callable[[], object],
    ) -> None:
        """`when_short` is called when `is_short` may have become true."""
        self.name = name
        self.limit = SharedLimit(most, when_short)
        self.pace = SharedPace(when_short)
        self.breaker = breaker
        self.requests_per_s = requests_per_s
        """The limit that is in force: its own, or a smaller one of another member."""
        self.tokens_per_s = tokens_per_s
        self.members = 1
        self._own = requests_per_s, tokens_per_s
        self._heard_at: float | None = None
        self._wanted = 0
        self._denied = False
        """Whether it asked for a window and got none yet."""
        self._open_before: float | None = None
        self._shut_before = 0.0
        """What of breaker and gate the others know."""
        self.pace.is_limited = self._own != (None, None)
        breaker.ask_before_probes()

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it is in flight or waits."""
        return self.limit.wanted == 0

    @property
    def is_short(self) -> bool:
        """Whether to tell at once: more is wanted than when it last told, or something happened."""
        pace = self.pace
        return (
            self.limit.wanted > max(self._wanted, int(self.limit.limit))
            or self.limit.cut_by is not None
            or pace.shut_until > self._shut_before
            or pace.refused is not None
            or (pace.waits_for_window and not self._denied)
            or self.breaker.open_until != self._open_before
        )

    def need(self, now: float) -> Need:
        """What to tell now; the answer is to be given to `take`, and if there is none, `lost` is to be called."""
        limit, pace, breaker = self.limit, self.pace, self.breaker
        asks_s, first_s, asks_calls = pace.asks(now)
        started, pace.started = pace.started, None
        refused, pace.refused = pace.refused, None
        cut, limit.cut_by = limit.cut_by, None
        grown, limit.grown = limit.grown, 0
        is_new_gate, is_new_state = pace.shut_until > self._shut_before, breaker.open_until != self._open_before
        self._wanted, self._denied = limit.wanted, asks_calls > 0
        self._shut_before, open_before, self._open_before = pace.shut_until, self._open_before, breaker.open_until
        opened = breaker.open_until if is_new_state else None
        return Need(
            self.name,
            limit.most,
            heard_s=None if self._heard_at is None else now - self._heard_at,
            wanted=limit.wanted,
            held=max(limit.taken, int(limit.limit)),
            grown=grown,
            cut=None if cut is None else (now - cut[1], now - cut[0]),
            requests_per_s=self._own[0],
            tokens_per_s=self._own[1],
            asks_s=asks_s,
            first_s=first_s,
            asks_calls=asks_calls,
            started=None if started is None else (started[0], now - started[1]),
            paced=pace.paced(),
            refused=None if refused is None else (refused[0], now - refused[1], now - refused[2]),
            shut_s=max(0.0, pace.shut_until - now) if is_new_gate else 0.0,
            opened_s=None if opened is None else max(0.0, opened - now),
            closed=breaker.open_until is None and open_before is not None,
            asks_probe=breaker.asks_probe,
        )

    def take(self, share: Share, now: float) -> bool:
        """Go by what was told; true if the breaker is not as it was."""
        limit, pace = self.limit, self.pace
        joining, self._heard_at = self._heard_at is None, now
        self.members = share.members
        self.requests_per_s, self.tokens_per_s = share.requests_per_s, share.tokens_per_s
        pace.parts = None
        rates = share.requests_per_s, share.tokens_per_s, share.learned_per_s
        if pace.refused is None:  # else it is told first
            pace.is_limited = any(rates)
        pace.least = 1 / share.learned_per_s if share.learned_per_s else 0.0
        if share.shut_s > max(0.0, pace.shut_until - now):
            if pace.shut_until == self._shut_before:  # else this process knows of another gate, which it tells next
                self._shut_before = now + share.shut_s
            pace.hold(now + share.shut_s)
        if share.window is not None:
            begin_s, length = share.window
            pace.add_window(now + begin_s, length)
            self._denied = False
        if limit.cut_by is None:  # else it is told first
            limit.resize(float(share.places))
        pace.look_again()
        return self._take_breaker(share, now, joining=joining)

    def _take_breaker(self, share: Share, now: float, *, joining: bool) -> bool:
        breaker = self.breaker
        if breaker.open_until != self._open_before:  # it changed meanwhile: the others are told first
            return False
        if share.open_s is None:
            if breaker.open_until is None:
                return False
            breaker.close_with_others()
        elif share.probe:
            breaker.allow_probe()
        elif breaker.open_until is None or (share.open_s > SAME_S and now + share.open_s > breaker.open_until + SAME_S):
            breaker.open_with_others(now + share.open_s, share.failed_probes, joining=joining)
        else:
            return False
        self._open_before = breaker.open_until
        return True

    def lost(self) -> None:
        """What was told last was not heard: tell it again."""
        self._shut_before, self._open_before, self._denied = 0.0, None, False

    def go_alone(self) -> None:
        """Keep to the part that is its own if all members have the same, until the next word."""
        self.pace.parts = self.members
        self.limit.resize(max(1, self.limit.most // self.members))
        self.breaker.allow_probe()
        self.pace.look_again()

    def leave(self) -> None:
        """Give back all it may do, since nothing of it is under way: it asks anew before its next call."""
        self._heard_at, self._wanted, self._denied = None, 0, False
        self.limit.resize(0.0)
        self.pace.drop_windows()
