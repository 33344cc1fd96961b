"""What documented errors mean: code, whether to try again, after how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from themis_core import ERROR_CODES, EngineError, Request
from themis_core.testing.engine import outcomes
from themis_core.testing.server import ScriptedServer
from themis_plugin_google.engine import GoogleGemini

RequestOf = Callable[..., Request]
INVALID, PRECONDITION, DENIED, EXHAUSTED = (
    *("INVALID_ARGUMENT", "FAILED_PRECONDITION", "PERMISSION_DENIED"),
    "RESOURCE_EXHAUSTED",
)
BAD, QUOTA, LIMITED, FORBIDDEN = "bad_request", "quota_exhausted", "rate_limited", "forbidden"
PLAN = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
RPC = "type.googleapis.com/google.rpc"


def error(code: int, status: str, message: str = "No.", *details: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"code": code, "message": message, "status": status}
    return {"error": body | ({"details": [*details]} if details else {})}


def info(reason: str) -> dict[str, Any]:
    return {"@type": f"{RPC}.ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": {}}


def limit(name: str) -> dict[str, Any]:
    return {**info("RATE_LIMIT_EXCEEDED"), "metadata": {"quota_limit": name, "service": "aiplatform.googleapis.com"}}


def quota(*ids: str) -> dict[str, Any]:
    metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests"
    return {
        "@type": f"{RPC}.QuotaFailure",
        "violations": [{"quotaMetric": metric, "quotaId": each, "quotaValue": "10"} for each in ids],
    }


def retry(delay: str) -> dict[str, Any]:
    return {"@type": f"{RPC}.RetryInfo", "retryDelay": delay}


HELP = {"@type": f"{RPC}.Help", "links": [{"description": "Learn more", "url": "https://ai.google.dev"}]}
PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
TOKENS_PER_MINUTE = "GenerateContentInputTokensPerModelPerMinute-FreeTier"
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"

TABLE: list[tuple[int, Any, str, bool]] = [
    # The documented statuses.
    (400, error(400, INVALID, "Invalid JSON payload received. Unknown name \"x\""), BAD, False),
    (400, error(400, PRECONDITION, "Precondition failed."), BAD, False),
    (400, error(400, "OUT_OF_RANGE"), BAD, False),
    (401, error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."), "unauthorized", False),
    (403, error(403, DENIED, "The caller does not have permission"), FORBIDDEN, False),
    (404, error(404, "NOT_FOUND", "models/gemini-9 is not found for API version v1beta"), "not_found", False),
    (409, error(409, "ABORTED"), "server_error", True),
    (429, error(429, EXHAUSTED, "Resource has been exhausted (e.g. check quota)."), LIMITED, True),
    (499, error(499, "CANCELLED", "The operation was cancelled."), "server_error", True),
    (500, error(500, "INTERNAL", "An internal error has occurred. Please retry or report."), "server_error", True),
    (500, error(500, "UNKNOWN"), "server_error", True),
    (501, error(501, "UNIMPLEMENTED"), "unsupported", False),
    (503, error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), "overloaded", True),
    (504, error(504, "DEADLINE_EXCEEDED", "The request timed out."), "server_error", True),
    # Keys and access.
    (400, error(400, INVALID, "API key not valid. Please pass a valid API key.", info("API_KEY_INVALID")),
     "unauthorized", False),
    (400, error(400, INVALID, "API key expired. Please renew the API key.", info("API_KEY_INVALID")), "unauthorized",
     False),
    (400, error(400, INVALID, "API Key not found. Please pass a valid API key."), "unauthorized", False),
    (403, error(403, DENIED, "Your API key was reported as leaked. Please use another."), "unauthorized", False),
    (403, error(403, DENIED, "Method doesn't allow unregistered callers (callers without established identity)."),
     "unauthorized", False),
    (403, error(403, DENIED, "Generative Language API has not been used in project 1 before or it is disabled.",
                info("SERVICE_DISABLED")), FORBIDDEN, False),
    (403, error(403, DENIED, "Requests from referer <empty> are blocked.", info("API_KEY_HTTP_REFERRER_BLOCKED")),
     FORBIDDEN, False),
    (403, error(403, DENIED, "Consumer has been suspended.", info("CONSUMER_SUSPENDED")), FORBIDDEN, False),
    (401, error(401, "UNAUTHENTICATED", "Expired.", info("ACCESS_TOKEN_EXPIRED")), "unauthorized", False),
    (400, error(400, PRECONDITION, "User location is not supported for the API use."), FORBIDDEN, False),
    # Money.
    (400, error(400, PRECONDITION, "Gemini API free tier is not available in your country. Please enable billing on "
                                   "your project in Google AI Studio."), QUOTA, False),
    (403, error(403, DENIED, "This method requires billing to be enabled.", info("BILLING_DISABLED")), QUOTA, False),
    (429, error(429, EXHAUSTED, "Your prepayment credits are depleted. Please go to AI Studio."), QUOTA, False),
    (429, error(429, EXHAUSTED, "Your project has exceeded its spending cap."), QUOTA, False),
    # A day's quota is used up, a minute's comes back.
    (429, error(429, EXHAUSTED, PLAN, quota(PER_DAY), HELP, retry("19s")), QUOTA, False),
    (429, error(429, EXHAUSTED, PLAN, quota(TOKENS_PER_MINUTE, PER_MINUTE, PER_DAY), HELP), QUOTA, False),
    (429, error(429, EXHAUSTED, PLAN, quota(PER_MINUTE), HELP, retry("19s")), LIMITED, True),
    (429, error(429, EXHAUSTED, PLAN, quota(TOKENS_PER_MINUTE), retry("41.5s")), LIMITED, True),
    (429, error(429, EXHAUSTED, f"{PLAN}\n* Quota exceeded for metric: generate_content_free_tier_requests, limit: 0"),
     QUOTA, False),
    (429, error(429, EXHAUSTED, "Resource exhausted. Please try again later. Please refer to "
                                "https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429"), LIMITED, True),
    (429, error(429, EXHAUSTED, "Quota exceeded for aiplatform.googleapis.com/"
                                "generate_content_requests_per_minute_per_project_per_base_model"), LIMITED, True),
    (429, error(429, EXHAUSTED, "Quota exceeded.", limit("GenerateContentRequestsPerDayPerProject")), QUOTA, False),
    (429, error(429, EXHAUSTED, "Quota exceeded.", limit("GenerateContentRequestsPerMinutePerProject")), LIMITED, True),
    # What is wrong with a request, by its words.
    (400, error(400, INVALID, "The input token count exceeds the maximum number of tokens allowed 1048576."),
     "context_length", False),
    (400, error(400, INVALID, "The input token count (9720000) exceeds the maximum number of tokens (1048576)."),
     "context_length", False),
    (400, error(400, INVALID, "Request payload size exceeds the limit: 20971520 bytes."), "too_large", False),
    (400, error(400, INVALID, "Function call is missing a thought_signature in functionCall parts."), BAD, False),
    (400, error(400, INVALID, "Thinking is not enabled for models/gemini-2.0-flash"), BAD, False),
    (400, error(400, INVALID, "Developer instruction is not enabled for models/gemma-3-27b-it"), BAD, False),
    (400, error(400, INVALID, "Unable to process input image. Please retry or report."), BAD, False),
    (400, error(400, INVALID, "* GenerateContentRequest.tools[0].function_declarations[0].name: Invalid name."),
     BAD, False),
    (400, error(400, INVALID, "Please ensure that function call turn comes immediately after a user turn"), BAD, False),
    (400, error(400, INVALID, "Multiple candidates is not enabled for this model"), BAD, False),
    (400, error(400, INVALID, "The prompt could not be submitted. This prompt contains sensitive words that violate "
                              "Google's Generative AI Prohibited Use policy."), "content_filter", False),
    # In a list, as where a stream was asked for; from a gateway; in another form.
    (429, [error(429, EXHAUSTED, "Resource exhausted.")], LIMITED, True),
    (503, "upstream connect error", "overloaded", True),
    (502, "<html><title>Error 502 (Server Error)!!1</title></html>", "server_error", True),
    (404, "<html><title>Error 404 (Not Found)!!1</title></html>", "not_found", False),
    (413, "<html><title>Error 413 (Request Entity Too Large)!!1</title></html>", "too_large", False),
    (400, {"error": {"message": "odd"}}, BAD, False),
    (403, error(403, "NEW_STATUS"), FORBIDDEN, False),
]  # fmt: skip


def failure_of(fault: dict[str, Any], server: ScriptedServer, request: Request) -> EngineError:
    server.reset({"faults": [fault]})
    (failure,) = outcomes(GoogleGemini(base_url=f"{server.origin}/v1beta"), [request])
    assert isinstance(failure, EngineError)
    return failure


@pytest.mark.parametrize(("status", "body", "code", "again"), TABLE)
def test_an_error_has_a_stable_code(
    status: int, body: Any, code: str, again: bool, server: ScriptedServer, request_of: RequestOf
) -> None:
    failure = failure_of({"status": status, "body": body}, server, request_of())
    assert (failure.code, failure.retryable, failure.status) == (code, again, status)
    assert failure.code in ERROR_CODES
    if isinstance(body, dict):
        assert body["error"]["message"].split("\n")[0][:40] in failure.message


@pytest.mark.parametrize(
    ("body", "code", "again"),
    [
        (error(503, "UNAVAILABLE"), "overloaded", True),
        (error(429, EXHAUSTED), LIMITED, True),
        (error(400, INVALID), BAD, False),
        (error(500, "INTERNAL"), "server_error", True),
    ],
)
def test_an_error_within_a_200_is_what_its_status_says(
    body: Any, code: str, again: bool, server: ScriptedServer, request_of: RequestOf
) -> None:
    failure = failure_of({"status": 200, "body": body}, server, request_of())
    assert (failure.code, failure.retryable) == (code, again)


@pytest.mark.parametrize(
    ("details", "headers", "seconds"),
    [
        ([quota(PER_MINUTE), retry("19s")], {}, 19.0),
        ([retry("41.5s")], {}, 41.5),
        ([retry("0.25s")], {"Retry-After": "3"}, 3.0),
        ([], {}, None),
        ([quota(PER_DAY), retry("19s")], {}, None),
    ],
)
def test_the_wait_is_what_the_details_say(
    details: list[dict[str, Any]],
    headers: dict[str, str],
    seconds: float | None,
    server: ScriptedServer,
    request_of: RequestOf,
) -> None:
    body = error(429, EXHAUSTED, "Wait.", *details)
    failure = failure_of({"status": 429, "body": body, "headers": headers}, server, request_of())
    assert failure.retry_after == seconds


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("", "; base_url ends with the interface's version, such as /v1beta"),
        ("/v1beta/models", "; the engine appends /models/MODEL:generateContent: leave that out of base_url"),
        ("/v1beta", ""),
    ],
)
def test_what_is_wrong_with_an_address_that_is_not_found_is_told(
    path: str, hint: str, server: ScriptedServer, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"every": 1, "status": 404, "body": "Not Found"}]})
    (failure,) = outcomes(GoogleGemini(base_url=f"{server.origin}{path}"), [request_of()])
    assert isinstance(failure, EngineError)
    assert failure.code == "not_found"
    assert failure.message.endswith(f"{server.requests()[0].path}{hint})")
