"""Specs of who answers and with which settings: models, parameters, grids, judges' inference."""

from __future__ import annotations

from itertools import product
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from themis_core.specs.base import Spec, canonical_json
from themis_core.specs.secrets import refuse_keys
from themis_core.specs.wording import in_words

__all__ = [
    "GenerationSpec",
    "InferenceGridSpec",
    "InferenceParamsSpec",
    "JudgeInferenceSpec",
    "ModelSpec",
    "PriceSpec",
]


class PriceSpec(Spec):
    """What a model's tokens cost, for plans, budgets and cost accounts. One currency per benchmark."""

    input_per_million: float = Field(ge=0, description="Price of a million input tokens.")
    output_per_million: float = Field(ge=0, description="Price of a million output tokens, reasoning included.")
    cached_input_per_million: float | None = Field(
        None, ge=0, description="Price of a million input tokens read from the provider's cache."
    )


class ModelSpec(Spec):
    """A model under test, and the engine that reaches it."""

    model_id: str = Field(
        description="The model's label, unique among the models: shown in results, and what the spec calls it.",
        min_length=1,
    )
    model: str | None = Field(
        None,
        min_length=1,
        description="Name that the server is sent, where it is not the label; else `model_id`.",
    )
    provider: str = Field(description="Engine, `namespace/name`, such as `openai/chat`.", min_length=1)
    extras: dict[str, Any] = Field(default_factory=dict, description="Config of the engine (base URL, key variable).")
    price: PriceSpec | None = Field(None, description="Token prices, if cost is to be counted.")

    @property
    def sent(self) -> str:
        """The name that the server is sent."""
        return self.model or self.model_id


class InferenceParamsSpec(Spec):
    """Sampling and response-shape settings of a request. What is not set is not sent."""

    model_config = ConfigDict(hide_input_in_errors=True)

    temperature: float | None = Field(None, ge=0, description="Sampling temperature.")
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling: probability mass considered.")
    top_k: int | None = Field(None, ge=1, description="Sample from the k most likely tokens.")
    min_p: float | None = Field(None, ge=0, le=1, description="Least probability relative to the likeliest token.")
    max_tokens: int | None = Field(None, ge=1, description="Most tokens that an answer may have.")
    stop: list[str] | None = Field(None, description="Texts at which generation stops.")
    seed: int | None = Field(None, description="Seed sent with sample 0; further samples derive theirs from it.")
    n: int | None = Field(None, ge=1, description="Choices asked for in one call; the first is scored, all are kept.")
    presence_penalty: float | None = Field(None, ge=-2, le=2, description="Penalty on tokens already present.")
    frequency_penalty: float | None = Field(None, ge=-2, le=2, description="Penalty growing with a token's count.")
    repetition_penalty: float | None = Field(None, gt=0, description="Multiplicative repetition penalty.")
    logprobs: bool | None = Field(None, description="Ask for the log-probabilities of the answer's tokens.")
    top_logprobs: int | None = Field(None, ge=0, le=20, description="Alternatives listed per token.")
    reasoning_effort: str | None = Field(None, description="How much a reasoning model should think.")
    response_format: dict[str, Any] | None = Field(
        None, description="Shape of the answer, such as a JSON schema, as the provider takes it."
    )
    tools: list[dict[str, Any]] | None = Field(None, description="Tools offered to the model, passed through.")
    tool_choice: str | dict[str, Any] | None = Field(None, description="Which tool to call, passed through.")
    extra_body: dict[str, Any] = Field(
        default_factory=dict,
        description="Further keys of the request body, for servers with settings of their own.",
    )

    @field_validator("extra_body", "response_format", "tools", "tool_choice", "stop", "reasoning_effort")
    @classmethod
    def _hold_no_key(cls, value: Any, info: ValidationInfo) -> Any:
        # Schemas of tools and answers may well describe a field named `password`.
        refuse_keys(value, by_name=info.field_name == "extra_body")
        return value

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    def given(self) -> dict[str, Any]:
        """The settings that are set, as plain data."""
        return {name: value for name, value in self.canonical().items() if value is not None and value != {}}

    def label(self) -> str:
        """A short text that tells settings apart, such as `temperature=0.7, max_tokens=512`; `default` if none."""
        given = self.given()
        return ", ".join(f"{key}={_short(value)}" for key, value in given.items()) or "default"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= 40 else text[:37] + "..."


class InferenceGridSpec(Spec):
    """A set of inference parameters: each of `params`, crossed with every combination of `overrides`."""

    params: list[InferenceParamsSpec] = Field(
        default_factory=lambda: [InferenceParamsSpec()], min_length=1, description="Base settings."
    )
    overrides: dict[str, list[Any]] = Field(
        default_factory=dict, description="Setting: the values to try; several settings are combined."
    )

    @field_validator("params", mode="before")
    @classmethod
    def _one_base(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _overrides_are_settings(self) -> InferenceGridSpec:
        for name, values in self.overrides.items():
            if name not in InferenceParamsSpec.model_fields:
                raise ValueError(
                    f"overrides.{name}: no such inference setting; known: {', '.join(InferenceParamsSpec.model_fields)}"
                )
            if not values:
                raise ValueError(f"overrides.{name}: an empty list leaves nothing to run")
        try:
            self.expand()
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"overrides.{'.'.join(map(str, first['loc']))}: {in_words(first)}") from None
        return self

    def expand(self) -> list[InferenceParamsSpec]:
        """All settings, in the order written: for each base, the overrides' values with the last name fastest.

        Equal settings appear once.
        """
        names = list(self.overrides)
        expanded: dict[str, InferenceParamsSpec] = {}
        for base in self.params:
            for values in product(*self.overrides.values()):
                merged = base.model_dump(exclude_unset=True) | dict(zip(names, values, strict=True))
                params = InferenceParamsSpec.model_validate(merged)
                expanded.setdefault(canonical_json(params.given()), params)
        return list(expanded.values())


class GenerationSpec(Spec):
    """That a slice generates answers, and what it does differently from the benchmark."""

    models: list[str] | None = Field(None, description="Ids of the models to run on this slice; all by default.")
    inference_grid: InferenceGridSpec | None = Field(None, description="Settings instead of the benchmark's.")
    num_samples: int | None = Field(None, ge=1, description="Samples instead of the benchmark's.")


class JudgeInferenceSpec(Spec):
    """The model that a judge asks, and how."""

    model: ModelSpec = Field(description="The judging model.")
    params: InferenceParamsSpec = Field(default_factory=InferenceParamsSpec, description="Its settings.")
    extras: dict[str, Any] = Field(default_factory=dict, description="Added to the model's engine config.")
    repeats: int = Field(1, ge=1, description="How often each request is asked, as samples of their own.")


Direction = Literal["higher", "lower"]
