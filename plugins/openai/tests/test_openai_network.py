"""Cut, stalled, dripping, oversized and garbled replies: never a hang, never a wrong result."""

from __future__ import annotations

import asyncio
import gc
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from themis_core import EngineError, Generation, Request
from themis_core.testing.script import Call, Script
from themis_core.testing.server import ScriptedServer
from themis_plugin_openai.connection import Connection
from themis_plugin_openai.engines import OpenAIChat
from themis_plugin_openai.redaction import Redaction

Ask = Callable[..., list[Generation | EngineError]]
RequestOf = Callable[..., Request]

REPLY = {
    "id": "r",
    "choices": [{"message": {"role": "assistant", "content": "the answer"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2},
}
MB = 2**20


def response(fault: dict[str, Any]) -> bytes:
    """The bytes that the server would send."""
    call = Call(1, "/v1/chat/completions", {}, {}, "")
    return b"".join(piece for _, piece in Script({"faults": [fault]}).reply(call).pieces)


@pytest.mark.parametrize(
    "framing",
    [{}, {"chunked": True}, {"gzip": True}, {"headers": {"Content-Length": None}, "ending": "close"}],
    ids=["length", "chunked", "gzip", "until the end"],
)
def test_a_reply_cut_at_any_byte_is_never_a_result(
    framing: dict[str, Any], server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf
) -> None:
    fault = {"body": REPLY, **framing}
    size = len(response(fault))
    ends = range(0, size, 1 if not framing else 3)
    faults = [{**fault, "at": index + 1, "cut": cut} for index, cut in enumerate(ends)]
    server.reset({"faults": [*faults, fault]})
    *cut_off, whole = ask(chat, [request_of()] * (len(ends) + 1))
    assert isinstance(whole, Generation)
    assert whole.text == "the answer"
    for cut, failure in zip(ends, cut_off, strict=True):
        assert isinstance(failure, EngineError), cut
        assert failure.code in ("connection", "invalid_reply"), cut
        assert (failure.retryable, failure.unknown_outcome) == (True, True), cut


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"cut": 0}, "connection"),
        ({"cut": 0, "ending": "abort"}, "connection"),
        ({"cut": -5, "ending": "abort"}, "connection"),
        ({"raw": "220 smtp ready\r\n"}, "invalid_reply"),
        ({"raw": "HTTP/1.1 abc OK\r\n\r\n"}, "invalid_reply"),
        ({"raw": "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"}, "invalid_reply"),
        ({"raw": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"}, "invalid_reply"),
        ({"raw": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"}, "invalid_reply"),
        ({"raw": "HTTP/1.1 200 OK\r\nX: " + "a" * 100_000 + "\r\n\r\n"}, "invalid_reply"),
        ({"raw": "HTTP/1.1 200 OK\r\n" + "X: a\r\n" * 50_000 + "\r\n"}, "invalid_reply"),
        ({"raw": "\0" * 1000}, "invalid_reply"),
        ({"headers": {"Content-Encoding": "gzip"}}, "invalid_reply"),
        ({"headers": {"Content-Encoding": "br"}}, "invalid_reply"),
        ({"headers": {"Content-Encoding": "gzip, gzip"}}, "invalid_reply"),
    ],
)
def test_garbled_framing_is_an_error_that_may_pass(
    fault: dict[str, Any], code: str, server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"at": 1, **fault}]})
    failure, answer = ask(chat, [request_of(), request_of()])
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable, failure.unknown_outcome) == (code, True, True)
    assert len(failure.message) < 450
    assert isinstance(answer, Generation)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_reply_that_is_compressed_unasked_is_read(
    encoding: str, server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"gzip": True, "body": REPLY, "headers": {"Content-Encoding": encoding}}]})
    (answer,) = ask(chat, request_of())
    assert isinstance(answer, Generation)
    assert answer.text == "the answer"


def test_a_compressed_error_is_read(server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf) -> None:
    server.reset({"faults": [{"gzip": True, "status": 400, "error": {"message": "no"}}]})
    (failure,) = ask(chat, request_of())
    assert str(failure) == "bad_request: HTTP 400: no"


def test_a_reply_in_many_small_writes_is_read(
    server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"body": REPLY, "chunk": 7, "pause_s": 0.001}]})
    (answer,) = ask(chat, request_of())
    assert isinstance(answer, Generation)
    assert answer.text == "the answer"


@pytest.mark.parametrize(
    "fault",
    [
        {"body": {"repeat": "a", "times": 40 * MB}},
        {"body": {"repeat": "a", "times": 40 * MB}, "chunked": True},
        {"body": {"repeat": "a", "times": 300 * MB}, "gzip": True},
        {"body": {"repeat": "[", "times": 300 * MB}, "gzip": True, "chunked": True},
    ],
    ids=["length", "chunked", "bomb", "chunked bomb"],
)
def test_a_reply_is_cut_off_at_the_limit_before_it_fills_the_memory(
    fault: dict[str, Any], server: ScriptedServer, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"at": 1, **fault}]})
    engine = OpenAIChat(base_url=server.base_url, max_reply_bytes=MB)
    tracemalloc.start()
    try:
        failure, answer = ask(engine, [request_of(), request_of()])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable, failure.unknown_outcome) == ("reply_too_large", False, True)
    assert failure.message == "the reply is larger than 1048576 bytes: raise max_reply_bytes if that is meant"
    assert isinstance(answer, Generation)
    assert peak < 8 * MB


def test_a_large_reply_beneath_the_limit_is_whole(
    server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf
) -> None:
    text = "ä" * (5 * MB)
    server.reset({"answers": {"rule": "constant", "output": text}})
    (answer,) = ask(chat, request_of())
    assert isinstance(answer, Generation)
    assert answer.text == text


def test_an_endless_error_page_is_read_in_part(
    server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"status": 500, "body": {"repeat": "no ", "times": 10 * MB}, "chunked": True}]})
    (failure,) = ask(chat, request_of())
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.message) == ("server_error", "HTTP 500: " + ("no " * 100)[:297] + "...")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(
    status: int, server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf
) -> None:
    with ScriptedServer() as other:
        server.reset({"faults": [{"status": status, "redirect": f"{other.base_url}/chat/completions?token=1"}]})
        (failure,) = ask(chat, request_of())
        assert other.count == 0
        place = f"{other.base_url}/chat/completions"
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retryable, failure.status) == ("redirect", False, status)
    assert (
        failure.message == f"HTTP {status}: redirects to {place}, which is never followed: correct the path in base_url"
    )
    assert server.count == 1


@pytest.mark.parametrize(
    "fault", [{"cut": 0}, {"cut": 60}, {"cut": -5}, {"chunk": 1, "pause_s": 0.05}, {"latency_s": 5}]
)
def test_after_fifty_cancelled_requests_two_hundred_succeed(
    fault: dict[str, Any], server: ScriptedServer, chat: OpenAIChat, request_of: RequestOf
) -> None:
    ending = {} if "cut" not in fault else {"ending": "stall"}
    server.reset({"faults": [{"first": 50, "body": REPLY, **fault, **ending}]})

    async def impatient() -> float:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await chat.generate(request_of())
        return time.monotonic() - began

    async def story() -> tuple[list[float], list[Generation]]:
        await chat.start()
        try:
            waits = await asyncio.gather(*(impatient() for _ in range(50)))
            return waits, await asyncio.gather(*(chat.generate(request_of(str(i))) for i in range(200)))
        finally:
            await chat.stop()

    waits, answers = asyncio.run(story())
    gc.collect()
    assert max(waits) < 4.5  # of 0.3, on a machine that has other things to do; the replies take 5 s and more
    assert [answer.text for answer in answers] == [str(index) for index in range(200)]


def test_connections_are_used_again(
    server: ScriptedServer, chat: OpenAIChat, request_of: RequestOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = 0
    create = asyncio.BaseEventLoop.create_connection

    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal opened
        opened += 1
        return await create(*args, **kwargs)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", counted)

    async def story() -> None:
        await chat.start()
        for _ in range(5):
            await asyncio.gather(*(chat.generate(request_of()) for _ in range(4)))
        await chat.stop()

    asyncio.run(story())
    assert server.count == 20
    assert opened <= 4


def test_no_limit_of_the_clients_own_holds_requests_back(
    server: ScriptedServer, chat: OpenAIChat, request_of: RequestOf
) -> None:
    server.reset({"latency_s": 0.5})

    async def story() -> None:
        await chat.start()
        await asyncio.gather(*(chat.generate(request_of()) for _ in range(150)))
        await chat.stop()

    asyncio.run(story())
    assert server.peak == 150


@pytest.mark.parametrize(("trust_env", "through_proxy"), [(False, False), (True, True)])
def test_a_proxy_is_used_only_if_the_config_says_so(
    trust_env: bool,
    through_proxy: bool,
    server: ScriptedServer,
    ask: Ask,
    request_of: RequestOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with ScriptedServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.origin)
        monkeypatch.setenv("http_proxy", proxy.origin)
        ask(OpenAIChat(base_url=server.base_url, trust_env=trust_env), request_of())
        assert (proxy.count, server.count) == ((1, 0) if through_proxy else (0, 1))


def test_certificates_are_checked() -> None:
    async def trusted(url: str) -> tuple[bool, int]:
        connection = Connection(url, {}, redaction=Redaction(()), most_bytes=1, connect_timeout_s=1)
        context = connection._transport.ssl_context
        await connection.close()
        return context.check_hostname, context.cert_store_stats()["x509_ca"]

    assert asyncio.run(trusted("https://api.openai.com/v1"))[0]
    assert asyncio.run(trusted("https://api.openai.com/v1"))[1] > 50
    assert asyncio.run(trusted("http://127.0.0.1/v1")) == (True, 0)


def test_the_server_of_these_tests_sends_what_it_is_told() -> None:
    assert response({"body": {"a": 1}, "cut": 15}) == b"HTTP/1.1 200 OK"
    assert response({"body": REPLY}).endswith(json.dumps(REPLY).encode())
    assert response({"body": "abc", "chunked": True}).endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
