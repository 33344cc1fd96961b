"""Endpoints of several executions that share limits and budget through one store, here one in memory."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import (
    Engine,
    EngineError,
    ExecutionPolicySpec,
    Generation,
    LiveChange,
    PriceSpec,
    Request,
    StorageError,
    Store,
    Usage,
)
from themis_core.execution import Endpoint, limits
from themis_core.execution.limits import SharedLimits
from themis_core.testing.memory import MemoryStorage, MemoryStore
from themis_costs import Budget, PursePart, PurseShare, Stopped

PRICE = PriceSpec(input_per_million=1_000_000.0, output_per_million=2_000_000.0)
"""One of an input token, two of an output token: what a request here costs at most is 6 · 1 + 1 · 2 = 8; it costs 3."""
Act = Callable[[], Generation]


class Writer:
    """As the run's: look-ups in a thread, one after the other."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, look: Callable[[Store], Any]) -> Any:
        return await asyncio.to_thread(look, self._store)


class Answers(Engine):
    """Answers after 10 ms, or raises."""

    async def generate(self, request: Request) -> Generation:
        UNDER_WAY.append(request.item_id)
        MOST.append(len(UNDER_WAY))
        try:
            await asyncio.sleep(0.01)
        finally:
            UNDER_WAY.remove(request.item_id)
        if FAILING:
            raise EngineError(FAILING[0], "it fails", retryable=True)
        return Generation("answered", text="yes", usage=Usage(1, 1))


UNDER_WAY: list[str] = []
MOST: list[int] = []
FAILING: list[str] = []


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (UNDER_WAY, MOST, FAILING):
        each.clear()
    monkeypatch.setattr(limits, "EVERY_S", 0.02)
    monkeypatch.setattr(limits, "GAP_S", 0.005)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return MemoryStorage().open(tmp_path)


class Desk:
    """One execution's endpoint. `calls` makes so many, all at once."""

    def __init__(self, store: Store, name: str = "here", **policy: Any) -> None:
        self.policy = ExecutionPolicySpec.model_validate({"share_limits": True, "max_retries": 0, **policy})
        self.budget = Budget(self.policy)
        self.shared = SharedLimits(Writer(store), self.policy, self.budget, "run")  # type: ignore[arg-type]
        slots = asyncio.Semaphore(self.policy.max_in_flight_work_items)
        self.endpoint = Endpoint(name, self.policy, slots, self.budget, shared=self.shared)

    @asynccontextmanager
    async def open(self) -> Any:
        await self.shared.begin()
        watching = asyncio.create_task(self.shared.watch())
        try:
            yield self
        finally:
            watching.cancel()
            await self.shared.end()

    async def calls(self, count: int, price: PriceSpec | None = None) -> list[str]:
        async def each(number: int) -> str:
            message = [{"role": "user", "content": "question 00"}]
            request = Request("m", message, {"max_tokens": 1}, str(number), key=f"k{number}")
            try:
                return (await self.endpoint.call(Answers(), request, price)).error_code or "ok"
            except Stopped:
                return "stopped"

        async with self.open():
            return await asyncio.gather(*map(each, range(count)))


def test_two_executions_have_no_more_in_flight_than_one_is_allowed(store: Store) -> None:
    async def story() -> list[list[str]]:
        return await asyncio.gather(*(Desk(store, max_in_flight_per_endpoint=4).calls(40) for _ in range(2)))

    assert asyncio.run(story()) == [["ok"] * 40] * 2
    assert max(MOST) == 4


def test_executions_of_other_accounts_share_nothing(store: Store) -> None:
    async def story() -> None:
        policy = {"max_in_flight_per_endpoint": 4}
        await asyncio.gather(*(Desk(store, share_limits_as=name, **policy).calls(40) for name in ("one", "two")))

    asyncio.run(story())
    assert max(MOST) > 4


def test_no_execution_spends_what_another_one_holds(store: Store) -> None:
    async def story() -> tuple[list[list[str]], list[Budget]]:
        desks = [Desk(store, max_cost=100.0, max_in_flight_work_items=4) for _ in range(3)]
        return await asyncio.gather(*(desk.calls(30, PRICE) for desk in desks)), [desk.budget for desk in desks]

    outcomes, budgets = asyncio.run(story())
    answered = sum(each.count("ok") for each in outcomes)
    assert sum(each.cost.most for each in budgets) == 3.0 * answered
    assert 3.0 * answered <= 100.0
    assert answered >= 29  # no further call of 8 fits beside 93
    assert all(each.exhausted for each in budgets)
    assert {(each.stopped or "").split(":")[0] for each in budgets} == {"max_cost reached"}


def test_a_process_that_was_killed_is_not_taken_for_the_one_that_has_its_host_and_number_now(store: Store) -> None:
    """As the first process of a container has them, each time that it is started."""

    async def story() -> list[str]:
        killed, late = Desk(store, max_cost=30.0), Desk(store, max_cost=30.0)
        with store.lock_run("run", "1/2"):
            await killed.shared.begin()
            assert killed.budget.part is not None
            killed.budget.part.wants = 30.0
            await killed.shared._exchange([])  # it holds all there is, and is not heard of any more
        with store.lock_run("run", "1/2"):
            return await late.calls(3, PRICE)

    assert asyncio.run(asyncio.wait_for(story(), 20)) == ["ok"] * 3


def test_what_lost_processes_held_is_told_apart_when_it_ends_the_run() -> None:
    budget = Budget(ExecutionPolicySpec(max_cost=30.0))
    budget.part = PursePart("me", 30.0, 0.0, 0.0, lambda: None)
    told = PurseShare(held=0.0, left=1.0, limit=30.0, rest=0.0, lost=25.0)
    budget.part.hear(told, budget.part.need(0.0, 0.0, 0.0), 0.0)
    with pytest.raises(Stopped):
        budget.reserve(Request("m", [{"role": "user", "content": "q"}], {"max_tokens": 1}, "1", key="k"), PRICE)
    assert budget.stopped is not None
    assert "max_cost reached: 4 of 30 spent by all processes of this run" in budget.stopped
    assert ", and 25 held for calls of processes that were lost, which is free again when" in budget.stopped


async def opened(desk: Desk) -> None:
    """Return once its breaker is open."""
    while desk.endpoint._breaker.open_until is None:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0.005)


def test_a_breaker_that_opens_in_one_execution_stops_the_others(store: Store) -> None:
    FAILING.append("server_error")
    policy = {"breaker_failures": 3, "breaker_cooldown_s": 30, "max_in_flight_per_endpoint": 2}

    async def story() -> int:
        first, other = Desk(store, **policy), Desk(store, **policy)
        async with other.open():
            calling = asyncio.create_task(first.calls(10))
            await opened(first)
            asked = asyncio.create_task(other.calls(1))
            await opened(other)
            for each in (first, other):
                each.budget.stop("enough")
            await asyncio.gather(calling, asked)
        return len(MOST)

    assert asyncio.run(asyncio.wait_for(story(), 20)) <= 6


class Failing(MemoryStore):
    """Its exchanges fail, or hang, while `trouble` says so."""

    trouble = ""
    goes_on = threading.Event()

    def exchange(self, changes: Mapping[str, LiveChange]) -> dict[str, Any]:
        if self.trouble == "raises":
            raise StorageError("the disk is full")
        if self.trouble == "strange":
            raise KeyError("a bug")
        if self.trouble == "nothing":
            return {}
        if self.trouble == "hangs":
            self.goes_on.wait(20)
        return super().exchange(changes)


@pytest.mark.parametrize("trouble", ["raises", "strange", "nothing", "hangs"])
@pytest.mark.parametrize("rate", [None, 60_000.0])
def test_a_store_that_fails_stops_no_call_and_that_is_said_once(
    trouble: str, rate: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "STALE_S", 0.05)
    opened = MemoryStorage().open(tmp_path)
    opened.__class__ = Failing
    assert isinstance(opened, Failing)
    opened.goes_on.clear()

    async def story() -> list[str]:
        desk = Desk(opened, requests_per_minute=rate)
        await desk.shared.begin()
        opened.trouble = trouble
        watching = asyncio.create_task(desk.shared.watch())
        requests = [Request("m", [{"role": "user", "content": "q"}], {}, str(n), key=f"k{n}") for n in range(60)]
        done = await asyncio.gather(*(desk.endpoint.call(Answers(), each, None) for each in requests))
        opened.trouble = ""
        opened.goes_on.set()
        while "shared through the store again" not in caplog.text:
            done += [await desk.endpoint.call(Answers(), requests[0], None)]
        watching.cancel()
        return [each.error_code or "ok" for each in done]

    assert set(asyncio.run(asyncio.wait_for(story(), 20))) == {"ok"}
    assert caplog.text.count("this process keeps to an equal part") == 1


def test_a_store_that_can_share_nothing_is_refused_before_any_call(tmp_path: Path) -> None:
    opened = MemoryStorage().open(tmp_path)
    opened.__class__ = type("Plain", (MemoryStore,), {"exchange": Store.exchange})

    async def story() -> None:
        await Desk(opened).calls(1)

    with pytest.raises(StorageError, match=r"Plain can't share limits between processes .*share_limits"):
        asyncio.run(story())
    assert MOST == []


def test_of_a_thousand_endpoints_only_those_with_calls_are_told_of(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    exchange = store.exchange

    def counted(changes: Mapping[str, LiveChange]) -> dict[str, Any]:
        told.append(len(changes))
        return exchange(changes)

    monkeypatch.setattr(store, "exchange", counted)

    async def story() -> None:
        desk = Desk(store)
        for number in range(1_000):
            Endpoint(f"{number}", desk.policy, asyncio.Semaphore(1), desk.budget, shared=desk.shared)
        await desk.calls(20)

    asyncio.run(story())
    assert max(told) == 1


def test_the_time_of_day_of_a_machine_does_not_matter(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(0, 10**9, 3_600))
    monkeypatch.setattr(time, "time", lambda: float(next(times)))

    async def story() -> list[list[str]]:
        desks = [Desk(store, max_in_flight_per_endpoint=2, requests_per_minute=6_000) for _ in range(2)]
        return await asyncio.gather(*(desk.calls(20) for desk in desks))

    assert asyncio.run(story()) == [["ok"] * 20] * 2
    assert max(MOST) <= 2


def test_a_policy_says_that_limits_are_shared() -> None:
    assert not themis.ExecutionPolicySpec().share_limits
