"""Keys and passwords where they must not stand: refused with their place, and never repeated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import themis_core as themis
from themis_core import InferenceParamsSpec, SpecError

KEY = "sk-proj-Zx81QwErTy77UiOpAs99DfGhJk"


SECRET_BODIES: list[tuple[dict[str, Any], str]] = [
    ({"api_key": "abc"}, "api_key"),
    ({"apiKey": "abc"}, "apiKey"),
    ({"X-Api-Key": "abc"}, "X-Api-Key"),
    ({"authorization": "abc"}, "authorization"),
    ({"password": "abc"}, "password"),
    ({"client_secret": "abc"}, "client_secret"),
    ({"accessToken": "abc"}, "accessToken"),
    ({"provider": {"credentials": {"aws_secret_access_key": "abc"}}}, "provider.credentials.aws_secret_access_key"),
    ({"tools": [{"headers": {"Authorization": "abc"}}]}, "tools.0.headers.Authorization"),
    ({"api_keys": ["abc"]}, "api_keys"),
    ({"token": "abcdef0123456789"}, "token"),
    ({"user": KEY}, "user"),
    ({"metadata": {"note": [f"Bearer {KEY}"]}}, "metadata.note.0"),
    ({KEY: True}, "..."),
]


@pytest.mark.parametrize(("body", "place"), SECRET_BODIES, ids=[place for _, place in SECRET_BODIES])
def test_a_key_in_the_body_is_refused_wherever_it_stands(body: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        InferenceParamsSpec(extra_body=body)
    assert f"Value error, {place} holds a key or password" in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {"guided_json": {"properties": {"password": {"type": "string"}, "api_key": {"type": "string"}}}},
        {"stop_token_ids": [1, 2], "skip_special_tokens": False, "add_bos_token": True},
        {"prompt_cache_key": "my-benchmark-2026-11-24", "cache_salt": "abc"},
        {"filters": [{"type": "eq", "key": "author", "value": "me"}]},
        {"eos_token": "<|end_of_text|>", "token": "x"},
        {"api_key": None, "secret": True, "password": ""},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ],
)
def test_what_is_no_secret_may_be_sent(body: dict[str, Any]) -> None:
    assert InferenceParamsSpec(extra_body=body).extra_body == body


def test_schemas_may_have_fields_for_secrets_but_no_keys() -> None:
    schema = {"type": "object", "properties": {"password": {"type": "string", "default": "none"}}}
    assert InferenceParamsSpec(response_format=schema, tools=[schema]).response_format == schema
    with pytest.raises(ValidationError, match="holds a key or password"):
        InferenceParamsSpec(tools=[{"function": {"api": KEY}}])


def spec(folder: Path, **changes: Any) -> Path:
    (folder / "rows.jsonl").write_text(json.dumps({"id": "a", "q": f"Is {KEY} a key?", "k": KEY}) + "\n")
    benchmark = {
        "benchmark_id": "b",
        "models": [{"model_id": "m", "provider": "openai/chat", "extras": {"base_url": "http://127.0.0.1:1/v1"}}],
        "inference_grid": {"params": [{"temperature": 0}]},
        "prompt_variants": [{"id": "p", "messages": [{"role": "user", "content": KEY}]}],
        "slices": [
            {
                "slice_id": "s",
                "dataset": {
                    "source": "files/jsonl",
                    "dataset_id": "rows.jsonl",
                    "fields": {"id": "id", "reference": "k"},
                },
                "generation": {},
                "scores": [{"name": "right", "metrics": ["text/exact_match"]}],
            }
        ],
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(benchmark | changes))
    return path


WRONG_PLACES = [
    "inference_grid.params[0].extra_body.api_key=abcdefgh1",
    f"inference_grid.params[0].extra_body.user={KEY}",
    f"inference_grid.params[0].stop={KEY}",
    f"inference_grid.overrides.extra_body=[{{x: {KEY}}}]",
    f"models[0].extras.api_key={KEY}",
    f"models[0].extras.api_key_env={KEY}",
    f"models[0].extras.headers.X-Trace={KEY}",
    f"models[0].extras.headers_env.Authorization={KEY}",
    f"models[0].extras.base_url=https://h/v1?key={KEY}",
    f"models[0].extras.base_url=https://h/{KEY}/v1",
    f"models[0].extras.base_url=https://me:{KEY}@h/v1",
    f"models[0].extras.organization={KEY}",
    f"models[0].extras.identity_name={KEY}",
    f"models[0].extras.{KEY}=1",
    f"models[0].model_id={KEY}",
    f"metadata.note={KEY}",
    f"project.metadata.key={KEY}",
    f"project.researcher_id={KEY}",
    f"slices[0].scores[0].metrics[0]={KEY}",
    f"num_samples={KEY}",
    f"inference_grid.params[0].max_tokens={KEY}",
]


@pytest.mark.parametrize("change", WRONG_PLACES)
def test_a_key_in_a_wrong_place_is_refused_without_being_repeated(change: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        themis.plan(spec(tmp_path), overrides=[change])
    said = str(caught.value)
    assert said.startswith("--set ") or KEY in change.partition("=")[0]  # which is found in the file then
    assert "environment variable" in said
    for secret in (KEY, "abcdefgh1"):
        assert secret.lower() not in said.lower()


def test_a_key_in_place_of_an_assignment_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^--set \.\.\.: write it as path=value"):
        themis.plan(spec(tmp_path), overrides=[KEY])


def test_what_a_model_is_asked_about_may_look_like_a_key(tmp_path: Path) -> None:
    assert themis.plan(spec(tmp_path)).trials == 1
