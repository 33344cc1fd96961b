"""When a call is tried again. How it serves an endpoint is tested with the core."""

from __future__ import annotations

from dataclasses import replace

import pytest

from themis_pacing import RetryAllowance, Retrying, RetryRules, Trouble

RULES = RetryRules(max_retries=3, window_s=1000, base_s=1, max_s=60)
FAILED = Trouble(kind="server_error", told="server_error: HTTP 500", passes=True)
REFUSED = Trouble(kind="rate_limited", told="rate_limited: HTTP 429", passes=True, refused=True)


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
    assert RULES.backoff(attempt, draw) == seconds


@pytest.mark.parametrize(
    ("attempt", "draw", "seconds"),
    [
        (1, 0.0, 0.5),  # min(60, 1 · 2⁰) · (0.5 + 0)
        (1, 0.5, 0.75),  # 1 · (0.5 + 0.25)
        (3, 1.0, 4.0),  # min(60, 1 · 2²) · (0.5 + 0.5)
        (5000, 0.0, 30.0),
    ],
)
def test_refused_calls_wait_at_least_half_the_bound(attempt: int, draw: float, seconds: float) -> None:
    assert RULES.equal_jitter(attempt, draw) == seconds


@pytest.mark.parametrize(
    ("rules", "troubles", "waits"),
    # `draw` is always 0.5
    [
        (RULES, [FAILED] * 4, [0.5, 1.0, 2.0, None]),  # 1 · 0.5, 2 · 0.5, 4 · 0.5, and no fourth retry
        (RULES, [REFUSED] * 5, [0.75, 1.5, 3.0, 6.0, 12.0]),  # a refusal is no failed attempt
        (RULES, [REFUSED, FAILED], [0.75, 0.5]),
        (RULES, [replace(FAILED, retry_after=20.0)], [0.0]),  # the gate waits
        (RULES, [replace(FAILED, passes=False)], [None]),
        (RULES, [replace(FAILED, body="a")] * 3, [0.5, 1.0, None]),  # the same each time
        (RULES, [replace(FAILED, body="a"), FAILED, replace(FAILED, body="a")], [0.5, 1.0, 2.0]),
        (replace(RULES, max_retries=0), [REFUSED], [None]),
        (replace(RULES, window_s=5.5), [REFUSED] * 3, [0.75, 1.5, None]),  # at 3 s, 3 s more would be too late
        (replace(RULES, window_s=10), [replace(REFUSED, retry_after=10.0)], [None]),
    ],
)
def test_a_call_is_tried_again_by_the_rules(
    rules: RetryRules, troubles: list[Trouble], waits: list[float | None]
) -> None:
    retrying = Retrying(rules, 0.0, lambda: 0.5)
    assert [retrying.wait_after(each, 1.0 + number) for number, each in enumerate(troubles)] == waits


@pytest.mark.parametrize(
    ("calls", "retries", "waits"),
    # A hundred to begin with, a fifth of a call each, and half a second between those beyond.
    [
        (0, 100, [0.0] * 100),
        (0, 103, [0.0] * 100 + [0.5, 1.0, 1.5]),
        (500, 100, [0.0] * 100),  # no more than a hundred are saved up
    ],
)
def test_retries_beyond_a_hundred_and_a_fifth_of_the_calls_are_slowed_down(
    calls: int, retries: int, waits: list[float]
) -> None:
    allowance = RetryAllowance(0.5)
    for _ in range(calls):
        allowance.earn()
    assert [allowance.take(1000.0) for _ in range(retries)] == waits


def test_calls_earn_a_fifth_of_a_retry_each() -> None:
    allowance = RetryAllowance(0.5)
    assert [allowance.take(1000.0) for _ in range(100)] == [0.0] * 100
    for _ in range(11):
        allowance.earn()
    assert [allowance.take(1000.0) for _ in range(3)] == [0.0, 0.0, 0.5]  # 11 · 0.2 = 2.2
