"""When a failed call is tried again, if at all. Rules only: nothing here waits or calls.

refused, with a wait    the service's gate says when; any number within the window
refused, without        equal jitter; any number within the window
all else that may pass  full jitter; `max_retries`, and never after the same error body three times in a row
all retries together    `RetryAllowance`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from themis_pacing.trouble import Trouble

__all__ = ["RetryAllowance", "RetryRules", "Retrying"]

SAME_BODIES: Final = 3
"""Equal error bodies in a row that make an error lasting: some requests break a server each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRules:
    """How often calls are tried again, and after how many seconds."""

    max_retries: int
    """0 for none at all, not even after a refusal."""
    window_s: float
    """Seconds after the first attempt in which the last one may start."""
    base_s: float
    """The first wait's upper bound, which doubles each time."""
    max_s: float
    """What a wait's upper bound grows to."""

    def backoff(self, attempt: int, draw: float) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1): full jitter under a doubling bound.

        `draw` is uniform in [0, 1). Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        return self._bound(attempt) * draw

    def equal_jitter(self, attempt: int, draw: float) -> float:
        """Seconds to wait as with `backoff`, but never less than half the bound. Same source."""
        return self._bound(attempt) * (0.5 + 0.5 * draw)

    def _bound(self, attempt: int) -> float:
        return float(min(self.max_s, self.base_s * 2 ** min(attempt - 1, 60)))


class Retrying:
    """The failed attempts of one call. `first` is when the first one started; `draw` gives numbers in [0, 1)."""

    def __init__(self, rules: RetryRules, first: float, draw: Callable[[], float]) -> None:
        self._rules = rules
        self._first = first
        self._draw = draw
        self._failures = 0
        self._refusals = 0
        self._said = ""
        self._times = 0

    def wait_after(self, trouble: Trouble, now: float) -> float | None:
        """Seconds until the next attempt, not counting the service's gate; None if there is none."""
        rules = self._rules
        if not trouble.passes or not rules.max_retries:
            return None
        if trouble.refused:
            # The service did not try, so this is no failed attempt: only the window ends it.
            self._refusals += 1
            wait = trouble.retry_after or rules.equal_jitter(self._refusals, self._draw())
        else:
            self._failures += 1
            if self._failures > rules.max_retries or self._lasts(trouble.body):
                return None
            wait = trouble.retry_after or rules.backoff(self._failures, self._draw())
        if now + wait - self._first > rules.window_s:
            return None
        return 0.0 if trouble.retry_after else wait

    def _lasts(self, body: str | None) -> bool:
        if body is None:
            self._times = 0
            return False
        self._times = self._times + 1 if body == self._said else 1
        self._said = body
        return self._times >= SAME_BODIES


class RetryAllowance:
    """All retries of a service together: a fifth of its calls and a hundred; beyond that they are slowed down.

    Without it, retries would multiply the load of a service that has too much already.
    """

    MOST: Final = 100.0
    SHARE: Final = 0.2

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        """Seconds between retries that go beyond the allowance."""
        self._tokens = self.MOST
        self._next = 0.0

    def earn(self) -> None:
        """Count one call."""
        if self._tokens < self.MOST:
            self._tokens += self.SHARE

    def take(self, now: float) -> float:
        """Count one retry; return the seconds that it has to wait at least."""
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        self._next = max(now, self._next) + self._interval_s
        return self._next - now
