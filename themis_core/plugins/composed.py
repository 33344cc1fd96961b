"""What a spec has become: models with their engines, parses, scores and slices, each name a component.

Plain values with their identities; nothing is resolved here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from themis_core.components import Component, DatasetLoader, Engine, Extractor, Judge, Metric, Needs
from themis_core.errors import SpecError
from themis_core.plugins.calling import calling
from themis_core.reading import Place
from themis_core.records import Request
from themis_core.specs import DatasetSpec, InferenceParamsSpec, ModelSpec, PromptVariantSpec, SliceSpec

__all__ = [
    "Chain",
    "ComposedModel",
    "ComposedSlice",
    "JudgingModel",
    "LoadedDataset",
    "Scorer",
    "SimulatedUser",
    "identity_of",
]


@dataclass(frozen=True, slots=True)
class LoadedDataset:
    """A dataset spec with its loader."""

    spec: DatasetSpec
    component: str
    loader: DatasetLoader
    place: Place


@dataclass(frozen=True, slots=True)
class ComposedModel:
    """A model with its engine; `identity` is everything of both that can change an answer, without the params."""

    spec: ModelSpec
    component: str
    engine: Engine
    content: str | None = None
    """What keys hold of the code that answers: of the loose file that the engine is from, or of `Engine.code`."""
    handed: tuple[str, ...] | None = None
    """What it was handed of items by a former code; None: what its engine names."""

    def identity(self) -> dict[str, Any]:
        content = {"content": self.content} if self.content else {}
        return {**identity_of(self.component, self.engine), **content, "model": self.spec.sent}

    @property
    def item_fields(self) -> tuple[str, ...]:
        """What it is handed of each item."""
        return tuple(self.engine.item_fields) if self.handed is None else self.handed

    @property
    def needs(self) -> Needs:
        """What one started instance of its engine holds."""
        with calling(self.component, "needs"):
            return self.engine.needs

    @property
    def reads_prompt(self) -> bool:
        """Whether the model is put a prompt."""
        return bool(self.engine.reads_prompt)

    def check_params(self, params: dict[str, Any], place: Place) -> None:
        """Let the engine refuse settings, as requests will hold them, that it doesn't take. Raises SpecError there."""
        try:
            with calling(self.component, "check_params", but=(ValueError,)):
                self.engine.check_params(params)
        except ValueError as error:
            raise place.error(f"model {self.spec.model_id!r}: engine {self.component!r}: {error}") from error

    def check_content(self) -> None:
        """Let the engine look through what it has only taken a digest of. Raises SpecError."""
        try:
            with calling(self.component, "check_content", but=(SpecError, ValueError)):
                self.engine.check_content()
        except ValueError as error:
            raise SpecError(f"model {self.spec.model_id!r}: engine {self.component!r}: {error}") from error

    def check_request(self, request: Request, variant: str, place: Place) -> None:
        """Let the engine refuse a request of a prompt variant that it can't send. Raises SpecError there."""
        try:
            with calling(self.component, "check_request", but=(ValueError,)):
                self.engine.check_request(request)
        except ValueError as error:
            who = f"model {self.spec.model_id!r}: engine {self.component!r}"
            raise place.error(f"{who} can't be sent prompt variant {variant!r}: {error}") from error


@dataclass(frozen=True, slots=True)
class Chain:
    """A parse: preparing extractors in a row, then extractors of which the first success wins."""

    name: str
    prepare: tuple[tuple[str, Extractor], ...]
    """Each with the name of its component, here and below."""
    extractors: tuple[tuple[str, Extractor], ...]
    identity: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JudgingModel:
    """A model that a judge asks, its settings, and how often it is asked each question."""

    model: ComposedModel
    params: InferenceParamsSpec
    repeats: int

    def identity(self) -> dict[str, Any]:
        own = self.model.spec.params.canonical()  # applied to what the judge's questions ask for as well
        return {**self.model.identity(), "params": self.params.given(), "own": own, "repeats": self.repeats}


@dataclass(frozen=True, slots=True)
class SimulatedUser:
    """A model that plays the user of a conversation, and its settings."""

    model: ComposedModel
    params: InferenceParamsSpec
    place: Place


@dataclass(frozen=True, slots=True)
class Scorer:
    """One metric or judge of one scoring pass, with the parse that it reads."""

    score: str
    metric: str
    """The label in results."""
    component: str
    scoring: Metric | Judge
    chain: Chain | None
    judges: tuple[JudgingModel, ...] | None
    """The models that are asked if `scoring` is a judge; none for a judge that knows its verdicts."""
    baseline: ComposedModel | None
    """The model whose answers the judge compares with."""
    digest: str
    """Of everything that can change the score but the item and the answer."""


@dataclass(frozen=True, slots=True)
class ComposedSlice:
    """A slice with its components. `models` and `variants` are empty if it generates nothing."""

    spec: SliceSpec
    dataset: LoadedDataset
    models: tuple[ComposedModel, ...]
    variants: tuple[PromptVariantSpec, ...]
    params: tuple[InferenceParamsSpec, ...]
    num_samples: int
    """Of each item; 1 of recorded outputs."""
    scorers: tuple[Scorer, ...]
    place: Place
    users: Mapping[str, SimulatedUser] = field(default_factory=dict)
    """By prompt variant id, the models that play the user."""


def identity_of(name: str, component: Component) -> dict[str, Any]:
    """Everything of a component that can change its output."""
    return {"component": name, "version": component.version, "config": component.identity()}
