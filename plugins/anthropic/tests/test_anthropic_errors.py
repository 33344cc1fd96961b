"""What documented errors mean: code, whether to try again, after how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from themis_core import ERROR_CODES, EngineError, Request
from themis_core.testing.engine import outcomes
from themis_core.testing.server import ScriptedServer
from themis_plugin_anthropic.engine import AnthropicMessages

RequestOf = Callable[..., Request]


def error(kind: str, message: str = "No.") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}


INVALID = "invalid_request_error"
BAD, QUOTA, DENIED, FORBIDDEN = "bad_request", "quota_exhausted", "unauthorized", "forbidden"
TABLE: list[tuple[int, dict[str, Any] | str, str, bool]] = [
    # The documented types with their statuses.
    (400, error(INVALID, "messages: Field required"), BAD, False),
    (401, error("authentication_error", "invalid x-api-key"), DENIED, False),
    (401, error("authentication_error", "x-api-key header is required"), DENIED, False),
    (402, error("billing_error", "There's an issue with your billing or payment information."), QUOTA, False),
    (403, error("permission_error", "Your API key does not have permission to use the specified resource."), FORBIDDEN,
     False),
    (404, error("not_found_error", "model: claude-nine"), "not_found", False),
    (409, error("conflict_error", "Conflict"), "server_error", True),
    (413, error("request_too_large", "Request exceeds the maximum size"), "too_large", False),
    (429, error("rate_limit_error", "Number of request tokens has exceeded your per-minute rate limit"), "rate_limited",
     True),
    (500, error("api_error", "Internal server error"), "server_error", True),
    (504, error("timeout_error", "The request timed out."), "server_error", True),
    (529, error("overloaded_error", "Overloaded"), "overloaded", True),
    # What is wrong with a request, by its words.
    (400, error(INVALID, "max_tokens: Field required"), BAD, False),
    (400, error(INVALID, "max_tokens: 999999 > 64000, which is the maximum allowed number of output tokens"),
     BAD, False),
    (400, error(INVALID, "temperature: range: 0..1"), BAD, False),
    (400, error(INVALID, "`temperature` and `top_p` cannot both be specified for this model."), BAD, False),
    (400, error(INVALID, "messages: text content blocks must be non-empty"), BAD, False),
    (400, error(INVALID, "messages.1.content.0.thinking: Invalid `signature` in `thinking` block"), BAD, False),
    (400, error(INVALID, "`max_tokens` must be greater than `thinking.budget_tokens`."), BAD, False),
    (400, error(INVALID, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"), BAD,
     False),
    (400, error(INVALID, '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"'),
     BAD, False),
    (400, error(INVALID, "tools.0.custom.input_schema.type: Field required"), BAD, False),
    (400, error(INVALID, "tool_choice: Thinking may not be enabled when tool_choice forces tool use."), BAD,
     False),
    (400, error(INVALID, "messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: t_1"),
     BAD, False),
    (400, error(INVALID, "Could not process image"), BAD, False),
    (400, error(INVALID, "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 5345160 bytes"),
     "too_large", False),
    (400, error(INVALID, "output_config.format.schema: additionalProperties must be false"), BAD, False),
    (400, error(INVALID, "anthropic-version: header is required"), BAD, False),
    (400, error(INVALID, "Unexpected value(s) `x` for the `anthropic-beta` header."), BAD, False),
    # Too long, by each way to say so.
    (400, error(INVALID, "prompt is too long: 208310 tokens > 200000 maximum"), "context_length", False),
    (400, error(INVALID, "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input "
                         "length or `max_tokens` and try again"), "context_length", False),
    (413, error("request_too_large", "Prompt is too long"), "context_length", False),
    # Money.
    (400, error(INVALID, "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to "
                         "upgrade or purchase credits."), QUOTA, False),
    (400, error(INVALID, "You have reached your specified API usage limits. You will regain access on 2025-08-01 at "
                         "00:00 UTC."), QUOTA, False),
    (429, error("rate_limit_error", "This organization has reached its spend limit."), QUOTA, False),
    (429, error("rate_limit_error", "Extra usage is required for long context requests."), QUOTA, False),
    (400, error(INVALID, "You're out of extra usage. Add more in your settings and keep going."), QUOTA, False),
    # Filters and access.
    (400, error(INVALID, "Output blocked by content filtering policy"), "content_filter", False),
    (400, error(INVALID, "This organization has been disabled."), FORBIDDEN, False),
    (403, error("permission_error", "OAuth authentication is currently not allowed for this organization."), FORBIDDEN,
     False),
    (401, error("authentication_error", "OAuth token has expired."), DENIED, False),
    (404, error("not_found_error", "Not Found"), "not_found", False),
    # Limits that pass.
    (429, error("rate_limit_error", "This request would exceed your organization's rate limit of 30,000 input tokens "
                                    "per minute"), "rate_limited", True),
    (429, error("rate_limit_error", "This request would exceed your organization's maximum usage increase rate"),
     "rate_limited", True),
    (529, error("overloaded_error", "Overloaded. https://docs.claude.com/en/api/errors"), "overloaded", True),
    # A type says more than a status that a gateway gave.
    (400, error("overloaded_error", "Overloaded"), "overloaded", True),
    (500, error("overloaded_error", "Overloaded"), "overloaded", True),
    (500, error("rate_limit_error", "Too many"), "rate_limited", True),
    # No type that is known: the status tells.
    (400, error("new_error", "?"), BAD, False),
    (422, error("new_error", "?"), BAD, False),
    (503, error("new_error", "?"), "overloaded", True),
    # Not the interface that speaks, but what is in front of it.
    (502, "<html><head><title>502 Bad Gateway</title></head></html>", "server_error", True),
    (503, "upstream connect error", "overloaded", True),
    (413, "<html><title>413 Request Entity Too Large</title>", "too_large", False),
    (520, "error code: 520", "server_error", True),
    (403, {"error": {"type": "forbidden", "message": "Request not allowed"}}, FORBIDDEN, False),
]  # fmt: skip


def failure_of(fault: dict[str, Any], server: ScriptedServer, request: Request) -> EngineError:
    server.reset({"faults": [fault]})
    (failure,) = outcomes(AnthropicMessages(base_url=server.origin), [request])
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
        assert body["error"]["message"].split(":")[0][:60] in failure.message


@pytest.mark.parametrize(
    ("kind", "code", "again"),
    [
        ("overloaded_error", "overloaded", True),
        ("api_error", "server_error", True),
        ("rate_limit_error", "rate_limited", True),
        ("authentication_error", DENIED, False),
        (INVALID, BAD, False),
        ("timeout_error", "server_error", True),
    ],
)
def test_an_error_within_a_200_is_what_its_type_says(
    kind: str, code: str, again: bool, server: ScriptedServer, request_of: RequestOf
) -> None:
    failure = failure_of({"status": 200, "body": error(kind, "Later.")}, server, request_of())
    assert (failure.code, failure.retryable) == (code, again)
    assert "Later." in failure.message


PAST, FUTURE = "1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"retry-after": "7"}, 7.0),
        (529, {"retry-after": "20"}, 20.0),
        (429, {}, None),
        (529, {}, None),
        (429, {"anthropic-ratelimit-requests-remaining": "0", "anthropic-ratelimit-requests-reset": PAST,
               "anthropic-ratelimit-tokens-remaining": "900", "anthropic-ratelimit-tokens-reset": FUTURE}, 0.0),
        (429, {"retry-after": "3", "anthropic-ratelimit-tokens-reset": FUTURE}, 3.0),
        (400, {"retry-after": "7"}, None),
    ],
)  # fmt: skip
def test_the_wait_is_what_the_headers_say(
    status: int, headers: dict[str, str], seconds: float | None, server: ScriptedServer, request_of: RequestOf
) -> None:
    failure = failure_of({"status": status, "headers": headers}, server, request_of())
    assert failure.retry_after == seconds


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1", "; /v1 is there twice: leave it out of base_url"),
        ("/v1/messages", "; the engine appends /v1/messages: leave it out of base_url"),
        ("/gateway", ""),
    ],
)
def test_what_is_wrong_with_an_address_that_is_not_found_is_told(
    path: str, hint: str, server: ScriptedServer, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"every": 1, "status": 404, "body": "Not Found"}]})
    (failure,) = outcomes(AnthropicMessages(base_url=f"{server.origin}{path}"), [request_of()])
    assert isinstance(failure, EngineError)
    assert failure.code == "not_found"
    assert failure.message.endswith(f"{server.requests()[0].path}{hint})")
