"""The compliance suite of extractors refuses what takes too long, and takes what is slow because the machine is."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from themis_core import Extraction, Extractor
from themis_core.testing.extractor import ExtractorSuite

LONG = "x" * 64_000
CLOCKS = {"cpu": 0.0, "wall": 0.0}
COSTS: list[Callable[[int], float]] = []


class Costly(Extractor):
    """Takes the seconds that the test says, of CPU or asleep, on clocks that the test moves."""

    def extract(self, text: str) -> Extraction:
        seconds = COSTS[-1](len(text))
        CLOCKS["cpu"] += max(seconds, 0)
        CLOCKS["wall"] += abs(seconds)
        return Extraction(reason="no_match")


@pytest.fixture(autouse=True)
def clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "thread_time", lambda: CLOCKS["cpu"])
    monkeypatch.setattr(time, "perf_counter", lambda: CLOCKS["wall"])


def once(seconds: float) -> Callable[[int], float]:
    """Takes so many seconds for the first text, and next to none for those that follow."""
    costs = [seconds]
    return lambda length: costs.pop() if costs else 0.01


def judge(cost: Callable[[int], float]) -> None:
    COSTS.append(cost)
    ExtractorSuite().test_any_text_gives_a_value_or_a_reason_in_bounded_time(Costly(), LONG)


@pytest.mark.parametrize(
    "cost",
    [
        lambda length: 1.9,
        lambda length: 1.9 * (length / len(LONG)) ** 2,
        lambda length: 20 * length / len(LONG),
        lambda length: 20 * (length / len(LONG)) ** 1.1,
        lambda length: -19.0,
        once(2.5),
    ],
    ids=[
        "in time",
        "in time, whatever it grows with",
        "slow machine",
        "slow machine, n log n",
        "waits its turn",
        "once",
    ],
)
def test_what_is_bounded_passes_on_a_slow_machine_as_well(cost: Callable[[int], float]) -> None:
    judge(cost)


@pytest.mark.parametrize(
    "cost",
    [
        lambda length: 2.1 * (length / len(LONG)) ** 2,
        lambda length: 2.1 * (length / len(LONG)) ** 1.5,
        lambda length: 3.0,
        lambda length: 41 * length / len(LONG),
        lambda length: -21.0,
    ],
    ids=["square", "length to the 1.5", "a timeout that is too long", "far too slow", "sleeps"],
)
def test_what_takes_too_long_fails_on_every_machine(cost: Callable[[int], float]) -> None:
    with pytest.raises(AssertionError, match="any text must be done in bounded time"):
        judge(cost)
