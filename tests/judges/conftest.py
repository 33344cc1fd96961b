"""A scripted judge in its own process, and runs of a benchmark that it judges, on both storage backends."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core.testing.postgres import server_for_tests
from themis_core.testing.server import ScriptedServer

MARKER = r"(?s).*(?:VERDICT-|verdict_)([0-9a-f]{10})"
"""Finds the marker in the format that stands at the end of what a judge is asked, and none planted before it."""
QUOTED = r"(?s)(<answer.*</answer[-ab]*-[0-9a-f]{10}>)"


class Court:
    """One store, one server, and runs of one slice over both."""

    def __init__(self, folder: Path, server: ScriptedServer, storage: dict[str, Any]) -> None:
        self.folder = folder
        self.server = server
        self.storage = storage

    def script(self, rows: Sequence[dict[str, Any]], output: Any = None, faults: Sequence[dict[str, Any]] = ()) -> None:
        """Say what the server answers: rows as `JudgeAnswers` has them."""
        answers = {
            "rule": "judge",
            "find": {"marker": MARKER, "quoted": QUOTED},
            "rows": list(rows),
            "output": output,
        }
        self.server.reset({"answers": answers, "faults": list(faults)})

    def model(self, name: str) -> dict[str, Any]:
        return {
            "model_id": name,
            "provider": "openai/chat",
            "extras": {"base_url": self.server.base_url, "api_key_env": None},
        }

    def judge(self, name: str = "judge-1", **more: Any) -> dict[str, Any]:
        return {"model": self.model(name), **more}

    def spec(
        self,
        rows: Sequence[dict[str, Any]],
        metrics: Sequence[dict[str, Any]],
        models: Sequence[str] = (),
        **changes: Any,
    ) -> dict[str, Any]:
        """A spec over rows of id, q, reference and, without models, output."""
        fields = {"id": "id", "reference": "reference"} | ({} if models else {"output": "output"})
        only = {
            "slice_id": "s",
            "dataset": {"source": "files/inline", "fields": fields, "extras": {"rows": list(rows)}},
            "parses": changes.pop("parses", []),
            "scores": [
                {"name": "graded", "metrics": list(metrics)}
                | ({"parse": each} if (each := changes.pop("parse", None)) else {})
            ],
        } | ({"generation": {}} if models else {})
        return {
            "project": {
                "storage": self.storage,
                "execution_policy": {"max_retries": 0, "breaker_failures": 1000},
            },
            "benchmark": {
                "benchmark_id": "court",
                "models": [self.model(name) for name in models],
                "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
                "slices": [only],
                **changes,
            },
        }

    def write(self, *args: Any, **changes: Any) -> Path:
        path = self.folder / "spec.json"
        path.write_text(json.dumps(self.spec(*args, **changes)), encoding="utf-8")
        return path

    def run(self, *args: Any, **changes: Any) -> themis.RunResult:
        return themis.run(self.write(*args, **changes))

    def asked(self) -> Counter[str]:
        """Requests by model since the last reset."""
        return Counter(each.model for each in self.server.requests())

    def scores(self, result: themis.RunResult) -> dict[str, float | str | None]:
        """By item, the value, or the reason why there is none."""
        with themis.open_results(self.folder / "spec.json") as results:
            return {
                row.item_id: row.value if row.reason is None else row.reason
                for row in results.score_rows(result.run_id)
            }

    def trail(self, result: themis.RunResult, item_id: str, model_id: str | None = None) -> dict[str, Any]:
        """The first score of one trial, with the judge's requests and replies."""
        with themis.open_results(self.folder / "spec.json") as results:
            (row,) = [
                row
                for row in results.trials(result.run_id)
                if row.item_id == item_id and model_id in (None, row.model_id)
            ]
            score: dict[str, Any] = results.trial(result.run_id, row.trial_id)["scores"][0]
            return score


@pytest.fixture(scope="session")
def running() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    with server_for_tests() as server:
        yield server.new_database()


@pytest.fixture(params=["sqlite", "postgres"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Where a court keeps its records; parametrise it indirectly to have one of them only."""
    if request.param == "sqlite":
        return {"backend": "sqlite", "root_dir": str(tmp_path / "store")}
    return {
        "backend": "postgres/blob",
        "url": request.getfixturevalue("database_url"),
        "schema_name": f"judged_{secrets.token_hex(6)}",
        "blobs": str(tmp_path / "blobs"),
    }


@pytest.fixture
def court(tmp_path: Path, running: ScriptedServer, storage: dict[str, Any]) -> Court:
    return Court(tmp_path, running, storage)
