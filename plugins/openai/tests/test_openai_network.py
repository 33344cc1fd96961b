"""Cut, stalled, dripping, oversized and garbled replies: never a hang, never a wrong result."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from themis_core import EngineError, Generation, Request
from themis_core.testing.script import Call, Script
from themis_core.testing.server import ScriptedServer
from themis_http import over_httpx, over_pyreqwest
from themis_pacing import attempt_ends
from themis_plugin_openai.engines import OpenAIChat

pytestmark = pytest.mark.usefixtures("carrier")
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
        ({"raw": "220 smtp ready\r\n"}, "invalid_reply|connection"),
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
    assert failure.code in code.split("|")
    assert (failure.retryable, failure.unknown_outcome) == (True, True)
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
    ("location", "shown"),
    [
        ("http://[::1/v1", "http://[::1/v1"),
        ("http://me:letmein-1234@h/v1", "http://h/v1"),
        ("//me@h/v1", "//h/v1"),
        ("https://h/v1#access_token=letmein-1234", "https://h/v1"),
    ],
)
def test_where_a_redirect_leads_is_told_without_what_may_be_secret(
    location: str, shown: str, server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"status": 302, "redirect": location}]})
    (failure,) = ask(chat, request_of())
    assert isinstance(failure, EngineError)
    assert failure.code == "redirect"
    assert f"redirects to {shown}, which is never followed: correct" in failure.message


@pytest.mark.parametrize(
    "fault", [{"cut": 0}, {"cut": 60}, {"cut": -5}, {"chunk": 1, "pause_s": 0.05}, {"latency_s": 5}]
)
def test_after_fifty_cancelled_requests_two_hundred_succeed(
    fault: dict[str, Any], server: ScriptedServer, chat: OpenAIChat, request_of: RequestOf
) -> None:
    ending = {} if "cut" not in fault else {"ending": "stall"}
    server.reset({"faults": [{"match": "impatient", "body": REPLY, **fault, **ending}]})

    async def impatient() -> float:
        began = time.monotonic()
        attempt_ends.set(began + 0.3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await chat.generate(request_of("impatient"))
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
    assert none_under_way(server)


def none_under_way(server: ScriptedServer) -> bool:
    """Whether the server is left with none that nobody waits for, once these had the time to be given up."""
    for _ in range(100):
        server.reset()
        if server.peak <= 1:  # which is the question itself
            return True
        time.sleep(0.1)
    return False


class Loose:
    """A server that closes connections when it likes, with a ledger of all bytes that came."""

    def __init__(self, then: Callable[[socket.socket], None], replies: int = 1) -> None:
        self.requests = 0
        self.connections = 0
        self._then, self._replies = then, replies
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def _serve(self) -> None:
        while True:
            try:
                taken, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(taken,), daemon=True).start()

    def _answer(self, taken: socket.socket) -> None:
        """Answer so many requests, and then do with the connection what was told; a further one is read to its end."""
        content = json.dumps(REPLY).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        with taken:
            for _ in range(self._replies):
                if not self._read(taken):
                    return
                taken.sendall(head + content)
            self._then(taken)

    def _read(self, taken: socket.socket) -> bool:
        received = b""
        while not received.endswith(b"}"):
            try:
                more = taken.recv(65_536)
            except OSError:
                return False
            if not more:
                return False
            received += more
        self.requests += 1
        return True

    def drop_the_next(self, taken: socket.socket) -> None:
        """Read one more request, and end the connection without a word."""
        self._read(taken)

    def __enter__(self) -> Loose:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def reset(taken: socket.socket) -> None:
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("abrupt", [False, True], ids=["closed", "reset"])
def test_a_request_that_was_lost_on_a_used_connection_is_not_sent_again_in_silence(
    abrupt: bool, ask: Ask, request_of: RequestOf
) -> None:
    def drop(taken: socket.socket) -> None:
        server.drop_the_next(taken)
        if abrupt:
            reset(taken)

    with Loose(drop) as server:
        found = ask(OpenAIChat(base_url=server.base_url), [request_of()] * 20)
    lost = [each for each in found if isinstance(each, EngineError)]
    assert lost
    assert {(each.code, each.retryable, each.unknown_outcome) for each in lost} == {("connection", True, True)}
    assert server.requests == 20  # those that were lost too, once


@pytest.mark.parametrize("abrupt", [False, True], ids=["closed", "reset"])
def test_a_connection_that_the_server_closes_between_two_requests_loses_none_unsaid(
    abrupt: bool, ask: Ask, request_of: RequestOf
) -> None:
    with Loose(reset if abrupt else lambda _: None) as server:
        found = ask(OpenAIChat(base_url=server.base_url), [request_of()] * 200)
    answered = sum(isinstance(each, Generation) for each in found)
    # Each answer was asked for once; a request that met the closing is an error, and the server saw nothing of it.
    assert server.requests == answered
    assert {each.code for each in found if isinstance(each, EngineError)} <= {"connection"}


@pytest.mark.parametrize(
    "more", [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"}", b"\r\n" * 1000, b"{}" * 50_000]
)
@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "500 Broken"])
def test_what_comes_after_a_reply_is_no_part_of_the_next_one(
    status: str, more: bytes, server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf
) -> None:
    content = b"" if status.startswith("204") else json.dumps(REPLY).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    raw = (head + content + more).decode("latin-1")
    server.reset({"faults": [{"at": 1, "raw": raw, "ending": "keep"}]})
    first, *others = ask(chat, [request_of("one"), request_of("two"), request_of("three")])
    assert isinstance(first, Generation if status == "200 OK" else EngineError)
    assert [each.text for each in others if isinstance(each, Generation)] == ["two", "three"]


def test_of_two_headers_with_one_name_the_first_counts(
    ask: Ask, chat: OpenAIChat, server: ScriptedServer, request_of: RequestOf
) -> None:
    raw = "HTTP/1.1 429 Slow\r\nRetry-After: 5\r\nretry-after: 60\r\nContent-Length: 0\r\n\r\n"
    server.reset({"faults": [{"raw": raw}]})
    (failure,) = ask(chat, request_of())
    assert isinstance(failure, EngineError)
    assert failure.retry_after == 5


def test_connections_are_used_again(request_of: RequestOf) -> None:
    async def story(chat: OpenAIChat) -> None:
        await chat.start()
        for _ in range(5):
            await asyncio.gather(*(chat.generate(request_of()) for _ in range(4)))
        await chat.stop()

    with Loose(lambda _: None, replies=100) as server:
        asyncio.run(story(OpenAIChat(base_url=server.base_url)))
    assert server.requests == 20
    assert server.connections <= 4


def test_what_is_sent_is_one_plain_request(
    carrier: str, server: ScriptedServer, ask: Ask, request_of: RequestOf
) -> None:
    engine = OpenAIChat(base_url=server.base_url, headers={"X-Title": "bench"})
    (answer,) = ask(engine, request_of("\u00e4\ud800"))
    (request,) = server.requests()
    assert isinstance(answer, Generation)
    assert request.prompt == "\u00e4\ud800"
    expected = {
        "accept": "application/json",
        "accept-encoding": "identity",
        "authorization": "Bearer sk-canary-5f3a9c71d2e84b60",
        "content-length": request.headers["content-length"],
        "content-type": "application/json",
        "host": server.origin.removeprefix("http://"),
        "user-agent": "themis-plugin-openai",
        "x-title": "bench",
    }
    assert request.headers == expected


def test_an_address_of_ipv6_is_called(ask: Ask, request_of: RequestOf) -> None:
    def serve() -> None:
        taken, _ = listening.accept()
        with taken:
            while not taken.recv(65_536).endswith(b"}"):
                pass
            taken.sendall(response({"body": REPLY}))

    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listening:
        threading.Thread(target=serve, daemon=True).start()
        (answer,) = ask(OpenAIChat(base_url=f"http://[::1]:{listening.getsockname()[1]}/v1"), request_of())
    assert isinstance(answer, Generation)


def test_headers_that_are_no_ascii_harm_nothing(
    server: ScriptedServer, chat: OpenAIChat, ask: Ask, request_of: RequestOf
) -> None:
    odd = {"X-Latin": "\u00e4", "Retry-After": "3"}
    server.reset({"faults": [{"at": 1, "headers": odd}, {"at": 2, "status": 429, "headers": odd}]})
    answer, failure = ask(chat, [request_of(), request_of()])
    assert isinstance(answer, Generation)
    assert isinstance(failure, EngineError)
    assert (failure.code, failure.retry_after) == ("rate_limited", 3.0)


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


def test_the_usual_authorities_are_those_that_come_with_python_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert over_httpx._trust("https").check_hostname
    assert over_httpx._trust("https").cert_store_stats()["x509_ca"] > 50
    assert over_httpx._trust("http").cert_store_stats()["x509_ca"] == 0
    assert over_pyreqwest._authorities().count(b"BEGIN CERTIFICATE") > 50


def test_the_server_of_these_tests_sends_what_it_is_told() -> None:
    assert response({"body": {"a": 1}, "cut": 15}) == b"HTTP/1.1 200 OK"
    assert response({"body": REPLY}).endswith(json.dumps(REPLY).encode())
    assert response({"body": "abc", "chunked": True}).endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
