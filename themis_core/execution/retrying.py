"""When a failed request is tried again, if at all. Rules only: nothing here waits or calls.

429 with Retry-After    the endpoint's gate says when; any number within the window
429 without             equal jitter; any number within the window
all else that may pass  full jitter; `max_retries`, and never after the same error body three times in a row
all retries together    `RetryAllowance`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from themis_core.errors import EngineError
from themis_core.specs import ExecutionPolicySpec

__all__ = ["RetryAllowance", "Retrying", "backoff", "equal_jitter"]

SAME_BODIES: Final = 3
"""Equal error bodies in a row that make an error lasting: some prompts break a server each time."""
SAYS_THAT_IT_PASSES: Final = frozenset({"rate_limited", "overloaded"})
"""Codes whose bodies are always the same, and mean nothing by it."""


def backoff(policy: ExecutionPolicySpec, attempt: int, draw: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1): full jitter under a doubling bound.

    `draw` is uniform in [0, 1). Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return _bound(policy, attempt) * draw


def equal_jitter(policy: ExecutionPolicySpec, attempt: int, draw: float) -> float:
    """Seconds to wait as with `backoff`, but never less than half the bound. Same source."""
    return _bound(policy, attempt) * (0.5 + 0.5 * draw)


def _bound(policy: ExecutionPolicySpec, attempt: int) -> float:
    return float(min(policy.backoff_max_s, policy.backoff_base_s * 2 ** min(attempt - 1, 60)))


class Retrying:
    """The failed attempts of one request. `first` is when the first one started; `draw` gives numbers in [0, 1)."""

    def __init__(self, policy: ExecutionPolicySpec, first: float, draw: Callable[[], float]) -> None:
        self._policy = policy
        self._first = first
        self._draw = draw
        self._failures = 0
        self._refusals = 0
        self._said = ""
        self._times = 0

    def wait_after(self, error: EngineError, now: float) -> float | None:
        """Seconds until the next attempt, not counting the endpoint's gate; None if there is none."""
        policy = self._policy
        if not error.retryable or not policy.max_retries:
            return None
        if error.code == "rate_limited":
            # The provider did not try, so this is no failed attempt: only the window ends it.
            self._refusals += 1
            wait = error.retry_after or equal_jitter(policy, self._refusals, self._draw())
        else:
            self._failures += 1
            if self._failures > policy.max_retries or self._lasts(error):
                return None
            wait = error.retry_after or backoff(policy, self._failures, self._draw())
        if now + wait - self._first > policy.retry_window_s:
            return None
        return 0.0 if error.retry_after else wait

    def _lasts(self, error: EngineError) -> bool:
        if error.status is None or error.code in SAYS_THAT_IT_PASSES:
            self._times = 0
            return False
        self._times = self._times + 1 if error.message == self._said else 1
        self._said = error.message
        return self._times >= SAME_BODIES


class RetryAllowance:
    """All retries of an endpoint together: a fifth of its calls and a hundred; beyond that they are slowed down.

    Without it, retries would multiply the load of an endpoint that has too much already.
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
