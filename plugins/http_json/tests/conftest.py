from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from themis_core import Request
from themis_core.testing.secrets import KEY
from themis_core.testing.server import ScriptedServer
from themis_plugin_http.engine import HttpJson

Make = Callable[..., HttpJson]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MY_API_KEY", KEY)
    return KEY


@pytest.fixture(scope="session")
def running() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def server(running: ScriptedServer) -> ScriptedServer:
    running.reset({})
    return running


@pytest.fixture
def make(server: ScriptedServer) -> Make:
    """An engine that asks the scripted server, with what a test gives in place of the usual."""

    def make(reply: Any = "text", **config: Any) -> HttpJson:
        paths = reply if isinstance(reply, dict) else {"text": reply}
        return HttpJson(
            **{"base_url": server.origin, "path": "/ask", "body": {"q": "{{ prompt }}"}, "reply": paths} | config
        )

    return make


@pytest.fixture
def asked() -> Request:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    item = {"question": "2 + 2?", "n": 3, "tags": ["a", "b"], "empty": None, "path": "../x?y=1&z=ä"}
    return Request("m", messages, {"temperature": 0.5}, item_id="i1", seed=7, item=item)
