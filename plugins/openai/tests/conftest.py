from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from themis_core import Engine, EngineError, Generation, Request
from themis_core.testing.server import ScriptedServer
from themis_http import engine as engines
from themis_plugin_openai.engines import OpenAIChat

KEY = "sk-canary-5f3a9c71d2e84b60"

Ask = Callable[..., list[Generation | EngineError]]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return KEY


@pytest.fixture(params=["pyreqwest", "httpx"])
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What carries requests, whatever the config says: a test that uses it runs with each."""
    name, open_carrier = request.param, engines.open_carrier
    monkeypatch.setattr(engines, "open_carrier", lambda _, way: open_carrier(name, way))
    return str(name)


@pytest.fixture(scope="session")
def running() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def server(running: ScriptedServer) -> ScriptedServer:
    """A server whose ledger is empty and that echoes prompts until it is reset to another script."""
    running.reset({})
    return running


@pytest.fixture
def chat(server: ScriptedServer) -> OpenAIChat:
    return OpenAIChat(base_url=server.base_url)


@pytest.fixture
def ask() -> Ask:
    """Start an engine, send requests one by one, stop it; return what each came to."""

    def ask(engine: Engine, requests: Request | Sequence[Request]) -> list[Generation | EngineError]:
        async def life() -> list[Generation | EngineError]:
            await engine.start()
            try:
                return [
                    await outcome(engine, each) for each in ([requests] if isinstance(requests, Request) else requests)
                ]
            finally:
                await engine.stop()

        results = asyncio.run(life())
        gc.collect()  # a connection left open warns now
        return results

    return ask


async def outcome(engine: Engine, request: Request) -> Generation | EngineError:
    try:
        return await engine.generate(request)
    except EngineError as error:
        return error


@pytest.fixture
def request_of() -> Callable[..., Request]:
    def request_of(prompt: Any = "2 + 2?", seed: int | None = None, **params: Any) -> Request:
        return Request("small-1", [{"role": "user", "content": prompt}], params, seed=seed)

    return request_of
