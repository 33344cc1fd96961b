"""A process among several that ask one service: what it tells, and that it keeps to what it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from themis_pacing import Breaker, Member, Pool, Share, Trouble

OUTAGE = Trouble(kind="server_error", told="server_error: HTTP 500", outage=True)


class Clock:
    """A time that passes only when it is told to, and the event loop that goes by it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    async def pass_by(self, seconds: float, step: float = 0.01) -> None:
        """Let the loop do what is due, step by step."""
        for _ in range(round(seconds / step)):
            self.now += step
            for _ in range(3):
                await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def run(story: Callable[[], Any], clock: Clock) -> Any:
    async def timed() -> Any:
        asyncio.get_running_loop().time = lambda: clock.now  # type: ignore[method-assign]
        return await story()

    return asyncio.run(timed())


def member(name: str = "a", **limits: float) -> Member:
    breaker = Breaker("it", failures=2, cooldown_s=10, max_probes=2)
    return Member(name, 8, breaker, when_short=lambda: None, **limits)


def test_no_call_has_a_place_before_the_first_word(clock: Clock) -> None:
    async def story() -> None:
        it = member()
        assert not it.limit.take()
        waiting = asyncio.create_task(it.limit.wait())
        await asyncio.sleep(0)
        assert it.is_short
        need = it.need(clock.now)
        assert need.wanted == 1
        it.take(Pool().exchange(need, 1.0), clock.now)
        await waiting
        assert (it.limit.taken, it.limit.limit, it.is_short) == (1, 8.0, False)

    run(story, clock)


def test_calls_start_within_the_windows_alone_and_spaced(clock: Clock) -> None:
    started: list[float] = []

    async def call(it: Member) -> None:
        if not it.pace.pass_now(clock.now, 0.1):
            await it.pace.wait(0.1)
        started.append(round(clock.now - 1_000.0, 3))

    async def story() -> None:
        it = member(requests_per_s=10.0)
        calls = [asyncio.create_task(call(it)) for _ in range(6)]
        await asyncio.sleep(0)
        need = it.need(clock.now)
        assert (need.asks_s, need.first_s, need.requests_per_s) == (pytest.approx(0.6), 0.1, 10.0)
        it.take(Share(8, 2, (0.5, 0.2), requests_per_s=10.0), clock.now)
        await clock.pass_by(1.5)
        assert started == pytest.approx([0.5, 0.6], abs=0.02)
        assert it.is_short  # and asks for what it needs beyond
        assert it.need(clock.now).asks_s == pytest.approx(0.6)  # four that wait, and as many as lately started
        it.take(Share(8, 2, (0.0, 0.3), requests_per_s=10.0), clock.now)
        await clock.pass_by(1.0)
        assert started[2:] == pytest.approx([1.5, 1.6, 1.7], abs=0.04)
        it.go_alone()  # the store is gone: one of two
        await clock.pass_by(1.0)
        assert len(started) == 6
        await asyncio.gather(*calls)

    run(story, clock)


def test_a_process_that_was_paused_does_not_use_what_is_past(clock: Clock) -> None:
    async def story() -> None:
        it = member(requests_per_s=10.0)
        it.take(Share(8, 1, (0.0, 5.0), requests_per_s=10.0), clock.now)
        clock.now += 20
        assert not it.pace.pass_now(clock.now, 0.1)

    run(story, clock)


def test_a_wait_is_told_once_and_an_own_longer_one_stays(clock: Clock) -> None:
    async def story() -> None:
        it = member()
        it.take(Share(8, 2, shut_s=5.0), clock.now)
        assert (it.pace.shut_until - clock.now, it.is_short) == (5.0, False)
        it.pace.hold(clock.now + 30)
        assert it.is_short
        assert it.need(clock.now).shut_s == 30.0
        assert it.need(clock.now).shut_s == 0.0
        it.lost()  # the store did not take it
        assert it.need(clock.now).shut_s == 30.0
        it.take(Share(8, 2, shut_s=3.0), clock.now)
        assert it.pace.shut_until - clock.now == 30.0

    run(story, clock)


def test_refusals_and_successes_are_told(clock: Clock) -> None:
    async def story() -> None:
        it = member()
        it.take(Share(2, 2), clock.now)
        assert it.limit.take()
        assert it.limit.take()
        it.limit.grow()
        it.limit.cut(begun=clock.now - 2, now=clock.now - 1)
        need = it.need(clock.now)
        assert (need.grown, need.cut, need.held) == (1, (1.0, 2.0), 2)
        it.take(Share(1, 2), clock.now)
        it.limit.release()
        assert not it.limit.take()  # the other one is still in flight

    run(story, clock)


def test_a_breaker_opens_for_all_and_closes_for_all(clock: Clock) -> None:
    async def story() -> None:
        pool, one, other = Pool(), member("one"), member("other")

        def exchange(it: Member) -> bool:
            return it.take(pool.exchange(it.need(clock.now), clock.now), clock.now)

        for it in (one, other):
            it.breaker.answered("m")
            exchange(it)
        for _ in range(2):
            one.breaker.failed(OUTAGE, "m", False, clock.now, clock.now)
        assert one.is_short
        assert not exchange(one)
        assert exchange(other)
        assert other.breaker.open_until == clock.now + 10
        clock.now += 5
        exchange(one), exchange(other)
        clock.now += 5
        assert [it.breaker.start_probe(clock.now) for it in (other, one)] == [False, False]  # they ask
        exchange(one), exchange(other)
        assert [it.breaker.start_probe(clock.now) for it in (other, one)] == [False, True]
        one.breaker.probing = False
        assert one.breaker.failed(OUTAGE, "m", True, clock.now, clock.now)
        exchange(one)
        assert exchange(other)
        assert other.breaker.open_until == clock.now + 20
        one.breaker.answered("m")  # one that was long under way
        exchange(one)
        assert exchange(other)
        assert (one.breaker.open_until, other.breaker.open_until, pool.open_until) == (None, None, None)

    run(story, clock)


def test_who_joins_a_service_out_of_order_probes_before_it_gives_up(clock: Clock) -> None:
    async def story() -> None:
        it = member()
        it.take(Share(8, 2, open_s=5.0, failed_probes=7), clock.now)
        assert it.breaker.why_not("m") is None
        it.take(Share(8, 2, open_s=60.0, failed_probes=8), clock.now)
        assert it.breaker.why_not("m") == "it does not answer: 8 times in a row, a probe failed"

    run(story, clock)


def test_who_leaves_has_nothing_and_asks_anew(clock: Clock) -> None:
    async def story() -> None:
        it = member(requests_per_s=1.0)
        it.take(Share(8, 1, (0.0, 9.0), requests_per_s=1.0), clock.now)
        assert it.is_idle
        it.leave()
        assert not it.limit.take()
        assert not it.pace.pass_now(clock.now, 1.0)
        assert it.need(clock.now).heard_s is None

    run(story, clock)
