"""What every engine has to do, the key, and what happens on the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from themis_core import Capabilities, Engine, EngineError, Generation, Request, Usage
from themis_core.testing.engine import EngineSuite, outcomes
from themis_core.testing.secrets import KeySuite
from themis_core.testing.server import ScriptedServer
from themis_plugin_anthropic.engine import AnthropicMessages

RequestOf = Callable[..., Request]


class TestMessages(EngineSuite):
    @pytest.fixture
    def engine(self, server: ScriptedServer) -> Engine:
        server.reset({"faults": [{"match": "fail", "status": 500}]})
        return AnthropicMessages(base_url=server.origin, thinking="adaptive", cache=["system"])

    @pytest.fixture
    def asked(self, request_of: RequestOf) -> Request:
        return request_of("2 + 2?", temperature=1.0)

    @pytest.fixture
    def failing(self, request_of: RequestOf) -> Request:
        return request_of("fail")


class TestKeys(KeySuite):
    @pytest.fixture
    def server(self, server: ScriptedServer) -> ScriptedServer:
        return server

    @pytest.fixture
    def model(self, server: ScriptedServer) -> dict[str, Any]:
        extras = {"base_url": server.origin}
        return {"model_id": "small-1", "provider": "anthropic/messages", "extras": extras}

    @pytest.fixture
    def key(self, key: str) -> str:
        return key

    @pytest.fixture
    def params(self) -> dict[str, Any]:
        return {"max_tokens": 64}


def test_a_whole_answer_comes_over_the_wire(server: ScriptedServer, request_of: RequestOf) -> None:
    output = {"content": "A: 4", "reasoning": "two and two"}
    server.reset({"answers": {"rule": "constant", "output": output}})
    (answer,) = outcomes(AnthropicMessages(base_url=server.origin), [request_of()])
    assert isinstance(answer, Generation)
    thinking = {"type": "thinking", "thinking": "two and two", "signature": "c2NyaXB0ZWQ="}
    assert answer == Generation(
        "answered",
        text="A: 4",
        reasoning="two and two",
        finish_reason="end_turn",
        usage=Usage(input_tokens=2, output_tokens=2),
        latency_s=answer.latency_s,
        provider={
            "id": "msg_1",
            "model": "small-1",
            "handed_back": {"content": [thinking, {"type": "text", "text": "A: 4"}]},
        },
    )
    assert answer.latency_s is not None


def test_the_headers_are_these(key: str, server: ScriptedServer, request_of: RequestOf) -> None:
    engine = AnthropicMessages(base_url=server.origin, anthropic_beta=["a-2025-01-01", "b"], headers={"X-Title": "t"})
    outcomes(engine, [request_of()])
    (served,) = server.requests()
    headers = {name: value for name, value in served.headers.items() if name not in ("host", "content-length")}
    assert (served.method, served.path) == ("POST", "/v1/messages")
    assert headers == {
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "themis-plugin-anthropic",
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "a-2025-01-01,b",
        "x-title": "t",
        "x-api-key": key,
    }


def test_a_wrong_key_is_unauthorized_and_not_tried_again(server: ScriptedServer, request_of: RequestOf) -> None:
    server.reset({"api_key": "another"})
    (failure,) = outcomes(AnthropicMessages(base_url=server.origin), [request_of()])
    assert isinstance(failure, EngineError)
    assert str(failure) == "unauthorized: HTTP 401: invalid x-api-key"
    assert not failure.retryable


@pytest.mark.parametrize("client", ["pyreqwest", "httpx"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"cut": 120}, "connection"),
        ({"cut": 0, "ending": "abort"}, "connection"),
        ({"body": '{"id": "msg_1", "type": "mess'}, "invalid_reply"),
        ({"body": "<html>"}, "invalid_reply"),
        ({"status": 307, "redirect": "http://127.0.0.1:9/v1/messages"}, "redirect"),
        ({"body": {"repeat": "x", "times": 40_000_000}}, "reply_too_large"),
        ({"body": "event: message_start\ndata: {}\n\n"}, "invalid_reply"),
    ],
)
def test_what_breaks_on_the_way_is_never_an_answer(
    fault: dict[str, Any], code: str, client: Any, server: ScriptedServer, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"at": 1, **fault}]})
    engine = AnthropicMessages(base_url=server.origin, http_client=client)
    failure, answer = outcomes(engine, [request_of(), request_of()])
    assert isinstance(failure, EngineError)
    assert failure.code == code
    assert isinstance(answer, Generation)
    assert answer.text == "2 + 2?"


def test_it_can_do_what_it_says() -> None:
    assert AnthropicMessages.capabilities == Capabilities(
        tools=True, images=True, files=True, structured=True, batches=True
    )
