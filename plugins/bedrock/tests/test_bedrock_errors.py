"""What documented exceptions mean: code, whether to try again, after how long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore import exceptions

from themis_core import ERROR_CODES, EngineError, Request
from themis_core.testing.engine import outcomes
from themis_core.testing.server import ScriptedServer
from themis_http import Redaction
from themis_plugin_bedrock.engine import BedrockConverse
from themis_plugin_bedrock.failures import failure_of

RequestOf = Callable[..., Request]
INVALID, THROTTLED = "ValidationException", "ThrottlingException"
BAD, FORBIDDEN, DENIED, QUOTA, LIMITED = "bad_request", "forbidden", "unauthorized", "quota_exhausted", "rate_limited"

TABLE: list[tuple[int, str, str, str, bool]] = [
    # The exceptions of Converse.
    (400, INVALID, "The model returned the following errors: messages: at least one message is required", BAD, False),
    (403, "AccessDeniedException", "You don't have access to the model with the specified model ID.", FORBIDDEN, False),
    (
        404,
        "ResourceNotFoundException",
        "Could not resolve the foundation model from the model identifier: x.",
        "not_found",
        False,
    ),
    (408, "ModelTimeoutException", "The request took too long to process.", "server_error", True),
    (
        424,
        "ModelErrorException",
        "The request failed due to an error while processing the model.",
        "server_error",
        True,
    ),
    (429, "ModelNotReadyException", "The model is not ready for serving inference requests.", "overloaded", True),
    (429, THROTTLED, "Too many requests, please wait before trying again.", LIMITED, True),
    (429, THROTTLED, "Too many tokens, please wait before trying again.", LIMITED, True),
    (429, THROTTLED, "Too many tokens per day, please wait before trying again.", QUOTA, False),
    (400, "ServiceQuotaExceededException", "Your request exceeds the service quota for your account.", QUOTA, False),
    (
        500,
        "InternalServerException",
        "The system encountered an unexpected error during processing.",
        "server_error",
        True,
    ),
    (503, "ServiceUnavailableException", "Bedrock is unable to process your request.", "overloaded", True),
    (400, "ConflictException", "Error occurred because of a conflict.", "server_error", True),
    (424, "ModelStreamErrorException", "An error occurred while streaming the response.", "server_error", True),
    # What is wrong with a request, by its words.
    (400, INVALID, "Input is too long for requested model.", "context_length", False),
    (
        400,
        INVALID,
        "The model returned the following errors: prompt is too long: 210000 tokens > 200000 maximum",
        "context_length",
        False,
    ),
    (
        400,
        INVALID,
        "The model returned the following errors: input length and `max_tokens` exceed context limit",
        "context_length",
        False,
    ),
    (
        400,
        INVALID,
        "This model's maximum context length is 8192 tokens. Please reduce the length of the prompt",
        "context_length",
        False,
    ),
    (
        400,
        INVALID,
        "Too many input tokens. Max input tokens: 8192, request input token count: 9000",
        "context_length",
        False,
    ),
    (400, INVALID, "The provided model identifier is invalid.", "not_found", False),
    (400, INVALID, "Invocation of model ID anthropic.claude-x with on-demand throughput isn't supported.", BAD, False),
    (400, INVALID, "The maximum tokens you requested exceeds the model limit of 4096.", BAD, False),
    (400, INVALID, "This model doesn't support tool use.", BAD, False),
    (400, INVALID, "This model doesn't support system messages.", BAD, False),
    (
        400,
        INVALID,
        "The model returned the following errors: Output blocked by content filtering policy",
        "content_filter",
        False,
    ),
    (400, INVALID, "The text in the ContentBlock object at messages.0.content.0 is blank.", BAD, False),
    (400, INVALID, "A conversation must alternate between user and assistant roles.", BAD, False),
    (
        400,
        INVALID,
        "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
        BAD,
        False,
    ),
    (400, INVALID, "Expected toolResult blocks at messages.2.content for the following Ids: tooluse_1", BAD, False),
    (
        400,
        INVALID,
        "1 validation error detected: Value at 'inferenceConfig.topP' failed to satisfy constraint",
        BAD,
        False,
    ),
    # Who asks.
    (403, "UnrecognizedClientException", "The security token included in the request is invalid.", DENIED, False),
    (403, "InvalidSignatureException", "The request signature we calculated does not match.", DENIED, False),
    (403, "ExpiredTokenException", "The security token included in the request is expired", DENIED, False),
    (403, "MissingAuthenticationTokenException", "Missing Authentication Token", DENIED, False),
    (403, "IncompleteSignature", "Authorization header requires existence of a Date header.", DENIED, False),
    (
        403,
        "AccessDeniedException",
        "User: arn:aws:iam::1:user/x is not authorized to perform: bedrock:InvokeModel",
        FORBIDDEN,
        False,
    ),
    (403, "AccessDeniedException", "Model access is denied due to INVALID_PAYMENT_INSTRUMENT", FORBIDDEN, False),
    # Others of the platform, and what is in front of it.
    (413, "RequestEntityTooLargeException", "Request too large.", "too_large", False),
    (404, "UnknownOperationException", "", "not_found", False),
    (400, "SerializationException", "STRING_VALUE cannot be converted", BAD, False),
    (400, "NewException", "?", BAD, False),
    (418, "NewException", "?", BAD, False),
    (500, "NewException", "?", "server_error", True),
    (502, "NewException", "?", "server_error", True),
    (503, "NewException", "?", "overloaded", True),
    (429, "NewException", "?", LIMITED, True),
    (401, "NewException", "?", DENIED, False),
]


def failure(fault: dict[str, Any], server: ScriptedServer, request: Request) -> EngineError:
    server.reset({"faults": [fault]})
    (found,) = outcomes(BedrockConverse(endpoint_url=server.origin), [request])
    assert isinstance(found, EngineError)
    assert server.count == 1
    return found


@pytest.mark.parametrize(("status", "name", "message", "code", "again"), TABLE)
def test_an_exception_has_a_stable_code(
    status: int, name: str, message: str, code: str, again: bool, server: ScriptedServer, request_of: RequestOf
) -> None:
    found = failure({"status": status, "error": {"type": name, "message": message}}, server, request_of())
    assert (found.code, found.retryable, found.status) == (code, again, status)
    assert found.code in ERROR_CODES
    assert found.message == f"{name}: {message or 'the service gave no reason'}"
    assert found.unknown_outcome == (name == "ModelTimeoutException")


def test_what_the_model_answered_is_told(server: ScriptedServer, request_of: RequestOf) -> None:
    body = {"message": "It failed.", "originalStatusCode": 400, "resourceName": "m"}
    fault = {"status": 424, "body": body, "headers": {"x-amzn-ErrorType": "ModelErrorException"}}
    found = failure(fault, server, request_of())
    assert found.message == "ModelErrorException (the model answered 400): It failed."


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {"Retry-After": "7"}, 7.0),
        (503, {"Retry-After": "2"}, 2.0),
        (429, {}, None),
        (400, {"Retry-After": "7"}, None),
    ],
)
def test_the_wait_is_what_the_headers_say(
    status: int, headers: dict[str, str], seconds: float | None, server: ScriptedServer, request_of: RequestOf
) -> None:
    assert failure({"status": status, "headers": headers}, server, request_of()).retry_after == seconds


URL = {"endpoint_url": "https://h"}


@pytest.mark.parametrize(
    ("error", "code", "again", "unknown"),
    [
        (exceptions.ConnectTimeoutError(**URL), "timeout", True, False),
        (exceptions.ReadTimeoutError(**URL), "timeout", True, True),
        (exceptions.EndpointConnectionError(error="e", **URL), "unreachable", True, False),
        (exceptions.ProxyConnectionError(proxy_url="http://p"), "proxy", True, False),
        (exceptions.SSLError(error="certificate verify failed", **URL), "certificate", False, False),
        (exceptions.SSLError(error="wrong version number", **URL), "tls", False, False),
        (exceptions.ConnectionClosedError(**URL), "connection", True, True),
        (exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), "connection", True, True),
        (exceptions.HTTPClientError(error="e"), "connection", True, True),
        (exceptions.NoCredentialsError(), DENIED, False, False),
        (exceptions.PartialCredentialsError(provider="env", cred_var="x"), DENIED, False, False),
        (exceptions.CredentialRetrievalError(provider="x", error_msg="e"), DENIED, False, False),
        (exceptions.UnauthorizedSSOTokenError(), DENIED, False, False),
        (exceptions.TokenRetrievalError(provider="x", error_msg="e"), DENIED, False, False),
        (exceptions.ParamValidationError(report="Unknown parameter"), "unsupported", False, False),
        (exceptions.NoRegionError(), BAD, False, False),
        (exceptions.InvalidRegionError(region_name="x y"), BAD, False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_exception_of_the_sdk_itself_has_a_code(error: Exception, code: str, again: bool, unknown: bool) -> None:
    found = failure_of(error, Redaction([]))
    assert found is not None
    assert (found.code, found.retryable, found.unknown_outcome) == (code, again, unknown)
    assert found.message.startswith(f"{type(error).__name__}: ")


def test_what_is_not_the_sdks_is_left_as_it_is() -> None:
    assert failure_of(LookupError("no such thing"), Redaction([])) is None


def test_what_the_sdk_does_not_know_is_refused_before_it_is_sent(server: ScriptedServer, request_of: RequestOf) -> None:
    request = request_of(extras={"noSuchThing": 1})
    (found,) = outcomes(BedrockConverse(endpoint_url=server.origin), [request])
    assert isinstance(found, EngineError)
    assert (found.code, server.count) == ("unsupported", 0)
    assert 'Unknown parameter in input: "noSuchThing"' in found.message
