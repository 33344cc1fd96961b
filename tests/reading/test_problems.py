"""What an error repeats of a bad spec, and what it keeps to itself."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import themis_core as themis

KEY = "hunter2-canary-5f3a9c71"
NO_INTEGER = "should be a whole number"
NO_NUMBER = "should be a number"
SOUND: dict[str, Any] = {
    "project": {},
    "benchmark": {
        "benchmark_id": "b",
        "models": [{"model_id": "m", "provider": "openai/chat", "extras": {"api_key_env": None}}],
        "prompt_variants": [{"id": "v", "messages": [{"role": "user", "content": "{{ item.q }}"}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {"source": "files/inline", "extras": {"rows": [{"id": "1", "q": "?"}]}},
                "generation": {},
                "scores": [
                    {
                        "name": "graded",
                        "metrics": [
                            {
                                "id": "judge/correctness",
                                "judge": {"model": {"model_id": "j", "provider": "openai/chat"}, "extras": {}},
                            }
                        ],
                    }
                ],
            }
        ],
    },
}
MODEL = ("benchmark", "models", 0)
SLICE = ("benchmark", "slices", 0)
JUDGE = (*SLICE, "scores", 0, "metrics", 0, "judge")


WORDS = [
    (("benchmark", "num_samples"), 0, "should be at least 1"),
    (("benchmark", "num_samples"), 1.5, "should be a whole number"),
    (("benchmark", "num_samples"), [], "should be a whole number"),
    (("benchmark", "benchmark_id"), "", "should be text of at least 1 character"),
    (("benchmark", "benchmark_id"), {}, "should be text"),
    (("benchmark", "slices"), [], "should be at least 1 long"),
    (("benchmark", "slices"), {}, "should be a list"),
    (("benchmark", "inference_grid"), {"params": [{"top_p": 1.5}]}, "should be at most 1"),
    (("benchmark", "inference_grid"), {"params": [{"top_p": 0}]}, "should be greater than 0"),
    (("benchmark", "inference_grid"), {"params": [{"logprobs": "perhaps"}]}, "should be true or false"),
    (("benchmark", "slices", 0, "dataset_query"), {"kind": "some"}, "should be 'all', 'subset' or 'stratified'"),
    (("benchmark", "slices", 0, "dataset"), "x.jsonl", "should be a mapping"),
]


def mistaken(folder: Path, place: tuple[str | int, ...], value: Any) -> str:
    """What is said of the sound spec with this value at this place."""
    data = copy.deepcopy(SOUND)
    at: Any = data
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    path = folder / "spec.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(themis.SpecError) as caught:
        themis.plan(path)
    return str(caught.value).removeprefix(f"{path}:1: ")


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ((*MODEL, "extras"), f"x: {KEY}", "models[0].extras: should be a mapping"),
        ((*MODEL, "extras"), [KEY], "models[0].extras: should be a mapping"),
        ((*MODEL, "extras", "headers"), f"x: {KEY}", "models[0].extras.headers: should be a mapping"),
        ((*MODEL, "extras", "headers"), {"x": [KEY]}, "models[0].extras.headers.x: should be text"),
        (
            (*MODEL, "extras", "api_key"),
            KEY,
            "models[0].extras.api_key: unknown key 'api_key'. Did you mean 'api_key_env'?",
        ),
        ((*MODEL, "extras", "connect_timeout_s"), KEY, f"models[0].extras.connect_timeout_s: {NO_NUMBER}"),
        ((*JUDGE, "extras"), KEY, "slices[0].scores[0].metrics[0].judge.extras: should be a mapping"),
        ((*SLICE, "dataset", "extras"), KEY, "slices[0].dataset.extras: should be a mapping"),
        (
            ("project", "storage"),
            f"postgresql://u:{KEY}@h/db",
            "storage: should be a mapping",
        ),
        (("project", "storage"), {"backend": "postgres", "url": [KEY]}, "storage.url: should be text"),
    ],
)
def test_what_may_hold_a_secret_is_not_repeated(
    place: tuple[str | int, ...], value: Any, said: str, tmp_path: Path
) -> None:
    assert mistaken(tmp_path, place, value) == said


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("benchmark", "num_samples"), "many", f"num_samples: {NO_INTEGER} (found: 'many')"),
        (("project", "global_seed"), "x" * 80, f"global_seed: {NO_INTEGER} (found: '{'x' * 56}...)"),
    ],
    ids=["short", "long"],
)
def test_what_can_hold_none_is_repeated_in_short(
    place: tuple[str | int, ...], value: Any, said: str, tmp_path: Path
) -> None:
    assert mistaken(tmp_path, place, value) == said


@pytest.mark.parametrize(
    ("place", "value", "where"),
    [
        ((*SLICE, "dimensions"), {"list": 5}, "slices[0].dimensions.list"),
        ((*SLICE, "dimensions"), {"str": [], "x": "y"}, "slices[0].dimensions.str"),
        ((*SLICE, "dimensions"), {"a[0]": 5}, 'slices[0].dimensions."a[0]"'),
        ((*SLICE, "dimensions"), {"a.b": 5}, 'slices[0].dimensions."a.b"'),
        ((*SLICE, "dimensions"), {"": 5}, 'slices[0].dimensions.""'),
        ((*SLICE, "dimensions"), {"k" * 300: 5}, f"slices[0].dimensions.{'k' * 60}…"),
        ((*SLICE, "dataset_query"), {"filters": {"none": {}}}, "slices[0].dataset_query.filters.none"),
        ((*SLICE, "dataset_query"), {"filters": {"[": [[]]}}, 'slices[0].dataset_query.filters."["'),
        ((*SLICE, "dataset", "fields"), {"rename": {"dict": 1}}, "slices[0].dataset.fields.rename.dict"),
        ((*JUDGE, "model", "list"), 1, "slices[0].scores[0].metrics[0].judge.model.list"),
        ((*MODEL, "extras", "list[str]"), 1, 'models[0].extras."list[str]"'),
        (("project", "plugins"), {"float": {}}, "plugins.float"),
    ],
)
def test_a_key_is_a_place_whatever_it_is_called(
    tmp_path: Path, place: tuple[str | int, ...], value: Any, where: str
) -> None:
    assert mistaken(tmp_path, place, value).startswith(f"{where}: ")


@pytest.mark.parametrize(("place", "value", "said"), WORDS)
def test_what_is_wrong_is_said_in_words_of_our_own(
    tmp_path: Path, place: tuple[str | int, ...], value: Any, said: str
) -> None:
    assert f": {said} (found: " in mistaken(tmp_path, place, value)
