"""What every engine has to do, the key, and what happens on the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from themis_core import Capabilities, Engine, EngineError, Generation, Request, Usage
from themis_core.testing.engine import EngineSuite, outcomes
from themis_core.testing.secrets import KeySuite
from themis_core.testing.server import ScriptedServer
from themis_plugin_google.engine import GoogleGemini

RequestOf = Callable[..., Request]


class TestGemini(EngineSuite):
    @pytest.fixture
    def engine(self, server: ScriptedServer) -> Engine:
        server.reset({"faults": [{"match": "fail", "status": 500}]})
        return GoogleGemini(base_url=f"{server.origin}/v1beta", safety={"harassment": "none"}, include_thoughts=True)

    @pytest.fixture
    def asked(self, request_of: RequestOf) -> Request:
        return request_of("2 + 2?", temperature=0.0)

    @pytest.fixture
    def failing(self, request_of: RequestOf) -> Request:
        return request_of("fail")


class TestKeys(KeySuite):
    @pytest.fixture
    def server(self, server: ScriptedServer) -> ScriptedServer:
        return server

    @pytest.fixture
    def model(self, server: ScriptedServer) -> dict[str, Any]:
        return {"model_id": "small-1", "provider": "google/gemini", "extras": {"base_url": f"{server.origin}/v1beta"}}

    @pytest.fixture
    def key(self, key: str) -> str:
        return key


def test_a_whole_answer_comes_over_the_wire(server: ScriptedServer, request_of: RequestOf) -> None:
    output = {"content": "A: 4", "reasoning": "two and two", "signature": "c2ln"}
    server.reset({"answers": {"rule": "constant", "output": output}})
    (answer,) = outcomes(GoogleGemini(base_url=f"{server.origin}/v1beta"), [request_of()])
    assert isinstance(answer, Generation)
    assert answer == Generation(
        "answered",
        text="A: 4",
        reasoning="two and two",
        finish_reason="STOP",
        usage=Usage(input_tokens=2, output_tokens=2),
        latency_s=answer.latency_s,
        provider={
            "id": "scripted-1",
            "model": "small-1",
            "handed_back": {"parts": [{"text": "A: 4", "thoughtSignature": "c2ln"}]},
        },
    )
    assert answer.latency_s is not None


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("models/gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:generateContent"),
        ("tunedModels/mine-1", "/v1beta/tunedModels/mine-1:generateContent"),
        ("publishers/google/models/gemini-2.5-pro", "/v1beta/publishers/google/models/gemini-2.5-pro:generateContent"),
        ("my model?x=#y", "/v1beta/models/my%20model%3Fx%3D%23y:generateContent"),
    ],
)
def test_the_model_is_in_the_path_and_the_key_in_a_header(
    model: str, path: str, key: str, server: ScriptedServer
) -> None:
    engine = GoogleGemini(base_url=f"{server.origin}/v1beta", headers={"X-Title": "t"})
    outcomes(engine, [Request(model, [{"role": "user", "content": "2 + 2?"}])])
    (served,) = server.requests()
    headers = {name: value for name, value in served.headers.items() if name not in ("host", "content-length")}
    assert (served.method, served.path) == ("POST", path)
    assert headers == {
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": "themis-plugin-google",
        "x-title": "t",
        "x-goog-api-key": key,
    }


def test_a_token_of_vertex_takes_the_place_of_the_key(server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VERTEX_AUTH", "Bearer ya29.canary-token-0123456789")
    base = f"{server.origin}/v1/projects/p/locations/l/publishers/google"
    engine = GoogleGemini(base_url=base, api_key_env=None, headers_env={"Authorization": "VERTEX_AUTH"})
    outcomes(engine, [Request("gemini-2.5-pro", [{"role": "user", "content": "2 + 2?"}])])
    (served,) = server.requests()
    assert served.path == "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent"
    assert served.headers["authorization"] == "Bearer ya29.canary-token-0123456789"
    assert "x-goog-api-key" not in served.headers


def test_a_wrong_key_is_unauthorized_and_not_tried_again(server: ScriptedServer, request_of: RequestOf) -> None:
    server.reset({"api_key": "another"})
    (failure,) = outcomes(GoogleGemini(base_url=f"{server.origin}/v1beta"), [request_of()])
    assert isinstance(failure, EngineError)
    assert str(failure) == "unauthorized: HTTP 400: API key not valid. Please pass a valid API key."
    assert not failure.retryable


@pytest.mark.parametrize("client", ["pyreqwest", "httpx"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"cut": 120}, "connection"),
        ({"cut": 0, "ending": "abort"}, "connection"),
        ({"body": '{"candidates": [{"content": {"par'}, "invalid_reply"),
        ({"body": "<html>"}, "invalid_reply"),
        ({"body": "[]"}, "invalid_reply"),
        ({"status": 307, "redirect": "http://127.0.0.1:9/"}, "redirect"),
        ({"body": {"repeat": "x", "times": 40_000_000}}, "reply_too_large"),
        ({"body": 'data: {"candidates": []}\n\n'}, "invalid_reply"),
    ],
)
def test_what_breaks_on_the_way_is_never_an_answer(
    fault: dict[str, Any], code: str, client: Any, server: ScriptedServer, request_of: RequestOf
) -> None:
    server.reset({"faults": [{"at": 1, **fault}]})
    engine = GoogleGemini(base_url=f"{server.origin}/v1beta", http_client=client)
    failure, answer = outcomes(engine, [request_of(), request_of()])
    assert isinstance(failure, EngineError)
    assert failure.code == code
    assert isinstance(answer, Generation)
    assert answer.text == "2 + 2?"


def test_it_can_do_what_it_says() -> None:
    assert GoogleGemini.capabilities == Capabilities(
        seed=True, logprobs=True, n=True, tools=True, images=True, audio=True, files=True, structured=True, batches=True
    )
