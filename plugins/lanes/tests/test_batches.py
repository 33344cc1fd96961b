"""Batches of calls: what is made together, what is made apart, and when nothing is made any more."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from themis_lanes import Batches, Crashed, GivenUp, Overdue, Record, switching


def outcomes(batches: Batches[int], calls: Sequence[int]) -> list[Any]:
    async def ask() -> list[Any]:
        return await asyncio.gather(*(batches.add(each) for each in calls), return_exceptions=True)

    return asyncio.run(ask())


def test_calls_are_made_together_and_each_gets_its_own_result() -> None:
    made = list[list[int]]()

    async def make(calls: Sequence[int]) -> list[int]:
        made.append([*calls])
        return [-each for each in calls]

    assert outcomes(Batches(3, make, "many", lambda error: False), range(5)) == [0, -1, -2, -3, -4]
    assert made == [[0, 1, 2], [3, 4]]


def test_a_batch_that_fails_is_halved_until_what_fails_is_alone() -> None:
    made = list[list[int]]()

    async def make(calls: Sequence[int]) -> list[int]:
        made.append([*calls])
        if 2 in calls:
            raise ValueError("two")
        return [*calls]

    found = outcomes(Batches(4, make, "many", lambda error: False), range(4))
    assert (found[:2], found[3], str(found[2])) == ([0, 1], 3, "two")
    assert made == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]


def test_what_leaves_a_thread_behind_is_found_one_by_one() -> None:
    made = list[int]()

    async def make(calls: Sequence[int]) -> list[int]:
        made.append(len(calls))
        if 2 in calls:
            raise Overdue(1.0, left_behind=True)
        return [*calls]

    outcomes(Batches(4, make, "many", lambda error: False), range(4))
    assert made == [4, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (7, "many returned int, not a list of results"),
        ([7], "many returned a list of length 1, not 2, one for each call"),
    ],
)
def test_what_is_no_list_of_results_fails_all_and_is_not_tried_again(returned: Any, told: str) -> None:
    made = 0

    async def make(calls: Sequence[int]) -> Any:
        nonlocal made
        made += 1
        return returned

    found = outcomes(Batches(2, make, "many", lambda error: False), range(2))
    assert [(type(each), str(each)) for each in found] == [(TypeError, told)] * 2
    assert made == 1


def test_what_was_given_up_is_not_tried_in_parts() -> None:
    made = 0

    async def make(calls: Sequence[int]) -> Any:
        nonlocal made
        made += 1
        raise GivenUp("not called")

    assert [str(each) for each in outcomes(Batches(2, make, "many", lambda error: False), range(2))] == [
        "not called"
    ] * 2
    assert made == 1


def test_a_record_says_when_to_call_no_more() -> None:
    record = Record()
    for _ in range(2):
        record.add(Overdue(1.0, left_behind=True))
    assert record.why_given_up() == ""
    record.add(Overdue(1.0, left_behind=True))
    assert record.why_given_up() == "3 calls were left behind, as they can't be ended in a thread"
    record.came_back()
    assert record.why_given_up() == ""
    for _ in range(10):
        record.add(Crashed("killed"))
    assert record.why_given_up() == "call after call took too long or ended its process"


@pytest.mark.parametrize("error", [Crashed("killed"), Overdue(1.0)])
def test_a_batch_that_is_made_again_in_parts_is_counted_where_it_is_one_call(error: Crashed | Overdue) -> None:
    record = Record()
    for _ in range(20):
        record.add(error, in_parts=True)
    assert record.why_given_up() == ""
    for _ in range(10):
        record.add(error)
    assert record.why_given_up() == "call after call took too long or ended its process"


@pytest.mark.parametrize(
    ("error", "count"), [(Overdue(1.0, left_behind=True), 3), (Crashed("its process was not ready within 600 s"), 2)]
)
def test_a_batch_is_counted_whose_parts_would_take_as_much(error: Crashed | Overdue, count: int) -> None:
    record = Record()
    for _ in range(count):
        assert record.why_given_up() == ""
        record.add(error, in_parts=True)
    assert record.why_given_up() != ""


def test_threads_take_turns_as_before_after_the_last_one_left() -> None:
    before = sys.getswitchinterval()
    switching.enter()
    switching.enter()
    assert sys.getswitchinterval() == pytest.approx(min(0.0005, before))
    switching.leave()
    assert sys.getswitchinterval() == pytest.approx(min(0.0005, before))
    switching.leave()
    assert sys.getswitchinterval() == pytest.approx(before)
