"""From specs to components: every name resolved, every config validated, every identity fixed.

Runs nothing. What is wrong is found here, with its place in the spec, before anything is paid for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from themis_core.components import (
    Component,
    Conclusion,
    DatasetLoader,
    Engine,
    Extractor,
    Judge,
    Metric,
    Needs,
    StorageBackend,
)
from themis_core.errors import SpecError
from themis_core.plugins.batchable import check_batches
from themis_core.plugins.composed import (
    Chain,
    ComposedModel,
    ComposedSlice,
    JudgingModel,
    LoadedDataset,
    Scorer,
    SimulatedUser,
    identity_of,
)
from themis_core.plugins.loading import Plugins
from themis_core.plugins.making import Maker, checked
from themis_core.plugins.pricing import Prices
from themis_core.reading import LoadedSpecs, Place, resolve_path
from themis_core.specs import (
    BenchmarkSpec,
    ConclusionSpec,
    DatasetSpec,
    ExtractorSpec,
    JudgeInferenceSpec,
    MetricSpec,
    ModelSpec,
    ParseSpec,
    ProjectSpec,
    PromptVariantSpec,
    ScoreSpec,
    SimulatedUserSpec,
    SliceSpec,
    digest,
    kind_and_k,
)

__all__ = ["Composition", "compose", "compose_chain", "open_storage", "plugins_of"]


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
    conclusions: tuple[tuple[str, Conclusion], ...]
    """Each with the name of its component."""
    plugins: Plugins
    base_dir: Path
    project_dir: Path
    """From the root: a component may change the working directory while the store is written to."""
    location: str
    """Where the store is, for people."""
    prices: Mapping[str, Any] | None = None
    """Where prices are from, and which were taken; None if each model has its own, or none."""

    def models(self) -> list[ComposedModel]:
        """All models that may be called, judges and simulated users included, each once; those of equal config share an
        engine."""
        found: dict[tuple[int, str], ComposedModel] = {}
        for model in self._called():
            found.setdefault((id(model.engine), model.spec.sent), model)
        return list(found.values())

    def by_engine(self) -> list[ComposedModel]:
        """One of these models for each engine."""
        return list({id(model.engine): model for model in self.models()}.values())

    def needs(self) -> Needs:
        """What a process that works on the run holds: the sum over its engines, each of which is started once."""
        return sum((model.needs for model in self.by_engine()), Needs())

    def variables(self) -> list[str]:
        """The environment variables that components name in fields `*_env`: of keys, of the store's URL; sorted."""
        named: set[Any] = set()
        for component in self._components():
            for name in type(component).model_fields:
                value = getattr(component, name) if name.endswith("_env") else None
                named.update(value.values() if isinstance(value, dict) else [value])
        return sorted(each for each in named if isinstance(each, str))

    def _components(self) -> Iterator[Component]:
        yield self.storage
        yield from (model.engine for model in self.models())
        yield from (each.loader for each in self.examples.values())
        yield from (conclusion for _, conclusion in self.conclusions)
        for each in self.slices:
            yield each.dataset.loader
            for scorer in each.scorers:
                yield scorer.scoring
                if scorer.chain is not None:
                    yield from (part for _, part in (*scorer.chain.prepare, *scorer.chain.extractors))

    @property
    def priced(self) -> bool:
        """Whether any model that may be called has a price, or an engine that tells what answers cost."""
        return any(model.spec.price or model.engine.capabilities.costs for model in self._called())

    def _called(self) -> Iterator[ComposedModel]:
        for each in self.slices:
            yield from each.models
            yield from (user.model for user in each.users.values())
            yield from (judge.model for scorer in each.scorers for judge in scorer.judges or ())


def compose(loaded: LoadedSpecs) -> Composition:
    """Resolve, validate and check every component that the specs name.

    Raises SpecError with its place in the spec, or PluginError.
    """
    project, benchmark, place, project_place = loaded.project, loaded.benchmark, loaded.place, loaded.project_place
    plugins = plugins_of(project, loaded.project_dir)
    prices = Prices(benchmark.prices, plugins, loaded.base_dir, place / "prices")
    composer = _Composer(plugins, loaded.base_dir, project.execution_policy.max_cost, prices)
    for namespace in project.plugins:
        composer.maker.named(namespace, project_place.at("plugins", namespace))
    for index, namespace in enumerate(project.observers):
        composer.maker.named(namespace, project_place.at("observers", index))
    storage_name, storage = composer.storage(project, project_place, loaded.project_dir)
    composer.models = {
        model.model_id: composer.model(model, place.at("models", index)) for index, model in enumerate(benchmark.models)
    }
    composer.users = {
        variant.id: composer.user(user, place.at("prompt_variants", index, "conversation", "user"))
        for index, variant in enumerate(benchmark.prompt_variants)
        if variant.conversation is not None and (user := variant.conversation.user) is not None
    }
    policy = project.execution_policy
    if policy.batches is not None:
        at = project_place.at("execution_policy", "batches")
        check_batches(policy.batches, benchmark, composer.models, at, policy.max_cost)
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
    for index, aggregate in enumerate(benchmark.aggregates):
        for each in slices:
            if aggregate.repeats is not None and any(score.name == aggregate.score for score in each.spec.scores):
                _, needed = kind_and_k(aggregate.repeats)
                _check_samples(aggregate.repeats, needed, each, place.at("aggregates", index, "repeats"))
    conclusions = tuple(
        composer.conclusion(benchmark, each, place.at("conclusions", index))
        for index, each in enumerate(benchmark.conclusions)
    )
    composition = Composition(
        project, benchmark, storage_name, storage, slices, examples, conclusions, plugins,
        loaded.base_dir, loaded.project_dir.absolute(), storage.location(loaded.project_dir), prices.provenance(),
    )  # fmt: skip
    able = [(each.spec, each.engine.capabilities) for each in composition.models()]
    prices.warn_of_none(spec for spec, can in able if not (can.local or can.costs))
    for index, threshold in enumerate(benchmark.thresholds):
        if threshold.measure == "cost" and not composition.priced:
            told = "cost can't be measured: `prices` has none for any model"
            raise place.at("thresholds", index, "measure").error(told)
    return composition


def compose_chain(plugins: Plugins, parse: ParseSpec, base_dir: Path) -> Chain:
    """Compose one parse alone, to read stored answers by it."""
    return _Composer(plugins, base_dir).chain(parse, Place(None, ("parses", parse.name)))


def open_storage(project: ProjectSpec, project_dir: Path, place: Place) -> tuple[str, StorageBackend]:
    """Compose the storage alone, for commands that only read what is stored."""
    return _Composer(plugins_of(project, project_dir), project_dir).storage(project, place, project_dir)


def plugins_of(project: ProjectSpec, project_dir: Path) -> Plugins:
    """What is installed, and the loose files that the project names."""
    loose = project.loose_plugins()
    return Plugins(
        {name: resolve_path(each.path, project_dir) for name, each in loose.items()},
        {name: each.identity for name, each in loose.items()},
    )


class _Composer:
    """One composition under way."""

    def __init__(
        self, plugins: Plugins, base_dir: Path, max_cost: float | None = None, prices: Prices | None = None
    ) -> None:
        self.prices = prices or Prices(None, plugins, base_dir, Place())
        self.plugins = plugins
        self.base_dir = base_dir
        self.max_cost = max_cost
        self.models: dict[str, ComposedModel] = {}
        self.users: dict[str, SimulatedUser] = {}
        self.maker = Maker(plugins)

    def storage(self, project: ProjectSpec, place: Place, project_dir: Path) -> tuple[str, StorageBackend]:
        config = project.storage.model_dump(mode="json")
        name = config.pop("backend")
        at = place / "storage"
        return self.maker.component(StorageBackend, name, config, at / "backend", at, project_dir)  # type: ignore[type-abstract]

    def dataset(self, spec: DatasetSpec, place: Place) -> LoadedDataset:
        name, loader = self.maker.component(
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
        name, engine = self.maker.component(
            Engine,  # type: ignore[type-abstract]
            spec.provider,
            config,
            place / "provider",
            place / "extras",
            self.base_dir,
            [spec.sent],
        )
        price = self.prices.of(spec, name, engine)
        if price is not spec.price:
            spec = spec.model_copy(update={"price": price})
        able = engine.capabilities
        if self.max_cost is not None and price is None and not (able.local or able.costs):
            raise place.error(
                f"model {spec.model_id!r} has no price, so max_cost can't bound what it spends: "
                "give it a `price` (of 0 if its calls cost nothing), or take max_cost out"
            )
        content = self.plugins.loose_engine_content(name.partition("/")[0])
        if (code := engine.code) is not None:
            content = code.content if content is None else digest([content, code.content])
        return ComposedModel(spec, name, engine, content)

    def user(self, spec: SimulatedUserSpec, place: Place) -> SimulatedUser:
        model = self.model(spec.model, place / "model")
        _check_asks(model, "the turns of a simulated user", place / "model")
        return SimulatedUser(model, spec.params, place)

    def slice(self, benchmark: BenchmarkSpec, spec: SliceSpec, place: Place) -> ComposedSlice:
        chains = {parse.name: self.chain(parse, place.at("parses", index)) for index, parse in enumerate(spec.parses)}
        generation = spec.generation
        models = tuple(self.models[model.model_id] for model in benchmark.models_for(spec))
        scorers = [
            self.scorer(score, metric, chains, models, place.at("scores", index, "metrics", number))
            for index, score in enumerate(spec.scores)
            for number, metric in enumerate(score.metrics)
        ]
        variants = tuple(benchmark.variants_for(spec)) if generation else ()
        _check_variants(spec, models, variants, place)
        grid = generation.inference_grid if generation and generation.inference_grid else benchmark.inference_grid
        composed = ComposedSlice(
            spec,
            self.dataset(spec.dataset, place / "dataset"),
            models,
            variants if any(model.reads_prompt for model in models) else (),
            tuple(grid.expand()),
            generation.num_samples or benchmark.num_samples if generation else 1,
            tuple(scorers),
            place,
            {variant.id: self.users[variant.id] for variant in variants if variant.id in self.users},
        )
        for each in scorers:
            who = each.metric if each.metric == each.component else f"{each.metric} ({each.component})"
            _check_samples(who, each.scoring.fewest_samples, composed, place / "scores")
        return composed

    def chain(self, spec: ParseSpec, place: Place) -> Chain:
        prepare = [self.extractor(each, place.at("prepare", i)) for i, each in enumerate(spec.prepare)]
        extractors = [self.extractor(each, place.at("extractors", i)) for i, each in enumerate(spec.extractors)]
        identity = {
            "prepare": [self._identity(name, each) for name, each in prepare],
            "extractors": [self._identity(name, each) for name, each in extractors],
        }
        return Chain(spec.name, tuple(prepare), tuple(extractors), identity)

    def extractor(self, spec: ExtractorSpec, place: Place) -> tuple[str, Extractor]:
        return self.maker.component(
            Extractor,  # type: ignore[type-abstract]
            spec.id,
            spec.config,
            place / "id",
            place / "config",
            self.base_dir,
        )

    def conclusion(self, benchmark: BenchmarkSpec, spec: ConclusionSpec, place: Place) -> tuple[str, Conclusion]:
        name, made = self.maker.component(
            Conclusion,  # type: ignore[type-abstract]
            spec.id,
            spec.config,
            place / "id",
            place / "config",
            self.base_dir,
        )
        checked(partial(made.check_spec, benchmark), f"{name}.check_spec", place / "config")
        return name, made

    def scorer(
        self,
        score: ScoreSpec,
        spec: MetricSpec,
        chains: Mapping[str, Chain],
        models: Sequence[ComposedModel],
        place: Place,
    ) -> Scorer:
        chain = chains[score.parse] if score.parse is not None else None
        read = chain.identity if chain else None
        base: type[Any] = Judge if spec.judge or self._is_judge(spec.id) else Metric
        ids = [model.spec.model_id for model in models]
        name, scoring = self.maker.component(
            base, spec.id, spec.config, place / "id", place / "config", self.base_dir, ids
        )
        if not isinstance(scoring, Judge):
            whole = digest([self._identity(name, scoring), read, None])
            return Scorer(score.name, spec.label, name, scoring, chain, None, None, whole)
        if spec.judge and not scoring.asks_models:
            raise (place / "judge").error(f"{name} asks no model, it knows its verdicts: remove `judge`")
        if not spec.judge and scoring.asks_models:
            raise (place / "id").error(f"{name} is a judge: it needs `judge:` with the judging model")
        judges = tuple(
            self.judging(name, scoring, each, place.at("judge", index)) for index, each in enumerate(spec.judge or ())
        )
        baseline = _baseline(scoring, models, place / "config")
        judged = [each.identity() for each in judges]
        _check_judges(judges, place / "judge")
        whole = digest([self._identity(name, scoring), read, judged, baseline.identity() if baseline else None])
        return Scorer(score.name, spec.label, name, scoring, chain, judges, baseline, whole)

    def _identity(self, name: str, component: Component) -> dict[str, Any]:
        """Of what reads and scores: with the content of a loose file, whatever is said of its engines. It costs no
        call."""
        content = self.plugins.loose_content(name.partition("/")[0])
        return {**identity_of(name, component), **({"content": content} if content else {})}

    def _is_judge(self, name: str) -> bool:
        namespace, _, component = name.partition("/")
        try:
            offers = self.plugins.load(namespace).offers
        except SpecError:
            return False  # reported with its place when the component is made
        return component in offers["judge"] and component not in offers["metric"]

    def judging(self, name: str, judge: Judge, spec: JudgeInferenceSpec, place: Place) -> JudgingModel:
        model = self.model(spec.model, place / "model", spec.extras)
        _check_asks(model, f"the questions of {name}", place)
        given = {**spec.params.given(), **spec.model.params.set.given()}
        wanted = set(judge.requires) | _needs(given)
        for capability in sorted(wanted):
            if not getattr(model.engine.capabilities, capability):
                raise place.error(
                    f"{name} needs {capability}, which engine {model.component!r} of model {spec.model.model_id!r} "
                    "can't do: choose another engine, or a config of the judge without it"
                )
        return JudgingModel(model, spec.params, spec.repeats)


def _needs(params: Mapping[str, Any]) -> set[str]:
    """The capabilities that settings need."""
    by_setting = {
        "logprobs": "logprobs", "top_logprobs": "logprobs", "response_format": "structured",
        "tools": "tools", "tool_choice": "tools",
    }  # fmt: skip
    return {capability for name, capability in by_setting.items() if params.get(name)}


def _check_variants(
    spec: SliceSpec, models: Sequence[ComposedModel], variants: Sequence[PromptVariantSpec], place: Place
) -> None:
    """Refuse models that are to be put a prompt where there is none, and prompts that nobody reads."""
    reading = [model for model in models if model.reads_prompt]
    if reading and not variants:
        others = f" (model {reading[0].spec.model_id!r} reads one)" if len(reading) < len(models) else ""
        raise (place / "generation").error(f"the slice generates, but no prompt variant applies to it{others}")
    named = next((name for name in ("prompt_variants", "prompt_families") if getattr(spec, name) is not None), None)
    if models and not reading and named:
        engines = ", ".join(dict.fromkeys(model.component for model in models))
        raise (place / named).error(f"no model of the slice reads a prompt ({engines}): remove {named}")


def _check_asks(model: ComposedModel, asked: str, place: Place) -> None:
    """Refuse a model that would not be asked what a judge or a conversation asks; `asked` says what that is."""
    who = f"engine {model.component!r} of model {model.spec.model_id!r}"
    if not model.reads_prompt:
        raise place.error(f"{who} reads no prompt, so it can't be asked {asked}")
    if needed := [name for name in model.engine.item_fields if not name.endswith("?")]:
        raise place.error(
            f"{who} has to be handed parts of the item ({', '.join(needed)}), and {asked} have none: choose "
            "another engine, or a config of this one that reads the messages alone"
        )


def _check_samples(who: str, needed: int, composed: ComposedSlice, place: Place) -> None:
    """Refuse what can make no number of so few samples of an item, before they are paid for."""
    if needed <= composed.num_samples:
        return
    told = f"draws {composed.num_samples}: set `num_samples` to {needed} or more"
    if composed.spec.generation is None:
        told = "has recorded outputs, one of each item"
    raise place.error(f"{who} needs {needed} samples of each item, and slice {composed.spec.slice_id!r} {told}")


def _check_judges(judges: Sequence[JudgingModel], place: Place) -> None:
    """Refuse two labels for one judging model: it would be asked once, and its verdict would count twice."""
    labels: dict[str, str] = {}
    for index, each in enumerate(judges):
        asked = digest(each.identity() | {"repeats": 1})
        own = each.model.spec.model_id
        if (other := labels.setdefault(asked, own)) != own:
            raise place.at(index).error(
                f"the judging models {other!r} and {own!r} are one, so they would be asked once and counted twice: "
                "remove one, or use `repeats` to ask it several times"
            )


def _baseline(judge: Judge, models: Sequence[ComposedModel], place: Place) -> ComposedModel | None:
    wanted = judge.baseline_model
    if wanted is None:
        return None
    for model in models:
        if model.spec.model_id == wanted:
            return model
    known = ", ".join(model.spec.model_id for model in models)
    raise place.error(
        f"the baseline {wanted!r} is no model of this slice, so it gives no answers to compare with. "
        + (f"Models: {known}." if known else "The slice generates nothing.")
    )
