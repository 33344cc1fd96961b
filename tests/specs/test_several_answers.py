"""Several answers in one call are asked for by `n`, which budgets count, and by no other key of a request."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from themis_core import GenerationSpec, InferenceGridSpec, InferenceParamsSpec, ModelParamsSpec

SEVERAL: list[dict[str, Any]] = [
    {"n": 5}, {"best_of": 3}, {"num_choices": 2}, {"num_return_sequences": 4}, {"candidate_count": 8},
    {"num_generations": 2}, {"num_results": 2}, {"numResults": 2}, {"n_completions": 2}, {"num_samples": 2},
    {"generationConfig": {"candidateCount": 4}}, {"parameters": {"best_of": 3}},
    {"n": "5"}, {"n": 1.5}, {"n": True}, {"n": 0}, {"top_k": 5, "best_of": 2},
]  # fmt: skip


@pytest.mark.parametrize("settings", SEVERAL, ids=str)
@pytest.mark.parametrize("field", ["extra_body", "extras"])
def test_several_answers_that_budgets_would_not_see_are_refused_with_place_and_hint(
    field: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match=r"asks for several answers .* set `num_samples`") as refused:
        InferenceParamsSpec.model_validate({field: settings})
    assert refused.value.errors()[0]["loc"] == (field,)


@pytest.mark.parametrize(
    "settings",
    [
        {"n": 1}, {"best_of": 1}, {"n": None}, {"n_probs": 5}, {"num_ctx": 4096}, {"num_predict": 64}, {"num_beams": 4},
        {"search": {"num_results": 5}}, {"guided": {"n": 5}}, {"top_n": 5}, {"chat_template_kwargs": {"n": 2}},
        {"generationConfig": {"candidateCount": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_what_asks_for_one_answer_or_for_something_else_is_sent(settings: dict[str, Any]) -> None:
    for field in ("extra_body", "extras"):
        assert InferenceParamsSpec.model_validate({field: settings}).given() == {field: settings}


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        ({"extra_body.n": [1, 5]}, "overrides.extra_body: n asks"),
        ({"extra_body.best_of": [3]}, "overrides.extra_body: best_of asks"),
        ({"extra_body": [{"n": 5}]}, "overrides.extra_body: n asks"),
        ({"extras.num_choices": [5]}, "overrides.extras: num_choices asks"),
        ({"extra_body.generationConfig.candidateCount": [2]}, "overrides.extra_body: generationConfig.candidateCount"),
    ],
)  # fmt: skip
def test_overrides_are_refused_as_params_are(overrides: dict[str, list[Any]], place: str) -> None:
    with pytest.raises(ValidationError, match=place):
        InferenceGridSpec(overrides=overrides)


@pytest.mark.parametrize(
    "changes",
    [{"set": {"extra_body": {"n": 5}}}, {"set": {"extras": {"best_of": 5}}}, {"rename": {"top_k": "best_of"}}],
)
def test_settings_of_a_model_are_refused_as_well(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"asks for several answers|budgets have to know how many answers"):
        ModelParamsSpec.model_validate(changes)


def test_the_setting_n_is_for_several_answers() -> None:
    assert InferenceParamsSpec(n=5).given() == {"n": 5}


def test_more_samples_than_can_be_meant_are_refused() -> None:
    with pytest.raises(ValidationError, match="less than or equal to 1000000"):
        GenerationSpec(num_samples=10**26)
    assert GenerationSpec(num_samples=10**6).num_samples == 10**6
