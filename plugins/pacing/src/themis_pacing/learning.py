"""What rate a provider lets through, learned from its refusals. Pure; times are of any one clock, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["LearnedRate"]


@dataclass(slots=True)
class LearnedRate:
    """Calls that a provider took between two refusals, by the time between, corrected by the pace at which it refused.

    From there the rate goes a tenth down and up again along a cubic that is flat near the known rate, as CUBIC does
    (RFC 9438), counted in calls that had to wait more than in time. So a new limit is found within some hundred calls,
    and a known one costs few refusals.
    """

    STEEPNESS: ClassVar[float] = 0.1
    PLATEAU: ClassVar[int] = 100
    """Calls until the rate is again what it was when the provider refused."""
    CALLS_PER_S: ClassVar[float] = 5.0
    """A second counts as so many calls at least, so that a slow pace does not last."""
    SLOWEST: ClassVar[float] = 1.0
    """Calls per second beneath which the gate alone decides."""
    GUESS: ClassVar[float] = 10.0
    """Calls per second if the provider took none at all."""

    known: float | None = None
    """Calls per second that the provider took lately; None before it refused any."""
    plateau: float = PLATEAU
    """At least PLATEAU; more after a long gate, which makes a refusal dear."""
    shut_s: float = 0.0
    """For how long the gate was shut after the last refusal."""
    paced: int = 0
    """Calls since then that had to wait for their turn."""
    since: float = 0.0
    started: int = 0
    refused: int = 0
    refused_at: float | None = None
    """When the last refusal came, of which nothing was learned yet."""

    def refuse(self, begun: float, now: float, times: int = 1) -> None:
        """A call that started at `begun` was refused for coming too soon."""
        if begun >= self.since:
            self.refused += times
            if self.refused_at is None:
                self.refused_at = now

    def start(self, now: float, open_at: float, calls: int = 1) -> None:
        """Calls start. The gate was shut until `open_at`, if one was refused since the last start."""
        self.learn(open_at)
        if not self.since:
            self.since = now
        self.started += calls

    def rate(self, now: float) -> float | None:
        """Calls per second to start now; None if nothing is known."""
        return None if self.known is None else self._rate(self.known, now)

    def _rate(self, known: float, now: float) -> float:
        calls = max(self.paced, self.CALLS_PER_S * (now - self.since))
        return known * (1 + self.STEEPNESS * (calls / self.plateau - 1) ** 3)

    def learn(self, open_at: float) -> None:
        """Learn from what was refused since the last time, if anything was; the gate is shut until `open_at`."""
        # Not when the first refusal comes, for others of calls that had started by then follow it.
        if (refused_at := self.refused_at) is None:
            return
        taken = self.started - self.refused
        if taken > 0:
            seconds = max(refused_at - self.since, 1e-3)
            rate = taken / seconds
            if self.known is not None:
                # The mean since the last refusal is uncertain if it is of few calls, and too low as far as the gate
                # was shut, for what that leaves unused is saved up in part only. The pace at this refusal was too
                # high. So the truth is between them.
                trust = max(0.5, (1 - self.shut_s / seconds) * taken / (taken + 10))
                rate = rate**trust * max(rate, self._rate(self.known, refused_at)) ** (1 - trust)
            self.known = max(self.SLOWEST, rate)
            self.plateau = max(self.PLATEAU, 2 * self.known * (open_at - refused_at))
        elif self.known is None:
            self.known = self.GUESS
        self.shut_s = max(0.0, open_at - refused_at)
        self.since, self.refused_at = refused_at, None
        self.started = self.refused = self.paced = 0
