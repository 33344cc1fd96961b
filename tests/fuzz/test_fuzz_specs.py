"""Mutated specs are run or refused: no traceback, no hang, no exit that is not documented."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from themis_core import BenchmarkSpec, ProjectSpec
from themis_core.cli import cli

CASES = 3_000 if os.environ.get("THEMIS_FUZZ") == "full" else 120
DOCUMENTED = {0, 1, 2, 3, 4, 5, 6}
SPEC: dict[str, Any] = {
    "project": {
        "project_name": "fuzz",
        "global_seed": 3,
        "storage": {"backend": "sqlite", "root_dir": "store"},
        "execution_policy": {"max_in_flight_work_items": 4, "max_retries": 0},
        "plugins": {"mine": "mine.py"},
    },
    "benchmark": {
        "benchmark_id": "b",
        "models": [
            {"model_id": "m", "provider": "replay/file", "extras": {"path": "answers.jsonl"}},
            {
                "model_id": "n",
                "provider": "replay/file",
                "extras": {"path": "answers.jsonl"},
                "price": {"input_per_million": 1, "output_per_million": 2},
            },
        ],
        "prompt_variants": [
            {
                "id": "p",
                "family": "f",
                "messages": [{"role": "user", "content": "{{ item.q }}"}],
                "variables": {"v": "w"},
                "examples": {
                    "items": [{"q": "1", "a": "2"}],
                    "messages": [{"role": "user", "content": "{{ item.q }}"}],
                },
            },
        ],
        "inference_grid": {"params": [{"temperature": 0, "max_tokens": 9}], "overrides": {"top_p": [0.5, 1]}},
        "num_samples": 1,
        "slices": [
            {
                "slice_id": "s",
                "dataset": {
                    "source": "files/jsonl",
                    "dataset_id": "items.jsonl",
                    "fields": {"id": "id", "reference": "gold"},
                    "transforms": [{"field": "t", "template": "{{ item.gold }}", "as": "number"}],
                },
                "dataset_query": {"kind": "subset", "count": 2, "filters": {"kind": ["x", "y"]}},
                "generation": {"models": ["m", "n"]},
                "dimensions": {"d": "e"},
                "parses": [
                    {
                        "name": "number",
                        "prepare": [{"id": "extract/normalized"}],
                        "extractors": [
                            {"id": "extract/number"},
                            {"id": "extract/regex", "config": {"pattern": "(\\d+)"}},
                        ],
                    }
                ],
                "scores": [
                    {"name": "a", "parse": "number", "metrics": ["text/numeric_match", "mine/size"]},
                    {"name": "r", "metrics": [{"id": "text/exact_match", "config": {}}, "text/chrf"]},
                ],
            },
            {
                "slice_id": "c",
                "dataset": {
                    "source": "files/csv",
                    "dataset_id": "items.csv",
                    "fields": {"reference": "gold", "output": "said"},
                },
                "scores": [{"name": "r", "metrics": ["text/contains"]}],
            },
        ],
        "thresholds": [{"score": "a", "metric": "text/numeric_match", "minimum": 0.1}],
    },
}
MINE = """
from themis_core import Metric, Score, hookimpl

class Size(Metric):
    highest = None

    def score(self, item, generation, value):
        return Score(float(len(str(value))))

@hookimpl
def themis_register_metrics(register):
    register("size", Size)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [{"id": f"i{n}", "q": f"{n}+1?", "gold": str(n + 1), "kind": "xy"[n % 2]} for n in range(4)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)))
    answers = [{"id": row["id"], "output": f"It is {row['gold']}."} for row in rows]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, answers)))
    (tmp_path / "items.csv").write_text("id,gold,said\na,x,an x\nb,y,no\n")
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path


def test_the_spec_that_is_mutated_runs(folder: Path) -> None:
    (folder / "spec.json").write_text(json.dumps(SPEC))
    done = CliRunner().invoke(cli, ["run", "spec.json", "--quiet"], prog_name="themis")
    assert done.exit_code == 0, done.output


def test_a_mutated_spec_is_run_or_refused(
    folder: Path, seed: int, within: Callable[[float], AbstractContextManager[None]]
) -> None:
    schema = {
        "properties": {"project": {"$ref": "#/$defs/ProjectSpec"}, "benchmark": {"$ref": "#/$defs/BenchmarkSpec"}},
        "$defs": {name: made for cls in (ProjectSpec, BenchmarkSpec) for name, made in _definitions(cls).items()},
    }
    exits: Counter[int] = Counter()
    wrong: list[str] = []
    for number in range(CASES):
        draw = random.Random(f"{seed} spec {number}")
        text, suffix = _written(draw, schema)
        file = folder / f"spec.{suffix}"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        with within(30):
            command = draw.choice([["run", file.name, "--quiet"], ["plan", file.name]])
            done = CliRunner().invoke(cli, command, prog_name="themis")
        exits[done.exit_code] += 1
        if done.exit_code not in DOCUMENTED or "Traceback" in done.output:
            kept = folder / f"case-{number}.{suffix}"
            shutil.copy(file, kept)
            wrong.append(
                f"case {number} of seed {seed}: exit {done.exit_code}: {done.stderr[-1500:]}{_traceback(folder)}"
            )
        shutil.rmtree(folder / "store", ignore_errors=True)
    assert not wrong, f"{len(wrong)} of {CASES}\n" + "\n".join(wrong[:10])
    assert {0, 2} <= exits.keys(), exits  # some are sound, and some are not


def _definitions(cls: Any) -> dict[str, Any]:
    schema = cls.model_json_schema(by_alias=True)
    return {cls.__name__: schema, **schema.get("$defs", {})}


def _written(draw: random.Random, schema: dict[str, Any]) -> tuple[str, str]:
    from mutations import mutated, mutated_text

    if draw.random() < 0.2:
        return mutated_text(yaml.safe_dump(SPEC, sort_keys=False), draw), "yaml"
    data = mutated(SPEC, schema, draw, draw.choice([1, 1, 1, 2, 3]))
    if draw.random() < 0.5:
        return json.dumps(data), "json"
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True), "yaml"


def _traceback(folder: Path) -> str:
    files = list((folder / "tmp").glob("themis-*.txt"))
    told = "".join(file.read_text()[-1500:] for file in files)
    for file in files:
        file.unlink()
    return told
