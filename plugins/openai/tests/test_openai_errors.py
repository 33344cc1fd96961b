"""Which code each failure gets, whether it may be tried again, and after how long."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import http_exceptions

from themis_core import ERROR_CODES, EngineError, Generation, Request
from themis_core.testing.server import ScriptedServer
from themis_plugin_openai.engines import OpenAIChat
from themis_plugin_openai.redaction import Redaction
from themis_plugin_openai.transport_errors import FOREIGN, transport_error
from themis_plugin_openai.waits import retry_after

Ask = Callable[..., list[Generation | EngineError]]


def error(message: str, code: str | None = None, kind: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "code": code, "type": kind}}


@pytest.mark.parametrize(
    ("status", "body", "code", "retryable", "message"),
    [
        (400, error("Unknown model setting."), "bad_request", False, "HTTP 400: Unknown model setting."),
        (400, error("Too long.", "context_length_exceeded"), "context_length", False, "HTTP 400: Too long."),
        (400, {"message": "This model's maximum context length is 4096 tokens."}, "context_length", False,
         "HTTP 400: This model's maximum context length is 4096 tokens."),
        (400, {"error": {"message": "Filtered.", "code": "content_filter", "innererror": {"code": "x"}}},
         "content_filter", False, "HTTP 400: Filtered."),
        (400, {"error": {"message": "No.", "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
         "content_filter", False, "HTTP 400: No."),
        (400, error("Billing hard limit has been reached", "billing_hard_limit_reached"), "quota_exhausted", False,
         "HTTP 400: Billing hard limit has been reached"),
        (401, error("Bad key."), "unauthorized", False, "HTTP 401: Bad key."),
        (402, error("Insufficient credits"), "quota_exhausted", False, "HTTP 402: Insufficient credits"),
        (403, error("Not your model."), "forbidden", False, "HTTP 403: Not your model."),
        (404, error("No such model."), "not_found", False, "HTTP 404: No such model."),
        (405, {"detail": "Method Not Allowed"}, "bad_request", False, "HTTP 405: Method Not Allowed"),
        (408, {}, "server_error", True, "HTTP 408: the server gave no reason"),
        (409, {}, "server_error", True, "HTTP 409: the server gave no reason"),
        (413, "too big", "too_large", False, "HTTP 413: too big"),
        (413, error("prompt is too long: 9 tokens > 8 maximum"), "context_length", False,
         "HTTP 413: prompt is too long: 9 tokens > 8 maximum"),
        (418, "", "bad_request", False, "HTTP 418: the server gave no reason"),
        (422, {"detail": [{"loc": ["body", "n"], "msg": "n must be 1"}, {"msg": "stop"}]}, "bad_request", False,
         "HTTP 422: n must be 1; stop"),
        (429, error("Slow down."), "rate_limited", True, "HTTP 429: Slow down."),
        (429, error("You exceeded your current quota", "insufficient_quota"), "quota_exhausted", False,
         "HTTP 429: You exceeded your current quota"),
        (429, error("You exceeded your current quota", None, "insufficient_quota"), "quota_exhausted", False,
         "HTTP 429: You exceeded your current quota"),
        (500, error("Oops."), "server_error", True, "HTTP 500: Oops."),
        (502, "<html><head><title>502 Bad Gateway</title>" + "x" * 9000, "server_error", True,
         "HTTP 502: an HTML page, '502 Bad Gateway'"),
        (503, error("Overloaded."), "overloaded", True, "HTTP 503: Overloaded."),
        (504, "<html>", "server_error", True, "HTTP 504: an HTML page"),
        (529, error("Overloaded."), "overloaded", True, "HTTP 529: Overloaded."),
        (599, {"base64": "//4AAA=="}, "server_error", True, "HTTP 599: ��"),
        (500, error("a\x1b[31m\u202e\x00b\r\nc\ud800 " + "d" * 900), "server_error", True,
         "HTTP 500: a[31mb c " + "d" * 288 + "..."),
        (500, "[" * 60_000, "server_error", True, "HTTP 500: " + "[" * 297 + "..."),
        (204, "", "invalid_reply", False, "HTTP 204: not a reply to a request for an answer"),
    ],
)  # fmt: skip
def test_a_status_has_a_stable_code(
    status: int,
    body: Any,
    code: str,
    retryable: bool,
    message: str,
    server: ScriptedServer,
    chat: OpenAIChat,
    ask: Ask,
    request_of: Callable[..., Request],
) -> None:
    server.reset({"faults": [{"status": status, "body": body}]})
    (failure,) = ask(chat, request_of())
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable, failure.status) == (code, retryable, status)
    assert failure.message.removesuffix(f" (called: {server.base_url}/chat/completions)") == message
    assert (server.base_url in failure.message) == (status in (404, 405))
    assert failure.unknown_outcome == (status in (502, 504))
    assert failure.code in ERROR_CODES


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (429, {}, None),
        (429, {"retry-after": "7"}, 7.0),
        (429, {"retry-after": "0.25"}, 0.25),
        (429, {"retry-after": "-3"}, 0.0),
        (429, {"retry-after": "soon"}, None),
        (429, {"retry-after": "nan"}, None),
        (429, {"retry-after": "1e300"}, None),
        (429, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        (429, {"retry-after-ms": "350", "retry-after": "1"}, 0.35),
        (503, {"retry-after": "20"}, 20.0),
        (429, {"x-ratelimit-reset-requests": "1s"}, 1.0),
        (429, {"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        (429, {"x-ratelimit-reset-tokens": "20ms"}, 0.02),
        (429, {"x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        (429, {"x-ratelimit-reset-tokens": "12"}, 12.0),
        (429, {"x-ratelimit-reset-tokens": "tomorrow"}, None),
        # Only the limit that is used up matters, if the server says which.
        (
            429,
            {
                "x-ratelimit-reset-requests": "8m",
                "x-ratelimit-remaining-requests": "5",
                "x-ratelimit-reset-tokens": "2s",
                "x-ratelimit-remaining-tokens": "0",
            },
            2.0,
        ),
        (429, {"x-ratelimit-reset-requests": "3s", "x-ratelimit-reset-tokens": "2s"}, 3.0),
        (429, {"retry-after": "1", "x-ratelimit-reset-requests": "8m"}, 1.0),
        # Behind the prefix of a proxy.
        (429, {"llm_provider-retry-after": "7"}, 7.0),
        (429, {"llm_provider-retry-after-ms": "350", "llm_provider-retry-after": "1"}, 0.35),
        (429, {"x-llm-provider-retry-after": "7"}, 7.0),
        (503, {"x-upstream-retry-after": "7"}, 7.0),
        (429, {"x-ms-retry-after-ms": "350"}, 0.35),
        (429, {"llm_provider-x-ratelimit-reset-requests": "3s"}, 3.0),
        (429, {"retry-after": "1", "llm_provider-retry-after": "7"}, 1.0),
        (429, {"x-retry-afterwards": "7"}, None),
        # Other forms.
        (429, {"retry-after": "2s"}, 2.0),
        (429, {"retry-after": "2 seconds"}, 2.0),
        (429, {"retry-after": "1m30s"}, 90.0),
        (429, {"retry-after": "7, 7"}, 7.0),
        (429, {"ratelimit-reset": "5"}, 5.0),
        (429, {"x-ratelimit-reset": "5", "x-ratelimit-remaining": "0"}, 5.0),
        (429, {"x-ratelimit-reset": "{now+30}"}, 30.0),
        (429, {"x-ratelimit-reset": "{now+30}000"}, 30.0),
        (429, {"anthropic-ratelimit-requests-reset": "{iso+30}"}, 30.0),
        # Sent with every reply; it says nothing about an overload.
        (503, {"x-ratelimit-reset-requests": "8m"}, None),
    ],
)
def test_the_wait_is_the_servers(status: int, headers: dict[str, str], seconds: float | None) -> None:
    now = int(time.time())
    moment = datetime.fromtimestamp(now + 30, UTC).isoformat().replace("+00:00", "Z")
    filled = {name: v.replace("{now+30}", str(now + 30)).replace("{iso+30}", moment) for name, v in headers.items()}
    near = 1e-6 if filled == headers else 2
    assert retry_after(status, filled) == (None if seconds is None else pytest.approx(seconds, abs=near))


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"message": "Please try again in 6m0s."}, 360.0),
        ({"message": "Please try again in 20ms"}, 0.02),
        ({"message": "Please retry after 7 seconds. See our docs."}, 7.0),
        ({"message": "slow down", "details": [{"retryDelay": "34.5s"}]}, 34.5),
        ({"message": "Please retry in 34.07s.", "details": ["?", {"retryDelay": 3}]}, 34.07),
        ({"message": "try again in a while"}, None),
        ({"message": ["try again in 3s"]}, None),
    ],
)
def test_a_body_may_say_when_to_come_back(error: dict[str, Any], seconds: float | None) -> None:
    assert retry_after(429, {}, {"error": error}) == (None if seconds is None else pytest.approx(seconds))
    assert retry_after(429, {"retry-after": "1"}, {"error": error}) == 1.0
    assert retry_after(503, {}, {"error": error}) is None


def test_a_wait_may_be_a_date() -> None:
    wait = retry_after(503, {"retry-after": formatdate(usegmt=True, timeval=None, localtime=False)})
    assert wait == pytest.approx(0, abs=2)


def test_the_wait_comes_with_the_error(
    server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: Callable[..., Request]
) -> None:
    server.reset({"bucket": {"rate": 0.1, "capacity": 1}})
    answer, failure = ask(chat, [request_of("a"), request_of("b")])
    assert isinstance(answer, Generation)
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable) == ("rate_limited", True)
    assert failure.retry_after == pytest.approx(10, abs=1)


def subclasses(*classes: type[BaseException]) -> Iterator[type[BaseException]]:
    for each in classes:
        yield each
        yield from subclasses(*each.__subclasses__())


def instance(kind: type[Any]) -> Exception:
    """An exception of a class, built with what its constructor wants."""
    key = SimpleNamespace(ssl=True, host="h", port=443, is_ssl=True)
    request = SimpleNamespace(real_url="http://h")
    for arguments in (
        ("x",),
        (),
        (key, OSError(1, "x")),
        (key, ValueError("x")),
        (request, ()),
        ("http://h", "x"),
        (b"a", b"b", "h", 1),
    ):
        try:
            made: Exception = kind(*arguments)
            str(made)
        except (TypeError, AttributeError):
            continue
        return made
    if issubclass(kind, httpx.HTTPStatusError):
        return kind("x", request=None, response=None)
    return kind("/sock", key, OSError(1, "x"))  # type: ignore[no-any-return]


EVERY_EXCEPTION = sorted(
    {*subclasses(httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, aiohttp.ClientError),
     *subclasses(http_exceptions.HttpProcessingError), OSError, ConnectionResetError, TimeoutError},
    key=lambda kind: f"{kind.__module__}.{kind.__name__}",
)  # fmt: skip


@pytest.mark.parametrize("kind", EVERY_EXCEPTION, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_no_exception_of_the_transport_is_unmapped(kind: type[Exception]) -> None:
    assert issubclass(kind, FOREIGN)
    mapped = transport_error(instance(kind), Redaction(()))
    assert mapped.code in ERROR_CODES
    assert kind.__name__ in mapped.message


@pytest.mark.parametrize(
    ("raised", "code", "retryable", "unknown"),
    [
        (httpx.ConnectError("x"), "connection", True, False),
        (httpx.ConnectTimeout("x"), "timeout", True, False),
        (httpx.PoolTimeout("x"), "timeout", True, False),
        (httpx.ReadTimeout("x"), "timeout", True, True),
        (httpx.ReadError("x"), "connection", True, True),
        (httpx.WriteError("x"), "connection", True, True),
        (httpx.ProxyError("x"), "proxy", True, False),
        (httpx.RemoteProtocolError("x"), "invalid_reply", True, True),
        (httpx.LocalProtocolError("x"), "bad_request", False, False),
        (httpx.UnsupportedProtocol("x"), "bad_request", False, False),
        (aiohttp.ClientPayloadError("x"), "connection", True, True),
        (aiohttp.ServerDisconnectedError(), "connection", True, True),
        (aiohttp.SocketTimeoutError("x"), "timeout", True, True),
        (ConnectionResetError("x"), "connection", True, True),
        (instance(aiohttp.ClientConnectorDNSError), "unreachable", True, False),
        (instance(aiohttp.ClientConnectorCertificateError), "certificate", False, False),
        (instance(aiohttp.ClientResponseError), "invalid_reply", True, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_exception_of_the_transport_has_this_meaning(
    raised: Exception, code: str, retryable: bool, unknown: bool
) -> None:
    mapped = transport_error(raised, Redaction(()))
    assert (mapped.code, mapped.retryable, mapped.unknown_outcome) == (code, retryable, unknown)


def test_aiohttps_exception_counts_before_what_the_transport_made_of_it() -> None:
    raised = httpx.ConnectTimeout("Server disconnected")
    raised.__cause__ = aiohttp.ServerDisconnectedError()
    mapped = transport_error(raised, Redaction(()))
    assert (mapped.code, mapped.unknown_outcome) == ("connection", True)
    assert mapped.__cause__ is raised


def test_nobody_listening_is_a_connection_error_with_a_known_outcome(
    ask: Ask, request_of: Callable[..., Request]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        (failure,) = ask(OpenAIChat(base_url=f"http://127.0.0.1:{port}/v1"), request_of())
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable, failure.unknown_outcome) == ("unreachable", True, False)
    assert "nobody listens there: start the server, or correct the port in base_url" in failure.message
    assert f"127.0.0.1:{port}" in failure.message


def test_no_connection_in_time_is_a_timeout(ask: Ask, request_of: Callable[..., Request]) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:  # so that the queue of unaccepted connections is full
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        engine = OpenAIChat(base_url=f"http://127.0.0.1:{port}/v1", connect_timeout_s=0.2)
        (failure,) = ask(engine, request_of())
        for each in waiting:
            each.close()
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable, failure.unknown_outcome) == ("timeout", True, False)


def test_a_request_before_the_start_is_a_plain_mistake(request_of: Callable[..., Request]) -> None:
    with pytest.raises(RuntimeError, match="the engine is not started"):
        asyncio.run(OpenAIChat().generate(request_of()))
