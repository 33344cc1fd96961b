"""The pages on the Responses interface and on Azure run as they stand, against servers that speak these wires."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import themis_core as themis
from themis_core.testing.server import ScriptedServer

DOCS = Path(__file__).parents[3] / "docs"
ROWS = [
    {"prompt": "How many eggs are in 8 dozen?", "output": {"content": "96", "reasoning": "8 times 12"}},
    {"prompt": "How many legs do 7 spiders have?", "output": {"content": "56"}},
    {"prompt": "Are you sure?", "output": "96, and 56"},
]


def written(page: str, folder: Path, base_url: str) -> Path:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    spec: dict[str, Any] = yaml.safe_load(block)
    spec["benchmark"]["models"][0]["extras"]["base_url"] = base_url
    path = folder / "sums.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


def test_the_page_on_responses_runs_and_hands_sealed_reasoning_back(
    server: ScriptedServer, key: str, tmp_path: Path
) -> None:
    server.reset({"api_key": key, "answers": {"rule": "table", "rows": ROWS}})
    result = themis.run(written("openai-responses.md", tmp_path, server.base_url))
    assert (result.status, result.generated, result.failed) == ("completed", 4, 0)
    first, *_, last = sorted((each.body for each in server.requests()), key=lambda body: len(body["input"]))
    assert (first["instructions"], first["max_output_tokens"]) == ("Answer with a number alone.", 2000)
    assert first["reasoning"] == {"effort": "low", "summary": "auto"}
    kinds = [item.get("type", item.get("role")) for item in last["input"]]
    assert kinds == ["user", "reasoning", "message", "user"]
    assert last["input"][1]["encrypted_content"].startswith("sealed-")


def test_the_page_on_azure_runs(
    server: ScriptedServer, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", key)
    server.reset({"api_key": key, "answers": {"rule": "table", "rows": ROWS}})
    result = themis.run(written("azure.md", tmp_path, server.origin))
    assert [(row.model_id, row.value, row.n) for row in result.scores] == [("gpt-4o", 1.0, 2)]
    paths = {each.path for each in server.requests()}
    assert paths == {"/openai/deployments/prod-4o/chat/completions?api-version=2024-10-21"}
