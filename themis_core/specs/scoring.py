"""Specs of how answers are read and scored, and what is asked of the result: parses, scoring passes, thresholds,
conclusions."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic_core import CoreSchema

from themis_core.specs.base import Spec
from themis_core.specs.models import JudgeInferenceSpec
from themis_plain import canonical_json

__all__ = [
    "REPEATS",
    "AggregateSpec",
    "ConclusionSpec",
    "Denominator",
    "ExtractorSpec",
    "MetricSpec",
    "ParseSpec",
    "ScoreSpec",
    "ThresholdSpec",
    "kind_and_k",
]

Denominator = Literal["scored", "parsed", "planned_missing_worst"]
REPEATS: Final = r"^((pass|majority|best|worst)@|pass\^)[1-9]\d*$"
"""How what the samples of one item make is written."""


def kind_and_k(repeats: str) -> tuple[str, int]:
    """What k samples make, and k: `pass@` and 3 of `pass@3`."""
    at = re.search(r"[@^]", repeats)
    assert at is not None
    return repeats[: at.end()], int(repeats[at.end() :])


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
    max_unparsed: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of a model's answers from which on it ends the run with exit 5 that the parse found "
        "nothing in them; 1 waives that.",
    )


class ScoreSpec(Spec):
    """A named scoring pass: metrics over the raw answer, or over what a parse found in it."""

    name: str = Field(description="Name of the score, unique in its slice.", min_length=1)
    parse: str | None = Field(None, description="Parse whose value is scored; without it, the raw answer.")
    metrics: list[MetricSpec] = Field(min_length=1, description="Metrics and judges, one score each.")
    denominator: Denominator = Field(
        "scored",
        description="What values are means of: `scored` all scores (unparsed answers as the worst value, failed trials "
        "not), `parsed` those of parsed answers alone, `planned_missing_worst` all planned trials, those without a "
        "score as the worst value.",
    )

    @model_validator(mode="after")
    def _labels_differ(self) -> ScoreSpec:
        labels = [metric.label for metric in self.metrics]
        if twice := {label for label in labels if labels.count(label) > 1}:
            raise ValueError(f"metrics: {', '.join(sorted(twice))} is there twice; give each a name of its own")
        return self


Measure = Literal["value", "low", "high", "unparsed", "failed", "cost", "latency_p50", "latency_p95", "latency_p99"]
_OF_SCORES = ("value", "low", "high", "unparsed")
_SHARES = ("unparsed", "failed")


class AggregateSpec(Spec):
    """A named mean of means: of items in tasks, of tasks in groups, of groups in a benchmark.

    There is one for each model, prompt variant and setting, or what `by` names. It is shown after the rows.
    """

    name: str = Field(description="Name in results, unique in the benchmark.", min_length=1)
    score: str = Field(description="Name of the score.")
    metric: str | None = Field(None, description="Name of the metric, if the score has several.")
    by: list[str] = Field(
        default_factory=lambda: ["model", "prompt", "params"],
        description="What one number is made for, by the names that `--by` takes.",
    )
    levels: list[str] = Field(
        default_factory=lambda: ["slice"],
        min_length=1,
        description="What items are grouped by, from the innermost level out, by the names that `--by` takes: "
        "`[slice, dimensions.task]`. A group without a value of an outer level stands for itself there.",
    )
    weighting: Literal["micro", "macro", "nested_macro"] = Field(
        "macro",
        description="`micro`: every score counts the same; `macro`: every group of the innermost level; "
        "`nested_macro`: every group of a level within its group of the next.",
    )
    repeats: str | None = Field(
        None,
        pattern=REPEATS,
        description="What the samples of one item make: `pass@3`, `pass^3`, `majority@3`, `best@3` or `worst@3`, "
        "without bias from all samples that there are; their mean if it is absent.",
    )


class ThresholdSpec(Spec):
    """A bound on a result, also called a gate; if it is not met, the command exits with 1.

    What it measures of a score (`value`, `low`, `high`, `unparsed`) is judged in every matching row of the results; an
    id that is left out matches all. With `aggregate` it is judged in every row of that aggregate instead. What it
    measures of trials and calls is judged once, over all that match. It is judged on what was planned: where more
    scores are missing than it allows, and in a run that is unfinished, it is not judged, which is not met. The rows of
    a judge's own baseline are left out.
    """

    measure: Measure = Field(
        "value",
        description="What is compared. Of a score: its `value`; the bounds of its 95 % interval, `low` and `high`; the "
        "share of `unparsed` answers. Of the trials: the share that `failed`; where it is met, failed trials are no "
        "reason for exit 5. Of the calls: their `cost`, all executions together, and percentiles of their latency in "
        "seconds, `latency_p50`, `latency_p95` and `latency_p99`.",
    )
    score: str | None = Field(
        None, description="Name of the score; needed if a score is measured, unless `aggregate` has one."
    )
    metric: str | None = Field(None, description="Name of the metric in the score.")
    slice_id: str | None = Field(None, description="Slice that the bound is for.")
    model_id: str | None = Field(None, description="Model that the bound is for.")
    prompt_variant_id: str | None = Field(None, description="Prompt variant that the bound is for.")
    aggregate: str | None = Field(
        None, description="Name of the aggregate whose numbers are measured, in the place of those of a score."
    )
    group: dict[str, str | int | float | bool] | None = Field(
        None,
        description="Which numbers of the aggregate, by the names of its `by`: `{metadata.category: sums}`. All by "
        "default.",
        min_length=1,
    )
    minimum: float | None = Field(None, description="Least value that is accepted.")
    maximum: float | None = Field(None, description="Greatest value that is accepted.")
    max_missing: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Greatest share of a row's trials whose score may be missing: failed or unscored. By default none, "
        "but for failed trials that a threshold on `failed` accepts.",
    )
    max_unparsed: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Greatest share of a row's scores for which the parse may have found nothing; by default any, but "
        "not all.",
    )

    @property
    def is_of_scores(self) -> bool:
        """Whether rows of scores are judged, and not trials or calls."""
        return self.measure in _OF_SCORES

    @property
    def wanted(self) -> dict[str, str]:
        """What numbers of an aggregate are measured: values by the names of its `by`."""
        ids = {"slice": self.slice_id, "model": self.model_id, "prompt": self.prompt_variant_id}
        values = {**{name: value for name, value in ids.items() if value is not None}, **(self.group or {})}
        return {name: value if isinstance(value, str) else canonical_json(value) for name, value in values.items()}

    @property
    def percentile(self) -> float | None:
        """Which percentile of the latencies is measured, in (0, 1); None if something else is."""
        return float(self.measure[len("latency_p") :]) / 100 if self.measure.startswith("latency_p") else None

    @model_validator(mode="after")
    def _has_a_bound(self) -> ThresholdSpec:
        if self.minimum is None and self.maximum is None:
            raise ValueError("a threshold needs minimum or maximum")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is greater than maximum {self.maximum:g}")
        return self

    @model_validator(mode="after")
    def _fits_what_is_measured(self) -> ThresholdSpec:
        if self.is_of_scores and self.score is None and self.aggregate is None:
            raise ValueError(f"measure {self.measure} is of a score: name it in `score`, or an `aggregate`")
        if self.group is not None and self.aggregate is None:
            raise ValueError("`group` is of an aggregate: name it in `aggregate`")
        if self.aggregate is not None and (self.score is not None or self.metric is not None):
            raise ValueError("an aggregate says which score it is of: leave out `score` and `metric`")
        if given := [name for name in self._out_of_place() if getattr(self, name) is not None]:
            of_what = {"cost": "the whole run", "unparsed": "answers", "failed": "trials"}.get(self.measure, "calls")
            raise ValueError(f"measure {self.measure} is of {of_what}: leave out {', '.join(given)}")
        return self

    def _out_of_place(self) -> tuple[str, ...]:
        if self.is_of_scores:
            return ("max_unparsed",) if self.measure == "unparsed" else ()
        of_scores = ("score", "metric", "aggregate", "max_missing", "max_unparsed")
        return (*of_scores, "slice_id", "model_id", "prompt_variant_id") if self.measure == "cost" else of_scores

    @model_validator(mode="after")
    def _has_a_bound_that_can_be_missed(self) -> ThresholdSpec:
        if self.measure in ("value", "low", "high"):
            return self
        if self.minimum is not None or self.maximum is None:
            raise ValueError(f"measure {self.measure} has a maximum, and no minimum: less is better")
        if self.maximum < 0 or (self.measure in _SHARES and self.maximum > 1):
            allowed = "a share, from 0 to 1: 5 % is 0.05" if self.measure in _SHARES else "0 or more"
            raise ValueError(f"maximum of {self.measure} is {allowed}, not {self.maximum:g}")
        return self
