"""Redirects with each kind of credential: no server but the one of the spec ever sees one."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

import themis_core as themis
from themis_core.testing.server import ScriptedServer

pytestmark = pytest.mark.usefixtures("carrier")
Lab = Any
SECRET = "sk-redirected-4c1d9a7e52b8f063"

CREDENTIALS: dict[str, dict[str, Any]] = {
    "authorization": {"api_key_env": "REDIRECTED"},
    "api-key": {"api_key_env": None, "headers_env": {"api-key": "REDIRECTED"}},
    "x-api-key": {"api_key_env": None, "headers_env": {"x-api-key": "REDIRECTED"}},
    "x-goog-api-key": {"api_key_env": None, "headers_env": {"x-goog-api-key": "REDIRECTED"}},
    "cookie": {"api_key_env": None, "headers_env": {"cookie": "REDIRECTED"}},
    "proxy-authorization": {"api_key_env": None, "headers_env": {"proxy-authorization": "REDIRECTED"}},
}
TO = {
    "another port": "{origin}/v1/chat/completions",
    "with the key in it": "{origin}/v1/chat/completions?key=" + SECRET,
    "another name": "http://localhost:{port}/v1/chat/completions",
    "a file": "file:///etc/passwd",
    "itself": "",
}


ALL = [(status, place, header) for status in (301, 302, 303, 307, 308) for place in TO for header in CREDENTIALS]
SHORT = [(307, "another port", header) for header in CREDENTIALS] + [(302, place, "authorization") for place in TO]


@pytest.mark.parametrize(("status", "place", "header"), ALL if os.environ.get("THEMIS_CHAOS") == "full" else SHORT)
def test_a_redirect_carries_no_credential_away(
    status: int, place: str, header: str, lab: Lab, thief: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIRECTED", SECRET)
    thief.reset()
    target = TO[place].format(origin=thief.origin, port=thief.origin.rpartition(":")[2])
    lab.server.reset({"faults": [{"status": status, "redirect": target or f"{lab.server.base_url}/chat/completions"}]})
    path = lab.spec(1)
    spec = json.loads(path.read_text("utf-8"))
    spec["benchmark"]["models"][0]["extras"] |= CREDENTIALS[header]
    path.write_text(json.dumps(spec), encoding="utf-8")
    result = themis.run(path)
    assert lab.outcomes(result) == {"redirect": 1}
    assert "which is never followed: " in result.errors["redirect"]
    assert SECRET not in str(result.to_dict())
    sent = [request.headers[header] for request in lab.server.requests()]
    assert sent == [f"Bearer {SECRET}" if header == "authorization" else SECRET]  # the control: it was there to be lost
    assert thief.count == 0
