"""Metrics that take their time, as authors write them: a loose plugin file that the specs of the benchmarks name."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from typing import Any

from pydantic import Field

from themis_core import Generation, Item, Metric, Score, hookimpl

THEMIS_CONTRACT_VERSION = 1


class Sleeps(Metric):
    """Waits for something outside, in threads; its author knows that several may."""

    runs_in = "thread"
    at_once = 8
    seconds: float = Field(0.005, ge=0, description="How long each score takes.")

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        time.sleep(self.seconds)
        return Score(1.0)


class Asks(Metric):
    """Waits for a service, without a thread."""

    at_once = 64
    seconds: float = Field(0.005, ge=0, description="How long each score takes.")

    async def score(self, item: Item, generation: Generation, value: Any) -> Score:  # type: ignore[override]
        await asyncio.sleep(self.seconds)
        return Score(1.0)


class Computes(Metric):
    """Computes in Python, in processes."""

    runs_in = "process"
    seconds: float = Field(0.005, ge=0, description="Seconds of CPU that each score takes.")

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        end = time.thread_time() + self.seconds
        digest = b""
        while time.thread_time() < end:
            digest = hashlib.sha256(digest).digest()
        return Score(1.0)


class Stalls(Metric):
    """Takes no time, but for one item in so many. Its author says nothing of where it runs."""

    seconds: float = Field(1.5, ge=0, description="How long that one takes.")
    every: int = Field(100, ge=1, description="One item of so many.")

    def score(self, item: Item, generation: Generation, value: Any) -> Score:
        if int(item.id) % self.every == 0:
            time.sleep(self.seconds)
        return Score(1.0)


@hookimpl
def themis_register_metrics(register: Callable[[str, type[Metric]], None]) -> None:
    register("sleeps", Sleeps)
    register("asks", Asks)
    register("computes", Computes)
    register("stalls", Stalls)
