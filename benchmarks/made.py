"""What is measured: made questions, recorded answers to them, and specs, written to files. Seeded."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["FREE", "IN_FLIGHT", "on_http", "questions", "recorded", "recorded_model", "spec_file"]

IN_FLIGHT = 64
FREE = "text/numeric_match"
"""A metric that takes microseconds."""
SLOW_METRICS = Path(__file__).with_name("slow_metrics.py")
SYLLABLES = ("ba", "cor", "di", "en", "fu", "gar", "hi", "jo", "lem", "mu", "na", "or", "pe", "quo", "ri", "sta", "tu")
_draw = random.Random(0)
VOCABULARY = ["".join(_draw.choices(SYLLABLES, k=_draw.randint(1, 4))) for _ in range(5_000)]
"""So many words that a text of them is about as compressible as prose."""
BYTES_A_WORD = 6.7


def words(draw: random.Random, size: int) -> str:
    """About so many bytes."""
    return " ".join(draw.choices(VOCABULARY, k=round(size / BYTES_A_WORD)))


def questions(folder: Path, count: int) -> Path:
    """A file of questions of about 250 bytes; each ends with what a right answer ends with."""
    path = folder / "questions.jsonl"
    draw = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        for i in range(count):
            row = {"id": i, "question": f"Number {i}: {words(draw, 230)}?\nA: {i}", "gold": i}
            file.write(json.dumps(row) + "\n")
    return path


def recorded(folder: Path, count: int, size: int = 250) -> dict[str, Any]:
    """A model whose right answers to the questions, of about so many bytes, are recorded."""
    draw = random.Random(2)
    with (folder / "recorded.jsonl").open("w", encoding="utf-8") as file:
        for i in range(count):
            file.write(json.dumps({"id": i, "output": f"{words(draw, size)}\nA: {i}"}) + "\n")
    return recorded_model()


def recorded_model() -> dict[str, Any]:
    """The model of the recording that lies beside the spec."""
    return {"model_id": "m", "provider": "replay/file", "extras": {"path": "recorded.jsonl"}}


def on_http(base_url: str) -> dict[str, Any]:
    """A model that a server answers for."""
    return {"model_id": "m", "provider": "openai/chat", "extras": {"base_url": base_url, "api_key_env": None}}


def parses(*patterns: str) -> list[dict[str, Any]]:
    """One parse for each regular expression, named `parse-0`, `parse-1`, ..."""
    return [
        {"name": f"parse-{n}", "extractors": [{"id": "extract/regex", "config": {"pattern": each, "which": "last"}}]}
        for n, each in enumerate(patterns)
    ]


def spec_file(
    folder: Path,
    model: Mapping[str, Any],
    *,
    metrics: Sequence[Any] = (FREE,),
    patterns: Sequence[str] = (r"(?m)^A: (.+)$",),
    policy: Mapping[str, Any] | None = None,
    storage: Mapping[str, Any] | None = None,
    name: str = "spec",
) -> Path:
    """Write a spec over the folder's questions, by default stored in the folder: every metric on every parse."""
    dataset = {"source": "files/jsonl", "dataset_id": "questions.jsonl", "fields": {"reference": "gold"}}
    found = parses(*patterns)
    slice_ = {
        "slice_id": "test",
        "dataset": dataset,
        "generation": {},
        "parses": found,
        "scores": [{"name": each["name"], "parse": each["name"], "metrics": list(metrics)} for each in found],
    }
    spec = {
        "project": {
            "plugins": {"slow": str(SLOW_METRICS)},
            "execution_policy": {"max_in_flight_work_items": IN_FLIGHT, **(policy or {})},
            **({"storage": storage} if storage else {}),
        },
        "benchmark": {
            "benchmark_id": "bench",
            "models": [model],
            "inference_grid": {"params": [{"max_tokens": 64}]},
            "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.question }}"}]}],
            "slices": [slice_],
        },
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(spec), encoding="utf-8")
    return path
