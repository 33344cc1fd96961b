"""When calls of a service stop, and start again. How it serves an endpoint is tested with the core."""

from __future__ import annotations

import pytest

from themis_pacing import Breaker, Trouble

OUTAGE = Trouble(kind="server_error", told="server_error: HTTP 500", outage=True)
ABSENT = Trouble(kind="unreachable", told="unreachable: nobody listens", outage=True, absent=True)
LOCKED = Trouble(kind="unauthorized", told="unauthorized: HTTP 401", lasting=True)
PAGE = Trouble(kind="invalid_reply", told="invalid_reply: a page")


def breaker() -> Breaker:
    return Breaker("it", failures=2, cooldown_s=10, max_probes=2)


def test_outages_in_a_row_stop_calls_and_one_probe_finds_out() -> None:
    it = breaker()
    it.answered("a")
    assert [it.failed(OUTAGE, "a", False, now, now) for now in (1.0, 2.0)] == [False, True]
    assert it.open_until == 12.0
    assert [it.start_probe(11.9), it.start_probe(12.0), it.start_probe(12.0)] == [False, True, False]
    it.probing = False
    assert it.failed(OUTAGE, "a", True, 12.0, 12.0)
    assert it.open_until == 32.0  # twice as long
    assert it.start_probe(32.0)
    it.answered("a")
    assert (it.open_until, it.why_not("a")) == (None, None)


@pytest.mark.parametrize(
    ("answers", "probes", "told"),
    [
        (["a"], 3, "it failed 5 times in a row, last with server_error: HTTP 500"),
        ([], 2, "it failed 4 times in a row, last with server_error: HTTP 500: is a server running there?"),
    ],
)
def test_a_service_whose_probes_fail_is_given_up(answers: list[str], probes: int, told: str) -> None:
    it = breaker()
    for each in answers:
        it.answered(each)
    for number in range(2):
        it.failed(OUTAGE, "a", False, number, number)
    for number in range(probes):
        assert it.why_not("a") is None
        it.failed(OUTAGE, "a", True, 100.0 * number, 100.0 * number)
    assert it.why_not("b") == told


def test_what_lasts_stops_the_calls_of_its_subject_alone() -> None:
    it = breaker()
    assert not it.failed(LOCKED, "a", False, 1.0, 0.0)
    assert (it.why_not("a"), it.why_not("b")) == ("it answered unauthorized: HTTP 401", None)


@pytest.mark.parametrize(
    ("trouble", "answered", "told"),
    [
        (PAGE, False, "it gave no answer 30 times in a row, last with invalid_reply: a page"),
        (Trouble(kind="long", told="long", of_one_call=True), False, None),
        (
            Trouble(kind="bad", told="bad: no", of_one_call_once_answered=True),
            False,
            "it gave no answer 30 times in a row, last with bad: no",
        ),
        (Trouble(kind="bad", told="bad: no", of_one_call_once_answered=True), True, None),
    ],
)
def test_a_subject_that_says_the_same_thirty_times_is_given_up(
    trouble: Trouble, answered: bool, told: str | None
) -> None:
    it = breaker()
    if answered:
        it.answered("a")
    for now in range(29):
        it.failed(trouble, "a", False, now, now)
    assert it.why_not("a") is None
    it.failed(trouble, "a", False, 29.0, 29.0)
    assert it.why_not("a") == told


def test_calls_that_were_under_way_together_give_nothing_up() -> None:
    it = breaker()
    for _ in range(100):
        it.failed(PAGE, "a", False, 5.0, 0.0)
    assert it.why_not("a") is None


def test_a_service_that_was_never_there_is_given_up_after_four_seconds_and_by_its_last_call() -> None:
    it = breaker()
    it.look_for(ABSENT, 1.0, alone=True)
    assert it.absent_until == 5.0
    it.look_for(ABSENT, 6.0, alone=False)
    assert it.why_not("a") is None
    it.look_for(ABSENT, 6.0, alone=True)
    assert it.why_not("a") == "it was not there within 4 s, last with unreachable: nobody listens"


def test_a_service_that_was_there_once_is_not_given_up_for_being_absent() -> None:
    it = breaker()
    it.look_for(OUTAGE, 1.0, alone=True)
    it.look_for(ABSENT, 2.0, alone=True)
    it.look_for(ABSENT, 200.0, alone=True)
    assert (it.absent_until, it.why_not("a")) == (None, None)
