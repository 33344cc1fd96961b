"""One spec, the same items over engines of six wires, compared with each other, against one scripted server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core.testing.server import ScriptedServer

KEYS = ("ANTHROPIC_API_KEY", "AZURE_OPENAI_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "OPENAI_API_KEY")
ITEMS = [{"id": f"i{number}", "q": f"What is {number} + 1?", "a": str(number + 1)} for number in range(8)]
RIGHT = {"chat": 8, "responses": 8, "azure": 6, "messages": 6, "gemini": 4, "service": 2}
"""By model: how many of the items its answers are right for."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    for name in KEYS:
        monkeypatch.setenv(name, "sk-canary-5f3a9c71d2e84b60")
    rows = [
        {"model": model, "prompt": item["q"], "output": item["a"] if index < right else "no idea"}
        for model, right in RIGHT.items()
        for index, item in enumerate(ITEMS)
    ]
    with ScriptedServer({"answers": {"rule": "table", "rows": rows}}) as server:
        yield server


def spec(folder: Path, server: ScriptedServer) -> Path:
    service = {
        "base_url": server.base_url,
        "path": "/chat/completions",
        "body": {"model": "{{ model }}", "messages": "{{ messages }}", "max_tokens": "{{ params.max_tokens }}"},
        "reply": {"text": "choices[0].message.content", "finish_reason": "choices[0].finish_reason"},
    }
    engines: dict[str, tuple[str, dict[str, Any]]] = {
        "chat": ("openai/chat", {"base_url": server.base_url}),
        "responses": ("openai/responses", {"base_url": server.base_url}),
        "azure": ("openai/azure", {"base_url": server.origin}),
        "messages": ("anthropic/messages", {"base_url": server.origin}),
        "gemini": ("google/gemini", {"base_url": f"{server.origin}/v1beta"}),
        "service": ("http/json", service),
    }
    benchmark = {
        "benchmark_id": "six",
        "models": [
            {"model_id": name, "provider": which, "extras": extras} for name, (which, extras) in engines.items()
        ],
        "inference_grid": {"params": [{"max_tokens": 64}]},
        "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
        "slices": [
            {
                "slice_id": "all",
                "dataset": {
                    "source": "files/inline",
                    "fields": {"id": "id", "reference": "a"},
                    "extras": {"rows": ITEMS},
                },
                "generation": {},
                "scores": [{"name": "right", "metrics": ["text/exact_match"]}],
            }
        ],
        "conclusions": ["stats/compare"],
    }
    path = folder / "six.json"
    path.write_text(json.dumps({"benchmark": benchmark}), encoding="utf-8")
    return path


def test_the_same_items_are_asked_over_six_wires_and_compared(server: ScriptedServer, tmp_path: Path) -> None:
    result = themis.run(spec(tmp_path, server))
    assert (result.status, result.generated, result.failed, result.warnings) == ("completed", 48, 0, [])
    assert {row.model_id: (row.value, row.n) for row in result.scores} == {
        name: (right / len(ITEMS), len(ITEMS)) for name, right in RIGHT.items()
    }
    assert [each["conclusion"] for each in result.conclusions] == ["stats/compare"]
    assert {each.path.partition("?")[0] for each in server.requests()} == {
        "/v1/chat/completions",
        "/v1/responses",
        "/openai/deployments/azure/chat/completions",
        "/v1/messages",
        "/v1beta/models/gemini:generateContent",
    }
    assert themis.run(spec(tmp_path, server)).generated == 0
