from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from themis_core import Request
from themis_core.testing.server import ScriptedServer

SECRET = "canary/0a1b2c3d4e5f6071+8293a4b5"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The SDK's own variables, and none of this machine's."""
    nowhere = tmp_path_factory.getbasetemp() / "no-such-file"
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "AWS_REGION", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIACANARY0123456789")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return SECRET


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
    def request_of(prompt: Any = "2 + 2?", **params: Any) -> Request:
        return Request("eu.maker.small-v1:0", [{"role": "user", "content": prompt}], params)

    return request_of
