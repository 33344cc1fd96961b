"""Calls to one endpoint: retries, gates, breaker, deadlines, budgets and limits, with engines that are scripted."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from pydantic import PrivateAttr

from themis_core import Capabilities, Engine, EngineError, ExecutionPolicySpec, Generation, PriceSpec, Request, Usage
from themis_core.execution import Budget, Endpoint, cost_of, estimate_tokens
from themis_core.execution.endpoint import Stopped, backoff

Act = Callable[[int, Request], Any]
"""Given the number of the call (from 1) and the request: the text of the answer, or the error to raise."""


class Scripted(Engine):
    """Does what `act` says, and notes when each call started and how many were under way."""

    _act: Act = PrivateAttr()
    _pause: float = PrivateAttr(0.0)
    _starts: list[float] = PrivateAttr(default_factory=list)
    _under_way: int = PrivateAttr(0)
    _most: int = PrivateAttr(0)

    @classmethod
    def of(cls, act: Act, pause: float = 0.0) -> Scripted:
        engine = cls()
        engine._act, engine._pause = act, pause
        return engine

    @property
    def calls(self) -> int:
        return len(self._starts)

    async def generate(self, request: Request) -> Generation:
        self._starts.append(time.monotonic())
        self._under_way += 1
        self._most = max(self._most, self._under_way)
        try:
            await asyncio.sleep(self._pause)
            done = self._act(self.calls, request)
        finally:
            self._under_way -= 1
        if isinstance(done, Exception):
            raise done
        return done if isinstance(done, Generation) else Generation("answered", text=done)


class Local(Scripted):
    capabilities = Capabilities(batch=True)


def error(code: str, **more: Any) -> EngineError:
    retryable = code in ("timeout", "connection", "rate_limited", "overloaded", "server_error")
    return EngineError(code, f"it is {code}", **{"retryable": retryable, **more})


def script(*outcomes: Any) -> Scripted:
    return Scripted.of(lambda call, _: outcomes[min(call, len(outcomes)) - 1])


def request(number: int = 0, model: str = "m") -> Request:
    return Request(model, [{"role": "user", "content": f"question {number}"}], item_id=str(number), key=f"k{number}")


class Desk:
    """An endpoint with its budget, and a short policy."""

    def __init__(self, slots: asyncio.Semaphore | None = None, budget: Budget | None = None, **policy: Any) -> None:
        self.policy = ExecutionPolicySpec.model_validate({"backoff_base_s": 0.001, "backoff_max_s": 0.002, **policy})
        self.budget = budget or Budget(self.policy)
        slots = slots or asyncio.Semaphore(self.policy.max_in_flight_work_items)
        self.endpoint = Endpoint("here", self.policy, slots, self.budget)

    async def one(self, engine: Engine, asked: Request | None = None, price: PriceSpec | None = None) -> Generation:
        return await self.endpoint.call(engine, asked or request(), price)

    async def all(self, engine: Engine, asked: Iterable[Request], price: PriceSpec | None = None) -> list[str]:
        """Outcomes in the order asked: `ok`, an error code, or `stopped`."""

        async def each(one: Request) -> str:
            try:
                generation = await self.endpoint.call(engine, one, price)
            except Stopped:
                return "stopped"
            return generation.error_code or "ok"

        return await asyncio.gather(*map(each, asked))


def answer(engine: Engine, **policy: Any) -> Generation:
    async def ask() -> Generation:
        return await Desk(**policy).one(engine)

    return asyncio.run(ask())


# --- retries ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcomes", "max_retries", "expected"),
    # expected: outcome, attempts
    [
        (["fine"], 5, ("ok", 1)),
        ([error("server_error"), "fine"], 5, ("ok", 2)),  # 1 failure + 1 answer
        ([error("timeout"), error("connection"), error("overloaded"), "fine"], 3, ("ok", 4)),  # 3 retries are enough
        ([error("server_error")], 3, ("server_error", 4)),  # 1 + 3 retries
        ([error("server_error")], 0, ("server_error", 1)),
        ([error("rate_limited"), "fine"], 1, ("ok", 2)),
        ([error("bad_request"), "fine"], 5, ("bad_request", 1)),  # not retryable
        ([error("context_length"), "fine"], 5, ("context_length", 1)),
        ([error("invalid_reply", retryable=True), "fine"], 5, ("ok", 2)),  # the engine knows best
        ([error("server_error"), error("bad_request"), "fine"], 5, ("bad_request", 2)),
        ([ValueError("a bug"), "fine"], 5, ("engine_error", 1)),
    ],
)
def test_a_call_gets_as_many_attempts_as_its_errors_allow(
    outcomes: list[Any], max_retries: int, expected: tuple[str, int]
) -> None:
    engine = script(*outcomes)
    generation = answer(engine, max_retries=max_retries)
    assert (generation.error_code or "ok", generation.attempts) == expected
    assert engine.calls == expected[1]


@pytest.mark.parametrize(
    ("attempt", "draw", "seconds"),
    [
        (1, 0.5, 0.5),  # min(60, 1 · 2⁰) · 0.5
        (2, 0.5, 1.0),  # min(60, 1 · 2¹) · 0.5
        (5, 0.25, 4.0),  # min(60, 1 · 2⁴) · 0.25
        (7, 0.5, 30.0),  # min(60, 1 · 2⁶ = 64) · 0.5
        (5000, 0.5, 30.0),  # no overflow
        (3, 0.0, 0.0),
    ],
)
def test_waits_are_drawn_under_a_doubling_bound(attempt: int, draw: float, seconds: float) -> None:
    policy = ExecutionPolicySpec(backoff_base_s=1, backoff_max_s=60)
    assert backoff(policy, attempt, draw) == seconds


def test_no_retry_starts_after_the_window() -> None:
    # The provider wants 20 s, the window is 10 s: the failure is final at once.
    begun = time.monotonic()
    generation = answer(script(error("rate_limited", retry_after=20.0)), retry_window_s=10)
    assert (generation.error_code, generation.attempts) == ("rate_limited", 1)
    assert time.monotonic() - begun < 2


def test_an_engines_exception_becomes_a_failure_that_names_it() -> None:
    assert answer(script(KeyError("usage"))) == Generation(
        "failed", error_code="engine_error", error="KeyError: 'usage'"
    )


def test_an_attempt_ends_at_its_deadline_and_its_outcome_is_unknown() -> None:
    engine = Scripted.of(lambda *_: "late", pause=30)
    begun = time.monotonic()
    generation = answer(engine, attempt_timeout_s=0.05, max_retries=1)
    assert generation == Generation(
        "failed", error_code="timeout", error="no reply within 0.05 s", attempts=2, provider={"unknown_outcome": True}
    )
    assert time.monotonic() - begun < 2


def test_a_local_engine_is_asked_once_without_limits() -> None:
    engine = Local.of(lambda *_: error("server_error"))
    assert answer(engine, requests_per_minute=0.001).error_code == "server_error"
    assert engine.calls == 1


# --- gates and rates ----------------------------------------------------------------------------------------


def test_retry_after_holds_up_the_whole_endpoint() -> None:
    engine = script(error("rate_limited", retry_after=0.3), "fine")

    async def ask() -> list[str]:
        desk = Desk()
        first = asyncio.create_task(desk.all(engine, [request(0)]))
        await asyncio.sleep(0.05)
        others = await desk.all(engine, [request(number) for number in range(1, 6)])
        return [*await first, *others]

    assert asyncio.run(ask()) == ["ok"] * 6
    assert engine.calls == 7  # the refused one, its retry, five others
    assert min(engine._starts[1:]) - engine._starts[0] >= 0.3


def test_calls_start_no_faster_than_the_rate() -> None:
    engine = script("fine")

    async def ask() -> None:
        await Desk(requests_per_minute=1200).all(engine, map(request, range(5)))

    asyncio.run(ask())
    gaps = [later - earlier for earlier, later in itertools.pairwise(engine._starts)]
    assert min(gaps) >= 60 / 1200 - 0.005  # 50 ms apart


# --- concurrency --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_all", "per_endpoint", "expected"),
    # two endpoints with twenty calls each; expected: most at once at one of them, most in all
    [(8, None, (8, 8)), (8, 3, (3, 6)), (4, 9, (4, 4)), (1, None, (1, 1))],
)
def test_no_more_calls_are_under_way_than_allowed(
    in_all: int, per_endpoint: int | None, expected: tuple[int, int]
) -> None:
    under_way: list[int] = []
    engines: list[Scripted] = []

    def act(call: int, asked: Request) -> str:
        under_way.append(sum(engine._under_way for engine in engines))
        return "fine"

    engines += [Scripted.of(act, pause=0.003) for _ in range(2)]

    async def ask() -> None:
        limits: dict[str, Any] = {"max_in_flight_work_items": in_all, "max_in_flight_per_endpoint": per_endpoint}
        slots = asyncio.Semaphore(in_all)
        desks = [Desk(slots, **limits) for _ in engines]
        await asyncio.gather(
            *(desk.all(engine, map(request, range(20))) for desk, engine in zip(desks, engines, strict=True))
        )

    asyncio.run(ask())
    assert (max(engine._most for engine in engines), max(under_way)) == expected


def test_a_dead_endpoint_takes_no_places_from_another_while_it_waits() -> None:
    dead, alive = script(error("connection")), script("fine")

    async def ask() -> list[str]:
        limits: dict[str, Any] = {"max_in_flight_work_items": 4, "breaker_failures": 2, "breaker_cooldown_s": 60}
        slots = asyncio.Semaphore(4)
        budget = Budget(ExecutionPolicySpec())
        broken, sound = Desk(slots, budget, **limits), Desk(slots, budget, **limits)
        waiting = asyncio.create_task(broken.all(dead, map(request, range(20))))
        await asyncio.sleep(0.05)
        try:
            return await asyncio.wait_for(sound.all(alive, map(request, range(20))), 2)
        finally:
            budget.stop("the test is over")
            assert await waiting == ["stopped"] * 20

    assert asyncio.run(ask()) == ["ok"] * 20


# --- breaker ------------------------------------------------------------------------------------------------


def test_a_dead_endpoint_costs_tens_of_calls_and_the_rest_is_given_up() -> None:
    engine = script(error("connection"))

    async def ask() -> list[str]:
        desk = Desk(
            max_in_flight_work_items=8, breaker_failures=10, breaker_cooldown_s=0.01, breaker_max_probes=2,
            max_retries=5,
        )  # fmt: skip
        return await desk.all(engine, map(request, range(1000)))

    assert asyncio.run(ask()) == ["circuit_open"] * 1000  # also those that had attempts left
    # 10 failures open it, 7 more were under way, 3 probes fail
    assert 10 <= engine.calls <= 20


def test_calls_go_on_once_the_endpoint_has_recovered() -> None:
    dead = True
    engine = Scripted.of(lambda *_: error("server_error") if dead else "fine")

    async def ask() -> tuple[list[str], int]:
        nonlocal dead
        desk = Desk(
            max_in_flight_work_items=4, breaker_failures=4, breaker_cooldown_s=0.02, breaker_max_probes=100,
            max_retries=10,
        )  # fmt: skip
        asked = asyncio.create_task(desk.all(engine, map(request, range(200))))
        await asyncio.sleep(0.2)
        dead, before = False, engine.calls
        return await asked, before

    outcomes, while_dead = asyncio.run(ask())
    assert outcomes == ["ok"] * 200
    assert while_dead <= 4 + 3 + 5  # opening it, under way, probes at 20, 60, 140 ms and a little
    assert engine.calls - while_dead <= 200 + 1


def test_an_error_that_is_an_answer_does_not_open_the_breaker() -> None:
    engine = script(error("bad_request"))

    async def ask() -> list[str]:
        return await Desk(breaker_failures=1).all(engine, map(request, range(50)))

    assert asyncio.run(ask()) == ["bad_request"] * 50
    assert engine.calls == 50


@pytest.mark.parametrize("code", ["unauthorized", "forbidden", "not_found"])
def test_a_lasting_refusal_stops_the_models_calls_at_once_and_only_its(code: str) -> None:
    engine = Scripted.of(lambda _, asked: error(code) if asked.model_id == "locked" else "fine", pause=0.005)

    async def ask() -> tuple[list[str], list[str]]:
        desk = Desk(max_in_flight_work_items=4)
        locked = await desk.all(engine, [request(number, "locked") for number in range(50)])
        return locked, await desk.all(engine, [request(number, "open") for number in range(10)])

    locked, free = asyncio.run(ask())
    assert (locked.count(code), locked.count("circuit_open")) == (4, 46)  # those under way, and no other
    assert free == ["ok"] * 10
    assert engine.calls == 4 + 10


# --- budgets ------------------------------------------------------------------------------------------------

PRICE = PriceSpec(input_per_million=1_000_000, output_per_million=2_000_000, cached_input_per_million=500_000)


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        (Usage(10, 5), PRICE, 20.0),  # 10 · 1 + 5 · 2
        (Usage(10, 5, cached_input_tokens=4), PRICE, 18.0),  # 6 · 1 + 4 · 0.5 + 5 · 2
        (Usage(10, 5, cached_input_tokens=4), PriceSpec(input_per_million=1e6, output_per_million=2e6), 20.0),
        (Usage(10, 5, reasoning_tokens=3), PRICE, 20.0),  # reasoning is part of the output
        (Usage(10, None), PRICE, None),
        (Usage(), PRICE, None),
        (Usage(10, 5), None, None),
    ],
)
def test_an_answer_costs_what_its_tokens_cost(usage: Usage, price: PriceSpec | None, cost: float | None) -> None:
    assert cost_of(usage, price) == cost


def test_tokens_are_estimated_from_characters() -> None:
    parts: list[Any] = [
        {"type": "text", "text": "x" * 40},
        {"type": "image_url", "image_url": {"url": "data:" + "A" * 4000}},
    ]
    messages: list[dict[str, Any]] = [{"role": "system", "content": "y" * 20}, {"role": "user", "content": parts}]
    assert estimate_tokens(messages) == (40 + 20) // 4 + 2 * 4


def test_no_call_starts_beyond_max_calls_retries_included() -> None:
    engine = script(error("server_error"), "fine")

    async def ask() -> tuple[list[str], Budget]:
        desk = Desk(max_calls=5, max_in_flight_work_items=1)
        return await desk.all(engine, map(request, range(10))), desk.budget

    outcomes, budget = asyncio.run(ask())
    assert (outcomes.count("ok"), outcomes.count("stopped")) == (4, 6)  # 5 calls, one of them the failed attempt
    assert (engine.calls, budget.calls, budget.stopped, budget.exhausted) == (
        5, 5, "max_calls reached: 5 calls were made", True,
    )  # fmt: skip


def test_no_call_starts_once_max_cost_is_spent() -> None:
    engine = script(Generation("answered", text="fine", usage=Usage(1, 1)))  # costs 1 · 1 + 1 · 2 = 3

    async def ask() -> tuple[list[str], Budget]:
        desk = Desk(max_cost=7, max_in_flight_work_items=1)
        return await desk.all(engine, map(request, range(10)), PRICE), desk.budget

    outcomes, budget = asyncio.run(ask())
    assert (outcomes.count("ok"), outcomes.count("stopped")) == (3, 7)  # 3 and 6 are less than 7, 9 is not
    assert (budget.cost, budget.stopped, budget.exhausted) == (9.0, "max_cost reached: 9.0000 spent", True)


def test_a_used_up_quota_stops_the_run() -> None:
    async def ask() -> tuple[list[str], Budget]:
        desk = Desk(max_in_flight_work_items=1)
        return await desk.all(script("fine", error("quota_exhausted")), map(request, range(5))), desk.budget

    outcomes, budget = asyncio.run(ask())
    assert sorted(outcomes) == ["ok", "quota_exhausted", "stopped", "stopped", "stopped"]
    assert (budget.stopped, budget.exhausted) == ("here: it is quota_exhausted", True)


def test_a_wait_ends_when_the_run_does() -> None:
    async def ask() -> list[str]:
        desk = Desk(retry_window_s=900)
        asked = asyncio.create_task(desk.all(script(error("rate_limited", retry_after=60.0)), map(request, range(3))))
        await asyncio.sleep(0.05)
        desk.budget.stop("interrupted")
        return await asyncio.wait_for(asked, 2)

    assert asyncio.run(ask()) == ["stopped"] * 3
