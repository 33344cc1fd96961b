"""What a run may spend, and what its calls cost. It makes no call and knows no endpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from themis_core.components import Store
from themis_core.records import Usage
from themis_core.specs import ExecutionPolicySpec, PriceSpec

__all__ = ["Budget", "Stopped", "cost_of", "estimate_tokens", "spent_before"]


class Stopped(Exception):
    """No further call may start: the run is ending. Never leaves the room."""


@dataclass(slots=True)
class Budget:
    """What this execution has spent, and whether it may go on; shared by all endpoints."""

    policy: ExecutionPolicySpec
    spent_before: float = 0.0
    """Cost of the run's earlier executions, which counts towards `max_cost`."""
    calls: int = 0
    cost: float = 0.0
    priced: bool = False
    stopped: str | None = None
    """Why no further call may start."""
    exhausted: bool = False
    """True if the reason is money: a budget or the provider's quota."""
    when_stopped: list[Callable[[], object]] = field(default_factory=list)
    """Called once, when it stops."""
    _in_flight: int = 0
    _dearest: float = 0.0

    @property
    def in_flight(self) -> int:
        """Calls that have started and not ended."""
        return self._in_flight

    def stop(self, reason: str, *, exhausted: bool = False) -> None:
        if self.stopped is None:
            self.stopped, self.exhausted = reason, exhausted
            for tell in self.when_stopped:
                tell()

    def start_call(self) -> None:
        """Count a call that is about to start. Raises Stopped if it may not."""
        policy = self.policy
        if policy.max_calls is not None and self.calls >= policy.max_calls:
            self.stop(f"max_calls reached: {self.calls} calls were made", exhausted=True)
        if policy.max_cost is not None and (spent := self.spent_before + self.cost) >= policy.max_cost:
            earlier = " (earlier executions of this run included)" if self.spent_before else ""
            self.stop(f"max_cost reached: {spent:.4g} of {policy.max_cost:g} spent{earlier}", exhausted=True)
        if self.stopped is not None:
            raise Stopped
        self.calls += 1
        self._in_flight += 1

    def end_call(self, cost: float | None) -> None:
        """Count what a started call cost; None if that is not known."""
        self._in_flight -= 1
        if cost is not None:
            self.cost += cost
            self.priced = True
            self._dearest = max(self._dearest, cost)

    def is_tight(self) -> bool:
        """Whether one more call beside those in flight could be too much, each taken to be as dear as the dearest."""
        limit = self.policy.max_cost
        if limit is None or not self._in_flight:
            return False
        return self.spent_before + self.cost + (self._in_flight + 1) * self._dearest > limit


def spent_before(store: Store, run_id: str) -> float:
    """What earlier executions of a run spent, killed ones too, on calls whose answers are stored.

    Reads the run's whole log, so it is for runs with a `max_cost` only.
    """
    calls = (event["generation"] for event in store.events(run_id) if event["kind"] == "generation")
    return math.fsum(call.get("cost") or 0.0 for call in calls)


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
