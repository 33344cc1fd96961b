"""Shares the limits of endpoints, and the run's budget, with all processes that use the same store and say so.

    endpoints ─ what each needs and met ─┐                           ┌─ pool of each endpoint
                                         ├─ one short transaction ──▶│
    budget ──── what it spent and wants ─┘   about twice a second    └─ purse of the run

What may be done is pure, in `themis_pacing` and `themis_costs`; here it is fetched, early enough that no call waits for
the store. A store that is slow or fails stops no call: each process then keeps to its part, and says so once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from themis_core.components import DRIVER, Holder, LiveChange
from themis_core.errors import StorageError, ThemisError
from themis_core.execution.writer import Writer
from themis_core.specs import ExecutionPolicySpec
from themis_costs import Budget, Purse, PurseNeed, PursePart
from themis_pacing import STALE_S, Breaker, Member, Need, Pool

__all__ = ["SharedLimits"]

log = logging.getLogger("themis")
EVERY_S: Final = 0.5
"""Seconds between two exchanges of an endpoint that has calls."""
GAP_S: Final = 0.05
"""Seconds, at least, from the end of an exchange to the next one, whoever runs short."""
OF_MANY_S: Final = 0.002
"""By so much for each endpoint that has calls, exchanges are further apart, so that many don't keep the store busy."""
IDLE_S: Final = 5.0
"""Seconds after which an endpoint without calls is left."""


@dataclass(slots=True)
class _Endpoint:
    name: str
    member: Member
    when_told: Callable[[], object]
    """Called when the breaker changed."""
    told_at: float = 0.0
    used_at: float = 0.0
    is_in: bool = False
    said: set[str] = field(default_factory=set)
    """Limits of which it was said that another process has a smaller one."""

    def is_due(self, now: float, every_s: float) -> bool:
        if not self.member.is_idle:
            self.used_at = now
        if self.member.is_short:
            return True
        return self.is_in and now - self.told_at >= every_s

    def is_left(self, now: float) -> bool:
        return self.is_in and self.member.is_idle and now - self.used_at > IDLE_S


class SharedLimits:
    """What one execution shares. `begin` before the first call, `watch` as a task beside them, `end` after the last."""

    def __init__(self, writer: Writer, policy: ExecutionPolicySpec, budget: Budget, run_id: str) -> None:
        self._writer = writer
        self._policy = policy
        self._budget = budget
        self._run_id = run_id
        self._name = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(8)}"
        self._endpoints: list[_Endpoint] = []
        self._short = asyncio.Event()
        self._heard_at = time.monotonic()
        self._is_alone = False
        """Whether each process keeps to its own part, because the store does not answer."""
        if policy.max_cost is not None:
            before, spent = budget.before.most, budget.cost.most
            budget.part = PursePart(self._name, policy.max_cost, before, spent, self._short.set)

    def join(self, endpoint: str, most: int, breaker: Breaker, when_told: Callable[[], object]) -> Member:
        """Share the limits of an endpoint, whose policy allows `most` calls in flight."""
        policy = self._policy
        requests, tokens = policy.requests_per_minute, policy.tokens_per_minute
        member = Member(
            self._name,
            most,
            breaker,
            requests_per_s=None if requests is None else requests / 60,
            tokens_per_s=None if tokens is None else tokens / 60,
            when_short=self._short.set,
        )
        self._endpoints.append(_Endpoint(endpoint, member, when_told))
        return member

    async def begin(self) -> None:
        """Raises StorageError if the store can share nothing."""
        try:
            looked_at = time.monotonic()
            if self._budget.part is not None:
                holders = await self._writer.read(lambda store: store.at_work(self._run_id))
                self._budget.part.looked = looked_at, self._others_of(holders)
            await self._exchange([])
        except ThemisError:
            raise
        except Exception as error:
            raise StorageError(f"the store can't share limits: {type(error).__name__}: {error}") from error

    def _others_of(self, holders: Sequence[Holder]) -> frozenset[str]:
        """Of those at work, the names that members of a purse have but for their last word; without this execution's:
        who had the same host and number before was killed, as the first process of a container that was started anew.
        """
        names = Counter(f"{each.host} {each.pid}" for each in holders if each.part != DRIVER)
        names[self._name.rpartition(" ")[0]] -= 1
        return frozenset(+names)

    async def watch(self) -> None:
        """Exchange until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._short.wait(), EVERY_S)
            self._short.clear()
            now = time.monotonic()
            every_s = max(EVERY_S, OF_MANY_S * sum(each.is_in for each in self._endpoints))
            due = [each for each in self._endpoints if each.is_due(now, every_s)]
            part = self._budget.part
            if due or (part is not None and (part.is_short or now - self._heard_at >= EVERY_S)):
                await self._answered(due)
            took_s = time.monotonic() - now
            # A store that is slow has more to do than this.
            await asyncio.sleep(max(GAP_S, took_s))

    async def end(self) -> None:
        """Give everything back."""
        for each in self._endpoints:
            each.used_at = float("-inf")
        with suppress(Exception):  # others forget this process after some seconds
            await self._exchange([each for each in self._endpoints if each.is_in], ends=True)

    async def _answered(self, due: list[_Endpoint]) -> None:
        """Exchange; if that takes long or fails, have each endpoint keep to its part until it works again."""
        exchanging = asyncio.ensure_future(self._exchange(due))
        try:
            await asyncio.wait({exchanging}, timeout=STALE_S)
            if not exchanging.done():
                self._go_alone(f"it did not answer for {STALE_S:g} s")
            await exchanging
        except Exception as error:  # noqa: BLE001 - of a stranger's store; if nothing can be saved, that ends the run
            for each in due:
                each.member.lost()
            if time.monotonic() - self._heard_at > STALE_S:
                self._go_alone(str(error))
        finally:
            exchanging.cancel()

    def _go_alone(self, why: str) -> None:
        for each in self._endpoints:
            each.member.go_alone()
            each.when_told()
        if not self._is_alone:
            self._is_alone = True
            log.warning("%s: %s", self._without_the_store(), why)

    def _without_the_store(self) -> str:
        """What this process does as long as nothing is exchanged."""
        if not self._policy.share_limits:
            return "max_cost is not shared at the moment, so this process soon starts no call that has a price"
        told = "limits are not shared through the store at the moment, so this process keeps to an equal part of them"
        if self._budget.part is None:
            return told
        return f"{told}, and for max_cost it soon starts no call that has a price"

    async def _exchange(self, due: list[_Endpoint], *, ends: bool = False) -> None:
        now = time.monotonic()
        changes: dict[str, LiveChange] = {}
        left = [each for each in due if each.is_left(now)]
        for each in due:
            need = each.member.need(now)
            each.is_in, each.told_at = each not in left, now
            changes[self._place("endpoint", each.name)] = _pooled(need, leaves=each in left)
            if each in left:
                each.member.leave()
        asked = self._budget.ask(now, keeps=not ends)
        if asked is not None:
            changes[self._place("run", self._run_id)] = _spent(asked, leaves=ends)
        told = await self._writer.read(lambda store: store.exchange(changes))
        now = time.monotonic()
        for each in due:
            if each not in left:
                self._take(each, told[self._place("endpoint", each.name)], now)
        if asked is not None and self._budget.part is not None and not ends:
            self._budget.part.hear(told[self._place("run", self._run_id)], asked, now)
        self._heard_at = now
        if self._is_alone and (due or not self._endpoints):
            self._is_alone = False
            log.warning("limits are shared through the store again")

    def _take(self, endpoint: _Endpoint, share: Any, now: float) -> None:
        policy, member = self._policy, endpoint.member
        if member.take(share, now):
            endpoint.when_told()
        for name, told, own in (
            ("requests_per_minute", share.requests_per_s and share.requests_per_s * 60, policy.requests_per_minute),
            ("tokens_per_minute", share.tokens_per_s and share.tokens_per_s * 60, policy.tokens_per_minute),
            ("calls in flight", share.most, member.limit.most),
        ):
            if told is not None and (own is None or told < own * (1 - 1e-9)) and name not in endpoint.said:
                endpoint.said.add(name)
                log.warning(
                    "%s: %s: %g holds, the smallest limit of all processes that share them (%s here)",
                    endpoint.name,
                    name,
                    told,
                    "none" if own is None else f"{own:g}",
                )

    def _place(self, kind: str, name: str) -> str:
        return "\n".join((kind, name, self._policy.share_limits_as if kind == "endpoint" else ""))


def _pooled(need: Need, *, leaves: bool) -> LiveChange:
    def change(state: dict[str, Any] | None, now: float) -> tuple[dict[str, Any], Any]:
        pool = Pool.of(state)
        share = pool.exchange(need, now)
        if leaves:
            pool.leave(need.member)
        return pool.plain(), share

    return change


def _spent(need: PurseNeed, *, leaves: bool) -> LiveChange:
    def change(state: dict[str, Any] | None, now: float) -> tuple[dict[str, Any], Any]:
        purse = Purse.of(state)
        share = purse.exchange(need, now)
        if leaves:
            purse.leave(need)
        return purse.plain(), share

    return change
