"""Which code each failure gets, whether it may be tried again, and after how long."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import pytest
from pyreqwest import exceptions

from themis_core import ERROR_CODES, EngineError, Generation, PluginError, Request
from themis_core.testing.server import ScriptedServer
from themis_http.carriers import Carrier, Way
from themis_http.over_httpx import HttpxCarrier
from themis_http.over_pyreqwest import PyreqwestCarrier
from themis_http.redaction import Redaction
from themis_http.transport_errors import transport_error
from themis_http.waits import retry_after
from themis_plugin_openai.engines import OpenAIChat

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


PYREQWEST = PyreqwestCarrier(Way("http://h/v1", {}, 1))
HTTPX = HttpxCarrier(Way("http://h/v1", {}, 1))


def raised(kind: type[Any], *causes: str) -> Exception:
    """An exception of a class, built with what its constructor wants."""
    details = {"causes": [{"message": each} for each in causes], "status": 500, "doc": "", "pos": 0}
    for arguments in (("x", details), ("x",), ()):
        try:
            made: Exception = kind(*arguments)
        except TypeError:
            continue
        return made
    return kind("x", request=None, response=None)  # type: ignore[no-any-return]


def subclasses(*classes: type[BaseException]) -> Iterator[type[BaseException]]:
    for each in classes:
        yield each
        yield from subclasses(*each.__subclasses__())


OF_THE_SYSTEM = {OSError, ConnectionResetError, TimeoutError, ssl.SSLError}


def by_name(*kinds: type[Exception]) -> list[type[Exception]]:
    """Each once, in an order that is the same in every process that collects tests."""
    return sorted(set(kinds), key=lambda kind: (kind.__module__, kind.__name__))


EVERY_EXCEPTION = [
    *((PYREQWEST, kind) for kind in by_name(*subclasses(exceptions.PyreqwestError), *OF_THE_SYSTEM)),
    *(
        (HTTPX, kind)
        for kind in by_name(*subclasses(httpx.HTTPError, httpx.StreamError, httpx.InvalidURL), *OF_THE_SYSTEM)
    ),
]


def test_every_exception_that_pyreqwest_names_is_looked_at() -> None:
    named = {each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, Exception)}
    assert named - {exceptions.JSONDecodeError_} <= {kind for _, kind in EVERY_EXCEPTION}


@pytest.mark.parametrize(
    ("carrier", "kind"), EVERY_EXCEPTION, ids=lambda it: getattr(it, "__name__", type(it).__name__)
)
def test_no_exception_of_a_carrier_is_unmapped(carrier: Carrier, kind: type[Exception]) -> None:
    assert issubclass(kind, carrier.foreign)
    meaning, details = carrier.meaning(raised(kind))
    mapped = transport_error(raised(kind), meaning, details, Redaction(()))
    assert mapped.code in ERROR_CODES
    assert kind.__name__ in mapped.message


CONNECT, SEND = "client error (Connect)", "client error (SendRequest)"


def unconnected(*causes: str) -> Exception:
    return raised(exceptions.ConnectError, CONNECT, *causes)


CUT = "end of file before message length reached"
MEANINGS: list[tuple[Carrier, Exception, str, bool, bool]] = [
    (HTTPX, httpx.ConnectError("x"), "connection", True, False),
    (HTTPX, httpx.ConnectTimeout("x"), "timeout", True, False),
    (HTTPX, httpx.PoolTimeout("x"), "timeout", True, False),
    (HTTPX, httpx.ReadTimeout("x"), "timeout", True, True),
    (HTTPX, httpx.ReadError("x"), "connection", True, True),
    (HTTPX, httpx.WriteError("x"), "connection", True, True),
    (HTTPX, httpx.ProxyError("407 Proxy Authentication Required"), "proxy", False, False),
    (HTTPX, httpx.ProxyError("502 Bad Gateway"), "proxy", True, False),
    (HTTPX, httpx.ProxyError("x"), "proxy", True, False),
    (HTTPX, httpx.RemoteProtocolError("illegal status line"), "invalid_reply", True, True),
    (HTTPX, httpx.RemoteProtocolError("Server disconnected without sending a response."), "connection", True, True),
    (HTTPX, httpx.LocalProtocolError("x"), "bad_request", False, False),
    (HTTPX, httpx.UnsupportedProtocol("x"), "bad_request", False, False),
    (HTTPX, ConnectionResetError("x"), "connection", True, True),
    (PYREQWEST, raised(exceptions.BuilderError), "bad_request", False, False),
    (PYREQWEST, raised(exceptions.RedirectError), "bad_request", False, False),
    (PYREQWEST, raised(exceptions.ConnectTimeoutError), "timeout", True, False),
    (PYREQWEST, raised(exceptions.PoolTimeoutError), "timeout", True, False),
    (PYREQWEST, raised(exceptions.RequestTimeoutError), "timeout", True, True),
    (PYREQWEST, raised(exceptions.ReadTimeoutError), "timeout", True, True),
    (PYREQWEST, unconnected(), "connection", True, False),
    (PYREQWEST, unconnected("dns error"), "unreachable", True, False),
    (PYREQWEST, unconnected("refused (os error 111)"), "unreachable", True, False),
    (PYREQWEST, unconnected("invalid peer certificate: Expired"), "certificate", False, False),
    (PYREQWEST, unconnected("received fatal alert: ProtocolVersion"), "tls", False, False),
    (PYREQWEST, unconnected("received fatal alert: InternalError"), "connection", True, False),
    (PYREQWEST, unconnected("tls handshake eof"), "connection", True, False),
    (PYREQWEST, unconnected("tunnel error: unsuccessful"), "proxy", True, False),
    (PYREQWEST, raised(exceptions.ConnectError, SEND, "connection closed"), "connection", True, True),
    (PYREQWEST, raised(exceptions.ReadError), "connection", True, True),
    (PYREQWEST, raised(exceptions.WriteError), "connection", True, True),
    (PYREQWEST, raised(exceptions.DecodeError, SEND, "invalid HTTP version parsed"), "invalid_reply", True, True),
    (PYREQWEST, raised(exceptions.BodyDecodeError, "Invalid chunk size line"), "invalid_reply", True, True),
    (PYREQWEST, raised(exceptions.BodyDecodeError, CUT), "connection", True, True),
    (PYREQWEST, raised(exceptions.StatusError), "invalid_reply", True, True),
    (PYREQWEST, raised(exceptions.ClientClosedError), "connection", True, True),
    (PYREQWEST, raised(exceptions.RequestPanicError), "connection", True, True),
    (PYREQWEST, raised(exceptions.PyreqwestError), "connection", True, True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("carrier", "error", "code", "retryable", "unknown"),
    MEANINGS,
    ids=[f"{type(row[0]).__name__}-{row[1]!r}"[:80] for row in MEANINGS],
)
def test_an_exception_of_a_carrier_has_this_meaning(
    carrier: Carrier, error: Exception, code: str, retryable: bool, unknown: bool
) -> None:
    meaning, details = carrier.meaning(error)
    mapped = transport_error(error, meaning, details, Redaction(()))
    assert (mapped.code, mapped.retryable, mapped.unknown_outcome) == (code, retryable, unknown)
    assert mapped.__cause__ is error


def test_what_a_carrier_says_of_an_address_is_not_shown_and_keys_in_it_are_not_passed_on() -> None:
    error = raised(exceptions.ConnectError, "error sending request for url (http://h/v1?t=s3cret-token)", CONNECT)
    meaning, details = PYREQWEST.meaning(error)
    mapped = transport_error(error, meaning, details, Redaction(["s3cret-token"]))
    assert mapped.message == "no connection (ConnectError: client error (Connect))"
    assert mapped.__cause__ is None


@pytest.mark.parametrize(("name", "words"), [("pyreqwest", "write `http_client: httpx`"), ("httpx", "install it")])
def test_a_carrier_that_is_not_installed_is_an_error_that_names_the_other(
    name: Any, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for package in (name, f"{name}.client", f"themis_http.over_{name}"):
        monkeypatch.setitem(sys.modules, package, None)
    engine = OpenAIChat(http_client=name)
    with pytest.raises(PluginError, match=words):
        asyncio.run(engine.start())
    with pytest.raises(PluginError, match=words):
        engine.check(tmp_path)


@pytest.mark.usefixtures("carrier")
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


@pytest.mark.usefixtures("carrier")
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
