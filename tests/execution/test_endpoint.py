"""Calls to one endpoint: retries, gates, breaker, deadlines, budgets and limits, with engines that are scripted."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from pydantic import PrivateAttr

from themis_core import Capabilities, Engine, EngineError, ExecutionPolicySpec, Generation, PriceSpec, Request, Usage
from themis_core.execution import Endpoint
from themis_core.records import RunCost
from themis_costs import Budget, Stopped, cost_of, foreseen_cost
from themis_pacing import attempt_ends

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
    capabilities = Capabilities(local=True)


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


def body(message: str, code: str = "server_error", **more: Any) -> EngineError:
    return EngineError(code, message, retryable=True, status=500, **more)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    # expected: outcome, attempts; max_retries is 5
    [
        ([body("a")], ("server_error", 3)),  # a, a, a
        ([body("a"), body("b"), body("a"), body("b"), body("b"), "fine"], ("ok", 6)),  # never three in a row
        ([body("a"), body("a"), body("b"), body("b"), body("b"), "fine"], ("server_error", 5)),
        ([body("a"), body("a"), error("connection"), body("a"), body("a"), "fine"], ("ok", 6)),  # not in a row
        ([body("a"), error("rate_limited"), body("a"), error("rate_limited"), body("a")], ("server_error", 5)),
        ([body("busy", "overloaded")], ("overloaded", 6)),  # says the same each time, and that it passes
        ([error("connection")], ("connection", 6)),  # has no body
        ([body("a", "invalid_reply")], ("invalid_reply", 3)),
    ],
)
def test_the_same_error_body_three_times_in_a_row_ends_the_retrying(
    outcomes: list[Any], expected: tuple[str, int]
) -> None:
    engine = script(*outcomes)
    generation = answer(engine)
    assert (generation.error_code or "ok", generation.attempts) == expected
    assert engine.calls == expected[1]


@pytest.mark.parametrize("refusal", [{}, {"retry_after": 0.001}], ids=["without header", "with header"])
def test_a_refusal_for_coming_too_soon_is_no_failed_attempt(refusal: dict[str, float]) -> None:
    engine = script(*[error("rate_limited", **refusal)] * 6, "fine")
    generation = answer(engine, max_retries=1)
    assert (generation.text, generation.attempts) == ("fine", 7)


def test_nothing_is_tried_again_without_retries() -> None:
    assert answer(script(error("rate_limited"), "fine"), max_retries=0).error_code == "rate_limited"


def test_refusals_are_tried_again_within_the_window_only() -> None:
    generation = answer(script(error("rate_limited", retry_after=0.05)), retry_window_s=0.5)
    assert generation.error_code == "rate_limited"
    assert 2 <= generation.attempts <= 11  # 0.5 s / 0.05 s + 1


def test_many_retries_are_slowed_down_and_none_fails() -> None:
    # Each of 300 requests fails once: 300 retries, of which 100 + 300 / 5 = 160 are free and 140 wait 1 ms each.
    failed: set[str] = set()

    def act(_: int, asked: Request) -> Any:
        if asked.item_id in failed:
            return "fine"
        failed.add(asked.item_id)
        return error("invalid_reply", retryable=True)

    async def ask() -> list[str]:
        desk = Desk(backoff_base_s=0.01, max_in_flight_work_items=300)
        return await desk.all(Scripted.of(act), map(request, range(300)))

    begun = time.monotonic()
    outcomes = asyncio.run(ask())
    assert outcomes == ["ok"] * 300
    assert time.monotonic() - begun >= 0.14


def test_no_retry_starts_after_the_window() -> None:
    # The provider wants 20 s, the window is 10 s: the failure is final at once.
    begun = time.monotonic()
    generation = answer(script(error("rate_limited", retry_after=20.0)), retry_window_s=10)
    assert (generation.error_code, generation.attempts) == ("rate_limited", 1)
    assert time.monotonic() - begun < 15


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
    assert time.monotonic() - begun < 20  # and not the 30 s that the engine takes


@pytest.mark.parametrize("given", [None, 0.0, 0.25])
def test_the_latency_is_what_the_engine_measured_or_else_how_long_it_took(given: float | None) -> None:
    found = answer(Scripted.of(lambda *_: Generation("answered", "4", latency_s=given), pause=0.01)).latency_s
    assert found is not None
    assert found == given if given is not None else found >= 0.01


def test_an_engine_can_learn_when_its_attempt_ends() -> None:
    told: list[float | None] = []
    before = time.monotonic()
    answer(Scripted.of(lambda *_: told.append(attempt_ends.get()) or "4"), attempt_timeout_s=50)  # type: ignore[func-returns-value]
    assert told[0] is not None
    assert before + 50 <= told[0] <= time.monotonic() + 50


def test_a_timeout_of_the_engines_own_is_not_reported_as_the_deadline() -> None:
    assert answer(script(TimeoutError("the driver gave up")), attempt_timeout_s=60) == Generation(
        "failed", error_code="engine_error", error="TimeoutError: the driver gave up"
    )


def test_an_engine_that_turns_its_cancellation_into_an_error_has_still_met_the_deadline() -> None:
    class Rude(Scripted):
        async def generate(self, asked: Request) -> Generation:
            try:
                return await super().generate(asked)
            except asyncio.CancelledError:
                raise RuntimeError("interrupted") from None

    generation = answer(Rude.of(lambda *_: "late", pause=30), attempt_timeout_s=0.05, max_retries=0)
    assert (generation.error_code, generation.error) == ("timeout", "no reply within 0.05 s")


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


def test_a_gate_stops_also_those_that_were_waiting_for_their_turn() -> None:
    engine = Scripted.of(lambda call, _: error("rate_limited", retry_after=0.3) if call == 2 else "fine")

    async def ask() -> list[str]:
        return await Desk(requests_per_minute=6000).all(engine, map(request, range(5)))  # 10 ms apart

    assert asyncio.run(ask()) == ["ok"] * 5
    assert engine.calls == 6
    assert engine._starts[2] - engine._starts[1] >= 0.3


def test_a_provider_that_wants_a_long_rest_stops_the_run_and_fails_nothing() -> None:
    engine = script("fine", error("rate_limited", retry_after=3600.0))

    async def ask() -> tuple[list[str], Budget]:
        desk = Desk(max_in_flight_work_items=1)
        return await desk.all(engine, map(request, range(4))), desk.budget

    outcomes, budget = asyncio.run(ask())
    assert outcomes == ["ok", "stopped", "stopped", "stopped"]
    assert engine.calls == 2
    assert budget.stopped is not None
    assert re.fullmatch(
        r"here asked to wait 60 min, until \d{4}-\d\d-\d\d \d\d:\d\d UTC \(rate_limited: it is rate_limited\)",
        budget.stopped,
    )


@pytest.mark.parametrize(
    "failure",
    [
        error("bad_request", retry_after=3600.0),
        error("overloaded", retry_after=0.0),
        error("overloaded", retry_after=-5.0),
        error("overloaded", retry_after=float("nan")),
    ],
    ids=["can't pass", "no time", "less than none", "not a number"],
)
def test_a_wait_that_makes_no_sense_is_none(failure: EngineError) -> None:
    engine = script(failure, "fine")

    async def ask() -> list[str]:
        return await asyncio.wait_for(Desk(max_in_flight_work_items=1).all(engine, map(request, range(3))), 20)

    assert asyncio.run(ask()) == ["bad_request" if failure.code == "bad_request" else "ok", "ok", "ok"]


def test_an_endless_rest_stops_the_run_too() -> None:
    with pytest.raises(Stopped):
        answer(script(error("rate_limited", retry_after=float("inf"))))


def test_a_long_rest_is_sat_out_if_the_policy_says_so() -> None:
    assert answer(script(error("rate_limited", retry_after=0.2), "fine"), max_retry_after_s=0.3).text == "fine"
    with pytest.raises(Stopped):
        answer(script(error("rate_limited", retry_after=0.2), "fine"), max_retry_after_s=0.1)


def test_refusals_teach_the_pace_at_which_nothing_is_refused() -> None:
    # The provider takes 200 a second and up to 5 at once; without a pace, half of all calls would be refused.
    level, at = 5.0, time.monotonic()

    def act(*_: Any) -> Any:
        nonlocal level, at
        now = time.monotonic()
        level, at = min(5.0, level + (now - at) * 200), now
        if level < 1:
            return error("rate_limited", retry_after=(1 - level) / 200)
        level -= 1
        return "fine"

    engine = Scripted.of(act)

    async def ask() -> list[str]:
        return await Desk(max_in_flight_work_items=8).all(engine, map(request, range(300)))

    assert asyncio.run(ask()) == ["ok"] * 300
    assert engine.calls <= 300 * 1.25


def test_calls_start_no_faster_than_the_rate() -> None:
    engine = script("fine")

    async def ask() -> None:
        await Desk(requests_per_minute=1200).all(engine, map(request, range(5)))

    asyncio.run(ask())
    # 50 ms apart; the first one may be late, not the others early.
    assert engine._starts[-1] - engine._starts[0] >= 4 * 60 / 1200 * 0.8


def test_calls_start_no_faster_than_the_tokens_they_could_take() -> None:
    # 40 / 4 + 4 tokens of prompt and 86 of answer are 100, of 60,000 a minute: one call each 100 ms.
    engine = script("fine")
    asked = [Request("m", [{"role": "user", "content": "x" * 40}], {"max_tokens": 86}) for _ in range(4)]

    async def ask() -> None:
        await Desk(tokens_per_minute=60_000).all(engine, asked)

    asyncio.run(ask())
    assert engine._starts[-1] - engine._starts[0] >= 3 * 0.1 * 0.8  # the first one may be late, not the others early


def test_the_rate_of_tokens_is_counted_by_what_was_used() -> None:
    # Of 1,000 tokens that each call could take it takes 10: by the limit alone, 120 calls would take 12 s.
    engine = script(Generation("answered", text="fine", usage=Usage(4, 6)))
    asked = [Request("m", [{"role": "user", "content": ""}], {"max_tokens": 996}) for _ in range(120)]

    async def ask() -> None:
        await Desk(tokens_per_minute=600_000, max_in_flight_work_items=1).all(engine, asked)

    begun = time.monotonic()
    asyncio.run(ask())
    # The wait falls from 100 ms to 1 ms by a tenth of the difference each time: Σ 99 · 0.9ⁿ + 120 · 1 ms = 1.1 s.
    assert 0.9 < time.monotonic() - begun < 11


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


def test_refusals_without_a_header_lower_the_calls_in_flight() -> None:
    # The provider serves four at a time.
    engine = Scripted.of(lambda *_: "fine", pause=0.005)
    engine._act = lambda *_: error("rate_limited") if engine._under_way > 4 else "fine"

    async def ask() -> tuple[list[str], float]:
        desk = Desk(max_in_flight_work_items=32)
        return await desk.all(engine, map(request, range(400))), desk.endpoint._limit.limit

    outcomes, limit = asyncio.run(ask())
    assert outcomes == ["ok"] * 400
    assert limit < 8
    assert engine.calls < 2 * 400


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
            return await asyncio.wait_for(sound.all(alive, map(request, range(20))), 20)
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

    outcomes = asyncio.run(ask())
    # 10 failures open it, 7 more were under way, 3 probes fail
    assert 10 <= engine.calls <= 20
    assert outcomes.count("connection") <= engine.calls  # those that were called, though they had attempts left
    assert outcomes.count("circuit_open") == 1000 - outcomes.count("connection")


def test_a_probe_too_waits_as_long_as_the_provider_asked() -> None:
    engine = script(error("overloaded", retry_after=0.4), "fine")
    generation = answer(engine, breaker_failures=1, breaker_cooldown_s=0.01)
    assert (generation.text, generation.attempts) == ("fine", 2)
    assert engine._starts[1] - engine._starts[0] >= 0.4


def test_a_call_that_waited_for_a_place_in_all_does_not_pass_a_gate_that_was_shut_meanwhile() -> None:
    engine = script(error("rate_limited", retry_after=0.4), "fine")

    async def ask() -> list[str]:
        return await Desk(asyncio.Semaphore(1)).all(engine, map(request, range(3)))

    assert asyncio.run(ask()) == ["ok"] * 3
    assert [start - engine._starts[0] >= 0.4 for start in engine._starts] == [False, True, True, True]


def test_a_probe_that_is_cancelled_lets_another_one_through() -> None:
    probing = asyncio.Event()

    class Slow(Scripted):
        async def generate(self, asked: Request) -> Generation:
            if self.calls == 1 and not probing.is_set():
                probing.set()
                await asyncio.sleep(30)
            return await super().generate(asked)

    engine = Slow.of(lambda call, _: error("connection") if call == 1 else "fine")

    async def story() -> str:
        desk = Desk(breaker_failures=1, breaker_cooldown_s=0.05, max_retries=0)
        assert await desk.all(engine, [request(0)]) == ["connection"]
        probe = asyncio.create_task(desk.one(engine, request(1)))
        await probing.wait()
        waiting = asyncio.create_task(desk.one(engine, request(2)))
        await asyncio.sleep(0.1)
        probe.cancel()
        return (await asyncio.wait_for(waiting, 20)).text

    assert asyncio.run(story()) == "fine"


def test_calls_go_on_once_the_endpoint_has_recovered() -> None:
    dead = True
    engine = Scripted.of(lambda call, _: error("server_error") if dead and call > 4 else "fine")

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
    assert while_dead <= 4 + 4 + 3 + 5  # answered, opening it, under way, probes at 20, 60, 140 ms and a little
    assert engine.calls - while_dead <= 200 + 1


def test_an_error_that_is_an_answer_does_not_open_the_breaker() -> None:
    engine = script(error("bad_request"))

    async def ask() -> list[str]:
        return await Desk(breaker_failures=1).all(engine, map(request, range(25)))

    assert asyncio.run(ask()) == ["bad_request"] * 25
    assert engine.calls == 25


def outcomes_of_a_thousand(act: Any) -> tuple[Counter[str], int, str]:
    """How a thousand requests end, how many calls are made for them, and what is said of the last one."""
    engine = Scripted.of(act)

    async def ask() -> tuple[list[str], str]:
        desk = Desk(max_in_flight_work_items=4, backoff_base_s=0.0001)
        ends = await desk.all(engine, map(request, range(1000)))
        return ends, (await desk.one(engine, request(1000))).error or ""

    ends, told = asyncio.run(ask())
    return Counter(ends), engine.calls, told


@pytest.mark.parametrize(
    ("code", "message", "retryable"),
    [
        ("invalid_reply", "the reply is HTML, a page for people", True),
        ("invalid_reply", "a 200 with an error in it: try later", True),
        ("invalid_reply", "the reply is a stream of events", False),
        ("invalid_reply", "the reply has no choices", False),
        ("bad_request", "HTTP 400: no such setting", False),
        ("engine_error", "KeyError: choices", False),
        ("reply_too_large", "the reply is larger than 1024 bytes", False),
        ("redirect", "HTTP 302: redirects to /login", False),
        ("not_found", "HTTP 404: no such path", False),
    ],
)
def test_a_model_that_gives_the_same_non_answer_is_given_up_after_tens_of_calls(
    code: str, message: str, retryable: bool
) -> None:
    ends, calls, told = outcomes_of_a_thousand(lambda call, _: EngineError(code, message, retryable=retryable))
    assert calls <= 40
    assert ends["circuit_open"] > 950
    assert ends["ok"] == 0
    assert message in told


@pytest.mark.parametrize("code", ["context_length", "content_filter", "too_large"])
def test_what_is_wrong_with_single_requests_gives_no_model_up(code: str) -> None:
    _, calls, _ = outcomes_of_a_thousand(lambda call, _: EngineError(code, "HTTP 400: this prompt"))
    assert calls == 1001


def test_a_model_that_answers_now_and_then_is_not_given_up() -> None:
    ends, _, _ = outcomes_of_a_thousand(
        lambda _, asked: "fine" if int(asked.item_id) % 20 == 0 else EngineError("invalid_reply", "no JSON")
    )
    assert ends == {"ok": 50, "invalid_reply": 950}


def test_a_model_that_has_answered_is_not_given_up_for_requests_that_it_refuses() -> None:
    ends, _, _ = outcomes_of_a_thousand(
        lambda _, asked: "fine" if asked.item_id == "0" else EngineError("bad_request", "no")
    )
    assert ends == {"ok": 1, "bad_request": 999}


@pytest.mark.parametrize("code", ["unauthorized", "forbidden", "not_found", "certificate", "tls", "redirect", "proxy"])
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


@pytest.mark.parametrize("code", ["unreachable", "proxy", "connection"])
@pytest.mark.parametrize("trials", [1, 2, 100])
def test_an_endpoint_that_was_never_there_is_given_up_after_a_few_seconds(
    code: str, trials: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("themis_pacing.breaker.PATIENCE_S", 0.4)
    engine = script(error(code, retryable=True))
    notes: set[str] = set()

    async def ask() -> list[str]:
        desk = Desk(backoff_base_s=1, backoff_max_s=60)
        asked = asyncio.create_task(desk.all(engine, map(request, range(trials))))
        while not asked.done():
            notes.add(desk.endpoint.note)
            await asyncio.sleep(0.02)
        return await asked

    begun = time.monotonic()
    outcomes = asyncio.run(ask())
    assert 0.35 < time.monotonic() - begun < 15  # and not the half minute that six attempts take
    assert set(outcomes) <= {code, "circuit_open"}
    assert outcomes.count(code) <= engine.calls <= 3 * 32
    assert any(re.search(rf"here does not answer \({code}\); given up in \d s", note) for note in notes)


def test_an_endpoint_that_is_there_soon_enough_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("themis_pacing.breaker.PATIENCE_S", 1.0)
    engine = Scripted.of(lambda call, _: error("unreachable", retryable=True) if call <= 4 else "fine")

    async def ask() -> list[str]:
        return await Desk(backoff_base_s=0.2, backoff_max_s=60).all(engine, map(request, range(2)))

    assert asyncio.run(ask()) == ["ok", "ok"]


@pytest.mark.parametrize("first", ["fine", error("bad_request", status=400), error("server_error", status=500)])
def test_an_endpoint_that_was_there_is_waited_for(first: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("themis_pacing.breaker.PATIENCE_S", 0.01)
    engine = script(first, *[error("unreachable", retryable=True)] * 4, "fine")

    async def ask() -> list[str]:
        desk = Desk(backoff_base_s=0.05, max_in_flight_work_items=1)
        return await desk.all(engine, map(request, range(2)))

    assert asyncio.run(ask())[-1] == "ok"


def test_an_endpoint_is_not_given_up_while_a_call_to_it_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("themis_pacing.breaker.PATIENCE_S", 0.1)

    class Slow(Scripted):
        async def generate(self, asked: Request) -> Generation:
            if asked.item_id == "0":
                await asyncio.sleep(0.6)
                return Generation("answered", text="slow")
            return await super().generate(asked)

    engine = Slow.of(lambda call, _: error("connection") if call <= 4 else "fine")

    async def ask() -> list[str]:
        return await Desk(backoff_base_s=0.2, backoff_max_s=0.4).all(engine, map(request, range(2)))

    assert asyncio.run(ask()) == ["ok", "ok"]


def test_a_filtered_prompt_is_a_refused_answer_and_no_failure() -> None:
    assert answer(script(error("content_filter"))) == Generation(
        "refused", refusal="it is content_filter", finish_reason="content_filter"
    )


# --- budgets ------------------------------------------------------------------------------------------------

PRICE = PriceSpec(input_per_million=1_000_000, output_per_million=2_000_000, cached_input_per_million=500_000)
WRITES = PRICE.model_copy(update={"cache_write_per_million": 2_250_000})


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        (Usage(10, 5), PRICE, 20.0),  # 10 · 1 + 5 · 2
        (Usage(10, 5, cached_input_tokens=4), PRICE, 18.0),  # 6 · 1 + 4 · 0.5 + 5 · 2
        (Usage(10, 5, cached_input_tokens=4), PriceSpec(input_per_million=1e6, output_per_million=2e6), 20.0),
        (Usage(10, 5, cache_write_tokens=4), PRICE, 20.0),  # priced as input by default
        (Usage(10, 5, cache_write_tokens=4), WRITES, 25.0),  # 6 · 1 + 4 · 2.25 + 5 · 2
        (Usage(10, 5, None, 3, 4), WRITES, 23.5),  # 3 · 1 + 3 · 0.5 + 4 · 2.25 + 5 · 2
        (Usage(10, 5, None, 10, 0), WRITES, 15.0),
        (Usage(10, 5, None, 0, 10), WRITES, 32.5),
        (Usage(10, 5, reasoning_tokens=3), PRICE, 20.0),  # reasoning is part of the output
        (Usage(10, None), PRICE, None),
        (Usage(), PRICE, None),
        (Usage(10, 5), None, None),
    ],
)
def test_an_answer_costs_what_its_tokens_cost(usage: Usage, price: PriceSpec | None, cost: float | None) -> None:
    assert cost_of(usage, price) == cost


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


def fine(taken: int | None = 1, given: int | None = 1) -> Generation:
    return Generation("answered", text="fine", usage=Usage(taken, given))


def asked(number: int, **params: Any) -> Request:
    # 6 tokens by estimate: 11 characters are 2, and 4 for the message
    return Request("m", [{"role": "user", "content": "question 00"}], params, str(number), key=f"k{number}")


@pytest.mark.parametrize(
    ("before", "answers", "spent"),
    # a call is taken to cost 6 · 1 + 1 · 2 = 8 at most, and costs 3
    [(RunCost(), 5, 15.0), (RunCost(3.5), 3, 9.0), (RunCost(1.0, 2, 10.0), 1, 3.0), (RunCost(20.0), 0, None)],
)
def test_no_call_starts_that_could_spend_more_than_max_cost(before: RunCost, answers: int, spent: float | None) -> None:
    async def ask() -> tuple[int, Budget]:
        budget = Budget(ExecutionPolicySpec(max_cost=20), before)
        desk = Desk(budget=budget, max_in_flight_work_items=1)
        outcomes = await desk.all(script(fine()), (asked(number, max_tokens=1) for number in range(10)), PRICE)
        return outcomes.count("ok"), budget

    found, budget = asyncio.run(ask())
    assert (found, budget.cost.known, budget.exhausted) == (answers, spent, True)
    assert (budget.stopped or "").startswith("max_cost reached: ")


@pytest.mark.parametrize(
    ("prices", "answers"),
    # 6 tokens by estimate at the dearest price, and one of the answer at 2; an answer costs 3
    [
        ({}, 5),  # 8 at most
        ({"cached_input_per_million": 100_000}, 5),
        ({"cache_write_per_million": 1_250_000}, 4),  # 9.5 at most
        ({"cache_write_per_million": 2_500_000}, 2),  # 17 at most
        ({"cache_write_per_million": 3_500_000}, 0),  # 23 at most
        ({"cache_write_per_million": 500_000}, 5),
    ],
)
def test_a_prompt_is_reserved_for_as_if_all_of_it_were_written_to_the_cache(
    prices: dict[str, float], answers: int
) -> None:
    price = PriceSpec(input_per_million=1_000_000, output_per_million=2_000_000, **prices)

    async def ask() -> list[str]:
        desk = Desk(max_cost=20, max_in_flight_work_items=1)
        return await desk.all(script(fine()), (asked(number, max_tokens=1) for number in range(10)), price)

    assert asyncio.run(ask()).count("ok") == answers
    unknown = Budget(ExecutionPolicySpec()).cost_of_call(asked(0, max_tokens=1), price, None)
    assert unknown.unknown_most == 6 * max(1, prices.get("cache_write_per_million", 0) / 1e6) + 2


UNKNOWN = {
    "no usage": fine(None, None),
    "no input count": fine(None, 5),
    "no output count": fine(5, None),
    "zeros": fine(0, 0),
    "no tokens for a prompt": fine(0, 5),
    "no tokens for a text": fine(5, 0),
    "a reply that was lost": error("timeout", retryable=False, unknown_outcome=True),
    "a reply that can't be used": error("invalid_reply", retryable=False),
    "an engine's bug": ValueError("a bug"),
}


@pytest.mark.parametrize("outcome", UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize("in_flight", [1, 16])
@pytest.mark.parametrize(
    ("params", "most"), [({"max_tokens": 1000}, 2006.0), ({"max_tokens": 1000, "n": 3}, 6006.0), ({}, 8198.0)]
)  # 6 · 1 + tokens · 2
def test_a_call_of_unknown_cost_is_charged_the_most_that_it_can_have_cost(
    outcome: Any, in_flight: int, params: dict[str, int], most: float
) -> None:
    engine = script(outcome)

    async def ask() -> Budget:
        desk = Desk(max_cost=19_000, max_in_flight_work_items=in_flight, breaker_failures=10_000)
        await desk.all(engine, (asked(number, **params) for number in range(100)), PRICE)
        return desk.budget

    budget = asyncio.run(ask())
    calls = int(19_000 // most)
    assert (engine.calls, budget.calls, budget.exhausted) == (calls, calls, True)
    assert budget.cost == RunCost(None, calls, pytest.approx(calls * most))


@pytest.mark.parametrize("params", [{"max_tokens": 15}, {}])
@pytest.mark.parametrize("in_flight", [1, 4, 32])
@pytest.mark.parametrize("max_cost", [40.0, 72.0, 200.0])
def test_max_cost_is_not_overshot_by_calls_in_flight(in_flight: int, max_cost: float, params: dict[str, int]) -> None:
    engine = Scripted.of(lambda *_: fine(6, 15), 0.002)  # costs 36

    async def ask() -> Budget:
        desk = Desk(max_cost=max_cost, max_in_flight_work_items=in_flight)
        await desk.all(engine, (asked(number, **params) for number in range(100)), PRICE)
        return desk.budget

    budget = asyncio.run(ask())
    assert budget.exhausted
    assert budget.cost.known == 36 * (max_cost // 36)


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file"])
@pytest.mark.parametrize("usage", [9_000, 500])  # against 1,000 or 5,000 by estimate
def test_what_media_cost_is_not_taken_as_known_before_a_provider_has_counted(kind: str, usage: int) -> None:
    price = PriceSpec(input_per_million=1000, output_per_million=0)
    together: list[int] = []

    def act(call: int, _: Request) -> Generation:
        together.append(engine._under_way)
        return fine(usage, 1)

    engine = Scripted.of(act, 0.02)

    def with_part(number: int) -> Request:
        content = [{"type": kind, kind: {}}]
        return Request("m", [{"role": "user", "content": content}], {"max_tokens": 1}, key=f"k{number}")

    async def ask() -> Budget:
        desk = Desk(max_cost=40, max_in_flight_work_items=8)
        await desk.one(script(fine(6, 1)), asked(0, max_tokens=1), price)  # texts say nothing of it
        await desk.all(engine, map(with_part, range(20)), price)
        return desk.budget

    budget = asyncio.run(ask())
    assert together[0] == 1  # the first has all that is left for itself
    assert max(together) > 1
    assert 0 < (budget.cost.known or 0) <= 40


def test_sound_that_is_priced_apart_has_an_unknown_cost_and_a_bound() -> None:
    price = PriceSpec(input_per_million=1e6, output_per_million=2e6, input_audio_per_million=10e6)
    part = {"type": "input_audio", "input_audio": {}}
    heard = Request("m", [{"role": "user", "content": [part]}], {"max_tokens": 9}, key="k")
    budget = Budget(ExecutionPolicySpec())
    assert budget.cost_of_call(heard, price, Usage(100, 5)) == RunCost(None, 1, 1010.0)  # 100 · 10 + 5 · 2
    assert budget.cost_of_call(heard, price, Usage(100, 5), billed=False) == RunCost(None, 1, 1010.0)
    assert budget.cost_of_call(heard, price, Usage(100, 5), told=7.0) == RunCost(7.0)
    assert budget.cost_of_call(asked(0), price, Usage(100, 5)) == RunCost(110.0)
    assert foreseen_cost(heard, 100, 5, price) == 1010.0
    assert foreseen_cost(asked(0), 100, 5, price) == 110.0
    same = PriceSpec(input_per_million=1e6, output_per_million=2e6, input_audio_per_million=1e6)
    assert budget.cost_of_call(heard, same, Usage(100, 5)) == RunCost(110.0)


def test_a_failure_that_was_billed_costs_what_it_cost_over_retries() -> None:
    billed = error("invalid_reply", retryable=True, usage=Usage(10, 5))  # 20 each
    generation = asyncio.run(Desk().one(script(billed, billed, fine(10, 5)), price=PRICE))
    assert (generation.status, generation.attempts, generation.cost) == ("answered", 3, 60.0)
    lost = error("timeout", unknown_outcome=True)
    generation = asyncio.run(Desk().one(script(lost, fine(10, 5)), asked(1, max_tokens=10), PRICE))
    assert (generation.cost, RunCost.of(generation)) == (None, RunCost(20.0, 1, 26.0))
    refused = error("server_error")
    generation = asyncio.run(Desk().one(script(refused, fine(10, 5)), price=PRICE))
    assert RunCost.of(generation) == RunCost(20.0)


def test_what_failed_attempts_cost_is_told_when_the_run_ends_before_another() -> None:
    billed = error("invalid_reply", retryable=True, usage=Usage(10, 5))
    with pytest.raises(Stopped) as stopped:
        asyncio.run(Desk(max_calls=1).one(script(billed), price=PRICE))
    assert stopped.value.cost == RunCost(20.0)


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
        return await asyncio.wait_for(asked, 20)

    assert asyncio.run(ask()) == ["stopped"] * 3
