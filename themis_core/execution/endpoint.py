"""Calls to one endpoint: concurrency, rates, deadline, retries and the circuit breaker, in this one layer.

It saves nothing and knows no trial: a request goes in, a generation comes out, failed or not.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, replace
from typing import Any

from themis_core.components import Engine
from themis_core.errors import EngineError
from themis_core.records import Generation, Request, Usage
from themis_core.specs import ExecutionPolicySpec, PriceSpec, canonical_json

__all__ = ["Budget", "Endpoint", "Stopped", "backoff", "cost_of", "estimate_tokens"]

OUTAGES = frozenset({"timeout", "connection", "overloaded", "server_error"})
"""Codes that count towards opening the breaker."""
LASTING = frozenset({"unauthorized", "forbidden", "not_found"})
"""Codes that no further call of the same model would escape."""
POLL_S = 0.1


class Stopped(Exception):
    """No further call may start: the run is ending. Never leaves the room."""


@dataclass(slots=True)
class Budget:
    """What this execution has spent, and whether it may go on; shared by all endpoints."""

    policy: ExecutionPolicySpec
    calls: int = 0
    cost: float = 0.0
    priced: bool = False
    stopped: str | None = None
    """Why no further call may start."""
    exhausted: bool = False
    """True if the reason is money: a budget or the provider's quota."""

    def stop(self, reason: str, *, exhausted: bool = False) -> None:
        if self.stopped is None:
            self.stopped, self.exhausted = reason, exhausted

    def start_call(self) -> None:
        """Count a call that is about to start. Raises Stopped if it may not."""
        policy = self.policy
        if policy.max_calls is not None and self.calls >= policy.max_calls:
            self.stop(f"max_calls reached: {self.calls} calls were made", exhausted=True)
        if policy.max_cost is not None and self.cost >= policy.max_cost:
            self.stop(f"max_cost reached: {self.cost:.4f} spent", exhausted=True)
        if self.stopped is not None:
            raise Stopped
        self.calls += 1


def backoff(policy: ExecutionPolicySpec, attempt: int, draw: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1): full jitter under a doubling bound.

    `draw` is uniform in [0, 1). Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    bound = min(policy.backoff_max_s, policy.backoff_base_s * 2 ** min(attempt - 1, 60))
    return float(bound * draw)


def cost_of(usage: Usage, price: PriceSpec | None) -> float | None:
    """Cost of one answer; None without a price or without token counts."""
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    cached = usage.cached_input_tokens or 0
    cached_price = price.cached_input_per_million
    if cached_price is None:
        cached, cached_price = 0, 0.0
    fresh = max(usage.input_tokens - cached, 0)
    total = fresh * price.input_per_million + cached * cached_price + usage.output_tokens * price.output_per_million
    return total / 1e6


def estimate_tokens(messages: list[dict[str, Any]]) -> int:
    """A rough count of a prompt's tokens: a quarter of its characters, plus four a message."""
    characters = 0
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            characters += len(content)
        else:
            characters += sum(len(part.get("text", "")) for part in content)
    return characters // 4 + 4 * len(messages)


class Endpoint:
    """One endpoint's limits and breaker. `slots` bounds the calls in flight in all."""

    def __init__(self, name: str, policy: ExecutionPolicySpec, slots: asyncio.Semaphore, budget: Budget) -> None:
        self.name = name
        self.note = ""
        """What it waits for, for people; empty if nothing."""
        self._policy = policy
        self._slots = slots
        self._own_slots = asyncio.Semaphore(policy.max_in_flight_per_endpoint or policy.max_in_flight_work_items)
        self._budget = budget
        self._random = random.Random()
        self._gate_until = 0.0
        self._next_start = 0.0
        self._failures = 0
        self._open_until: float | None = None
        self._cooldown = policy.breaker_cooldown_s
        self._probing = False
        self._failed_probes = 0
        self._given_up: str | None = None
        self._lasting: dict[str, str] = {}

    async def call(self, engine: Engine, request: Request, price: PriceSpec | None) -> Generation:
        """Get one generation, with as many attempts as the policy allows; a failure is returned, not raised.

        Raises Stopped if the run ended before an attempt could start.
        """
        if engine.capabilities.batch:
            return await self._local(engine, request, price)
        started = time.monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                generation = await self._attempt(engine, request)
            except EngineError as error:
                wait = self._wait(error, attempt, started)
                if wait is None:
                    return _failure(error, attempt)
                await self._sleep(wait)
            else:
                cost = cost_of(generation.usage, price)
                self._spend(cost)
                return replace(generation, attempts=attempt, cost=cost)

    async def _local(self, engine: Engine, request: Request, price: PriceSpec | None) -> Generation:
        if self._budget.stopped is not None:
            raise Stopped
        try:
            generation = _storable(await engine.generate(request))
        except EngineError as error:
            return _failure(error, 1)
        except Exception as error:  # noqa: BLE001 - an engine's bug fails its trial, not the run
            return _failure(_unexpected(error), 1)
        cost = cost_of(generation.usage, price)
        return generation if cost is None else replace(generation, cost=cost)

    def _spend(self, cost: float | None) -> None:
        if cost is not None:
            self._budget.cost += cost
            self._budget.priced = True

    async def _attempt(self, engine: Engine, request: Request) -> Generation:
        async with self._own_slots:
            while True:
                # Waited for with a place of the endpoint's own only, so that a dead endpoint stops no other.
                probing = await self._admitted(request)
                async with self._slots:
                    if probing or self._open_until is None:
                        return await self._send(engine, request, probing)

    async def _send(self, engine: Engine, request: Request, probing: bool) -> Generation:
        try:
            self._budget.start_call()
            begun = time.monotonic()
            generation = await self._timed(engine, request)
        except EngineError as error:
            self._failed(error, request, probing)
            raise
        except Stopped:
            self._probing = self._probing and not probing
            raise
        self._succeeded()
        return replace(generation, latency_s=round(time.monotonic() - begun, 6))

    async def _timed(self, engine: Engine, request: Request) -> Generation:
        limit = self._policy.attempt_timeout_s
        try:
            async with asyncio.timeout(limit):
                return _storable(await engine.generate(request))
        except TimeoutError as error:
            raise EngineError(
                "timeout", f"no reply within {limit:g} s", retryable=True, unknown_outcome=True
            ) from error
        except EngineError:
            raise
        except Exception as error:
            raise _unexpected(error) from error

    async def _admitted(self, request: Request) -> bool:
        """Wait for the breaker, the provider's gate and the rates; True if this call is the breaker's probe."""
        while True:
            self._check_alive(request)
            now = time.monotonic()
            if self._open_until is not None:
                if now >= self._open_until and not self._probing:
                    self._probing = True
                    return True
                wait = max(self._open_until - now, POLL_S)
            elif (wait := max(self._gate_until, self._next_start) - now) <= 0:
                self.note = ""
                self._next_start = max(now, self._next_start) + self._spacing(request)
                return False
            await self._sleep(wait)

    def _check_alive(self, request: Request) -> None:
        if self._budget.stopped is not None:
            raise Stopped
        reason = self._given_up or self._lasting.get(request.model_id)
        if reason:
            raise EngineError("circuit_open", f"not called: {reason}")

    def _spacing(self, request: Request) -> float:
        policy = self._policy
        spacing = 60 / policy.requests_per_minute if policy.requests_per_minute else 0.0
        if policy.tokens_per_minute:
            tokens = estimate_tokens(request.messages) + int(request.params.get("max_tokens") or 0)
            spacing = max(spacing, 60 * tokens / policy.tokens_per_minute)
        return spacing

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but no longer than the run lasts."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._budget.stopped is not None:
                raise Stopped
            await asyncio.sleep(min(left, POLL_S))

    def _wait(self, error: EngineError, attempt: int, started: float) -> float | None:
        """Seconds until the next attempt; None if there is none."""
        policy = self._policy
        if not error.retryable or attempt > policy.max_retries:
            return None
        wait = backoff(policy, attempt, self._random.random())
        if error.retry_after is not None:
            wait = error.retry_after + self._random.random() * min(1.0, policy.backoff_base_s)
        if time.monotonic() + wait - started > policy.retry_window_s:
            return None
        return wait

    def _failed(self, error: EngineError, request: Request, probing: bool) -> None:
        if error.code == "quota_exhausted":
            self._budget.stop(f"{self.name}: {error.message}", exhausted=True)
        if error.code in LASTING:
            self._lasting[request.model_id] = f"{self.name} answered {error}"
        if error.retry_after is not None:
            # The provider speaks for the whole endpoint, so everybody waits, not only this call.
            self._gate_until = max(self._gate_until, time.monotonic() + error.retry_after)
            self.note = f"{self.name} asked to wait {error.retry_after:.0f} s"
        if error.code not in OUTAGES:
            if probing:
                self._succeeded()  # it answers again, if only with an error
            return
        self._failures += 1
        if probing:
            self._probing = False
            self._failed_probes += 1
            self._cooldown *= 2
            if self._failed_probes > self._policy.breaker_max_probes:
                self._given_up = f"{self.name} failed {self._failures} times in a row, last with {error}"
        if probing or (self._open_until is None and self._failures >= self._policy.breaker_failures):
            self._open_until = time.monotonic() + self._cooldown
            self.note = f"{self.name} fails ({error.code}); next try in {self._cooldown:.0f} s"

    def _succeeded(self) -> None:
        self._failures = self._failed_probes = 0
        self._open_until = None
        self._probing = False
        self._cooldown = self._policy.breaker_cooldown_s


def _storable(generation: Generation) -> Generation:
    """Pass a generation on; raises if it holds what no store can take, so that this costs one trial, not the run."""
    if generation.provider or generation.logprobs or generation.tool_calls:
        canonical_json([generation.provider, generation.logprobs, generation.tool_calls])
    return generation


def _failure(error: EngineError, attempts: int) -> Generation:
    provider = {"unknown_outcome": True} if error.unknown_outcome else {}
    return Generation("failed", error_code=error.code, error=error.message, attempts=attempts, provider=provider)


def _unexpected(error: Exception) -> EngineError:
    return EngineError("engine_error", f"{type(error).__name__}: {error}")
