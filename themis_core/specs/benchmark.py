"""The benchmark spec: slices, and everything they name, checked against each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field, field_validator, model_validator

from themis_core.specs.base import Loc, Spec, mistake
from themis_core.specs.data import DatasetQuerySpec, DatasetSpec
from themis_core.specs.inference import MOST_SAMPLES, GenerationSpec, InferenceGridSpec
from themis_core.specs.models import ModelSpec
from themis_core.specs.prices import PricesSpec
from themis_core.specs.prompts import PromptVariantSpec
from themis_core.specs.scoring import AggregateSpec, ConclusionSpec, ParseSpec, ScoreSpec, ThresholdSpec
from themis_plain import digest
from themis_wording import did_you_mean

__all__ = ["BenchmarkSpec", "SliceSpec"]

_NO_PROMPT = ("none",)
"""Prompt variant of what is asked without one; which models are is not known from the spec alone."""
_IDS = {"slice": "slice_id", "model": "model_id", "prompt": "prompt_variant_id"}


class SliceSpec(Spec):
    """A dataset query with its prompts, parses and scores."""

    slice_id: str = Field(description="Name of the slice, unique in the benchmark.", min_length=1)
    dataset: DatasetSpec = Field(description="Where the items come from.")
    dataset_query: DatasetQuerySpec = Field(
        default_factory=DatasetQuerySpec, description="Which items are taken; all by default."
    )
    dimensions: dict[str, str] = Field(
        default_factory=dict, description="Labels for grouping results, such as `subject: arithmetic`."
    )
    prompt_variants: list[str] | None = Field(
        None, description="Ids of the prompt variants that apply; with neither these nor families, all do."
    )
    prompt_families: list[str] | None = Field(None, description="Families whose variants apply.")
    generation: GenerationSpec | None = Field(
        None,
        description="That answers are generated (`{}` will do). Without it the items' own outputs are scored.",
    )
    parses: list[ParseSpec] = Field(default_factory=list, description="Ways to read an answer, by name.")
    scores: list[ScoreSpec] = Field(default_factory=list, description="Scoring passes.")

    @field_validator("generation", mode="before")
    @classmethod
    def _yes_or_no(cls, value: Any) -> Any:
        return {} if value is True else None if value is False else value

    @model_validator(mode="after")
    def _names_fit(self) -> SliceSpec:
        parses = [parse.name for parse in self.parses]
        _unique("parses", "name", parses)
        _unique("scores", "name", [score.name for score in self.scores])
        for index, score in enumerate(self.scores):
            if score.parse is not None:
                _known(("scores", index, "parse"), "parse", score.parse, parses)
        if self.generation is None and self.dataset.fields.output is None:
            raise mistake(
                ("generation",),
                "the slice generates nothing and its items carry no output: add `generation: {}`, or name the "
                "column of recorded outputs in dataset.fields.output",
            )
        return self


class BenchmarkSpec(Spec):
    """A benchmark: which items, asked how, of which models, read and scored how."""

    benchmark_id: str = Field(description="Name of the benchmark; run ids begin with it.", min_length=1)
    models: list[ModelSpec] = Field(default_factory=list, description="Models under test.")
    prompt_variants: list[PromptVariantSpec] = Field(default_factory=list, description="Ways to ask.")
    inference_grid: InferenceGridSpec = Field(
        default_factory=InferenceGridSpec,
        description="Inference settings to try; the providers' defaults if absent.",
    )
    num_samples: int = Field(
        1, ge=1, le=MOST_SAMPLES, description="Answers drawn per item, variant, model and settings."
    )
    slices: list[SliceSpec] = Field(description="What is evaluated.", min_length=1)
    thresholds: list[ThresholdSpec] = Field(
        default_factory=list,
        description="Bounds that results must meet; the command exits with 1 if one is not.",
    )
    aggregates: list[AggregateSpec] = Field(
        default_factory=list, description="Named means of means, shown after the rows of results."
    )
    conclusions: list[ConclusionSpec] = Field(
        default_factory=list,
        description="What is said of the whole run once it is over, such as which model is better.",
    )
    prices: PricesSpec | None = Field(
        None,
        description="What models cost that have no `price` of their own: the path of a file, a table, or prices by "
        "model. In no identity.",
    )
    metadata: dict[str, Any] = Field(default_factory=dict, description="Anything to record with the run.")

    @model_validator(mode="after")
    def _names_fit(self) -> BenchmarkSpec:
        models = [model.model_id for model in self.models]
        _unique("models", "model_id", models)
        _unique("prompt_variants", "id", [variant.id for variant in self.prompt_variants])
        _unique("slices", "slice_id", [each.slice_id for each in self.slices])
        for index, each in enumerate(self.slices):
            self._check_slice(("slices", index), each, models)
        for index, threshold in enumerate(self.thresholds):
            self._check_threshold(("thresholds", index), threshold)
        _unique("aggregates", "name", [each.name for each in self.aggregates])
        for index, aggregate in enumerate(self.aggregates):
            self._check_aggregate(("aggregates", index), aggregate)
        return self

    def _check_slice(self, loc: Loc, each: SliceSpec, models: list[str]) -> None:
        families = [variant.family for variant in self.prompt_variants if variant.family]
        for place, name in enumerate(each.prompt_variants or ()):
            _known(
                (*loc, "prompt_variants", place),
                "prompt variant",
                name,
                [variant.id for variant in self.prompt_variants],
            )
        for place, name in enumerate(each.prompt_families or ()):
            _known((*loc, "prompt_families", place), "prompt family", name, families)
        if each.generation is None:
            return
        for place, name in enumerate(each.generation.models or ()):
            _known((*loc, "generation", "models", place), "model", name, models)
        if not self.models_for(each):
            raise mistake((*loc, "generation"), "the slice generates, but no model is given: add one to `models`")

    def _check_threshold(self, loc: Loc, threshold: ThresholdSpec) -> None:
        scores = [score for each in self.slices for score in each.scores]
        metrics = [metric.label for score in scores if score.name == threshold.score for metric in score.metrics]
        for field, kind, value, known in (
            ("score", "score", threshold.score, [score.name for score in scores]),
            ("metric", "metric", threshold.metric, metrics),
            ("slice_id", "slice", threshold.slice_id, [each.slice_id for each in self.slices]),
            ("model_id", "model", threshold.model_id, [model.model_id for model in self.models]),
            (
                "prompt_variant_id",
                "prompt variant",
                threshold.prompt_variant_id,
                [*(v.id for v in self.prompt_variants), *_NO_PROMPT],
            ),
        ):
            if value is not None:
                _known((*loc, field), kind, value, known)
        if threshold.aggregate is not None:
            _known((*loc, "aggregate"), "aggregate", threshold.aggregate, [each.name for each in self.aggregates])
            by = next(each.by for each in self.aggregates if each.name == threshold.aggregate)
            for name in threshold.wanted:
                place = (*loc, "group", name) if name in (threshold.group or ()) else (*loc, _IDS[name])
                if name not in by:
                    told = f"the aggregate {threshold.aggregate!r} has no numbers by {name!r}"
                    there = f"by {', '.join(by)}" if by else "one of all trials"
                    raise mistake(place, f"{told}, but {there}")
        self._check_measure((*loc, "measure"), threshold)

    def _check_measure(self, loc: Loc, threshold: ThresholdSpec) -> None:
        priced = self.prices is not None or any(model.price is not None for model in self._asked())
        if threshold.measure == "cost" and not priced:
            raise mistake(loc, "cost can't be measured: no model has a price. Give each a `price`")
        if threshold.measure == "unparsed" and threshold.score is not None:
            slices = [each for each in self.slices if threshold.slice_id in (None, each.slice_id)]
            raw = [each.slice_id for each in slices if _reads_raw_answers(each, threshold.score)]
            if raw:
                told = f"score {threshold.score!r} of slice {raw[0]!r} reads the raw answer"
                raise mistake(loc, f"{told}, so nothing of it is ever unparsed: give it a `parse`, or name a slice_id")

    def _asked(self) -> Iterator[ModelSpec]:
        """The models under test, those that judge and those that play users."""
        yield from self.models
        conversations = (variant.conversation for variant in self.prompt_variants)
        yield from (each.user.model for each in conversations if each is not None and each.user is not None)
        metrics = (metric for each in self.slices for score in each.scores for metric in score.metrics)
        yield from (judge.model for metric in metrics for judge in metric.judge or ())

    def _check_aggregate(self, loc: Loc, aggregate: AggregateSpec) -> None:
        scores = [score for each in self.slices for score in each.scores if score.name == aggregate.score]
        _known((*loc, "score"), "score", aggregate.score, [score.name for each in self.slices for score in each.scores])
        labels = list(_once([metric.label for score in scores for metric in score.metrics]))
        if aggregate.metric is not None:
            _known((*loc, "metric"), "metric", aggregate.metric, labels)
        elif len(labels) > 1:
            raise mistake((*loc, "score"), f"it has several metrics: add `metric`, one of {', '.join(labels)}")
        if (aggregate.repeats or "").startswith("majority") and any(score.parse is None for score in scores):
            raise mistake((*loc, "repeats"), "a majority is one of parsed values, and the score reads the raw answer")
        for field in ("by", "levels"):
            for place, name in enumerate(getattr(aggregate, field)):
                _known((*loc, field, place), "name to group by", name, self.group_names(name))

    def group_names(self, like: str = "") -> list[str]:
        """What results can be grouped by; any setting and any metadata is known if `like` is one."""
        dimensions = dict.fromkeys(name for each in self.slices for name in each.dimensions)
        metadata = dict.fromkeys(name for each in self.slices for name in each.dataset.fields.metadata)
        params = [like] if like.startswith("params.") else []
        return [
            "slice", "model", "prompt", "family", "params", "sample", *params,
            *(f"dimensions.{name}" for name in dimensions), *(f"metadata.{name}" for name in metadata),
        ]  # fmt: skip

    def variants_for(self, each: SliceSpec) -> list[PromptVariantSpec]:
        """The prompt variants that apply to a slice, in the benchmark's order."""
        if each.prompt_variants is None and each.prompt_families is None:
            return list(self.prompt_variants)
        ids, families = set(each.prompt_variants or ()), set(each.prompt_families or ())
        return [v for v in self.prompt_variants if v.id in ids or (v.family is not None and v.family in families)]

    def models_for(self, each: SliceSpec) -> list[ModelSpec]:
        """The models that answer a slice, in the benchmark's order; none if it does not generate."""
        if each.generation is None:
            return []
        wanted = each.generation.models
        return [model for model in self.models if wanted is None or model.model_id in wanted]

    def spec_digest(self) -> str:
        """SHA-256 of all that the benchmark says; metadata and prices stay out."""
        data = self.canonical()
        del data["metadata"], data["prices"]
        data["prompt_variants"] = [each.identity() for each in self.prompt_variants]
        judges = (
            judge["model"]
            for each in data["slices"]
            for score in each["scores"]
            for metric in score["metrics"]
            for judge in metric["judge"] or ()
        )
        for model in (*data["models"], *judges):
            del model["price"]
        return digest(data)


def _unique(field: str, key: str, names: list[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            first = names.index(name)
            raise mistake((field, index, key), f"duplicate {key} {name!r}: {field}[{first}] has it already")


def _known(loc: Loc, kind: str, name: str, known: list[str]) -> None:
    if name in known:
        return
    listed = f"Known: {', '.join(_once(known))}." if known else "There is none."
    raise mistake(loc, f"no {kind} {name!r}. {listed}{did_you_mean(name, known)}")


def _reads_raw_answers(each: SliceSpec, name: str | None) -> bool:
    return any(score.name == name and score.parse is None for score in each.scores)


def _once(names: list[str]) -> Iterator[str]:
    return iter(dict.fromkeys(names))
