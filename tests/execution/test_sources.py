"""Trials come in batches: few at first, so that calls begin soon, then as many as one look-up takes."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, cast

import pytest

from themis_core.execution.sources import AT_ONCE, BATCH, WholePlan
from themis_core.planning import Plan


class Numbers:
    """A plan of so many trials, which are numbers; it counts those that were made."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.made = 0

    def trials(self, endpoint: Any, labels: Any) -> Any:
        for number in range(self.count):
            self.made += 1
            yield number


def whole(plan: Numbers) -> WholePlan:
    return WholePlan(cast("Plan", plan))


@pytest.mark.parametrize("count", [0, 1, AT_ONCE, AT_ONCE + 1, 1_000])
def test_batches_grow_and_hold_every_trial_once_in_order(count: int) -> None:
    async def batches() -> list[list[Any]]:
        return [batch async for batch in whole(Numbers(count)).trials("e", ())]

    found = asyncio.run(batches())
    assert [each for batch in found for each in batch] == list(range(count))
    sizes = [len(batch) for batch in found]
    assert sizes[:-1] == [32, 64, 128, BATCH, BATCH, BATCH][: max(len(sizes) - 1, 0)]


def test_the_event_loop_has_its_turn_while_a_batch_is_made() -> None:
    plan = Numbers(4 * BATCH)
    seen: list[int] = []

    async def watch() -> None:
        while True:
            seen.append(plan.made)
            await asyncio.sleep(0)

    async def run() -> None:
        watching = asyncio.create_task(watch())
        async for _ in whole(plan).trials("e", ()):
            pass
        watching.cancel()

    asyncio.run(run())
    steps = [after - before for before, after in pairwise(seen)]
    assert max(steps) <= 2 * AT_ONCE, "a batch may end and the next one begin in one turn"
