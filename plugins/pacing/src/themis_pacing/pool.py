"""What the processes that ask one service know together, and what each of them may do next. Pure: no clock, no I/O.

Each process is a member. It says now and then what it needs and what it met, and is told its share:

    need ─▶ the pool, at one moment of the store's clock ─▶ share, and the pool as it is then

All times in a pool are of one clock, the store's. Members say and are told durations, for their clocks may differ by
hours. A member that says nothing for `FORGOTTEN_S` is gone, and what it held is for the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from themis_pacing.learning import LearnedRate

__all__ = ["FORGOTTEN_S", "Need", "Pool", "Share"]

FORGOTTEN_TIMES: Final = 10
"""So many times a learned rate, calls need not be spaced any more."""
FORGOTTEN_S: Final = 10.0
"""Seconds after which a member that said nothing is gone."""
AHEAD_S: Final = 0.75
"""Seconds from now in which starts of calls are handed out; a member asks again within less."""
DECREASE: Final = 0.8


@dataclass(frozen=True, slots=True)
class Need:
    """What a member says of itself. Durations are in seconds by its own clock."""

    member: str
    most: int
    """Calls in flight that its own policy allows the service in all."""
    heard_s: float | None = None
    """Since it was told its share; None if it never was."""
    wanted: int = 0
    """Its calls that are in flight or wait for a place."""
    held: int = 0
    """Places that it may fill until it is told again; what is in flight at least."""
    grown: int = 0
    """Calls since then that succeeded while all its places were in use."""
    cut: tuple[float, float] | None = None
    """How long ago a call was one too many, without a word for how long, and how long ago that one began."""
    requests_per_s: float | None = None
    """Its own limit of calls started; None if it has none."""
    tokens_per_s: float | None = None
    asks_s: float = 0.0
    """Seconds of the service's whole rate that its calls that wait would take."""
    first_s: float = 0.0
    """Those of the first of them."""
    asks_calls: int = 0
    """How many these calls are."""
    started: tuple[int, float] | None = None
    """Calls that started since it was told its share, and how long ago the first of them did."""
    paced: int = 0
    """Those of them that had to wait for their turn."""
    refused: tuple[int, float, float] | None = None
    """Calls that came too soon, with a word for how long to wait; how long ago the first of these was refused, and how
    long ago it began."""
    shut_s: float = 0.0
    """For how long the service asked it to send nothing."""
    opened_s: float | None = None
    """Its breaker has opened, or stays open after a failed probe: until the next probe."""
    closed: bool = False
    """Its breaker was open, and the service has answered."""
    asks_probe: bool = False
    """It has calls that wait for the breaker, and would send a probe."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a member is told. Durations are in seconds from when it hears it."""

    places: int
    """Calls that it may have in flight from now on; those above that are in flight end by themselves."""
    members: int
    """How many there are, itself included."""
    window: tuple[float, float] | None = None
    """When the time begins in which it may start calls at the whole rate, and how long it lasts; None: not yet."""
    requests_per_s: float | None = None
    """The smallest limit of all members."""
    tokens_per_s: float | None = None
    learned_per_s: float | None = None
    """Calls a second that the service seems to take from all; None if it refused none lately."""
    shut_s: float = 0.0
    open_s: float | None = None
    """Until the next probe, which is not this member's to send unless `probe`; None if calls flow."""
    failed_probes: int = 0
    probe: bool = False
    """It is this member's to send a probe now."""
    most: int = 0
    """Calls in flight in all: the fewest that a member's policy allows."""


@dataclass(slots=True)
class _Seat:
    """A member, as the pool knows it."""

    seen: float
    most: int
    wanted: int = 0
    held: int = 0
    served: float = 0.0
    """When it last had a place."""
    asks_s: float = 0.0
    """Seconds of the service's time that it waits for."""
    had: float = 0.0
    """Seconds of the service's time that it was given."""
    requests_per_s: float | None = None
    tokens_per_s: float | None = None


@dataclass(slots=True)
class Pool:
    """One service, as its members know it together."""

    at: float = 0.0
    """When a member last said anything."""
    limit: float | None = None
    """Places in all, if refusals have made them fewer than the policies say."""
    cut_at: float = 0.0
    next_at: float = 0.0
    """Until when starts are handed out."""
    shut_until: float = 0.0
    open_until: float | None = None
    failed_probes: int = 0
    prober: str | None = None
    rate: LearnedRate = field(default_factory=LearnedRate)
    seats: dict[str, _Seat] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: Mapping[str, Any] | None) -> Pool:
        """The pool that was kept as plain data; a new one for None."""
        if plain is None:
            return cls()
        seats = {name: _Seat(**each) for name, each in plain["seats"].items()}
        return cls(**{**plain, "seats": seats, "rate": LearnedRate(**plain["rate"])})

    def plain(self) -> dict[str, Any]:
        """As plain data, to keep."""
        return asdict(self)

    def leave(self, member: str) -> None:
        """Forget a member that has nothing in flight."""
        self.seats.pop(member, None)
        if self.prober == member:
            self.prober = None

    def exchange(self, need: Need, now: float) -> Share:
        """Take in what a member needs and met, and tell it its share. `now` is of the store's clock."""
        self._set_clock(need, now)
        self._forget(now)
        told_at = self.seats[need.member].seen if need.member in self.seats else 0.0
        seat = self.seats.setdefault(need.member, _Seat(now, need.most, served=now))
        seat.seen, seat.most, seat.wanted = now, need.most, need.wanted
        seat.held = max(need.held, 0)
        seat.requests_per_s, seat.tokens_per_s = need.requests_per_s, need.tokens_per_s
        self.shut_until = max(self.shut_until, now + need.shut_s)
        self._learn_places(need, told_at, now)
        self._learn_rate(need, told_at, now)
        self._break(need, now)
        probe = self._give_probe(need, now)
        return Share(
            places=self._give_places(need.member, seat, now),
            members=len(self.seats),
            most=self._most(),
            window=self._give_window(need, seat, now),
            requests_per_s=_smallest(each.requests_per_s for each in self.seats.values()),
            tokens_per_s=_smallest(each.tokens_per_s for each in self.seats.values()),
            learned_per_s=self._learned(now),
            shut_s=max(0.0, self.shut_until - now),
            open_s=None if self.open_until is None else max(0.0, self.open_until - now),
            failed_probes=self.failed_probes,
            probe=probe,
        )

    def _set_clock(self, need: Need, now: float) -> None:
        """Move all times along if the clock jumped: back, or forth by far more than the member's clock knows of.

        A member that slept tells nothing of the clock as long as another one was there meanwhile.
        """
        passed = now - self.at
        seat = self.seats.get(need.member)
        if self.at == 0.0:
            jump = 0.0
        elif passed < 0:
            jump = passed
        elif passed > FORGOTTEN_S and seat is not None and need.heard_s is not None:
            jump = (now - seat.seen) - need.heard_s
            jump = jump if jump > FORGOTTEN_S else 0.0
        else:
            jump = 0.0
        if jump:
            self.cut_at += jump
            self.next_at += jump
            self.shut_until += jump
            self.rate.since += jump if self.rate.since else 0.0
            if self.open_until is not None:
                self.open_until += jump
            for each in self.seats.values():
                each.seen += jump
                each.served += jump
        self.at = now

    def _forget(self, now: float) -> None:
        for name in [name for name, each in self.seats.items() if now - each.seen > FORGOTTEN_S]:
            self.leave(name)
        if not self.seats:
            # What a service did when nobody is left who saw it says nothing of now; that it is to be let alone does.
            self.limit, self.open_until, self.failed_probes = None, None, 0

    def _most(self) -> int:
        return min(each.most for each in self.seats.values())

    def _learn_places(self, need: Need, told_at: float, now: float) -> None:
        """Additive increase, multiplicative decrease over all members; one cut for all refusals of one episode."""
        most = self._most()
        if need.grown and self.limit is not None:
            self.limit += need.grown / self.limit
        if need.cut is not None:
            ago, begun_ago = need.cut
            if now - begun_ago >= self.cut_at and (told_at >= self.cut_at or not self.cut_at):
                self.cut_at = now - ago
                used = sum(min(each.held, each.wanted) for each in self.seats.values())
                self.limit = max(1.0, min(most if self.limit is None else self.limit, float(used)) * DECREASE)
        if self.limit is not None and self.limit >= most:
            self.limit = None

    def _learn_rate(self, need: Need, told_at: float, now: float) -> None:
        rate = self.rate
        times, ago, begun_ago = need.refused or (0, 0.0, 0.0)
        # Who was not told of a refusal goes on for a while: that is no other one, and says nothing of a rate.
        is_news = times > 0 and (rate.known is None or told_at >= rate.since)
        if need.started is not None:
            calls, since_s = need.started
            rate.since = rate.since or now - since_s
            rate.started += calls if is_news else max(0, calls - times)
            rate.paced += need.paced
        if is_news:
            rate.refuse(now - begun_ago, now - ago, times)
            rate.learn(self.shut_until)

    def _learned(self, now: float) -> float | None:
        rate = self.rate.rate(now)
        return None if rate is None or rate > FORGOTTEN_TIMES * (self.rate.known or 0.0) else rate

    def _places(self) -> int:
        return self._most() if self.limit is None else min(self._most(), int(self.limit))

    def _give_places(self, member: str, seat: _Seat, now: float) -> int:
        """Places for a member: what it wants, as far as the others leave it a fair part; what nobody wants is spread.

        With fewer places than members, those who have had none for longest get the next.
        """
        if seat.held or not seat.wanted:
            seat.served = now
        fair = _fair(self._places(), self.seats)[member]
        if fair > seat.held:
            others = sum(each.held for name, each in self.seats.items() if name != member)
            # What another is to give up is given only once it has said that it did.
            seat.held = fair = max(seat.held, min(fair, self._places() - others))
        return fair

    def _give_window(self, need: Need, seat: _Seat, now: float) -> tuple[float, float] | None:
        """The next stretch of the service's time for a member, in which it alone starts calls."""
        learned = self._learned(now)
        spacing = 0.0 if learned is None else 1 / learned
        asks_s, first_s = need.asks_s or need.asks_calls * spacing, max(need.first_s, spacing)
        others = [each for each in self.seats.values() if each.asks_s > 0 and each is not seat]
        if asks_s > 0 and not seat.asks_s and others:
            seat.had = max(seat.had, min(each.had for each in others))  # what it left to others is no claim
        seat.asks_s = asks_s
        begin = max(self.next_at, self.shut_until, now)
        room = now + AHEAD_S - begin
        if not asks_s or room <= 0:
            return None
        part = _level([seat, *others], room) - seat.had
        if part < first_s and any(each.had < seat.had for each in others):
            return None
        length = max(first_s, min(asks_s, part, AHEAD_S / (1 + len(others))))
        self.next_at = begin + length
        seat.had += length
        seat.asks_s = asks_s - length if asks_s - length > 1e-6 else 0.0
        return begin - now, length

    def _break(self, need: Need, now: float) -> None:
        """Open the breaker for all, or close it; the first who opens it says for how long, and then who probes."""
        if need.closed:
            self.open_until, self.failed_probes, self.prober = None, 0, None
        elif need.opened_s is not None:
            if self.prober == need.member:
                self.failed_probes, self.prober = self.failed_probes + 1, None
            elif self.open_until is not None:
                return
            self.open_until = now + need.opened_s

    def _give_probe(self, need: Need, now: float) -> bool:
        if not need.asks_probe or self.open_until is None or now < max(self.open_until, self.shut_until):
            return False
        if self.prober is None:  # one that is gone was forgotten, and so is its probe
            self.prober = need.member
        return self.prober == need.member


def _level(seats: Sequence[_Seat], room: float) -> float:
    """How much each has had once `room` went to those who had least, to none more than it asks for."""
    bends = sorted([(each.had, 1) for each in seats] + [(each.had + each.asks_s, -1) for each in seats])
    level, slope = bends[0][0], 0
    for at, change in bends:
        if slope and (at - level) * slope >= room:
            return level + room / slope
        room -= (at - level) * slope
        level, slope = at, slope + change
    return level


def _smallest(values: Any) -> float | None:
    return min((each for each in values if each is not None), default=None)


def _fair(places: int, seats: Mapping[str, _Seat]) -> dict[str, int]:
    """Places by member: max-min fair by what each wants, what is left over in equal parts on top.

    Source: D. Bertsekas and R. Gallager, "Data Networks", 1992, section 6.5.2. Of what can't be divided, whoever had a
    place least lately gets the first.
    """
    order = sorted(seats, key=lambda name: (seats[name].served, name))
    given = dict.fromkeys(order, 0)
    left = places
    open_to = [name for name in order if seats[name].wanted]
    while left and open_to:
        each = max(1, left // len(open_to))
        for name in open_to:
            more = min(each, seats[name].wanted - given[name], left)
            given[name] += more
            left -= more
        open_to = [name for name in open_to if given[name] < seats[name].wanted]
    for number, name in enumerate(order):
        given[name] += left // len(order) + (number < left % len(order))
    return given
