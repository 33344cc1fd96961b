"""What a run has spent is known from the store alone, so that a kill resets no budget."""

from __future__ import annotations

import pytest

from themis_core import Generation, Request
from themis_core.execution.budget import spent_before
from themis_core.records import Event, GenerationRecorded
from themis_core.testing.memory import MemoryStore


def answered(run_id: str, key: str, cost: float | None) -> Event:
    request = Request("m", [{"role": "user", "content": key}], key=key)
    return GenerationRecorded(
        key, run_id, "2026-01-01T00:00:00.000000+00:00", request, Generation("answered", cost=cost)
    )


@pytest.mark.parametrize(
    ("costs", "total"),
    [
        ([], 0.0),
        ([0.1] * 10, 1.0),  # no rounding adds up
        ([None, 0.25, None], 0.25),  # unknown is not counted, and is no mistake
    ],
)
def test_only_the_runs_own_calls_count_as_spent(costs: list[float | None], total: float) -> None:
    store = MemoryStore()
    store.append([answered("mine", f"k{number}", cost) for number, cost in enumerate(costs)])
    store.append([answered("another", "other", 99.0)])
    assert spent_before(store, "mine") == total
