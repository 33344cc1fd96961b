"""Refusals, failures and outages in number: nothing is lost, little is asked twice, and nothing is sent too early."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from themis_core import EngineError, Request
from themis_core.testing.server import ScriptedServer
from themis_plugin_openai.engines import OpenAIChat

pytestmark = pytest.mark.usefixtures("default_carrier")
Lab = Any
ON_THEIR_WAY = 0.01
"""Share of calls that may begin too early: how a call ended is known to others a turn of the event loop later, which
is long where others are at work on the machine."""
RATE = 250.0
BURST = 25.0


def storm_faults(calls: list[dict[str, Any]], trials: int) -> set[str]:
    """What is wrong with how a client took a provider's limit: of `requests`, `early` and `idle`, those that are."""
    calls = sorted(calls, key=lambda call: call["begun"])
    wrong = set()
    if len(calls) > 1.15 * trials:
        wrong.add("requests")
    told = sorted((call["ended"], call["ended"] + call["wait"]) for call in calls if call["wait"])
    closed_until, next_told, early = 0.0, 0, 0
    for call in calls:
        while next_told < len(told) and told[next_told][0] <= call["begun"]:
            closed_until = max(closed_until, told[next_told][1])
            next_told += 1
        early += call["begun"] < closed_until - 0.001
    if early > ON_THEIR_WAY * len(calls):
        wrong.add("early")
    if share_used(calls, trials) < 0.8:
        wrong.add("idle")
    return wrong


def share_used(calls: list[dict[str, Any]], trials: int) -> float:
    """How much of what the provider would have taken was sent."""
    begun = [call["begun"] for call in calls]
    return trials / (BURST + RATE * (max(begun) - min(begun)))


def test_a_storm_of_refusals_fails_no_trial_and_uses_the_providers_limit(
    lab: Lab, full: bool, figures: dict[str, Any]
) -> None:
    trials = 2_000 if full else 1_000
    lab.server.reset({"bucket": {"rate": RATE, "capacity": BURST}, "latency_s": 0.02})
    result = lab.run(trials, {"max_in_flight_work_items": 64})
    calls = lab.calls()
    figures |= {"trials": trials, "requests": len(calls), "share of the limit used": share_used(calls, trials)}
    assert lab.outcomes(result) == {"answered": trials}
    # How much of the limit is used depends on the machine too, so the short form takes no measure of it.
    assert storm_faults(calls, trials) - (set() if full else {"idle"}) == set()


def test_a_client_that_retries_on_its_own_is_caught_by_the_same_check(server: ScriptedServer) -> None:
    server.reset({"bucket": {"rate": RATE, "capacity": BURST}, "latency_s": 0.02})
    engine = OpenAIChat(base_url=server.base_url, api_key_env=None)
    calls: list[dict[str, Any]] = []

    async def stubborn(number: int) -> None:
        while True:
            call: dict[str, Any] = {"begun": time.monotonic(), "wait": None}
            calls.append(call)
            try:
                await engine.generate(Request("m", [{"role": "user", "content": str(number)}]))
            except EngineError as error:
                call["wait"] = error.retry_after
                await asyncio.sleep(0.02)
            else:
                return
            finally:
                call["ended"] = time.monotonic()

    async def story() -> None:
        await engine.start()
        await asyncio.gather(*(stubborn(number) for number in range(150)))
        await engine.stop()

    asyncio.run(story())
    assert {"requests", "early"} <= storm_faults(calls, 150)


@pytest.mark.parametrize("told", ["seconds", "nothing"])
def test_a_provider_that_tells_little_about_its_limit_fails_no_trial_either(
    told: str, lab: Lab, full: bool, figures: dict[str, Any]
) -> None:
    trials = 2_000 if full else 400
    lab.server.reset({"bucket": {"rate": RATE, "capacity": 40, "told": told}, "latency_s": 0.02})
    result = lab.run(trials, {"backoff_base_s": 0.2})
    figures |= {"told": told, "requests": lab.server.count, "share of the limit used": share_used(lab.calls(), trials)}
    assert lab.outcomes(result) == {"answered": trials}
    assert lab.server.count <= 1.5 * trials


def test_a_fifth_of_failures_loses_nothing(lab: Lab, full: bool, figures: dict[str, Any]) -> None:
    trials = 2_000 if full else 600
    faults = [
        {"share": [0.0, 0.05], "status": 500},
        {"share": [0.05, 0.1], "status": 502, "body": "<html><title>502 Bad Gateway</title></html>"},
        {"share": [0.1, 0.15], "cut": 0, "ending": "abort"},
        {"share": [0.15, 0.2], "cut": -10, "ending": "abort"},
    ]
    lab.server.reset({"faults": faults})
    policy = {"backoff_base_s": 0.02, "backoff_max_s": 0.5}
    result = lab.run(trials, policy)
    outcomes = lab.outcomes(result)
    attempts = Counter(call["item"] for call in lab.calls())
    figures |= {"requests": len(lab.calls()), "most attempts": max(attempts.values()), "outcomes": outcomes}
    assert sum(outcomes.values()) == trials
    assert outcomes["answered"] >= trials * 0.995
    assert max(attempts.values()) <= 6
    failed = trials - outcomes["answered"]
    lab.server.reset({})
    again = lab.run(trials, policy)
    assert (again.status, again.generated, lab.server.count) == ("completed", failed, failed)
    assert lab.outcomes(again) == {"answered": trials}


DEATHS = [
    {"cut": 0, "ending": "abort"},
    {"cut": 0},
    {"status": 500},
    {"status": 503, "headers": {"Retry-After": "0"}},
    {"ending": "stall", "cut": 0},
]


@pytest.mark.parametrize("death", DEATHS, ids=["reset", "closed", "500", "503", "silent"])
def test_a_dead_endpoint_costs_tens_of_calls_and_the_run_completes_after_it_recovers(
    death: dict[str, Any], lab: Lab, full: bool, figures: dict[str, Any]
) -> None:
    trials = 10_000 if full else 500
    policy = {"breaker_cooldown_s": 0.02, "backoff_base_s": 0.02, "backoff_max_s": 0.1}
    lab.server.reset({"faults": [death]})
    result = lab.run(trials, policy | {"attempt_timeout_s": 0.5})
    figures |= {"trials": trials, "calls": lab.server.count}
    outcomes = lab.outcomes(result)
    assert (result.status, sum(outcomes.values()), outcomes["answered"]) == ("failed", trials, 0)
    assert outcomes["circuit_open"] >= trials - 50
    assert lab.server.count <= 50
    lab.server.reset({})
    again = lab.run(trials, policy)
    assert (again.status, again.generated, lab.server.count) == ("completed", trials, trials)


def test_a_closed_port_costs_tens_of_calls_and_the_run_completes_at_another_address(lab: Lab, full: bool) -> None:
    trials = 10_000 if full else 500
    with socket.socket() as closed:  # bound and not listening: nobody else gets the port, and connections are refused
        closed.bind(("127.0.0.1", 0))
        policy = {"breaker_cooldown_s": 0.02, "backoff_base_s": 0.02, "backoff_max_s": 0.1}
        result = lab.run(trials, policy, base_url=f"http://127.0.0.1:{closed.getsockname()[1]}/v1")
    assert lab.outcomes(result)["circuit_open"] >= trials - 50
    assert len(lab.calls()) <= 50
    again = lab.run(trials, policy)
    assert (again.status, again.generated, lab.server.count) == ("completed", trials, trials)


def test_without_a_breaker_a_dead_endpoint_would_cost_a_call_for_each_trial(lab: Lab) -> None:
    lab.server.reset({"faults": [{"cut": 0, "ending": "abort"}]})
    lab.run(300, {"breaker_failures": 1_000_000, "max_retries": 0})
    assert lab.server.count == 300


def test_an_endpoint_that_recovers_during_the_run_loses_nothing(lab: Lab, figures: dict[str, Any]) -> None:
    lab.server.reset({"faults": [{"at": list(range(6, 41)), "cut": 0, "ending": "abort"}]})
    policy = {"breaker_cooldown_s": 0.02, "backoff_base_s": 0.01, "breaker_max_probes": 20}
    result = lab.run(500, policy)
    figures |= {"calls": lab.server.count}
    assert lab.outcomes(result) == {"answered": 500}
    assert lab.server.count == 500 + 35


@pytest.mark.parametrize(("status", "code"), [(401, "unauthorized"), (403, "forbidden"), (404, "not_found")])
def test_a_lasting_refusal_costs_no_more_than_the_calls_in_flight(status: int, code: str, lab: Lab) -> None:
    lab.server.reset({"faults": [{"status": status, "latency_s": 0.05}]})
    result = lab.run(200, {"max_in_flight_work_items": 8})
    assert lab.outcomes(result) == {code: 8, "circuit_open": 192}
    assert lab.server.count == 8


def test_a_used_up_quota_ends_the_run_and_the_next_one_goes_on(lab: Lab) -> None:
    quota = {"status": 429, "error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}}
    lab.server.reset({"faults": [{"at": 50, **quota}]})
    result = lab.run(100, {"max_in_flight_work_items": 4})
    assert (result.status, result.exit_code) == ("stopped", 6)
    assert "You exceeded your current quota." in result.note
    assert 50 <= lab.server.count <= 53
    sent = lab.server.count
    again = lab.run(100, {"max_in_flight_work_items": 4})
    assert again.status == "completed"
    assert lab.server.count == sent + 100 - (sent - 1)


def test_a_provider_that_wants_a_long_rest_stops_the_run_and_the_next_one_goes_on(lab: Lab) -> None:
    rest = {"status": 429, "headers": {"Retry-After": "2400"}}
    lab.server.reset({"faults": [{"at": 50, **rest}]})
    begun = time.monotonic()
    result = lab.run(100, {"max_in_flight_work_items": 4})
    assert time.monotonic() - begun < 120  # of the 40 min that are asked for
    assert (result.status, result.failed) == ("stopped", 0)
    assert "asked to wait 40 min, until " in result.note
    assert 50 <= lab.server.count <= 53
    assert lab.run(100, {"max_in_flight_work_items": 4}).status == "completed"


def test_the_numbers_of_scripted_faults_are_spread_evenly(lab: Lab) -> None:
    lab.server.reset({"faults": [{"share": [0.0, 0.2], "status": 400}]})
    assert 100 < lab.outcomes(lab.run(1_000))["bad_request"] < 300
    statuses = [request.status for request in lab.server.requests()]
    assert 20 <= sum(pair == (400, 400) for pair in pairwise(statuses)) <= 70  # 1,000 · 0.2² = 40 expected
