"""What an engine has to do with its key, as tests to inherit from: nothing that it says or leaves shows it.

    class TestMyKeys(KeySuite):
        @pytest.fixture
        def key(self, monkeypatch) -> str:
            monkeypatch.setenv("MY_API_KEY", KEY)
            return KEY

        @pytest.fixture
        def model(self, server) -> dict[str, Any]:
            return {"model_id": "small-1", "provider": "mine/chat", "extras": {"base_url": server.origin}}

It knows no engine. `assert_hidden`, `everything_said` and `ENCODINGS` are for further tests.
"""

from __future__ import annotations

import base64
import html
import json
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from themis_core.components import Engine
from themis_core.errors import EngineError
from themis_core.plugins import Plugins
from themis_core.records import Generation, Request
from themis_core.session import open_results, run
from themis_core.testing.engine import outcomes
from themis_core.testing.server import ScriptedServer

__all__ = ["ENCODINGS", "KEY", "KeySuite", "assert_hidden", "everything_said"]

KEY: Final = "sk-canary-5f3a9c71d2e84b60"
ENCODINGS: Final[list[tuple[str, Callable[[str], str]]]] = [
    ("plain", lambda key: key),
    ("bearer", lambda key: f"Bearer {key}"),
    ("upper", str.upper),
    ("url", lambda key: quote(key, safe="")),
    ("base64", lambda key: base64.b64encode(key.encode()).decode()),
    ("basic", lambda key: base64.b64encode(f"u:{key}".encode()).decode()),
    ("url base64", lambda key: base64.urlsafe_b64encode(f":{key}".encode()).decode()),
    ("hex", lambda key: key.encode().hex()),
    ("json", lambda key: json.dumps(key)),
    ("html", html.escape),
    ("utf-16", lambda key: "\0".join(key)),
    ("start", lambda key: key[:12]),
    ("end", lambda key: key[-12:]),
    ("masked", lambda key: f"{key[:6]}******{key[-4:]}"),
    ("at the cut", lambda key: "x" * 290 + key),
    ("far back", lambda key: "x" * 3995 + key),
]
"""Ways in which a server may repeat a key in its words."""
FAULTS: Final[list[dict[str, Any]]] = [
    {"status": 401, "echo_authorization": True},
    {"status": 429, "echo_authorization": True},
    {"status": 403, "error": {"message": "no entry for {key}", "type": "{key}", "code": "{key}"}},
    {"status": 500, "body": "<html><title>{key}</title>"},
    {"status": 500, "body": "proxy says: {key}"},
    {"status": 418, "body": {"detail": [{"msg": "bad header {key}"}]}},
    {"status": 307, "redirect": "http://h/{key}?k={key}"},
    {"raw": "{key} {key} {key}\r\n\r\n"},
    {"raw": "HTTP/1.1 200 OK\r\nContent-Length: {key}\r\n\r\n"},
    {"raw": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{key}\r\n"},
    {"raw": "HTTP/1.1 200 {key}\r\nX {key}\r\n\r\n"},
    {"status": 200, "body": {"type": "error", "error": {"type": "api_error", "message": "upstream refused {key}"}}},
    {"status": 200, "body": "{key}"},
    {"status": 200, "body": {"{key}": "{key}"}},
    {"status": 200, "headers": {"Content-Encoding": "{key}"}},
    {"cut": 0},
]
"""What a server does with the key that it was sent."""


def everything_said(error: BaseException) -> str:
    """All that a log could show of an exception: texts, representations and causes."""
    said = []
    at: BaseException | None = error
    while at is not None:
        said += [str(at), repr(at), repr(at.args), repr(getattr(at, "__dict__", {}))]
        at = at.__cause__ or at.__context__
    return "\n".join([*said, *traceback.format_exception(error)])


def assert_hidden(key: str, said: str) -> None:
    """Fail if a text holds eight characters of a key in a row, or the key in another form."""
    low = said.lower()
    for start in range(len(key) - 7):
        assert key[start : start + 8].lower() not in low
    for form in (quote(key, safe=""), key.encode().hex(), html.escape(key), json.dumps(key)[1:-1]):
        assert form.lower() not in low
    assert base64.b64encode(key.encode()).decode().rstrip("=")[:-2].lower() not in low


class KeySuite:
    """Inherit, name the class `Test...`, and override the fixtures `key` and `model`."""

    @pytest.fixture
    def server(self) -> Iterator[ScriptedServer]:
        """A scripted server. One that the tests of a session share is quicker."""
        with ScriptedServer() as server:
            yield server

    @pytest.fixture
    def key(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """The key, which is in the environment where the engine looks for it."""
        raise NotImplementedError("override the fixture `key`")

    @pytest.fixture
    def model(self, server: ScriptedServer) -> dict[str, Any]:
        """A model as a spec has it, whose engine asks the server."""
        raise NotImplementedError("override the fixture `model`")

    @pytest.fixture
    def params(self) -> dict[str, Any]:
        """Settings that the engine can't do without."""
        return {}

    @pytest.fixture
    def engine(self, model: dict[str, Any], key: str) -> Engine:
        """The model's engine."""
        _, kind = Plugins().resolve("engine", model["provider"])
        return kind.model_validate(model.get("extras", {}))  # type: ignore[return-value]

    @pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: json.dumps(fault)[:40])
    def test_no_error_shows_the_key_that_a_server_repeats(
        self, fault: dict[str, Any], engine: Engine, key: str, server: ScriptedServer, params: dict[str, Any]
    ) -> None:
        server.reset({"faults": [json.loads(json.dumps(fault).replace("{key}", json.dumps(key)[1:-1]))]})
        said = ask(engine, params)
        assert isinstance(said, EngineError) or fault.get("status") == 200, "what is no success is a failure"
        assert_hidden(key, everything_said(said) if isinstance(said, EngineError) else json.dumps(said.to_dict()))

    def test_a_key_that_is_repeated_in_an_answer_is_not_kept(
        self, engine: Engine, key: str, server: ScriptedServer, params: dict[str, Any]
    ) -> None:
        output = {"content": f"your key is {key}!", "reasoning": f"I know {key}"}
        server.reset({"answers": {"rule": "constant", "output": output}})
        said = ask(engine, params)
        assert isinstance(said, Generation)
        assert said.text == "your key is [redacted]!"
        assert_hidden(key, json.dumps(said.to_dict()))

    def test_an_engine_shows_no_key(self, engine: Engine, key: str, params: dict[str, Any]) -> None:
        ask(engine, params)
        for shown in (repr(engine), str(engine), repr(engine.model_dump()), engine.model_dump_json(), engine.endpoint):
            assert_hidden(key, shown)
        assert_hidden(key, json.dumps(engine.identity()))

    def test_nothing_that_a_run_leaves_or_prints_shows_the_key(
        self,
        model: dict[str, Any],
        key: str,
        server: ScriptedServer,
        params: dict[str, Any],
        tmp_path: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        told = {"at": 2, "status": 400, "error": {"message": f"not with {key}"}}
        faults = [{"at": 1, "status": 500, "echo_authorization": True}, told]
        server.reset({"faults": faults, "answers": {"rule": "constant", "output": f"it is {key}"}})
        path = tmp_path / "spec.json"
        path.write_text(json.dumps(_spec(model, params)), encoding="utf-8")
        result = run(path)
        with open_results(path) as results:
            trials = [results.trial(result.run_id, each.trial_id) for each in results.trials(result.run_id)]
        said = json.dumps([trials, result.ledger], default=str) + result.table() + "".join(capfd.readouterr())
        assert server.count > 0, "the engine asked the server"
        assert_hidden(key, said)
        for each in tmp_path.rglob("*"):
            if each.is_file():
                assert_hidden(key, each.read_bytes().decode("latin-1"))


def ask(engine: Engine, params: dict[str, Any]) -> Generation | EngineError:
    """What an engine says to one question."""
    (said,) = outcomes(engine, [Request("small-1", [{"role": "user", "content": "2 + 2?"}], params)])
    return said


def _spec(model: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    rows = [{"id": f"i{number}", "q": f"q{number}", "gold": "it"} for number in range(4)]
    policy = {"max_retries": 0, "breaker_failures": 1000, "max_in_flight_work_items": 1}
    return {
        "project": {"execution_policy": policy},
        "benchmark": {
            "benchmark_id": "keys",
            "models": [model],
            "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
            "inference_grid": {"params": [params]},
            "slices": [
                {
                    "slice_id": "all",
                    "dataset": {
                        "source": "files/inline",
                        "fields": {"id": "id", "reference": "gold"},
                        "extras": {"rows": rows},
                    },
                    "generation": {},
                    "scores": [{"name": "said", "metrics": ["text/contains"]}],
                }
            ],
        },
    }
