"""The mistakes that people make in a spec: one clear error each, before any request."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import themis_core as themis

SOUND: dict[str, Any] = {
    "benchmark": {
        "benchmark_id": "b",
        "models": [
            {
                "model_id": "m",
                "provider": "openai/chat",
                "extras": {"base_url": "http://127.0.0.1:9/v1", "api_key_env": None},
            }
        ],
        "prompt_variants": [{"id": "plain", "messages": [{"role": "user", "content": "{{ item.question }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {"source": "files/jsonl", "dataset_id": "data.jsonl", "fields": {"reference": "gold"}},
                "generation": {},
                "parses": [{"name": "number", "extractors": ["extract/last_number"]}],
                "scores": [{"name": "accuracy", "parse": "number", "metrics": ["text/numeric_match"]}],
            }
        ],
    }
}
Change = Callable[[dict[str, Any]], Any]


def slice_of(data: dict[str, Any]) -> dict[str, Any]:
    return data["benchmark"]["slices"][0]  # type: ignore[no-any-return]


MISTAKES: list[tuple[str, Change, str, str]] = [
    ("unknown plugin", lambda d: slice_of(d)["scores"][0].update(metrics=["txt/exact_match"]),
     "slices[0].scores[0].metrics[0].id", "plugin 'txt' is not installed"),
    ("a plugin nearly named", lambda d: slice_of(d)["scores"][0].update(metrics=["txt/exact_match"]),
     "slices[0].scores[0].metrics[0].id", "Did you mean 'text'?"),
    ("unknown component", lambda d: slice_of(d)["scores"][0].update(metrics=["text/exactt"]),
     "slices[0].scores[0].metrics[0].id", "metric 'text/exactt': plugin 'text' offers no such metric. It offers:"),
    ("unknown field", lambda d: slice_of(d).update(score=[]),
     "slices[0].score", "unknown key 'score'. Did you mean 'scores'?"),
    ("unknown config", lambda d: slice_of(d)["scores"][0].update(
        metrics=[{"id": "text/numeric_match", "config": {"tolerence": 1}}]),
     "slices[0].scores[0].metrics[0].config.tolerence", "unknown key 'tolerence'"),
    ("unknown variant", lambda d: slice_of(d).update(prompt_variants=["plian"]),
     "slices[0].prompt_variants[0]", "no prompt variant 'plian'. Known: plain. Did you mean 'plain'?"),
    ("unknown parse", lambda d: slice_of(d)["scores"][0].update(parse="numbr"),
     "slices[0].scores[0].parse", "no parse 'numbr'. Known: number. Did you mean 'number'?"),
    ("duplicate ids", lambda d: d["benchmark"]["models"].append(d["benchmark"]["models"][0]),
     "models[1].model_id", "duplicate model_id 'm': models[0] has it already"),
    ("template variable", lambda d: d["benchmark"]["prompt_variants"][0]["messages"][0].update(
        content="{{ item.questoin }}"),
     "prompt_variants[0].messages[0].content",
     "the item has no field 'questoin'. Fields: gold, id, metadata, question, reference. Did you mean 'question'?"),
    ("template syntax", lambda d: d["benchmark"]["prompt_variants"][0]["messages"][0].update(content="{{ item.q"),
     "prompt_variants[0].messages[0].content", "template, line 1: unexpected end of template"),
    ("wrong type", lambda d: d["benchmark"].update(num_samples="many"),
     "num_samples", "(found: 'many')"),
    ("missing column", lambda d: slice_of(d)["dataset"]["fields"].update(reference="glod"),
     "", "the row has no column 'glod' (fields.reference). Columns: id, question, gold. Did you mean 'gold'?"),
    ("missing file", lambda d: slice_of(d)["dataset"].update(dataset_id="dat.jsonl"), "", "dat.jsonl"),
    ("bad row", lambda d: slice_of(d)["dataset"].update(dataset_id="bad.jsonl"), "", "bad.jsonl:2"),
    ("duplicate item", lambda d: slice_of(d)["dataset"].update(dataset_id="twice.jsonl"),
     "", "twice.jsonl:3: duplicate item id '1', the first is at "),
    ("missing key", lambda d: d["benchmark"]["models"][0].update(
        extras={"base_url": "https://models.invalid/v1", "api_key_env": "THEMIS_TEST_NO_SUCH_KEY"}),
     "models[0].extras", "THEMIS_TEST_NO_SUCH_KEY"),
    ("bad filter", lambda d: slice_of(d).update(dataset_query={"filters": {"topc": "x"}}),
     "slices[0].dataset_query.filters.topc", "no item has a field 'topc'."),
    ("too many asked for", lambda d: slice_of(d).update(dataset_query={"kind": "subset", "count": 9}),
     "slices[0].dataset_query.count", "9 items asked for, but the query matches only 3"),
    ("unknown part", lambda d: d.update(benchmrk={}), "benchmrk", "unknown key 'benchmrk'. Did you mean 'benchmark'?"),
    ("unknown override", lambda d: d["benchmark"].update(inference_grid={"overrides": {"temprature": [0]}}),
     "inference_grid", "overrides.temprature: no such inference setting"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = ['{"id": 1, "question": "1+1?", "gold": 2}', '{"id": 2, "question": "2+2?", "gold": 4}']
    (tmp_path / "data.jsonl").write_text("\n".join([*rows, '{"id": 3, "question": "3+3?", "gold": 6}']))
    (tmp_path / "bad.jsonl").write_text("\n".join([rows[0], '{"id": 2, "question": ']))
    (tmp_path / "twice.jsonl").write_text("\n".join([*rows, rows[0]]))
    return tmp_path


@pytest.mark.parametrize(("change", "loc", "words"), [each[1:] for each in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_one_clear_error(change: Change, loc: str, words: str, folder: Path) -> None:
    data = copy.deepcopy(SOUND)
    change(data)
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump(copy.deepcopy(data), sort_keys=False), encoding="utf-8")
    with pytest.raises(themis.SpecError) as caught:
        themis.run(path)
    printed = str(caught.value)
    assert words in printed
    assert f": {loc}: " in printed if loc else True
    assert f"{path}:" in printed if loc else str(folder) in printed
    assert "\n" not in printed
    assert not (folder / ".themis").exists()


def test_the_line_is_that_of_the_mistake_in_yaml_and_toml(folder: Path) -> None:
    (folder / "b.yaml").write_text("benchmark:\n  benchmark_id: x\n  slices: []\n  num_samples: 0\n")
    (folder / "b.toml").write_text('[benchmark]\nbenchmark_id = "x"\nslices = []\nnum_samples = 0\n')
    for name, line in (("b.yaml", 3), ("b.toml", 3)):
        with pytest.raises(themis.SpecError) as caught:
            themis.run(folder / name)
        first, second = sorted(str(caught.value).splitlines())
        assert (f"{name}:{line}" in first) or (f"{name}:{line}" in second)
        assert (f"{name}:4" in first) or (f"{name}:4" in second)


@pytest.mark.parametrize("key", ["list", "str", "dict", "none", "int", "float", "bool", "a[0]", "[", "]", "list[int]"])
@pytest.mark.parametrize("place", ["", "project.", "benchmark.", "benchmark.slices[0].", "benchmark.models[0].price."])
def test_an_unknown_key_is_told_whatever_it_is_called(tmp_path: Path, place: str, key: str) -> None:
    data: dict[str, Any] = {
        "project": {},
        "benchmark": {
            "benchmark_id": "b",
            "models": [{"model_id": "m", "provider": "x", "price": {}}],
            "slices": [{"slice_id": "s", "dataset": {"source": "x"}, "scores": []}],
        },
    }
    inner: Any = data
    for step in place.replace("[0]", ".0").split(".")[:-1]:
        inner = inner[int(step)] if step.isdigit() else inner[step]
    inner[key] = 1
    (tmp_path / "spec.json").write_text(json.dumps(data))
    with pytest.raises(themis.SpecError, match=f"unknown key {re.escape(repr(key))}"):
        themis.plan(tmp_path / "spec.json")
