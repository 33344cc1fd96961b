"""Stops the calls of a service that fails, and lets one probe at a time find out whether it is back. No I/O."""

from __future__ import annotations

from typing import Final

from themis_pacing.trouble import Trouble

__all__ = ["Breaker"]

SAME_NON_ANSWERS: Final = 30
"""Failures of one kind in a row, without an answer between them, after which a subject is given up."""
PATIENCE_S: Final = 4.0
"""Seconds for which a service that was never there is tried: enough for one that is being started."""


class Breaker:
    """The breaker of one service, which is asked for several subjects, such as models. Times are of `time.monotonic`.

    After `failures` outages in a row no call starts for `cooldown_s`, then one probe at a time, each time after twice
    as long. After `max_probes` the service is given up; after one, if it never answered.
    """

    def __init__(self, name: str, *, failures: int, cooldown_s: float, max_probes: int) -> None:
        self.open_until: float | None = None
        """When the next probe may start; None if calls flow."""
        self.probing = False
        """Whether a probe is in flight."""
        self.asks_probe = False
        """Whether it is time for a probe, and one may only be sent once that is allowed."""
        self._name = name
        self._may_probe: bool | None = None
        """None if nobody is asked."""
        self._opened_by = failures
        self._max_probes = max_probes
        self._first_cooldown = self._cooldown = cooldown_s
        self._failures = 0
        self._failed_probes = 0
        self._answered = False
        self._was_there = False
        self.absent_until: float | None = None
        """When a service that was never there is given up; None if it was there, or was not called yet."""
        self._given_up: str | None = None
        self._lasting: dict[str, str] = {}
        self._spoke: set[str] = set()
        self._in_a_row: dict[str, tuple[str, int, float]] = {}
        """By subject, of which kind its failures are in a row, how many, and since when."""

    def why_not(self, subject: str) -> str | None:
        """Why a subject is not to be asked for any more; None if it may be."""
        return self._given_up or self._lasting.get(subject)

    def start_probe(self, now: float) -> bool:
        """Become the one probe, if it is time for it."""
        if self.open_until is None or self.probing or now < self.open_until:
            return False
        if self._may_probe is False:
            self.asks_probe = True
            return False
        if self._may_probe:
            self._may_probe = self.asks_probe = False
        self.probing = True
        return True

    def ask_before_probes(self) -> None:
        """Send no probe from now on that was not allowed: other processes may be about to."""
        self._may_probe = False

    def allow_probe(self) -> None:
        """Allow one probe."""
        if self._may_probe is False:
            self._may_probe = True

    def open_with_others(self, until: float, failed_probes: int, *, joining: bool) -> None:
        """Others found the service out of order, and so many of their probes failed in a row.

        Who joins them sends a probe of its own before it gives the service up.
        """
        self.open_until, self.asks_probe = until, False
        most = self._most_probes()
        if joining:
            failed_probes = min(failed_probes, most)
        if failed_probes > self._failed_probes:
            self._cooldown = self._first_cooldown * 2**failed_probes
        self._failed_probes = failed_probes
        if failed_probes > most:
            self._given_up = f"{self._name} does not answer: {_times(failed_probes)} in a row, a probe failed"

    def close_with_others(self) -> None:
        """Another process got an answer."""
        self._close()

    def _close(self) -> None:
        self.open_until, self.asks_probe = None, False
        self._failures = self._failed_probes = 0
        self._cooldown = self._first_cooldown

    def _most_probes(self) -> int:
        # One that never answered is rather not there, or not at that address, than out of order for a while.
        return self._max_probes if self._answered else min(self._max_probes, 1)

    def answered(self, subject: str) -> None:
        """A subject gave an answer."""
        self._spoke.add(subject)
        self._in_a_row.pop(subject, None)
        self.succeeded()

    def succeeded(self) -> None:
        """The service answered, if only with an error of the call's own."""
        self._failures = 0
        self._answered = self._was_there = True
        self.absent_until = None
        if self.open_until is not None:
            self._close()

    def failed(self, trouble: Trouble, subject: str, probing: bool, now: float, begun: float) -> bool:
        """Take in a failure of a call that began at `begun`; True if calls stop because of it, or stay stopped."""
        if trouble.lasting:
            self._lasting[subject] = f"{self._name} answered {trouble.told}"
        if trouble.lasting or not trouble.outage:
            self._count_non_answer(trouble, subject, now, begun)
            if probing:
                self.succeeded()
            return False
        self._failures += 1
        if probing:
            self._failed_probes += 1
            self._cooldown *= 2
            if self._failed_probes > self._most_probes():
                hint = "" if self._answered else ": is a server running there?"
                times = _times(self._failures)
                self._given_up = f"{self._name} failed {times} in a row, last with {trouble.told}{hint}"
        elif self.open_until is not None or self._failures < self._opened_by:
            return False
        self.open_until = now + self._cooldown
        if self.absent_until is not None:
            self.open_until = min(self.open_until, max(self.absent_until, now))
        return True

    def _count_non_answer(self, trouble: Trouble, subject: str, now: float, begun: float) -> None:
        """Give a subject up that says the same again and again, whatever it is: a page, an error, a login.

        Calls that were under way together don't do: one hiccup of a server can cost all of them.
        """
        if trouble.of_one_call or (trouble.of_one_call_once_answered and subject in self._spoke):
            return
        kind, times, since = self._in_a_row.get(subject, (trouble.kind, 0, now))
        times, since = (times + 1, since) if kind == trouble.kind else (1, now)
        self._in_a_row[subject] = trouble.kind, times, since
        if times >= SAME_NON_ANSWERS and begun > since:
            told = f"{self._name} gave no answer {_times(times)} in a row, last with {trouble.told}"
            self._lasting.setdefault(subject, told)

    def look_for(self, trouble: Trouble, now: float, alone: bool) -> None:
        """Give up a service that was never there, once it had its time and no other call to it is under way."""
        if not trouble.absent:
            self._was_there, self.absent_until = True, None
        elif not self._was_there and self.absent_until is None:
            self.absent_until = now + PATIENCE_S
        elif not self._was_there and alone and now >= (self.absent_until or now):
            self._given_up = f"{self._name} was not there within {PATIENCE_S:.0f} s, last with {trouble.told}"


def _times(times: int) -> str:
    return "1 time" if times == 1 else f"{times} times"
