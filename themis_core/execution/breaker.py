"""Stops the calls of an endpoint that fails, and lets one probe at a time find out whether it is back. No I/O."""

from __future__ import annotations

from typing import Final

from themis_core.errors import EngineError
from themis_core.specs import ExecutionPolicySpec
from themis_core.wording import counted

__all__ = ["Breaker"]

OUTAGES: Final = frozenset({"timeout", "connection", "unreachable", "proxy", "overloaded", "server_error"})
"""Codes that count towards opening the breaker."""
LASTING: Final = frozenset({"unauthorized", "forbidden", "not_found", "certificate", "tls", "redirect", "proxy"})
"""Codes that no further call of the same model would escape: they open the breaker for it at once, unless the engine
says that the call may be tried again."""
OF_ONE_REQUEST: Final = frozenset({"content_filter", "context_length", "rate_limited", "too_large", "unsupported"})
"""Codes that say nothing of the next request, or, as a rate, have a rule of their own."""
SAME_NON_ANSWERS: Final = 30
"""Failures with one code in a row, without an answer between them, after which a model is given up."""
NOT_THERE: Final = frozenset({"unreachable", "proxy", "connection"})
"""Codes by which a wrong address or a server that does not run shows itself."""
PATIENCE_S: Final = 4.0
"""Seconds for which an endpoint that was never there is tried: enough for one that is being started."""


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
        self._was_there = False
        self.absent_until: float | None = None
        """When an endpoint that was never there is given up; None if it was there, or was not called yet."""
        self._given_up: str | None = None
        self._lasting: dict[str, str] = {}
        self._spoke: set[str] = set()
        self._in_a_row: dict[str, tuple[str, int, float]] = {}
        """By model, with which code it failed in a row, how often, and since when."""

    def why_not(self, model_id: str) -> str | None:
        """Why a model is not to be called any more in this execution; None if it may be."""
        return self._given_up or self._lasting.get(model_id)

    def start_probe(self, now: float) -> bool:
        """Become the one probe, if it is time for it."""
        if self.open_until is None or self.probing or now < self.open_until:
            return False
        self.probing = True
        return True

    def answered(self, model_id: str) -> None:
        """A model gave an answer."""
        self._spoke.add(model_id)
        self._in_a_row.pop(model_id, None)
        self.succeeded()

    def succeeded(self) -> None:
        """The endpoint answered, if only with an error of the request's own."""
        self._failures = 0
        self._answered = self._was_there = True
        self.absent_until = None
        if self.open_until is not None:
            self.open_until = None
            self._failed_probes = 0
            self._cooldown = self._policy.breaker_cooldown_s

    def failed(self, error: EngineError, model_id: str, probing: bool, now: float, begun: float) -> bool:
        """Take in a failure of a call that began at `begun`; True if calls stop because of it, or stay stopped."""
        lasting = error.code in LASTING and not error.retryable
        if lasting:
            self._lasting[model_id] = f"{self._name} answered {error}"
        if lasting or error.code not in OUTAGES:
            self._count_non_answer(error, model_id, now, begun)
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
                self._given_up = (
                    f"{self._name} failed {counted(self._failures, 'time')} in a row, last with {error}{hint}"
                )
        elif self.open_until is not None or self._failures < self._policy.breaker_failures:
            return False
        self.open_until = now + self._cooldown
        if self.absent_until is not None:
            self.open_until = min(self.open_until, max(self.absent_until, now))
        return True

    def _count_non_answer(self, error: EngineError, model_id: str, now: float, begun: float) -> None:
        """Give a model up that says the same again and again, whatever it is: a page, an error, a login.

        Calls that were under way together don't do: one hiccup of a server can cost all of them.
        """
        if error.code in OF_ONE_REQUEST or (error.code == "bad_request" and model_id in self._spoke):
            return
        code, times, since = self._in_a_row.get(model_id, (error.code, 0, now))
        times, since = (times + 1, since) if code == error.code else (1, now)
        self._in_a_row[model_id] = error.code, times, since
        if times >= SAME_NON_ANSWERS and begun > since:
            told = f"{self._name} gave no answer {counted(times, 'time')} in a row, last with {error}"
            self._lasting.setdefault(model_id, told)

    def look_for(self, error: EngineError, now: float, alone: bool) -> None:
        """Give up an endpoint that was never there, once it had its time and no other call to it is under way."""
        if error.code not in NOT_THERE:
            self._was_there, self.absent_until = True, None
        elif not self._was_there and self.absent_until is None:
            self.absent_until = now + PATIENCE_S
        elif not self._was_there and alone and now >= (self.absent_until or now):
            self._given_up = f"{self._name} was not there within {PATIENCE_S:.0f} s, last with {error}"
