"""What the tests of batches share: a spec of one model that is asked by them, and its store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from themis_core import RunResult, Store, find_storage
from themis_core.testing.server import ScriptedServer


def spec_of(folder: Path, server: ScriptedServer, items: int = 6, **batches: Any) -> Path:
    """A spec of one model that is asked by batches to repeat its prompts; `policy` holds what else the policy says."""
    rows = ({"q": f"say {number}", "a": f"say {number}"} for number in range(items))
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    policy = batches.pop("policy", {})
    model = {
        "model_id": "m",
        "provider": "openai/chat",
        "extras": {"base_url": server.base_url, "api_key_env": None},
        "price": {"input_per_million": 1000, "output_per_million": 1000, "batch": 0.5},
        **batches.pop("model", {}),
    }
    of_batches = {"grace_s": 0.1, "poll_s": 0.05, **batches.pop("batches", {})}
    benchmark = {
        "benchmark_id": "b",
        "models": [model, *batches.pop("models", [])],
        "inference_grid": {"params": [{"max_tokens": 8}]},
        "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "a"}},
                "generation": {},
                "scores": [{"name": "acc", "metrics": ["text/exact_match"]}],
            }
        ],
        **batches.pop("benchmark", {}),
    }
    assert not batches
    project = {"execution_policy": {"batches": of_batches, "backoff_base_s": 0.01, **policy}}
    file = folder / "spec.yaml"
    file.write_text(yaml.safe_dump({"project": project, "benchmark": benchmark}))
    return file


def opened(spec: Path) -> Store:
    storage, folder = find_storage(spec)
    return storage.open(folder)


def ends(result: RunResult) -> tuple[str, int, int | None]:
    return result.status, result.ledger["answered"], result.ledger["failed"]
