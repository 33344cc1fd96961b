"""What takes several samples of each item is refused where fewer are drawn, before any is paid for."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis
from themis_core import PluginError, SpecError

PLUGIN = """
from themis_core import Engine, Generation, Metric, Score, hookimpl

THEMIS_CONTRACT_VERSION = 1


class Says(Engine):
    async def generate(self, request):
        return Generation("answered", text="a")


class OfThree(Metric):
    aggregates_mean = False

    @property
    def fewest_samples(self):
        return 3

    def score(self, item, generation, value):
        return Score(1.0)


class Wrong(OfThree):
    @property
    def fewest_samples(self):
        return "three"


@hookimpl
def themis_register_engines(register):
    register("says", Says)


@hookimpl
def themis_register_metrics(register):
    register("of_three", OfThree)
    register("wrong", Wrong)
"""
MATCH = "text/exact_match"
ANY = {"name": "any", "score": "accuracy", "repeats": "pass@3"}


def write(folder: Path, metric: Any = MATCH, samples: int = 1, generation: Any = None, **benchmark: Any) -> Path:
    (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
    (folder / "rows.jsonl").write_text(json.dumps({"id": 1, "output": "a", "gold": "a"}) + "\n", encoding="utf-8")
    fields = {"reference": "gold"} if generation is not None else {"reference": "gold", "output": "output"}
    dataset = {"source": "files/jsonl", "dataset_id": "rows.jsonl", "fields": fields}
    slice_ = {
        "slice_id": "s",
        "dataset": dataset,
        "parses": [{"name": "all", "extractors": [{"id": "extract/regex", "config": {"pattern": "(.*)"}}]}],
        "scores": [{"name": "accuracy", "parse": "all", "metrics": [metric]}],
    }
    if generation is not None:
        slice_["generation"] = generation
        benchmark |= {
            "models": [{"model_id": "m", "provider": "mine/says"}],
            "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": "?"}]}],
        }
    spec = {
        "project": {"plugins": {"mine": "mine.py"}, "storage": {"backend": "sqlite", "root_dir": "store"}},
        "benchmark": {"benchmark_id": "b", "num_samples": samples, "slices": [slice_], **benchmark},
    }
    (folder / "spec.json").write_text(json.dumps(spec, indent=1), encoding="utf-8")
    return folder / "spec.json"


@pytest.mark.parametrize("repeats", ["pass@3", "pass^3", "majority@3", "best@3", "worst@3"])
def test_an_aggregate_of_more_samples_than_are_drawn_is_refused_with_its_place(repeats: str, tmp_path: Path) -> None:
    spec = write(tmp_path, samples=2, generation={}, aggregates=[{**ANY, "repeats": repeats}])
    told = rf"spec\.json:\d+: aggregates\[0\]\.repeats: {re.escape(repeats)} needs 3 samples .+ slice 's' draws 2: set"
    with pytest.raises(SpecError, match=told):
        themis.run(spec)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("samples", "generation"), [(3, {}), (1, {"num_samples": 4})])
def test_one_of_as_many_as_are_drawn_is_made(samples: int, generation: dict[str, Any], tmp_path: Path) -> None:
    spec = write(tmp_path, MATCH, samples, generation, aggregates=[ANY])
    (aggregate,) = themis.run(spec).aggregates
    assert aggregate.value == 1.0


def test_recorded_outputs_are_one_sample_of_each_item(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"pass@3 needs 3 samples .+ slice 's' has recorded outputs, one of each item"):
        themis.plan(write(tmp_path, samples=5, aggregates=[ANY]))
    assert themis.run(write(tmp_path, aggregates=[{**ANY, "repeats": "pass@1"}])).status == "completed"


@pytest.mark.parametrize("metric", ["mine/of_three", {"id": "code/unit_tests", "config": {"k": 3}}])
def test_a_metric_says_how_many_it_needs(metric: Any, tmp_path: Path) -> None:
    with pytest.raises(
        SpecError, match=r"slices\[0\]\.scores: (mine|code)/\w+ needs 3 samples .+ slice 's' draws 2: set"
    ):
        themis.plan(write(tmp_path, metric, samples=2, generation={}))


def test_a_metric_whose_number_of_samples_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"^mine/wrong failed at fewest_samples: .*'three', not a number"):
        themis.plan(write(tmp_path, "mine/wrong", samples=2, generation={}))
