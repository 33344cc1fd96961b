"""Specs of how answers are read and scored, and what is asked of the result: parses, scoring passes, thresholds,
conclusions."""

from __future__ import annotations

from typing import Any

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema

from themis_core.specs.base import Spec
from themis_core.specs.models import JudgeInferenceSpec

__all__ = ["ConclusionSpec", "ExtractorSpec", "MetricSpec", "ParseSpec", "ScoreSpec", "ThresholdSpec"]


_OneOrSeveral = JudgeInferenceSpec | list[JudgeInferenceSpec] | None


class _Named(Spec):
    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"id": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # Editors check spec files by the schema, so it has to know the short form as well.
        return {"anyOf": [{"type": "string"}, handler(schema)]}


class ExtractorSpec(_Named):
    """An extractor and its config; its bare name will do where it needs none."""

    id: str = Field(description="Extractor, `namespace/name`, such as `extract/regex`.", min_length=1)
    config: dict[str, Any] = Field(default_factory=dict, description="Config of the extractor.")


class MetricSpec(_Named):
    """A metric or a judge, with its config; its bare name will do where it needs none."""

    id: str = Field(description="Metric or judge, `namespace/name`, such as `text/exact_match`.", min_length=1)
    name: str | None = Field(None, description="Name in results; needed if one score uses a metric twice.")
    config: dict[str, Any] = Field(default_factory=dict, description="Config of the metric or judge.")
    judge: list[JudgeInferenceSpec] | None = Field(
        None,
        min_length=1,
        description="The judging model, or several that are asked the same; makes `id` name a judge.",
    )

    @field_validator("judge", mode="before", json_schema_input_type=_OneOrSeveral)
    @classmethod
    def _one_judge(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict | JudgeInferenceSpec) else value

    @model_validator(mode="after")
    def _judges_differ(self) -> MetricSpec:
        names = [each.model.model_id for each in self.judge or ()]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(
                f"judge: {', '.join(sorted(twice))} is there twice; to ask a model several times, set its `repeats`"
            )
        return self

    @property
    def label(self) -> str:
        """The name that results show: `name`, or else the component's."""
        return self.name or self.id


class ConclusionSpec(_Named):
    """What is concluded once the run is over, and its config; its bare name will do where it needs none."""

    id: str = Field(description="Conclusion, `namespace/name`, such as `stats/compare`.", min_length=1)
    config: dict[str, Any] = Field(default_factory=dict, description="Config of the conclusion.")


class ParseSpec(Spec):
    """A named chain of extractors: the first that finds something wins."""

    name: str = Field(description="Name of the parse, unique in its slice.", min_length=1)
    prepare: list[ExtractorSpec] = Field(
        default_factory=list,
        description="Extractors applied to the text one after another before the chain, such as "
        "`extract/without_reasoning`; if one finds nothing, the answer is unparsed for its reason.",
    )
    extractors: list[ExtractorSpec] = Field(min_length=1, description="The chain, tried in order.")


class ScoreSpec(Spec):
    """A named scoring pass: metrics over the raw answer, or over what a parse found in it."""

    name: str = Field(description="Name of the score, unique in its slice.", min_length=1)
    parse: str | None = Field(None, description="Parse whose value is scored; without it, the raw answer.")
    metrics: list[MetricSpec] = Field(min_length=1, description="Metrics and judges, one score each.")

    @model_validator(mode="after")
    def _labels_differ(self) -> ScoreSpec:
        labels = [metric.label for metric in self.metrics]
        if twice := {label for label in labels if labels.count(label) > 1}:
            raise ValueError(f"metrics: {', '.join(sorted(twice))} is there twice; give each a name of its own")
        return self


class ThresholdSpec(Spec):
    """A bound on a result; if it is not met, the command exits with 1.

    It applies to every matching row of the results; an id that is left out matches all. It is judged on what was
    planned: where more scores are missing than it allows, and in a run that is unfinished, it is not judged, which is
    not met. The rows of a judge's own baseline are left out.
    """

    score: str = Field(description="Name of the score.")
    metric: str | None = Field(None, description="Name of the metric in the score.")
    slice_id: str | None = Field(None, description="Slice that the bound is for.")
    model_id: str | None = Field(None, description="Model that the bound is for.")
    prompt_variant_id: str | None = Field(None, description="Prompt variant that the bound is for.")
    minimum: float | None = Field(None, description="Least value that is accepted.")
    maximum: float | None = Field(None, description="Greatest value that is accepted.")
    max_missing: float = Field(
        0.0, ge=0, le=1, description="Greatest share of a row's trials whose score may be missing: failed or unscored."
    )
    max_unparsed: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Greatest share of a row's scores for which the parse may have found nothing; by default any, but "
        "not all.",
    )

    @model_validator(mode="after")
    def _has_a_bound(self) -> ThresholdSpec:
        if self.minimum is None and self.maximum is None:
            raise ValueError("a threshold needs minimum or maximum")
        return self
