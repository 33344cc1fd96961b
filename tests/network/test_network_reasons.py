"""Why trials failed and what to do about it: told by the run, in its note and as data, and soon enough."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import pytest

import themis_core as themis
from themis_core import ERROR_CODES, ERROR_REMEDIES

pytestmark = pytest.mark.usefixtures("default_carrier")
Lab = Any


def test_each_code_has_a_remedy() -> None:
    assert list(ERROR_REMEDIES) == list(ERROR_CODES)
    assert all(ERROR_REMEDIES.values())


REASONS: list[tuple[str, dict[str, Any], str]] = [
    ("401", {"status": 401}, "unauthorized"),
    ("403", {"status": 403}, "forbidden"),
    ("404", {"status": 404}, "not_found"),
    ("400", {"status": 400}, "bad_request"),
    ("413", {"status": 413}, "too_large"),
    ("407", {"status": 407}, "proxy"),
    ("login", {"status": 302, "redirect": "https://sso.example.org/login"}, "redirect"),
    ("https", {"raw": "HTTP/1.1 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server."}, "tls"),
    ("page", {"body": "<html><title>Chat</title>"}, "invalid_reply"),
    ("500", {"status": 500}, "server_error"),
    ("reset", {"cut": 0, "ending": "abort"}, "connection"),
    ("silence", {"cut": 0, "ending": "stall"}, "timeout"),
]


@pytest.mark.parametrize(("fault", "code"), [row[1:] for row in REASONS], ids=[row[0] for row in REASONS])
def test_a_run_says_why_trials_failed_and_what_to_do(fault: dict[str, Any], code: str, lab: Lab) -> None:
    lab.server.reset({"faults": [fault]})
    patience = 0.3 if code == "timeout" else 30  # all else has to be told however slow the machine is
    result = lab.run(2, {"backoff_base_s": 0.01, "backoff_max_s": 0.02, "attempt_timeout_s": patience})
    assert (result.status, result.exit_code) == ("failed", 5)
    assert result.ledger["failures"] == {code: 2}
    assert list(result.errors) == [code]
    assert result.remedies == {code: ERROR_REMEDIES[code]}
    assert f"{code} (2): {ERROR_REMEDIES[code]}" in result.note
    with themis.open_results(lab.folder / "spec.json") as results:
        assert results.result(result.run_id).remedies == result.remedies  # told later as well


@pytest.mark.parametrize("trials", [1, 2, 40])
def test_a_mistyped_port_is_told_after_a_few_seconds(trials: int, lab: Lab) -> None:
    with socket.socket() as closed:  # bound and not listening: nobody else gets the port, and connections are refused
        closed.bind(("127.0.0.1", 0))
        begun = time.monotonic()
        result = lab.run(trials, base_url=f"http://127.0.0.1:{closed.getsockname()[1]}/v1")
    assert time.monotonic() - begun < 60  # of which the run waits 4; it was two minutes
    assert set(result.errors) <= {"unreachable", "circuit_open"}
    assert "nobody listens there: start the server, or correct the port" in result.errors["unreachable"]
    assert ERROR_REMEDIES["unreachable"] in result.note


@pytest.mark.parametrize("fault", [{"status": 302, "redirect": "http://127.0.0.1:1/login"}, {"status": 407}])
def test_what_can_not_pass_by_itself_ends_a_models_calls_at_once(fault: dict[str, Any], lab: Lab) -> None:
    lab.server.reset({"faults": [fault]})
    result = lab.run(300, {"max_in_flight_work_items": 4})
    assert lab.server.count <= 4
    assert result.ledger["failures"]["circuit_open"] >= 296


def quota(message: str, **more: Any) -> dict[str, Any]:
    return {"status": 429, "error": {"message": message, **more}}


USED_UP = [
    quota("You exceeded your current quota, please check your plan", code="insufficient_quota"),
    quota("litellm.RateLimitError: You exceeded your current quota", type="throttling_error", code="429"),
    quota("Your account is not active: insufficient balance", type="exceeded_current_quota_error"),
    quota("Your credit balance is too low to access the API", type="invalid_request_error"),
    quota("Your team has used all available credits or reached its monthly spending limit"),
    quota("Budget has been exceeded! Current cost: 0.12, Max budget: 0.1", type="budget_exceeded"),
    quota("You are using a Trial key, which is limited to 1000 API calls / month"),
    quota("\u4f59\u989d\u4e0d\u8db3\u6216\u65e0\u53ef\u7528\u8d44\u6e90\u5305", code="1113"),
    quota("You exceeded your current quota. Please retry in 34s.", details=[
        {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}, {"retryDelay": "34s"}]),
    {"status": 403, "error": {"message": "account overdue", "code": "AccountOverdueError"}},
    {"status": 402, "error": {"message": "You have exceeded your monthly included credits"}},
]  # fmt: skip


@pytest.mark.parametrize("fault", USED_UP, ids=lambda fault: fault["error"]["message"][:30])
def test_a_used_up_quota_ends_the_run_as_such(fault: dict[str, Any], lab: Lab) -> None:
    lab.server.reset({"faults": [fault]})
    result = lab.run(20, {"max_in_flight_work_items": 2})
    assert (result.status, result.exit_code) == ("stopped", 6)
    assert lab.server.count <= 2
    assert ERROR_REMEDIES["quota_exhausted"] in result.note


PASSING = [
    quota("Rate limit reached for requests. Please try again in 0.1s.", type="requests", code="rate_limit_exceeded"),
    quota("You exceeded your current quota, please check your plan. Please retry in 0.1s.", details=[
        {"violations": [{"quotaId": "GenerateContentRequestsPerMinutePerProjectPerModel-FreeTier"}]},
        {"retryDelay": "0.1s"}]),
    quota("litellm.RateLimitError: too many requests", type="throttling_error", code="429"),
    quota("Requests have exceeded call rate limit of your current pricing tier. Please retry after 1 second."),
    quota("Allocated quota exceeded, please increase your quota limit.", code="Throttling.AllocationQuota"),
    quota("Resource exhausted. Please try again later.", code="RESOURCE_EXHAUSTED"),
    quota("Quota exceeded for online_prediction_requests_per_base_model"),
]  # fmt: skip


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault["error"]["message"][:30])
def test_a_plain_rate_limit_ends_no_run(fault: dict[str, Any], lab: Lab) -> None:
    lab.server.reset({"faults": [{**fault, "first": 2}]})
    result = lab.run(5, {"backoff_base_s": 0.05})
    assert (result.status, result.exit_code) == ("completed", 0)


FILTERED: list[dict[str, Any]] = [
    {"message": "The response was filtered", "code": "content_filter"},
    {"message": "Not allowed", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
    {"message": "Rejected by our safety system", "code": "content_policy_violation"},
    {"message": "Input data may contain inappropriate content", "code": "data_inspection_failed"},
    {"message": "Content Exists Risk", "type": "invalid_request_error"},
    {"message": "Blocked: PROHIBITED_CONTENT"},
    {"message": "Your chosen model requires moderation and your input was flagged"},
]


@pytest.mark.parametrize("error", FILTERED, ids=lambda error: error["message"][:30])
@pytest.mark.parametrize("status", [400, 403])
def test_a_filtered_prompt_and_a_filtered_answer_end_alike(status: int, error: dict[str, Any], lab: Lab) -> None:
    said = {"choices": [{"message": {"role": "assistant", "content": None}, "finish_reason": "content_filter"}]}
    faults = [{"at": 1, "status": status, "body": {"error": error}}, {"at": 2, "body": said}]
    lab.server.reset({"faults": faults})
    result = lab.run(3, {"max_in_flight_work_items": 1})
    assert (result.status, result.exit_code) == ("completed", 0)
    assert (result.ledger["refused"], result.ledger["answered"], result.ledger["failed"]) == (2, 1, 0)
    (score,) = result.scores
    assert (score.n, score.value) == (3, pytest.approx(1 / 3))  # both count as the worst value
    assert lab.server.count == 3


def test_a_run_through_a_proxy_that_can_not_be_used_makes_no_call(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "https://me:s3cret-password@proxy.example.org:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    path = lab.spec(2)
    spec = json.loads(path.read_text("utf-8"))
    spec["benchmark"]["models"][0]["extras"]["trust_env"] = True
    path.write_text(json.dumps(spec), encoding="utf-8")
    with pytest.raises(themis.SpecError, match="http_proxy names a proxy that speaks https:") as caught:
        themis.run(path)
    assert "s3cret" not in str(caught.value)
    assert lab.server.count == 0
