"""Whole runs through `openai/chat` against the scripted server; counts are short ones unless THEMIS_CHAOS=full."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fleet import Fleet

import themis_core as themis
from themis_core.testing.postgres import server_for_tests
from themis_core.testing.server import ScriptedServer
from themis_http import engine as engines

FULL = os.environ.get("THEMIS_CHAOS") == "full"
CARRIERS = ["pyreqwest", "httpx"]

NOTED = """
import json
import time
from pathlib import Path

from pydantic import PrivateAttr

from themis_core import EngineError, hookimpl
from themis_plugin_openai.engines import OpenAIChat

THEMIS_CONTRACT_VERSION = 1


class Noted(OpenAIChat):
    _calls: list = PrivateAttr(default_factory=list)

    async def generate(self, request):
        call = {"begun": time.monotonic(), "item": request.item_id, "wait": None, "status": 200}
        self._calls.append(call)
        try:
            return await super().generate(request)
        except EngineError as error:
            call["wait"], call["status"] = error.retry_after, error.status
            raise
        finally:
            call["ended"] = time.monotonic()

    async def stop(self):
        await super().stop()
        Path(__file__).with_name("calls.json").write_text(json.dumps(self._calls))


@hookimpl
def themis_register_engines(register):
    register("chat", Noted)
"""


class Lab:
    """A benchmark whose right answers are known: the server says what it is asked."""

    def __init__(self, folder: Path, server: ScriptedServer) -> None:
        self.folder = folder
        self.server = server
        (folder / "noted.py").write_text(NOTED, encoding="utf-8")

    def spec(
        self,
        trials: int,
        policy: dict[str, Any] | None = None,
        price: dict[str, float] | None = None,
        base_url: str | None = None,
    ) -> Path:
        rows = self.folder / f"{trials}.jsonl"
        rows.write_text("".join(json.dumps({"id": f"i{n}", "q": f"question {n}"}) + "\n" for n in range(trials)))
        model: dict[str, Any] = {"model_id": "m", "provider": "noted/chat"}
        model["extras"] = {
            "base_url": base_url or self.server.base_url, "api_key_env": None, "identity_name": "here",
        }  # fmt: skip
        if price is not None:
            model["price"] = price
        message = {"role": "user", "content": "{{ item.q }}"}
        dataset = {"source": "files/jsonl", "dataset_id": rows.name, "fields": {"id": "id", "reference": "q"}}
        slices = [
            {
                "slice_id": "s",
                "dataset": dataset,
                "generation": {},
                "scores": [{"name": "right", "metrics": ["text/exact_match"]}],
            }
        ]
        spec = {
            "project": {"plugins": {"noted": "noted.py"}, "execution_policy": policy or {}},
            "benchmark": {
                "benchmark_id": "b",
                "models": [model],
                "prompt_variants": [{"id": "v", "messages": [message]}],
                "slices": slices,
            },
        }
        path = self.folder / "spec.json"
        path.write_text(json.dumps(spec), encoding="utf-8")
        return path

    def run(self, trials: int, policy: dict[str, Any] | None = None, **more: Any) -> themis.RunResult:
        return themis.run(self.spec(trials, policy, **more))

    def calls(self) -> list[dict[str, Any]]:
        """The engine's calls of the last run, in order: when begun and ended, status, the wait that was asked for."""
        calls: list[dict[str, Any]] = json.loads((self.folder / "calls.json").read_text("utf-8"))
        return calls

    def outcomes(self, result: themis.RunResult) -> Counter[str]:
        """Terminal rows by outcome or error code. Fails if a trial has two, or if an answer is not the right one."""
        with themis.open_results(self.folder / "spec.json") as results:
            rows = list(results.trials(result.run_id))
            scores = {row.trial_id: row.value for row in results.score_rows(result.run_id)}
        assert len({row.trial_id for row in rows}) == len(rows)
        answered = {row.trial_id for row in rows if row.outcome != "failed"}
        assert scores == dict.fromkeys(answered, 1.0)
        return Counter(row.error_code or row.outcome for row in rows)


@pytest.fixture(params=CARRIERS)
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What carries requests, whatever the spec says: a test that uses it runs with each."""
    return _carried_by(request.param, monkeypatch)


@pytest.fixture(params=CARRIERS if FULL else CARRIERS[:1])
def default_carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same for what says more of the run than of the carrier: in the short form, with the default only."""
    return _carried_by(request.param, monkeypatch)


def _carried_by(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    open_carrier = engines.open_carrier
    monkeypatch.setattr(engines, "open_carrier", lambda _, way: open_carrier(name, way))
    return name


@pytest.fixture(scope="session")
def running() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def server(running: ScriptedServer) -> ScriptedServer:
    running.reset({})
    return running


@pytest.fixture
def lab(tmp_path: Path, server: ScriptedServer) -> Lab:
    return Lab(tmp_path, server)


@pytest.fixture
def full() -> bool:
    """Whether the counts are those of docs/reliability.md."""
    return FULL


@pytest.fixture
def figures() -> Iterator[dict[str, Any]]:
    """What a test measured; printed, as `-s` shows, so that it can be published."""
    measured: dict[str, Any] = {}
    yield measured
    print(json.dumps(measured))


@pytest.fixture(scope="session")
def thief() -> Iterator[ScriptedServer]:
    """A server that no spec names."""
    with ScriptedServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    with server_for_tests() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Where the processes share: the same for all of them."""
    if request.param == "sqlite":
        return {"backend": "sqlite", "root_dir": "store"}
    url = request.getfixturevalue("postgres").new_database()
    return {"backend": "postgres", "url": url, "blobs": "blobs"}


@pytest.fixture
def fleet(tmp_path: Path, server: ScriptedServer, storage: dict[str, Any]) -> Iterator[Fleet]:
    made = Fleet(tmp_path, server, storage)
    yield made
    made.end()
