from __future__ import annotations

from collections.abc import Iterator

import pytest

from themis_core.testing.server import ScriptedServer

KEY = "key-canary-5f3a9c71d2e84b60"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("EXAMPLE_API_KEY", KEY)
    return KEY


@pytest.fixture(scope="session")
def running() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def server(running: ScriptedServer) -> ScriptedServer:
    running.reset({})
    return running
