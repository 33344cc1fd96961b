"""A small run of two models, and a hostile one, for all tests of pages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import Store
from themis_plugin_report.gathering import Gathered, gathered, opened

ANSWERS: Mapping[str, Mapping[str, str]] = {
    "small": {"eggs": "A: 96", "feet": "A: 3", "days": "no idea", "pens": "A: 12"},
    "large": {"eggs": "A: 96", "feet": "A: 36", "days": "A: 21"},
}
GOLDS = {"eggs": "96", "feet": "36", "days": "21", "pens": "12"}


def write_spec(folder: Path, answers: Mapping[str, Mapping[str, str]], golds: Mapping[str, str]) -> Path:
    """A spec with the recorded answers of some models; an answer that is not recorded is failed."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": name, "question": f"How many {name}?", "gold": gold, "level": "ab"[at % 2]}
        for at, (name, gold) in enumerate(golds.items())
    ]
    write_lines(folder / "items.jsonl", rows)
    models = []
    for number, (model, texts) in enumerate(answers.items()):
        write_lines(folder / f"{number}.jsonl", [{"id": name, "output": text} for name, text in texts.items()])
        models.append({"model_id": model, "provider": "replay/file", "extras": {"path": f"{number}.jsonl"}})
    benchmark = {
        "benchmark_id": "counts",
        "models": models,
        "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.question }}"}]}],
        "slices": [
            {
                "slice_id": "all",
                "dataset": {
                    "source": "files/jsonl",
                    "dataset_id": "items.jsonl",
                    "fields": {"id": "id", "reference": "gold", "metadata": ["level"]},
                },
                "generation": {},
                "parses": [
                    {
                        "name": "number",
                        "extractors": [{"id": "extract/regex", "config": {"pattern": "A: (.+)"}}],
                    }
                ],
                "scores": [{"name": "accuracy", "parse": "number", "metrics": ["text/exact_match"]}],
            }
        ],
    }
    project = {"storage": {"backend": "sqlite", "root_dir": "store"}}
    spec = folder / "counts.json"
    spec.write_text(json.dumps({"project": project, "benchmark": benchmark}), "utf-8")
    return spec


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")


@pytest.fixture(scope="session")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec that was run: large is right on what it answered, small on half of four."""
    made = write_spec(tmp_path_factory.mktemp("counts"), ANSWERS, GOLDS)
    themis.run(made)
    return made


@pytest.fixture(scope="session")
def run_id(spec: Path) -> str:
    with themis.open_results(spec) as results:
        return next(results.runs()).run_id


@pytest.fixture
def made(spec: Path, run_id: str) -> Iterator[tuple[Gathered, Store]]:
    with opened(spec, None) as (results, store):
        found = gathered(results, store, [run_id])
        with closing(found.index):
            yield found, store
