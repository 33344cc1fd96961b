"""Text that YAML reads as a number: kept as it was written where text is meant, refused where that can't be known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from themis_core import BenchmarkSpec, SpecError
from themis_core.reading import load_specs

SPEC = """
benchmark_id: {benchmark}
models:
  - model_id: {model}
    provider: replay/file
    extras: {{path: a.jsonl}}
    price: {{input_per_million: {price}, output_per_million: 0}}
prompt_variants:
  - id: p
    messages: [{{role: user, content: q}}]
    variables: {{grade: {variable}}}
    examples: {{items: [{{answer: {example}}}]}}
inference_grid: {{params: [{{temperature: {temperature}}}]}}
slices:
  - slice_id: {slice}
    dataset: {{source: files/jsonl, dataset_id: i.jsonl}}
    dataset_query: {{item_ids: [{ids}], filters: {{zip: {filter}}}}}
    generation: {{num_samples: {samples}}}
    dimensions: {{year: {dimension}}}
    scores: [{{name: {score}, metrics: [text/exact_match]}}]
thresholds: [{{score: {score}, minimum: {minimum}}}]
"""
PLAIN = {
    "benchmark": "b", "model": "m", "price": "2", "variable": "x", "example": "y", "temperature": "1", "slice": "s",
    "ids": "a", "filter": "z", "samples": "1", "dimension": "d", "score": "n", "minimum": "0.5",
}  # fmt: skip


def loaded(folder: Path, *overrides: str, **values: str) -> BenchmarkSpec:
    file = folder / "spec.yaml"
    file.write_text(SPEC.format(**{**PLAIN, **values}))
    return load_specs(file, None, overrides, None, (), None).benchmark


@pytest.mark.parametrize("written", ["007", "1.10", "1e3", "0x1F", "0o17", "+5", "5.", ".5", "-0", "12", "1.5", "1E3"])
def test_a_number_is_kept_as_it_is_written_where_text_is_meant(tmp_path: Path, written: str) -> None:
    spec = loaded(
        tmp_path, benchmark=written, model=written, slice=written, ids=written, dimension=written, score=written
    )
    only = spec.slices[0]
    texts: list[Any] = [spec.benchmark_id, spec.models[0].model_id, only.slice_id, only.scores[0].name]
    assert [*texts, *(only.dataset_query.item_ids or ()), only.dimensions["year"]] == [written] * 6
    assert {type(each) for each in texts} == {str}


def test_a_number_is_one_where_a_number_is_meant(tmp_path: Path) -> None:
    spec = loaded(tmp_path, price="2.50", temperature="0.70", minimum="1e-1", samples="0x2")
    found = [spec.models[0].price.input_per_million, spec.inference_grid.params[0].temperature]  # type: ignore[union-attr]
    found += [spec.thresholds[0].minimum, spec.slices[0].generation.num_samples]  # type: ignore[union-attr]
    assert found == [2.5, 0.7, 0.1, 2]
    assert {type(each) for each in found} == {float, int}


@pytest.mark.parametrize("written", ["true", "false"])
@pytest.mark.parametrize(
    ("place", "loc"),
    [
        ("samples", "slices[0].generation.num_samples"),
        ("temperature", "inference_grid.params[0].temperature"),
        ("minimum", "thresholds[0].minimum"),
        ("price", "models[0].price.input_per_million"),
    ],
)
def test_true_and_false_are_no_numbers(tmp_path: Path, place: str, loc: str, written: str) -> None:
    with pytest.raises(SpecError) as raised:
        loaded(tmp_path, **{place: written})
    assert raised.value.loc == loc
    assert raised.value.line is not None
    assert (
        raised.value.message == f"{written} would be read as {int(written == 'true')}: write the number that is meant"
    )


def test_true_that_is_set_for_a_number_is_blamed_on_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="--set num_samples: "):
        loaded(tmp_path, "num_samples=true")


@pytest.mark.parametrize("written", ["007", "1.10", "1e3", "0x1F", "+5", "5.", "[1, 1.10]"])
@pytest.mark.parametrize(
    ("place", "loc"),
    [
        ("filter", "slices[0].dataset_query.filters.zip"),
        ("variable", "prompt_variants[0].variables.grade"),
        ("example", "prompt_variants[0].examples.items[0].answer"),
    ],
)
def test_where_both_may_be_meant_the_user_is_asked_to_quote_it(
    tmp_path: Path, place: str, loc: str, written: str
) -> None:
    with pytest.raises(SpecError) as raised:
        loaded(tmp_path, **{place: written})
    assert raised.value.loc in (loc, f"{loc}[1]")
    assert raised.value.line is not None
    assert "would be read as the number" in raised.value.message
    assert "quote it" in raised.value.message
    loaded(tmp_path, **{place: f"'{written}'"})


@pytest.mark.parametrize("written", ["7", "-7", "1.5", "0.1", "'007'"])
def test_a_number_in_its_usual_form_needs_no_quotes(tmp_path: Path, written: str) -> None:
    spec = loaded(tmp_path, filter=written, variable=written, example=written)
    value = spec.slices[0].dataset_query.filters["zip"]
    assert str(value) == written.strip("'")
    assert type(value) in (int, float, str)


def test_what_an_option_sets_follows_the_same_rule(tmp_path: Path) -> None:
    spec = loaded(tmp_path, "slices[0].dataset_query.item_ids=[007, 1.10]", "models[0].model_id=010")
    assert spec.slices[0].dataset_query.item_ids == ["007", "1.10"]
    assert spec.models[0].model_id == "010"
    with pytest.raises(SpecError, match=r"^--set slices\[0\]\.dataset_query\.filters\.zip: .*007 would be read as"):
        loaded(tmp_path, "slices[0].dataset_query.filters.zip=007")


def test_items_within_a_spec_follow_it_too(tmp_path: Path) -> None:
    from themis_core import plan

    def spec(answer: str) -> Path:
        file = tmp_path / "inline.yaml"
        file.write_text(
            "benchmark_id: b\nslices:\n  - slice_id: s\n    scores: [{name: n, metrics: [text/exact_match]}]\n"
            "    dataset:\n      source: files/inline\n      fields: {reference: gold, output: said}\n"
            f"      extras: {{rows: [{{id: a, gold: {answer}, said: x}}]}}\n"
        )
        return file

    with pytest.raises(SpecError, match=r"inline\.yaml:8: slices\[0\]\.dataset\.extras\.rows.*1\.10 would be read as"):
        plan(spec("1.10"))
    plan(spec("'1.10'"))


def test_numbers_of_json_are_what_json_says(tmp_path: Path) -> None:
    file = tmp_path / "spec.json"
    data = {"benchmark_id": "b", "slices": [{"slice_id": 7, "dataset": {"source": "files/jsonl"}, "scores": []}]}
    file.write_text(json.dumps(data))
    with pytest.raises(SpecError, match=r"slices\[0\]\.slice_id: should be text \(found: 7\)"):
        load_specs(file, None, (), None, (), None)
