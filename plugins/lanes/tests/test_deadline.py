"""Deadlines of what is awaited: they measure it, and not the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress

import pytest

from themis_lanes import Deadlines, Overdue, leave_alone


class Wish(KeyboardInterrupt):
    pass


DEADLINES = Deadlines(lambda error: isinstance(error, Wish))


def test_a_deadline_waits_for_what_arrived_while_the_event_loop_stood_still() -> None:
    async def reply(arrived: threading.Event) -> str:
        loop = asyncio.get_running_loop()
        there = loop.create_future()

        def arrive() -> None:
            arrived.wait()
            loop.call_soon_threadsafe(loop.call_soon, loop.call_soon, there.set_result, "reply")

        threading.Thread(target=arrive, daemon=True).start()
        return await there  # type: ignore[no-any-return]

    async def run() -> str:
        arrived = threading.Event()

        def stand_still() -> None:
            arrived.set()
            time.sleep(0.5)

        asyncio.get_running_loop().call_later(0.05, stand_still)
        return await DEADLINES.within(0.3, lambda: reply(arrived))

    assert asyncio.run(run()) == "reply"


def test_a_deadline_holds_where_the_event_loop_is_late_and_nothing_arrives() -> None:
    async def run() -> None:
        asyncio.get_running_loop().call_later(0.05, time.sleep, 0.4)
        await DEADLINES.within(0.2, lambda: asyncio.sleep(3600))

    with pytest.raises(Overdue):
        asyncio.run(run())


def test_what_a_call_gives_is_returned_and_what_it_raises_is_raised() -> None:
    async def good() -> int:
        return 42

    async def leaves() -> None:
        raise SystemExit(3)

    async def run() -> tuple[int, BaseException | None]:
        with pytest.raises(SystemExit, match="3"):
            await DEADLINES.within(60, leaves)
        _, error = await DEADLINES.outcome(leaves)
        return await DEADLINES.within(60, good), error

    result, error = asyncio.run(run())
    assert (result, type(error)) == (42, SystemExit)


def test_what_comes_from_outside_is_no_outcome() -> None:
    async def leaves() -> None:
        raise Wish

    with pytest.raises(Wish):
        asyncio.run(DEADLINES.outcome(leaves))


def test_a_call_that_ends_when_it_is_cancelled_is_overdue_and_not_left_behind() -> None:
    with pytest.raises(Overdue) as caught:
        asyncio.run(DEADLINES.within(0.01, lambda: asyncio.sleep(3600)))
    assert not caught.value.left_behind


def test_a_call_that_swallows_its_cancellation_is_left_behind() -> None:
    async def run() -> bool:
        ends = asyncio.Event()

        async def swallows() -> None:
            while not ends.is_set():
                with suppress(asyncio.CancelledError):
                    await ends.wait()

        with pytest.raises(Overdue) as caught:
            await DEADLINES.within(0.01, swallows)
        ends.set()
        return caught.value.left_behind

    assert asyncio.run(run())


def test_tasks_that_are_left_alone_live_until_they_end() -> None:
    async def run() -> str:
        ends = asyncio.Event()
        said = []

        async def waits() -> None:
            await ends.wait()
            said.append("ended")

        leave_alone([asyncio.create_task(waits())])
        await asyncio.sleep(0)
        ends.set()
        for _ in range(3):
            await asyncio.sleep(0)
        return said[0]

    assert asyncio.run(run()) == "ended"
