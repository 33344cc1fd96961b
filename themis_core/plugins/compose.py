"""From specs to components: every name resolved, every config validated, every identity fixed.

Runs nothing. What is wrong is found here, with its place in the spec, before anything is paid for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from themis_core.components import (
    COMPONENT_KINDS,
    Component,
    DatasetLoader,
    Engine,
    Extractor,
    Judge,
    Metric,
    StorageBackend,
)
from themis_core.errors import SpecError
from themis_core.plugins.loading import Plugins
from themis_core.records import Extraction
from themis_core.specs import (
    BenchmarkSpec,
    DatasetSpec,
    ExtractorSpec,
    InferenceParamsSpec,
    MetricSpec,
    ModelSpec,
    ParseSpec,
    ProjectSpec,
    PromptVariantSpec,
    ScoreSpec,
    SliceSpec,
    digest,
)
from themis_core.specs.problems import Place, spec_error

__all__ = [
    "Chain",
    "ComposedModel",
    "ComposedSlice",
    "Composition",
    "LoadedDataset",
    "Scorer",
    "compose",
    "open_storage",
]

C = TypeVar("C", bound=Component)


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

    def identity(self) -> dict[str, Any]:
        return {**_identity(self.component, self.engine), "model_id": self.spec.model_id}


@dataclass(frozen=True, slots=True)
class Chain:
    """A parse: preparing extractors in a row, then extractors of which the first success wins."""

    name: str
    prepare: tuple[Extractor, ...]
    extractors: tuple[tuple[str, Extractor], ...]
    identity: dict[str, Any]

    def extract(self, text: str) -> Extraction:
        """Find the value in a text; the reason is that of the last extractor tried."""
        for extractor in self.prepare:
            prepared = extractor.extract(text)
            if prepared.reason is not None:
                return prepared
            text = prepared.value if isinstance(prepared.value, str) else str(prepared.value)
        found = Extraction(reason="no_match")
        for _, extractor in self.extractors:
            found = extractor.extract(text)
            if found.reason is None:
                break
        return found


@dataclass(frozen=True, slots=True)
class Scorer:
    """One metric or judge of one scoring pass, with the parse that it reads."""

    score: str
    metric: str
    """The label in results."""
    component: str
    scoring: Metric | Judge
    chain: Chain | None
    judge: tuple[ComposedModel, InferenceParamsSpec, int] | None
    """The judging model, its params and repeats, if `scoring` is a judge."""
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
    scorers: tuple[Scorer, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Composition:
    """A benchmark whose every name has become a component."""

    project: ProjectSpec
    benchmark: BenchmarkSpec
    storage_name: str
    storage: StorageBackend
    slices: tuple[ComposedSlice, ...]
    examples: Mapping[str, LoadedDataset]
    """Datasets of few-shot examples by prompt variant id."""
    plugins: Plugins
    base_dir: Path
    project_dir: Path

    def models(self) -> list[ComposedModel]:
        """All models that may be called, judges included, each once."""
        found: dict[int, ComposedModel] = {}
        for each in self.slices:
            for model in each.models:
                found.setdefault(id(model.engine), model)
            for scorer in each.scorers:
                if scorer.judge is not None:
                    found.setdefault(id(scorer.judge[0].engine), scorer.judge[0])
        return list(found.values())


def compose(
    project: ProjectSpec,
    benchmark: BenchmarkSpec,
    *,
    base_dir: Path,
    project_dir: Path,
    place: Place,
    project_place: Place,
) -> Composition:
    """Resolve, validate and check every component that the specs name.

    Raises SpecError with its place in the spec, or PluginError.
    """
    composer = _Composer(_plugins(project, project_dir), base_dir)
    for namespace in project.plugins:
        composer.named(namespace, project_place.at("plugins", namespace))
    for index, namespace in enumerate(project.observers):
        composer.named(namespace, project_place.at("observers", index))
    storage_name, storage = composer.storage(project, project_place, project_dir)
    composer.models = {
        model.model_id: composer.model(model, place.at("models", index)) for index, model in enumerate(benchmark.models)
    }
    examples = {
        variant.id: composer.dataset(
            variant.examples.dataset, place.at("prompt_variants", index, "examples", "dataset")
        )
        for index, variant in enumerate(benchmark.prompt_variants)
        if variant.examples is not None and variant.examples.dataset is not None
    }
    slices = tuple(
        composer.slice(benchmark, each, place.at("slices", index)) for index, each in enumerate(benchmark.slices)
    )
    return Composition(
        project, benchmark, storage_name, storage, slices, examples, composer.plugins, base_dir, project_dir
    )


def open_storage(project: ProjectSpec, project_dir: Path, place: Place) -> tuple[str, StorageBackend]:
    """Compose the storage alone, for commands that only read what is stored."""
    return _Composer(_plugins(project, project_dir), project_dir).storage(project, place, project_dir)


def _plugins(project: ProjectSpec, project_dir: Path) -> Plugins:
    return Plugins({name: project_dir / Path(path).expanduser() for name, path in project.plugins.items()})


class _Composer:
    """One composition under way; components of equal name and config are made once."""

    def __init__(self, plugins: Plugins, base_dir: Path) -> None:
        self.plugins = plugins
        self.base_dir = base_dir
        self.models: dict[str, ComposedModel] = {}
        self._made: dict[str, tuple[str, Component]] = {}

    def named(self, namespace: str, place: Place) -> None:
        try:
            self.plugins.load(namespace)
        except SpecError as error:
            raise place.error(error.message) from error

    def component(
        self, base: type[C], name: str, config: Mapping[str, Any], name_at: Place, config_at: Place, base_dir: Path
    ) -> tuple[str, C]:
        kind = next(kind for kind, cls in COMPONENT_KINDS.items() if cls is base)
        try:
            full_name, cls = self.plugins.resolve(kind, name)
        except SpecError as error:
            raise name_at.error(error.message) from error
        try:
            made = cls.model_validate(dict(config))
        except ValidationError as error:
            raise spec_error(error, cls, config_at) from error
        # Checked once: a component may prepare for its use here (index a file, say), and holds on to that.
        known = f"{kind} {full_name} {digest(made.model_dump(mode='json', by_alias=True))}"
        if known not in self._made:
            _check(made, base_dir, name_at, config_at)
            self._made[known] = (full_name, made)
        return cast(tuple[str, C], self._made[known])

    def storage(self, project: ProjectSpec, place: Place, project_dir: Path) -> tuple[str, StorageBackend]:
        config = project.storage.model_dump(mode="json")
        name = config.pop("backend")
        at = place / "storage"
        return self.component(StorageBackend, name, config, at / "backend", at, project_dir)  # type: ignore[type-abstract]

    def dataset(self, spec: DatasetSpec, place: Place) -> LoadedDataset:
        name, loader = self.component(
            DatasetLoader,  # type: ignore[type-abstract]
            spec.source,
            spec.extras,
            place / "source",
            place / "extras",
            self.base_dir,
        )
        return LoadedDataset(spec, name, loader, place)

    def model(self, spec: ModelSpec, place: Place, extras: Mapping[str, Any] | None = None) -> ComposedModel:
        config = {**spec.extras, **(extras or {})}
        name, engine = self.component(
            Engine,  # type: ignore[type-abstract]
            spec.provider,
            config,
            place / "provider",
            place / "extras",
            self.base_dir,
        )
        return ComposedModel(spec, name, engine)

    def slice(self, benchmark: BenchmarkSpec, spec: SliceSpec, place: Place) -> ComposedSlice:
        chains = {parse.name: self.chain(parse, place.at("parses", index)) for index, parse in enumerate(spec.parses)}
        scorers = [
            self.scorer(score, metric, chains, place.at("scores", index, "metrics", number))
            for index, score in enumerate(spec.scores)
            for number, metric in enumerate(score.metrics)
        ]
        generation = spec.generation
        models = tuple(self.models[model.model_id] for model in benchmark.models_for(spec))
        grid = generation.inference_grid if generation and generation.inference_grid else benchmark.inference_grid
        return ComposedSlice(
            spec,
            self.dataset(spec.dataset, place / "dataset"),
            models,
            tuple(benchmark.variants_for(spec)) if generation else (),
            tuple(grid.expand()),
            (generation.num_samples if generation else None) or benchmark.num_samples,
            tuple(scorers),
            place,
        )

    def chain(self, spec: ParseSpec, place: Place) -> Chain:
        prepare = [self.extractor(each, place.at("prepare", i)) for i, each in enumerate(spec.prepare)]
        extractors = [self.extractor(each, place.at("extractors", i)) for i, each in enumerate(spec.extractors)]
        identity = {
            "prepare": [_identity(name, each) for name, each in prepare],
            "extractors": [_identity(name, each) for name, each in extractors],
        }
        return Chain(spec.name, tuple(each for _, each in prepare), tuple(extractors), identity)

    def extractor(self, spec: ExtractorSpec, place: Place) -> tuple[str, Extractor]:
        return self.component(
            Extractor,  # type: ignore[type-abstract]
            spec.id,
            spec.config,
            place / "id",
            place / "config",
            self.base_dir,
        )

    def scorer(self, score: ScoreSpec, spec: MetricSpec, chains: Mapping[str, Chain], place: Place) -> Scorer:
        chain = chains[score.parse] if score.parse is not None else None
        base: type[Any] = Metric if spec.judge is None else Judge
        try:
            name, scoring = self.component(base, spec.id, spec.config, place / "id", place / "config", self.base_dir)
        except SpecError as error:
            if spec.judge is None and "There is a judge" in error.message:
                raise SpecError(
                    f"{error.message} It needs `judge:` with the judging model.",
                    path=error.path,
                    line=error.line,
                    loc=error.loc,
                ) from error
            raise
        judge = None
        judged: dict[str, Any] | None = None
        if spec.judge is not None:
            model = self.model(spec.judge.model, place.at("judge", "model"), spec.judge.extras)
            judge = (model, spec.judge.params, spec.judge.repeats)
            judged = {**model.identity(), "params": spec.judge.params.given(), "repeats": spec.judge.repeats}
        whole = digest([_identity(name, scoring), chain.identity if chain else None, judged])
        return Scorer(score.name, spec.label, name, scoring, chain, judge, whole)


def _identity(name: str, component: Component) -> dict[str, Any]:
    return {"component": name, "version": component.version, "config": component.identity()}


def _check(component: Component, base_dir: Path, name_at: Place, config_at: Place) -> None:
    try:
        component.check(base_dir)
    except SpecError as error:
        if error.path is not None:
            raise
        raise config_at.error(error.message) from error
    except ValueError as error:
        raise config_at.error(str(error)) from error
