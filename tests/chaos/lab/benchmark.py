"""The benchmark that the chaos tests run: a spec file, its items, and an observer that writes down acknowledgements.

A trial counts as acknowledged once the observer's line about it is written, which is after its commit returned.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from themis_core.testing.server import ServedRequest

__all__ = ["IN_FLIGHT", "OBSERVER", "SPEC", "Acknowledged", "Benchmark", "make_benchmark"]

SPEC = "chaos.json"
IN_FLIGHT = 16
LONG = 10
"""Each so many items has a text that goes to a blob file."""

OBSERVER = '''
"""Writes down each finished trial, one line in one write, so that no kill tears it."""

import json
import os
import time

from themis_core import TrialFinished, hookimpl

THEMIS_CONTRACT_VERSION = 1
_file = None


@hookimpl
def themis_trial_finished(event: TrialFinished) -> None:
    global _file
    if _file is None:
        _file = os.open(os.environ["CHAOS_ACKNOWLEDGED"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    scores = [[each.score, each.metric, each.result.value] for each in event.scores]
    line = [event.slice_id, event.trial_id, event.item_id, event.outcome, scores, time.monotonic()]
    os.write(_file, json.dumps(line).encode() + b"\\n")
'''


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One line of the observer."""

    slice_id: str
    trial_id: str
    item_id: str
    outcome: str
    scores: list[list[Any]]
    at: float
    """Of `time.monotonic`, as in the server's ledger."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A folder with a spec, and what is to come of it: every answer is the prompt itself."""

    folder: Path
    prompts: dict[str, str]
    """By item id."""

    @property
    def spec(self) -> Path:
        return self.folder / SPEC

    @property
    def acknowledgements(self) -> Path:
        return self.folder / "acknowledged.jsonl"

    @property
    def failures(self) -> Path:
        return self.folder / "failures"

    def failed_at(self) -> float | None:
        """When the store first refused to save; None if it never did."""
        return float(self.failures.read_text().split()[0]) if self.failures.exists() else None

    def count(self) -> int:
        """How many acknowledgements there are."""
        return self.acknowledgements.read_bytes().count(b"\n") if self.acknowledgements.exists() else 0

    def acknowledged(self) -> list[Acknowledged]:
        if not self.acknowledgements.exists():
            return []
        lines = self.acknowledgements.read_bytes().splitlines(keepends=True)
        return [Acknowledged(*json.loads(line)) for line in lines if line.endswith(b"\n")]

    def items_asked(self, requests: list[ServedRequest]) -> list[tuple[str, float]]:
        """Item id and start of each request."""
        by_prompt = {prompt: item for item, prompt in self.prompts.items()}
        return [(by_prompt[each.prompt], each.started) for each in requests]

    def at(self, folder: Path) -> Benchmark:
        """The same benchmark in another folder, such as a copy."""
        return Benchmark(folder, self.prompts)


def make_benchmark(
    folder: Path,
    base_url: str,
    *,
    trials: int,
    storage: Mapping[str, Any] | None = None,
    policy: Mapping[str, Any] | None = None,
    price: Mapping[str, float] | None = None,
    extras: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    provider: str = "openai/chat",
) -> Benchmark:
    """Write the files of a benchmark of so many trials against a server that echoes prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    questions = {f"i{n:05d}": f"question {n}" + (" and more" * 200 if n % LONG == 0 else "") for n in range(trials)}
    with (folder / "items.jsonl").open("w", encoding="utf-8") as file:
        for name, question in questions.items():
            # Two thirds are right, so that the scores differ.
            gold = f"Say: {question}" if int(name[1:]) % 3 else "something else"
            file.write(json.dumps({"id": name, "question": question, "gold": gold}) + "\n")
    (folder / "acknowledge.py").write_text(OBSERVER, encoding="utf-8")
    model = {
        "model_id": "scripted",
        "provider": provider,
        "extras": {"base_url": base_url, "identity_name": "scripted", "api_key_env": None, **(extras or {})},
        **({"price": dict(price)} if price else {}),
    }
    spec = {
        "project": {
            "project_name": "chaos",
            "storage": {"backend": "sqlite", "root_dir": "store", "inline_limit_bytes": 1024, **(storage or {})}
            if storage is None or storage.get("backend", "sqlite") == "sqlite"
            else dict(storage),
            "execution_policy": {"max_in_flight_work_items": IN_FLIGHT, **(policy or {})},
            "plugins": {"acknowledge": "./acknowledge.py"},
        },
        "benchmark": {
            "benchmark_id": "chaos",
            "models": [model],
            "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "Say: {{ item.question }}"}]}],
            **({"inference_grid": {"params": [dict(params)]}} if params else {}),
            "slices": [
                {
                    "slice_id": "all",
                    "dataset": {"source": "files/jsonl", "dataset_id": "items.jsonl", "fields": {"reference": "gold"}},
                    "generation": {},
                    "parses": [{"name": "number", "extractors": [{"id": "extract/last_number"}]}],
                    "scores": [
                        {"name": "same", "metrics": ["text/exact_match"]},
                        {"name": "number", "parse": "number", "metrics": ["text/exact_match"]},
                    ],
                }
            ],
        },
    }
    (folder / SPEC).write_text(json.dumps(spec, indent=1), encoding="utf-8")
    return Benchmark(folder, {name: f"Say: {question}" for name, question in questions.items()})
