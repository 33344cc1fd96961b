"""Stops the calls of an endpoint that fails, and lets one probe at a time find out whether it is back. No I/O."""

from __future__ import annotations

from typing import Final

from themis_core.errors import EngineError
from themis_core.specs import ExecutionPolicySpec

__all__ = ["Breaker"]

OUTAGES: Final = frozenset({"timeout", "connection", "overloaded", "server_error"})
"""Codes that count towards opening the breaker."""
LASTING: Final = frozenset({"unauthorized", "forbidden", "not_found"})
"""Codes that no further call of the same model would escape: they open the breaker for it at once."""


class Breaker:
    """The breaker of one endpoint. Times are of `time.monotonic`."""

    def __init__(self, name: str, policy: ExecutionPolicySpec) -> None:
        self.open_until: float | None = None
        """When the next probe may start; None if calls flow."""
        self.probing = False
        """Whether a probe is in flight."""
        self._name = name
        self._policy = policy
        self._cooldown = policy.breaker_cooldown_s
        self._failures = 0
        self._failed_probes = 0
        self._answered = False
        self._given_up: str | None = None
        self._lasting: dict[str, str] = {}

    def why_not(self, model_id: str) -> str | None:
        """Why a model is not to be called any more in this execution; None if it may be."""
        return self._given_up or self._lasting.get(model_id)

    def start_probe(self, now: float) -> bool:
        """Become the one probe, if it is time for it."""
        if self.open_until is None or self.probing or now < self.open_until:
            return False
        self.probing = True
        return True

    def succeeded(self) -> None:
        """The endpoint answered, if only with an error of the request's own."""
        self._failures = 0
        self._answered = True
        if self.open_until is not None:
            self.open_until = None
            self._failed_probes = 0
            self._cooldown = self._policy.breaker_cooldown_s

    def failed(self, error: EngineError, model_id: str, probing: bool, now: float) -> bool:
        """Take in a failure; True if calls stop because of it, or stay stopped."""
        if error.code in LASTING:
            self._lasting[model_id] = f"{self._name} answered {error}"
        if error.code not in OUTAGES:
            if probing:
                self.succeeded()
            return False
        self._failures += 1
        if probing:
            self._failed_probes += 1
            self._cooldown *= 2
            # One that never answered is rather not there, or not at that address, than out of order for a while.
            most = self._policy.breaker_max_probes if self._answered else min(self._policy.breaker_max_probes, 1)
            if self._failed_probes > most:
                hint = "" if self._answered else ": is a server running there?"
                self._given_up = f"{self._name} failed {self._failures} times in a row, last with {error}{hint}"
        elif self.open_until is not None or self._failures < self._policy.breaker_failures:
            return False
        self.open_until = now + self._cooldown
        return True
