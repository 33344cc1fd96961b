"""Places for calls: cut, grown, and given to who still waits. How they serve an endpoint is tested with the core."""

from __future__ import annotations

import asyncio

from themis_pacing import AdaptiveLimit


def test_a_limit_is_cut_once_per_episode_and_grows_only_while_it_is_used() -> None:
    limit = AdaptiveLimit(10)
    assert [limit.take() for _ in range(11)] == [True] * 10 + [False]
    limit.cut(begun=1.0, now=5.0)
    assert limit.limit == 8.0  # 10 · 0.8
    limit.cut(begun=4.9, now=5.1)  # began before the cut: of the same episode
    assert limit.limit == 8.0
    limit.cut(begun=5.0, now=6.0)
    assert limit.limit == 6.4
    limit.grow()  # ten places are still taken
    assert limit.limit == 6.4 + 1 / 6.4
    for _ in range(6):
        limit.release()
    before = limit.limit
    limit.grow()  # four of six are taken
    assert limit.limit == before
    limit.cut(begun=7.0, now=7.0)
    assert limit.limit == 3.2  # what was in use, 4, · 0.8
    for begun in range(8, 30):
        limit.cut(float(begun), float(begun))
    assert limit.limit == 1.0  # never none


def test_a_place_that_is_given_to_a_cancelled_call_goes_to_the_next() -> None:
    async def story() -> list[bool]:
        limit = AdaptiveLimit(1)
        assert limit.take()
        first, second = (asyncio.create_task(limit.wait()) for _ in range(2))
        await asyncio.sleep(0)
        limit.release()  # given to the first, which is cancelled before it runs again
        first.cancel()
        await asyncio.wait([first, second])
        return [first.cancelled(), second.cancelled(), limit.take()]

    assert asyncio.run(story()) == [True, False, False]
