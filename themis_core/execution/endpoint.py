"""Calls to one endpoint: concurrency, rates, deadline, retries and the circuit breaker, in this one layer.

    place in flight → breaker → gate and pace → place in all → budget → engine, under a deadline
    └──────────────── failed: a wait, then from the start ────────────────┘

It saves nothing and knows no trial: a request goes in, a generation comes out, failed or not. A call that meets no
trouble waits for nothing but the engine.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from themis_core.components import Engine
from themis_core.errors import EngineError
from themis_core.execution.deadline import within
from themis_core.execution.failing import MAY_BE_BILLED, failure_of
from themis_core.execution.returned import as_engine_error, as_generation
from themis_core.execution.trouble import breaker_of, retry_rules, trouble_of
from themis_core.execution.watching import CUT_OFF, RequestWatch
from themis_core.planning import with_media
from themis_core.plugins import from_outside, told
from themis_core.records import Generation, Request, RunCost, Usage
from themis_core.specs import ExecutionPolicySpec, PriceSpec
from themis_costs import NOTHING, Budget, Stopped, output_limit, prompt_tokens
from themis_lanes import Overdue, going_on, watched
from themis_media import Media, MediaChanged
from themis_pacing import AdaptiveLimit, Pace, RetryAllowance, Retrying, attempt_ends
from themis_plain import own

if TYPE_CHECKING:
    from themis_core.execution.limits import SharedLimits

__all__ = ["Budget", "Endpoint", "Stopped"]

LONGEST_REST_S = 366 * 86_400.0
"""What is longer is a mistake, and beyond what dates can say."""
LEARNING = 0.1
"""Weight of the last call in the average of tokens used."""
POLL_S = 0.05
"""Seconds between looks at what nobody tells of."""


class _Failed(NamedTuple):
    """An attempt that failed, when it began, and what it cost."""

    error: EngineError
    begun: float
    cost: RunCost = RunCost()


class Endpoint:
    """One endpoint's limits and breaker. `slots` bounds the calls in flight in all."""

    def __init__(
        self,
        name: str,
        policy: ExecutionPolicySpec,
        slots: asyncio.Semaphore,
        budget: Budget,
        media: Media | None = None,
        watch: RequestWatch | None = None,
        at_once: int | None = None,
        shared: SharedLimits | None = None,
    ) -> None:
        """`at_once`: how many calls its engines let be in flight; None: as many as the policy does."""
        self.name = name
        self._watch = watch
        self._media = media if media is not None else Media()
        self.note = ""
        """What it waits for, for people; empty if nothing."""
        self._policy = policy
        self._slots = slots
        self._budget = budget
        allowed = policy.max_in_flight_per_endpoint or policy.max_in_flight_work_items
        most = allowed if at_once is None else min(at_once, allowed)
        self._breaker = breaker_of(name, policy)
        self._member = None if shared is None else shared.join(name, most, self._breaker, self._rouse)
        self._limit = AdaptiveLimit(most) if self._member is None else self._member.limit
        self._pace = Pace() if self._member is None else self._member.pace
        own_rates = policy.requests_per_minute is not None or policy.tokens_per_minute is not None
        self._has_rates = own_rates or self._member is not None
        self._tokens_used = 1.0
        """How many tokens a call takes of the most that it could take, on the average of late."""
        self._under_way = 0
        self._retry_rules = retry_rules(policy)
        self._allowance = RetryAllowance(policy.backoff_base_s / 10)
        self._random = random.Random().random
        self._asleep: set[asyncio.Future[None]] = set()
        budget.when_stopped.append(self._rouse)

    async def call(self, engine: Engine, request: Request, price: PriceSpec | None) -> Generation:
        """Get one generation, with as many attempts as the policy allows; a failure is returned, not raised.

        Raises Stopped, with what failed attempts cost, if the run ended before an attempt could start, or because of
        what this one brought.
        """
        if engine.capabilities.local:
            answering = self._local(engine, request, price)
            return await (answering if self._watch is None else self._watched(self._watch, answering, engine, request))
        costs: list[RunCost] = []
        try:
            return await self._retried(engine, request, price, costs)
        except Stopped as stopped:
            stopped.cost = sum(costs, RunCost())
            raise

    async def _retried(
        self, engine: Engine, request: Request, price: PriceSpec | None, costs: list[RunCost]
    ) -> Generation:
        """Attempts until one succeeds or none is left; what those cost that failed joins `costs`."""
        retrying: Retrying | None = None
        failure: Generation | None = None
        attempt = 0
        while True:
            attempt += 1
            result = await self._attempt(engine, request, price, attempt)
            if isinstance(result, Generation):
                if attempt == 1:
                    return result
                return sum(costs, RunCost.of(result)).put_into(replace(result, attempts=attempt))
            error, begun, cost = result
            costs.append(cost)
            if error.code == "circuit_open" and failure is not None:
                return failure  # it was called, and how that failed says more
            failure = sum(costs, RunCost()).put_into(failure_of(error, attempt))
            self._check_pause(error)
            if retrying is None:
                retrying = Retrying(self._retry_rules, begun, self._random)
            now = time.monotonic()
            wait = retrying.wait_after(trouble_of(error), now)
            if wait is None:
                return failure
            wait = max(wait, self._allowance.take(now))
            if (absent_until := self._breaker.absent_until) is not None and absent_until > now:
                wait = min(wait, absent_until - now)
            await self._sleep(wait, request.model_id)

    async def _local(self, engine: Engine, request: Request, price: PriceSpec | None) -> Generation:
        if self._budget.stopped is not None:
            raise Stopped
        while (reserved := self._budget.reserve(request, price, tells=engine.capabilities.costs)) is None:
            await self._doze(POLL_S)
        cost = NOTHING
        try:
            generation = as_generation(await self._in_time(engine, request))
            if price is None and generation.cost is None:  # it answers here, so that is free
                return generation
            cost = self._cost_of(request, price, generation)
            return cost.put_into(generation)
        except BaseException as error:
            if from_outside(error):
                raise
            # An engine's bug fails its trial, not the run.
            failed = as_engine_error(error) if isinstance(error, EngineError) else _unexpected(error)
            cost = self._cost_of_failure(request, price, failed) if price else cost
            return cost.put_into(failure_of(failed, 1))
        finally:
            self._budget.settle(reserved, cost)

    async def _watched(
        self, watch: RequestWatch, answering: Coroutine[Any, Any, Generation], engine: Engine, request: Request
    ) -> Generation:
        """Tell observers of a local engine's answer."""
        asked = watch.started(self.name, engine, request, 1)
        try:
            generation = await answering
        except BaseException:
            watch.failed(asked, CUT_OFF)
            raise
        watch.ended(asked, generation)
        return generation

    async def _in_time(self, engine: Engine, request: Request) -> Generation:
        """The answer of a local engine. It hardly ever waits, so neither a task nor a deadline is made for each."""
        limit = self._policy.attempt_timeout_s
        answering = watched(_label(engine), limit, self._asked(engine, request))
        try:
            waits_for = answering.send(None)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        try:
            async with asyncio.timeout(limit) as deadline:
                return await going_on(answering, waits_for)
        except TimeoutError:
            if deadline.expired():
                raise EngineError("timeout", f"no answer within {limit:g} s") from None
            raise

    def _asked(self, engine: Engine, request: Request) -> Coroutine[Any, Any, Generation]:
        return self._with_media(engine, request) if self._media else engine.generate(own(request))

    async def _with_media(self, engine: Engine, request: Request) -> Generation:
        """Ask with what the messages hold in its place, which is read as late as this."""
        try:
            whole = await asyncio.to_thread(with_media, self._media, request)
        except MediaChanged as error:
            raise EngineError("unsupported", str(error)) from error
        return await engine.generate(own(whole))

    def _cost_of(self, request: Request, price: PriceSpec | None, it: Generation) -> RunCost:
        said = (it.text, it.reasoning or "", *it.alternatives)
        return self._budget.cost_of_call(request, price, it.usage, said=said, told=it.cost)

    def _cost_of_failure(self, request: Request, price: PriceSpec | None, error: EngineError) -> RunCost:
        billed = error.unknown_outcome or error.code in MAY_BE_BILLED
        return self._budget.cost_of_call(request, price, error.usage, billed=billed, told=error.cost)

    async def _attempt(
        self, engine: Engine, request: Request, price: PriceSpec | None, attempt: int
    ) -> Generation | _Failed:
        if not self._limit.take():
            await self._limit.wait()
        probing = False
        try:
            while True:
                # Waited for with a place of the endpoint's own only, so that a dead endpoint stops no other.
                probing = await self._admitted(request)
                async with self._slots:
                    # Both may have changed while this call waited for its place.
                    open_now = probing or self._breaker.open_until is None
                    reserved: float | None = 0.0
                    if open_now and time.monotonic() >= self._pace.shut_until:
                        reserved = self._budget.reserve(request, price, tells=engine.capabilities.costs)
                        if reserved is not None:
                            return await self._send(engine, request, price, probing, reserved, attempt)
                probing = self._end_probe(probing)
                if reserved is None:
                    await self._doze(POLL_S)
        except EngineError as error:
            return _Failed(error, time.monotonic())
        finally:
            self._end_probe(probing)
            self._limit.release()

    def _end_probe(self, probing: bool) -> bool:
        if probing:
            self._breaker.probing = False
            self._rouse()
        return False

    async def _send(
        self, engine: Engine, request: Request, price: PriceSpec | None, probing: bool, reserved: float, attempt: int
    ) -> Generation | _Failed:
        self._budget.start_call()
        self._under_way += 1
        self._allowance.earn()
        cost = NOTHING
        watch = self._watch
        asked = None if watch is None else watch.started(self.name, engine, request, attempt)
        begun = time.monotonic()
        try:
            generation = await self._timed(engine, request)
            cost = self._cost_of(request, price, generation)
        except EngineError as error:
            cost = self._cost_of_failure(request, price, error)
            if error.retry_after is not None and not (error.retryable and error.retry_after > 0):
                error.retry_after = None  # to wait no time, or for what can't pass, is no wait; NaN is none either
            self._failed(error, request, probing, begun)
            if watch is not None and asked is not None:
                watch.failed(asked, error)
            return _Failed(error, begun, cost)
        except BaseException:
            if watch is not None and asked is not None:
                watch.failed(asked, CUT_OFF)
            raise
        finally:
            self._under_way -= 1
            self._budget.end_call()
            self._budget.settle(reserved, cost)
        self._succeeded(request.model_id)
        if self._has_rates:
            self._learn_tokens(request, generation.usage)
        measured = _measured(generation, round(time.monotonic() - begun, 6), cost.known)
        if cost.unknown_calls or "unknown_cost" in measured.provider:
            measured = cost.put_into(measured)
        if watch is not None and asked is not None:
            watch.ended(asked, measured)
        return measured

    async def _timed(self, engine: Engine, request: Request) -> Generation:
        limit = self._policy.attempt_timeout_s
        attempt_ends.set(time.monotonic() + limit)
        try:
            label = _label(engine)
            answering = within(limit, lambda: watched(label, limit, self._asked(engine, request)))
            return as_generation(await answering)
        except EngineError as error:
            raise as_engine_error(error) from error.__cause__
        except Overdue as overdue:
            message = f"no reply within {limit:g} s"
            if overdue.left_behind:
                message += "; the engine ignores its cancellation and was left alone"
            raise EngineError("timeout", message, retryable=True, unknown_outcome=True) from overdue
        except BaseException as error:
            if from_outside(error):
                raise
            raise _unexpected(error) from error

    async def _admitted(self, request: Request) -> bool:
        """Wait for the breaker, the provider's gate and the rates; True if this call is the breaker's probe."""
        breaker = self._breaker
        spacing = self._spacing(request) if self._has_rates else 0.0
        passed = False
        while True:
            if self._budget.stopped is not None:
                raise Stopped
            if (reason := breaker.why_not(request.model_id)) is not None:
                raise EngineError("circuit_open", f"not called: {reason}")
            now = time.monotonic()
            shut_until = self._pace.shut_until
            if breaker.open_until is not None:
                if now >= shut_until and breaker.start_probe(now):
                    return True
                passed = False
                # While a probe is in flight, or another process may send it, its end is what all wait for.
                wait = max(breaker.open_until, shut_until) - now
                for_probe = breaker.probing or breaker.asks_probe
                await self._doze(self._policy.attempt_timeout_s if for_probe else wait)
            elif (passed and now >= shut_until) or self._pace.pass_now(now, spacing):
                if self.note:
                    self.note = ""
                return False
            else:
                await self._pace.wait(spacing)
                passed = True

    def _spacing(self, request: Request) -> float:
        policy, member = self._policy, self._member
        if member is None:
            calls, tokens = policy.requests_per_minute, policy.tokens_per_minute
        else:
            calls, tokens = (each and 60 * each for each in (member.requests_per_s, member.tokens_per_s))
        spacing = 60 / calls if calls else 0.0
        if tokens:
            spacing = max(spacing, 60 * _most_tokens(request) * self._tokens_used / tokens)
        return spacing

    def _learn_tokens(self, request: Request, usage: Usage) -> None:
        if usage.input_tokens is not None and usage.output_tokens is not None:
            used = (usage.input_tokens + usage.output_tokens) / max(_most_tokens(request), 1)
            self._tokens_used += (used - self._tokens_used) * LEARNING

    async def _sleep(self, seconds: float, model_id: str) -> None:
        """Sleep so long, but no longer than the run lasts or the model may be called."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._breaker.why_not(model_id):
            await self._doze(left)

    async def _doze(self, seconds: float) -> None:
        """Sleep until something changed, but no longer than this. Raises Stopped if the run ends."""
        if self._budget.stopped is None:
            loop = asyncio.get_running_loop()
            waking: asyncio.Future[None] = loop.create_future()
            timer = loop.call_later(seconds, _wake, waking)
            self._asleep.add(waking)
            try:
                await waking
            finally:
                timer.cancel()
                self._asleep.discard(waking)
        if self._budget.stopped is not None:
            raise Stopped

    def _rouse(self) -> None:
        """Let all who wait look again: the run ends, or the breaker changed."""
        for waking in self._asleep:
            _wake(waking)
        if self._budget.stopped is not None:
            self._pace.let_go()

    def _failed(self, error: EngineError, request: Request, probing: bool, begun: float) -> None:
        now = time.monotonic()
        if error.code == "quota_exhausted":
            self._budget.stop(f"{self.name}: {error.message}", exhausted=True)
        if error.retry_after:
            # The provider speaks for the whole endpoint, so everybody waits, not only this call. The jitter keeps
            # several runs from coming back together.
            self._pace.hold(now + error.retry_after + self._random() * min(1.0, error.retry_after / 10))
            self.note = f"{self.name} asked to wait {error.retry_after:.0f} s"
        if error.code == "rate_limited":
            if error.retry_after:
                self._pace.refuse(begun, now)
            else:
                self._limit.cut(begun, now)
        trouble = trouble_of(error)
        self._breaker.look_for(trouble, now, alone=self._under_way == 1)
        if (absent_until := self._breaker.absent_until) is not None and absent_until > now:
            self.note = f"{self.name} does not answer ({error.code}); given up in {absent_until - now:.0f} s"
        if self._breaker.failed(trouble, request.model_id, probing, now, begun):
            assert self._breaker.open_until is not None
            again = datetime.now(UTC) + timedelta(seconds=self._breaker.open_until - now)  # the note stays as it is
            self.note = f"{self.name} fails ({error.code}); next try at {again:%H:%M:%S} UTC"
        if self._breaker.why_not(request.model_id):
            self._rouse()

    def _succeeded(self, model_id: str) -> None:
        was_open = self._breaker.open_until is not None
        self._breaker.answered(model_id)
        if was_open:
            self.note = ""
            self._rouse()
        self._limit.grow()

    def _check_pause(self, error: EngineError) -> None:
        """Stop the run, for another day, if the provider wants a longer rest than a run should sit through."""
        if error.retry_after and error.retry_after > self._policy.max_retry_after_s:
            wait = min(error.retry_after, LONGEST_REST_S)
            until = datetime.now(UTC) + timedelta(seconds=wait)
            asked = f"{self.name} asked to wait {wait / 60:.0f} min, until {until:%Y-%m-%d %H:%M} UTC"
            self._budget.stop(f"{asked} ({error})")
            raise Stopped


_NAMES = [each.name for each in fields(Generation)]
_VALUES = attrgetter(*_NAMES)
_LATENCY, _COST = _NAMES.index("latency_s"), _NAMES.index("cost")


def _measured(generation: Generation, latency_s: float, cost: float | None) -> Generation:
    # `replace` would take as long as all the rest of a call.
    values = list(_VALUES(generation))
    values[_COST] = cost
    if values[_LATENCY] is None:  # an engine that measured its transport knows better
        values[_LATENCY] = latency_s
    return Generation(*values)


def _label(engine: Engine) -> str:
    return f"{type(engine).__name__}.generate"


def _most_tokens(request: Request) -> int:
    return prompt_tokens(request.messages) + (output_limit(request.params) or 0)


def _wake(waking: asyncio.Future[None]) -> None:
    if not waking.done():
        waking.set_result(None)


def _unexpected(error: BaseException) -> EngineError:
    return EngineError("engine_error", told(error))
