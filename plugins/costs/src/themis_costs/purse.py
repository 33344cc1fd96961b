"""One limit of cost that several processes spend together. Pure: no clock, no I/O.

The purse is kept where all reach it. Each process holds a part of it, from which it reserves what its calls can cost at
most, and asks for more when that is too little. What all hold together is never more than the limit, so calls in flight
overspend nothing, whichever process makes them. Of one that died, all that it held counts as spent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

__all__ = ["HOLDS_S", "Purse", "PurseNeed", "PursePart", "PurseShare"]

HOLDS_S: Final = 10.0
"""Seconds without a word after which a process is taken for dead, and after which it spends nothing itself."""
KEEPS_S: Final = 1.0
"""Seconds for which a process keeps what it was given for a call: whoever waits looks now and then only."""
AHEAD: Final = 8
"""For how many calls like the one that it needs it for, a process is given at once, if there is plenty."""


@dataclass(frozen=True, slots=True)
class PurseNeed:
    """What a process says."""

    member: str
    limit: float
    before: float
    """What was spent when it began, by all that is stored: counts if nobody else is there."""
    spent: float
    """By itself, at most."""
    held: float
    """What it has spent, reserved, and keeps for its next calls."""
    wants: float = 0.0
    """Beyond that, for one call; infinite for one of which nothing is known."""
    heard_s: float | None = None
    """Seconds since it was told, by its own clock; None if it never was."""
    looked: tuple[float, frozenset[str]] | None = None
    """It begins, and looked so many seconds ago who is alive: the names of members up to their last space."""


@dataclass(frozen=True, slots=True)
class PurseShare:
    """What it is told."""

    held: float
    left: float
    """Of the limit, by what all have spent: no call can have more, however the others' end."""
    limit: float
    """The smallest of all processes."""
    rest: float
    """What was handed to it beyond what it held."""
    lost: float = 0.0
    """What counts as spent though nobody knows whether it was: held by processes that died or stand still."""


@dataclass(slots=True)
class _Seat:
    seen: float
    limit: float
    spent: float
    held: float


@dataclass(slots=True)
class Purse:
    """What all processes hold of the limit."""

    base: float = 0.0
    """Spent by those who are not there any more."""
    at: float = 0.0
    lost: float = 0.0
    """Of `base`: what those held who died, beyond what they had spent."""
    seats: dict[str, _Seat] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: Mapping[str, Any] | None) -> Purse:
        """The purse that was kept as plain data; a new one for None."""
        if plain is None:
            return cls()
        seats = {name: _Seat(**each) for name, each in plain["seats"].items()}
        return cls(plain["base"], plain["at"], plain.get("lost", 0.0), seats)

    def plain(self) -> dict[str, Any]:
        """As plain data, to keep."""
        return asdict(self)

    def exchange(self, need: PurseNeed, now: float) -> PurseShare:
        """Take in what a process spent and keeps, and give it what it wants, as far as that is there."""
        self._set_clock(need, now)
        if need.looked is not None:
            self._bury(*need.looked, now)
        if not self.seats:
            # The calls of those who died are known by now, or nobody will ever know them.
            if need.looked is not None:
                self.base, self.lost = need.before, 0.0
            else:
                self.base = max(self.base, need.before)
        others = [each for name, each in self.seats.items() if name != need.member]
        limit = min([need.limit, *(each.limit for each in others if now - each.seen <= HOLDS_S)])
        seat = self.seats[need.member] = _Seat(now, need.limit, need.spent, need.held)
        room = max(0.0, limit - self.base - sum(each.held for each in self.seats.values()))
        rest = 0.0
        # The same tolerance as whoever waits: what it takes for enough must not be refused for the last digit.
        if room > 0 and (need.wants <= room * (1 + 1e-9) or math.isinf(need.wants)):
            # Some more than is needed spares an exchange for each call; the last of it is given as it is needed.
            rest = min(room, max(need.wants, min(need.wants * AHEAD, room / (4 * len(self.seats)))))
        seat.held += rest
        left = limit - self.base - sum(self._spent(each, now) for each in self.seats.values())
        silent = sum(self._spent(each, now) - each.spent for each in self.seats.values())
        return PurseShare(seat.held, left, limit, rest, self.lost + silent)

    def _bury(self, looked_s: float, living: frozenset[str], now: float) -> None:
        """Forget those who are known to be dead; what they held counts as spent as long as others are there."""
        kept = {
            name: each
            for name, each in self.seats.items()
            if name.rpartition(" ")[0] in living or each.seen >= now - looked_s
        }
        dead = [each for name, each in self.seats.items() if name not in kept]
        self.base += sum(each.held for each in dead)
        self.lost += sum(each.held - each.spent for each in dead)
        self.seats = kept

    def leave(self, need: PurseNeed) -> None:
        """Forget a process that has nothing under way; what it spent stays spent."""
        if self.seats.pop(need.member, None) is not None:
            self.base += need.spent

    def _set_clock(self, need: PurseNeed, now: float) -> None:
        """Nobody is dead because the clock jumped: back, or forth by far more than a process's own knows of."""
        passed, seat = now - self.at, self.seats.get(need.member)
        jump = min(passed, 0.0)
        if passed > HOLDS_S and seat is not None and need.heard_s is not None:
            jump = now - seat.seen - need.heard_s
        if jump < 0 or jump > HOLDS_S:
            for each in self.seats.values():
                each.seen += jump
        self.at = now

    @staticmethod
    def _spent(seat: _Seat, now: float) -> float:
        return seat.spent if now - seat.seen <= HOLDS_S else seat.held


class PursePart:
    """One process's part: what it may reserve from. Times are of `time.monotonic`."""

    def __init__(
        self, member: str, limit: float, before: float, spent: float, when_short: Callable[[], object]
    ) -> None:
        """`before`: spent by earlier executions. `spent`: by this one, before it had a part. `when_short` is called
        when `is_short` may have become true."""
        self.limit = limit
        self.left = math.inf
        """What one call can have at most, as far as this process was told."""
        self.lost = 0.0
        """As of `PurseShare`."""
        self.wants = 0.0
        self.looked: tuple[float, frozenset[str]] | None = None
        """To be set, before the first word, to when it looked who is alive, and what it found."""
        self._own_limit = limit
        self._member = member
        self._before = before + spent
        self._spent_before = spent
        self._held = 0.0
        self._free = 0.0
        """What it told that it keeps for its next calls."""
        self._has_rest = False
        self._given = 0.0
        """What was wanted and given last, at `_given_at`: free for a call for some time, or it would go to and fro."""
        self._given_at = -math.inf
        self._is_denied = False
        self._when_short = when_short
        self._heard_at = -math.inf
        self._last_spent = 0.0

    def take(self, most: float | None, spent: float, reserved: float, now: float) -> float | None:
        """Reserve for a call that can cost so much, or for one of which nothing is known; None if it has to wait."""
        free = self._held - (spent - self._spent_before) - reserved
        fresh = now - self._heard_at <= HOLDS_S
        if most is None:
            if fresh and self._has_rest and free > 0:
                self._has_rest = False
                return free
            self._ask(math.inf)
            return None
        if fresh and most <= free * (1 + 1e-9):
            self._has_rest = False
            return most
        self._ask(most)
        return None

    def _ask(self, wants: float) -> None:
        self.wants = max(self.wants, wants)
        self._when_short()

    @property
    def is_short(self) -> bool:
        """Whether to tell at once what it wants; where that was refused, it waits until others give some back."""
        return self.wants > 0 and not self._is_denied

    def need(self, spent: float, reserved: float, now: float, *, keeps: bool = True) -> PurseNeed:
        """What to tell now: it gives back what it does not `keep` for as much as it spent since it last told."""
        own = spent - self._spent_before
        lately, self._last_spent = own - self._last_spent, own
        needed = own + reserved
        if now - self._given_at > KEEPS_S:
            self._given, self._has_rest = 0.0, False
        spare = max(2 * lately, self._given) if keeps else 0.0
        self._held = max(needed, min(self._held, needed + spare))
        # Of what it wants whole, it keeps no part: two who wait for each other's would wait for ever.
        self._free = self._held - needed
        wants, self.wants = max(0.0, self.wants - self._free), 0.0
        heard_s = None if math.isinf(self._heard_at) else now - self._heard_at
        looked = None if self.looked is None else (now - self.looked[0], self.looked[1])
        self.looked = None
        return PurseNeed(self._member, self._own_limit, self._before, own, self._held, wants, heard_s, looked)

    def hear(self, share: PurseShare, asked: PurseNeed, now: float) -> None:
        """Go by what was told to what was asked."""
        self._held += share.rest
        self._is_denied = asked.wants > 0 and not share.rest
        if asked.wants > 0 and share.rest > 0:
            self._given, self._given_at = self._free + asked.wants, now
            self._has_rest = math.isinf(asked.wants)
        self.left, self.limit, self.lost, self._heard_at = share.left, share.limit, share.lost, now
