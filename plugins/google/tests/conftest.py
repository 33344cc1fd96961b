from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from themis_core import Request
from themis_core.testing.secrets import KEY
from themis_core.testing.server import ScriptedServer


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    return KEY


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
def request_of() -> Callable[..., Request]:
    def request_of(prompt: Any = "2 + 2?", seed: int | None = None, **params: Any) -> Request:
        return Request("small-1", [{"role": "user", "content": prompt}], params, seed=seed)

    return request_of
