"""Requests beside the one that asks: any method and path of the same server, with its key and without another's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from pydantic import Field

from themis_core import EngineError, Generation, Request
from themis_core.testing.server import ScriptedServer
from themis_http import Dialect, HttpEngine

T = TypeVar("T")


def of_body(status: int, data: Any) -> tuple[str, bool] | None:
    return ("overloaded", True) if isinstance(data, dict) and data.get("mood") == "tired" else None


class Plain(HttpEngine):
    """An engine that adds nothing to what each has to."""

    path = "/plain?mode=short"
    dialect = Dialect(meaning=of_body, path_hint=lambda url: "; look it up")
    api_key_env: str | None = Field("EXAMPLE_API_KEY", description="Key.")

    def body(self, request: Request) -> dict[str, Any]:
        return {"model": request.model_id}

    def path_of(self, request: Request) -> str:
        return f"/models/{request.model_id}:ask" if request.model_id else self.path

    def read(self, data: dict[str, Any], latency_s: float) -> Generation:
        return Generation("answered", text=json.dumps(data))


@pytest.fixture(params=["pyreqwest", "httpx"])
def engine(request: pytest.FixtureRequest, server: ScriptedServer) -> Plain:
    return Plain(base_url=f"{server.base_url}?version=7", http_client=request.param)


def within(engine: Plain, do: Callable[[], Awaitable[T]]) -> T:
    async def life() -> T:
        await engine.start()
        try:
            return await do()
        finally:
            await engine.stop()

    return asyncio.run(life())


def test_a_get_has_neither_a_body_nor_its_type(engine: Plain, server: ScriptedServer, key: str) -> None:
    async def listed() -> dict[str, Any]:
        return engine.json_of(await engine.call("GET", "/models?limit=2"))

    server.reset({"faults": [{"body": {"listed": []}}]})
    assert within(engine, listed) == {"listed": []}
    (request,) = server.requests()
    assert (request.method, request.path) == ("GET", "/v1/models?version=7&limit=2")
    assert request.headers["authorization"] == f"Bearer {key}"
    assert request.headers.keys().isdisjoint({"content-type", "content-length"})


def test_a_body_of_another_type_is_sent_as_it_is(engine: Plain, server: ScriptedServer) -> None:
    async def sent() -> bytes:
        headers = {"content-type": "application/jsonl", "x-purpose": "batch"}
        return (await engine.call("POST", "/files", body=b'{"a": 1}', headers=headers)).body.pop()

    server.reset({"faults": [{"body": "taken"}]})
    assert within(engine, sent) == b"taken"
    (request,) = server.requests()
    assert (request.body, request.headers["content-length"]) == ({"a": 1}, "8")
    assert (request.headers["content-type"], request.headers["x-purpose"]) == ("application/jsonl", "batch")


def test_a_path_may_depend_on_the_request(engine: Plain, server: ScriptedServer) -> None:
    server.reset({"faults": [{"body": {"said": 1}}]})
    for model in ("small-1", ""):
        generation = within(engine, lambda model=model: engine.generate(Request(model, [], {})))  # type: ignore[misc]
        assert generation.text == '{"said": 1}'
    assert [each.path for each in server.requests()] == [
        "/v1/models/small-1:ask?version=7", "/v1/plain?version=7&mode=short",
    ]  # fmt: skip
    assert {each.headers["content-type"] for each in server.requests()} == {"application/json"}


def test_an_address_of_the_same_server_is_called_and_that_of_another_is_not(
    engine: Plain, server: ScriptedServer
) -> None:
    server.reset({"faults": [{"body": "results"}]})
    received = within(engine, lambda: engine.call("GET", f"{server.origin}/elsewhere/results"))
    assert received.body == [b"results"]
    for elsewhere in ("http://127.0.0.1:9/results", "http://[::1/results"):
        with pytest.raises(EngineError, match="another server") as caught:
            within(engine, lambda path=elsewhere: engine.call("GET", path))
        assert caught.value.code == "redirect"
    assert server.count == 1


def test_a_call_may_have_a_bound_of_its_own(engine: Plain, server: ScriptedServer) -> None:
    server.reset({"faults": [{"body": {"repeat": "x", "times": 5000}}]})
    assert within(engine, lambda: engine.call("GET", "/results")).body == [b"x" * 5000]
    with pytest.raises(EngineError) as caught:
        within(engine, lambda: engine.call("GET", "/results", most_bytes=4999))
    assert caught.value.code == "reply_too_large"


def test_a_dialect_says_what_a_body_means(engine: Plain, server: ScriptedServer) -> None:
    server.reset({"faults": [{"at": 1, "status": 418, "body": {"mood": "tired"}}, {"status": 404}]})
    with pytest.raises(EngineError) as caught:
        within(engine, lambda: engine.call("POST", "/tea", body=b"{}"))
    assert (caught.value.code, caught.value.retryable) == ("overloaded", True)
    with pytest.raises(EngineError, match=r"/v1/tea\?version=7; look it up") as caught:
        within(engine, lambda: engine.call("POST", "/tea", body=b"{}"))
    assert caught.value.code == "not_found"


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(("before", "after"), [("[", "]"), ('{"error":', "}"), ('[{"errors":', "}]")])
def test_an_error_that_is_nested_deeply_is_an_error(
    status: int, before: str, after: str, engine: Plain, server: ScriptedServer
) -> None:
    for depth in (2, 300, 480):
        body = f'{{"error": {before * depth}"no"{after * depth}}}'
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
        server.reset({"faults": [{"raw": head + body}]})
        with pytest.raises(EngineError) as caught:
            within(engine, lambda: engine.ask({}))
        assert caught.value.code == ("invalid_reply" if status == 200 else "bad_request")
        assert (caught.value.message[-2:] == "no") == (depth == 2)


def test_an_engine_that_is_not_started_says_so(engine: Plain) -> None:
    with pytest.raises(RuntimeError, match="not started"):
        asyncio.run(engine.call("GET", "/models"))
