"""What a spec file must be at the least, and what a name was meant to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from themis_core import SpecError
from themis_core.reading import load_specs, read_spec
from themis_wording import close_match


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.yaml", "", "x.yaml: the file is empty: a spec is a mapping, with keys such as 'benchmark' at the top"),
        ("x.yaml", "# nothing yet\n---\n", "x.yaml: the file is empty"),
        ("x.toml", " \n# nothing yet\n", "x.toml: the file is empty"),
        ("x.json", "\n", "x.json: the file is empty"),
        ("x.yaml", "- a\n", "x.yaml:1: the top level is a list: a spec is a mapping"),
        ("x.yaml", "benchmark", "x.yaml:1: the top level is a single value"),
        ("x.json", "[1]", "x.json:1: the top level is a list"),
        ("x.yaml", "a: 1\nb: .inf", "x.yaml:2: .inf is not a finite number"),
        ("x.txt", "a: 1", "x.txt: the suffix '.txt' does not say the format"),
    ],
)  # fmt: skip
def test_a_spec_file_that_is_no_mapping_or_can_not_be_read_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text)
    with pytest.raises(SpecError) as caught:
        read_spec(name)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("word", "match"),
    [
        ("benchmrk", "benchmark"), ("slice", "slices"), ("MODELS", "models"), ("Openai/Chat", "openai/chat"),
        ("zzz", None), ("", None), ("gsm8K", "gsm8k"),
    ],
)  # fmt: skip
def test_a_close_match_is_found_whatever_its_case(word: str, match: str | None) -> None:
    known = iter(["benchmark", "models", "slices", "openai/chat", "GSM8K-old", "gsm8k"])
    assert close_match(word, known) == match


NARROWED = """
benchmark_id: b
models: [{model_id: large, provider: replay/file}, {model_id: small, provider: replay/file}]
slices:
  - slice_id: s
    dataset: {source: files/jsonl, dataset_id: i.jsonl}
    generation: {models: [small]}
    scores: [{name: n, metrics: [text/exact_match]}]
"""


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused_and_does_not_mean_all(tmp_path: Path, limit: int) -> None:
    spec = tmp_path / "x.yaml"
    spec.write_text(NARROWED)
    with pytest.raises(SpecError, match=f"^limit is {limit}: it is how many items of each slice are taken at most"):
        load_specs(spec, None, (), limit, (), None)
    assert load_specs(spec, None, (), 1, (), None).benchmark.slices[0].dataset_query.limit == 1
    assert load_specs(spec, None, (), None, (), None).benchmark.slices[0].dataset_query.limit is None


def test_what_is_wrong_only_without_the_other_models_says_which_are_taken(tmp_path: Path) -> None:
    spec = tmp_path / "x.yaml"
    spec.write_text(NARROWED)
    assert [each.model_id for each in load_specs(spec, None, (), None, ("small",), None).benchmark.models] == ["small"]
    with pytest.raises(SpecError) as caught:
        load_specs(spec, None, (), None, ("large",), None)
    assert str(caught.value).endswith(
        "x.yaml:7: slices[0].generation: the slice generates, but no model is given: add one to `models` "
        "(the only models that are taken: large)"
    )
