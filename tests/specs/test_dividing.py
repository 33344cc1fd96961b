"""What one of several processes keeps to, where they share no limits."""

from __future__ import annotations

import pytest

from themis_core import ExecutionPolicySpec


def test_counts_are_rounded_down_to_one_at_least_and_amounts_are_divided() -> None:
    whole = ExecutionPolicySpec(
        max_in_flight_work_items=32,
        max_in_flight_per_endpoint=7,
        requests_per_minute=10,
        tokens_per_minute=1000,
        max_calls=3,
        max_cost=20,
    )
    assert whole.divided(1) == whole
    assert whole.divided(4) == whole.model_copy(
        update={
            "max_in_flight_work_items": 8,
            "max_in_flight_per_endpoint": 1,
            "requests_per_minute": 2.5,
            "tokens_per_minute": 250.0,
            "max_calls": 1,
            "max_cost": 5.0,
        }
    )
    assert whole.divided(1000).max_in_flight_work_items == 1


def test_what_is_not_limited_stays_so_and_what_is_shared_stays_whole() -> None:
    assert ExecutionPolicySpec().divided(4) == ExecutionPolicySpec(max_in_flight_work_items=8)
    shared = ExecutionPolicySpec(share_limits=True, max_in_flight_work_items=8, requests_per_minute=60, max_cost=2)
    assert shared.divided(4) == shared
    assert shared.model_copy(update={"max_calls": 10}).divided(4).max_calls == 2


@pytest.mark.parametrize("of", [0, -1])
def test_nothing_is_divided_by_less_than_one(of: int) -> None:
    with pytest.raises(ValueError, match="can't be divided by"):
        ExecutionPolicySpec().divided(of)
