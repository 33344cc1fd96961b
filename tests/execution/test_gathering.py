"""What ends about the same time is saved as one; an error reaches all of it, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from themis_core import StorageError
from themis_core.execution import gathering
from themis_core.execution.gathering import Gathering


class Saved:
    """Notes the groups that are saved; raises `error` if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.groups: list[list[int]] = []
        self.error = error

    async def __call__(self, group: Sequence[int]) -> None:
        self.groups.append(list(group))
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error


def saved_together(saved: Saved, numbers: Sequence[int]) -> list[BaseException | None]:
    async def run() -> list[BaseException | None]:
        gathered = Gathering(saved)
        return await asyncio.gather(*(gathered.save(each) for each in numbers), return_exceptions=True)

    return asyncio.run(run())


def test_what_ends_together_is_saved_as_one() -> None:
    saved = Saved()
    assert saved_together(saved, range(5)) == [None] * 5
    assert saved.groups == [[0, 1, 2, 3, 4]]


def test_a_full_group_waits_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "LONGEST_S", 3600)
    saved = Saved()
    saved_together(saved, range(2 * gathering.MOST))
    assert [len(each) for each in saved.groups] == [gathering.MOST] * 2
    assert sorted(number for group in saved.groups for number in group) == list(range(2 * gathering.MOST))


def test_what_ends_later_is_a_group_of_its_own() -> None:
    async def run() -> None:
        gathered = Gathering(saved)
        await gathered.save(1)
        await gathered.save(2)

    saved = Saved()
    asyncio.run(run())
    assert saved.groups == [[1], [2]]


def test_an_error_reaches_each_of_the_group_and_no_other() -> None:
    broken = StorageError("the disk is full")
    saved = Saved(broken)
    assert saved_together(saved, range(3)) == [broken] * 3
    saved.error = None

    async def run() -> None:
        gathered = Gathering(saved)
        saved.error = broken
        with pytest.raises(StorageError):
            await gathered.save(1)
        saved.error = None
        await gathered.save(2)

    asyncio.run(run())


def test_nobody_waits_for_a_group_whose_first_one_is_cancelled() -> None:
    async def run() -> list[BaseException | None]:
        gathered = Gathering(saved)
        tasks = [asyncio.ensure_future(gathered.save(each)) for each in range(3)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)

    saved = Saved()
    assert all(isinstance(each, asyncio.CancelledError) for each in asyncio.run(run()))
    assert saved.groups == []
