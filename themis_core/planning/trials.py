"""Trials and their identities: what would be asked, as a stream; nothing is asked here.

The keys, and what each holds (all SHA-256 over canonical JSON):

    generation key = engine, its identity and version, model as sent, params · messages · item id · sample index · seed
                     (a follow-up turn: the key of the turn before · its own message)
    score key      = generation key · item content · parse chain and metric or judge, each with config and version
                     (a judge that compares: the generation key of the baseline's answer as well)
    trial id       = dataset identity · item id and content · prompt variant · model and params · sample index
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from themis_core.components import Capabilities, Judge, JudgedAnswer, JudgeRequest
from themis_core.errors import SpecError
from themis_core.planning.few_shot import Leak, leaks_of, taken
from themis_core.planning.handing import own
from themis_core.planning.items import Items
from themis_core.planning.scorable import Unscorable, unscorable_items
from themis_core.planning.settings import check_judging_params, check_model_params, own_settings
from themis_core.planning.templates import Prompt
from themis_core.plugins import ComposedModel, ComposedSlice, Composition, LoadedDataset, Scorer, from_outside
from themis_core.records import Generation, Item, Request
from themis_core.specs import InferenceParamsSpec, PromptVariantSpec, digest
from themis_core.specs.problems import Place

__all__ = ["Baseline", "Plan", "PlannedSlice", "Trial", "make_plan", "questions", "score_key"]

RECORDED = "recorded"
"""Model, variant and settings of a trial whose output its item carries."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What another model of the slice is asked where this trial's model is asked the same."""

    model: ComposedModel
    requests: tuple[Request, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """One item × prompt variant × model × settings × sample: complete, and independent of every other."""

    slice_id: str
    trial_id: str
    item: Item
    prompt_variant_id: str
    model_id: str
    params: str
    sample_index: int
    requests: tuple[Request, ...]
    """One per turn, the messages of each without the model's earlier answers."""
    model: ComposedModel | None
    """None if the item carries its output."""
    baselines: tuple[Baseline, ...] = ()
    """What its judges compare with."""

    @property
    def key(self) -> str:
        """Key of the generation that is scored: the last turn's."""
        return self.requests[-1].key

    @property
    def needed(self) -> tuple[Request, ...]:
        """Its own requests, and those of its baselines."""
        if not self.baselines:
            return self.requests
        return self.requests + tuple(request for each in self.baselines for request in each.requests)

    def baseline_of(self, scorer: Scorer) -> Baseline | None:
        """What a judge compares this trial with; None if with nothing, or if the trial is of the baseline itself."""
        if scorer.baseline is None:
            return None
        return next((each for each in self.baselines if each.model is scorer.baseline), None)

    def score_key(self, scorer: Scorer) -> str:
        """Identity of one score: equal keys have equal scores."""
        baseline = self.baseline_of(scorer)
        label = self.model_id if self.model is not None and self.model.spec.sent != self.model_id else None
        return score_key(self.key, self.item, scorer, baseline.requests[-1].key if baseline else None, label)


@dataclass(frozen=True, slots=True)
class _Condition:
    """One model with one setting: what is the same for all trials that share them."""

    model: ComposedModel
    label: str
    params: dict[str, Any]
    head: str
    """Digest of all of a generation key that comes from engine, model and settings."""


@dataclass(frozen=True, slots=True)
class PlannedSlice:
    """A slice with its items surveyed and its prompts compiled."""

    composed: ComposedSlice
    items: Items
    prompts: tuple[Prompt, ...]
    dataset_identity: str

    @property
    def scorers(self) -> tuple[Scorer, ...]:
        return self.composed.scorers

    def count(self, models: Sequence[ComposedModel] | None = None) -> int:
        """Number of trials, of these models or of all."""
        if self.composed.spec.generation is None:
            return self.items.count
        chosen = self.composed.models if models is None else [m for m in self.composed.models if m in models]
        settings = sum(len(_conditions(model, self.composed.params)) for model in chosen)
        return self.items.count * len(self.prompts) * settings * self.composed.num_samples


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do. `run_id` is fixed by the specs, the data and the components: equal plans are one run."""

    composition: Composition
    slices: tuple[PlannedSlice, ...]
    unscorable: tuple[Unscorable, ...]
    """The items to which no answer can be scored."""
    leaks: tuple[Leak, ...]
    """The items that are among the examples of their prompts."""
    spec_digest: str
    plan_digest: str

    @property
    def run_id(self) -> str:
        return f"{self.composition.benchmark.benchmark_id}-{self.plan_digest[:12]}"

    def count(self) -> int:
        """Number of trials in all."""
        return sum(each.count() for each in self.slices)

    def trials(self, endpoint: str | None = None) -> Iterator[Trial]:
        """Stream the trials of the models at one endpoint, item by item; None: those whose items carry outputs."""
        seed = self.composition.project.global_seed
        for planned in self.slices:
            if planned.composed.spec.generation is None:
                if endpoint is None:
                    yield from _recorded_trials(planned)
            elif endpoint is not None:
                models = [model for model in planned.composed.models if model.engine.endpoint == endpoint]
                if models:
                    yield from _generated_trials(planned, models, seed)

    def endpoints(self) -> list[str]:
        """The endpoints of all models under test, in the order of the spec."""
        return list(dict.fromkeys(model.engine.endpoint for each in self.slices for model in each.composed.models))


def make_plan(composition: Composition, place: Place) -> Plan:
    """Survey every dataset and render every prompt for every item: no mistake is left to be found once calls are paid.

    `place` is the benchmark's. Raises SpecError.
    """
    check_model_params(composition, place)
    seed = composition.project.global_seed or 0
    surveyed: dict[str, Items] = {}
    slices = []
    leaks: list[Leak] = []
    prompts = _Prompts(composition, seed, place)
    for each in composition.slices:
        known = digest([each.spec.dataset.canonical(), each.spec.dataset_query.canonical()])
        if known not in surveyed:
            at = each.place / "dataset_query"
            surveyed[known] = Items(each.dataset, each.spec.dataset_query, composition.base_dir, seed, at)
        planned = PlannedSlice(each, surveyed[known], prompts.of(each), _dataset_identity(each.dataset))
        _check(planned)
        _check_judges(planned)
        slices.append(planned)
        leaks += leaks_of(each.spec.slice_id, planned.items, planned.prompts)
    spec_digest = composition.benchmark.spec_digest()
    identity = [
        composition.project.project_name,
        composition.project.global_seed,
        spec_digest,
        [[each.items.digest, [prompt.digest for prompt in each.prompts]] for each in slices],
        [leak.digest for leak in leaks],
        [model.identity() for model in composition.models()],
        [[scorer.digest for scorer in each.scorers] for each in slices],
    ]
    refused = [
        found for each in slices for found in unscorable_items(each.composed.spec.slice_id, each.items, each.scorers)
    ]
    return Plan(composition, tuple(slices), tuple(refused), tuple(leaks), spec_digest, digest(identity))


def score_key(
    generation_key: str, item: Item, scorer: Scorer, baseline_key: str | None = None, label: str | None = None
) -> str:
    """Identity of one score: equal keys have equal scores. `baseline_key` is that of the answer compared with.

    `label` is the model's, where that is not the name in the generation key: judges are told the label.
    """
    parts: list[Any] = [generation_key, item.digest, scorer.digest, *([baseline_key] if baseline_key else ())]
    return digest([*parts, {"label": label}] if label and isinstance(scorer.scoring, Judge) else parts)


class _Prompts:
    """The prompts of a benchmark, each once for slices on the dataset of its examples and once for all others."""

    def __init__(self, composition: Composition, seed: int, place: Place) -> None:
        self._composition = composition
        self._seed = seed
        self._place = place
        self._made: dict[tuple[str, bool], Prompt] = {}

    def of(self, each: ComposedSlice) -> tuple[Prompt, ...]:
        variants = self._composition.benchmark.prompt_variants
        return tuple(self._prompt(variant, variants.index(variant), each) for variant in each.variants)

    def _prompt(self, variant: PromptVariantSpec, index: int, each: ComposedSlice) -> Prompt:
        dataset = self._composition.examples.get(variant.id)
        by_id = dataset is not None and _dataset_identity(dataset) == _dataset_identity(each.dataset)
        if (variant.id, by_id) not in self._made:
            at = self._place.at("prompt_variants", index)
            shown, spares = taken(variant.examples, dataset, self._composition.base_dir, self._seed, at)
            self._made[variant.id, by_id] = Prompt(variant, shown, at, spares, by_id=by_id)
        return self._made[variant.id, by_id]


def _check(planned: PlannedSlice) -> None:
    composed = planned.composed
    for model in composed.models:
        for _, params in _conditions(model, composed.params):
            sent = own_settings(model.spec, params)
            _check_capabilities(model, sent, planned.prompts, composed.place / "generation")
    _check_labels(composed)
    if composed.spec.generation is None:
        for item in planned.items:
            if item.output is None:
                raise (composed.place / "generation").error(
                    f"item {item.id!r} carries no output, and none is generated"
                )
        return
    for item in planned.items:
        for prompt in planned.prompts:
            prompt.messages(item)
            prompt.follow_ups(item)


def _check_labels(composed: ComposedSlice) -> None:
    """Refuse two labels for one thing: each call would be made once, and both rows would show the same answers."""
    labels: dict[str, str] = {}
    for model in composed.models:
        for params in composed.params:
            other = labels.setdefault(_condition(model, params).head, model.spec.model_id)
            if other != model.spec.model_id:
                raise (composed.place / "generation").error(
                    f"the models {other!r} and {model.spec.model_id!r} are one: the same {model.spec.sent!r} of "
                    f"one engine ({model.component}), with settings that ask the same "
                    f"({params.label()}). Remove one; to draw several answers of a model, use num_samples"
                )


def _check_judges(planned: PlannedSlice) -> None:
    """Let each judge write its questions about every item, so that a mistake in its prompt is found now."""
    composed = planned.composed
    places = [
        composed.place.at("scores", index, "metrics", number)
        for index, score in enumerate(composed.spec.scores)
        for number, _ in enumerate(score.metrics)
    ]
    judges = [(scorer, place) for scorer, place in zip(planned.scorers, places, strict=True) if scorer.judges]
    asked: dict[str, list[dict[str, Any]]] = {}
    for item in planned.items if judges else ():
        messages = planned.prompts[0].messages(item) if planned.prompts else ()
        for scorer, place in judges:
            try:
                written = questions(scorer, item, messages)
            except SpecError as error:
                raise (place / "config").error(error.message) from error
            # What is no request costs the judge its score in the run, and is told there.
            if params := [each.params for each in written or () if _is_request(each)]:
                asked.setdefault(scorer.digest, params)
    for scorer, place in judges:
        if scorer.digest in asked:  # else no question can be written before there is an answer
            check_judging_params(scorer, asked[scorer.digest], place)


def _is_request(written: Any) -> bool:
    return isinstance(written, JudgeRequest) and isinstance(written.params, dict)


def questions(scorer: Scorer, item: Item, messages: Sequence[dict[str, Any]]) -> Sequence[JudgeRequest]:
    """What a judge will ask about an answer to an item, before there is one. Raises SpecError for a bad prompt.

    `messages` are what the model will be sent.
    """
    assert isinstance(scorer.scoring, Judge)
    nothing = Generation("answered")
    baseline = nothing if scorer.baseline else None
    try:
        return scorer.scoring.requests(own(JudgedAnswer(item, nothing, "", messages=messages, baseline=baseline)))
    except SpecError:
        raise
    except BaseException as error:  # a judge of parsed values may not take an empty text, which is no mistake yet
        if from_outside(error):
            raise
        return []


def _check_capabilities(
    model: ComposedModel, params: InferenceParamsSpec, prompts: Sequence[Prompt], place: Place
) -> None:
    able: Capabilities = model.engine.capabilities
    wants = {
        "logprobs": bool(params.logprobs or params.top_logprobs),
        "n": (params.n or 1) > 1,
        "tools": bool(params.tools),
        "images": any(prompt.has_images for prompt in prompts),
    }
    for capability, wanted in wants.items():
        if wanted and not getattr(able, capability):
            raise place.error(f"model {model.spec.model_id!r}: engine {model.component!r} can't do {capability}")
    model.check_params(params.given(), place)


def _dataset_identity(dataset: LoadedDataset) -> str:
    spec = dataset.spec
    return digest([dataset.component, spec.dataset_id, spec.config_name, spec.split, spec.revision])


def _generated_trials(planned: PlannedSlice, models: Sequence[ComposedModel], seed: int | None) -> Iterator[Trial]:
    composed = planned.composed
    conditions = [
        (condition, [_condition(each, params) for each in _rivals(planned.scorers, model)])
        for model in models
        for condition, params in _conditions(model, composed.params)
    ]
    samples = range(composed.num_samples)
    for item in planned.items:
        item_part = digest([planned.dataset_identity, item.id, item.digest])
        for prompt in planned.prompts:
            messages = prompt.messages(item)
            messages_digest = digest(messages)
            follow_ups = prompt.follow_ups(item)
            prompt_digest = prompt.digest_for(item)
            for condition, rivals in conditions:
                for sample in samples:
                    asked = [
                        _requests(
                            each, messages, messages_digest, follow_ups, item.id, sample,
                            _seed(each, seed, item.id, messages_digest, sample),
                        )
                        for each in (condition, *rivals)
                    ]  # fmt: skip
                    yield Trial(
                        composed.spec.slice_id,
                        digest([item_part, prompt.spec.id, prompt_digest, condition.head, sample]),
                        item,
                        prompt.spec.id,
                        condition.model.spec.model_id,
                        condition.label,
                        sample,
                        asked[0],
                        condition.model,
                        tuple(Baseline(each.model, of) for each, of in zip(rivals, asked[1:], strict=True)),
                    )


def _rivals(scorers: Sequence[Scorer], model: ComposedModel) -> list[ComposedModel]:
    """The models with which judges compare this one."""
    found = {each.baseline.spec.model_id: each.baseline for each in scorers if each.baseline is not None}
    return [each for each in found.values() if each is not model]


def _requests(
    condition: _Condition,
    messages: list[dict[str, Any]],
    messages_digest: str,
    follow_ups: list[dict[str, Any]],
    item_id: str,
    sample: int,
    seed: int | None,
) -> tuple[Request, ...]:
    model_id = condition.model.spec.sent
    key = digest([condition.head, messages_digest, item_id, sample, seed])
    first = Request(model_id, messages, condition.params, item_id, sample, seed, key)
    if not follow_ups:
        return (first,)
    turns = [first]
    for message in follow_ups:
        key = digest([key, message])
        turns.append(Request(model_id, [message], condition.params, item_id, sample, seed, key))
    return tuple(turns)


def _condition(model: ComposedModel, params: InferenceParamsSpec) -> _Condition:
    sent = own_settings(model.spec, params)
    given = sent.given()
    return _Condition(model, sent.label(), given, digest([model.identity(), given]))


def _conditions(
    model: ComposedModel, grid: Sequence[InferenceParamsSpec]
) -> list[tuple[_Condition, InferenceParamsSpec]]:
    """The model's own settings, each once, with the first one of the grid that it comes of."""
    found: dict[str, tuple[_Condition, InferenceParamsSpec]] = {}
    for params in grid:
        condition = _condition(model, params)
        found.setdefault(condition.head, (condition, params))
    return list(found.values())


def _seed(condition: _Condition, base: int | None, item_id: str, messages_digest: str, sample: int) -> int | None:
    """The seed of one sample: derived, unless it is sample 0 and the project has no global seed.

    It does not depend on the number of samples, so raising that keeps the samples there are.
    """
    if "seed" in condition.model.spec.params.leave_out:
        return None
    given: int | None = condition.params.get("seed")
    if sample == 0 and (given is not None or base is None):
        return given
    if not condition.model.engine.capabilities.seed:
        return None
    return int(digest([base or 0, given, item_id, messages_digest, sample])[:8], 16) >> 1


def _recorded_trials(planned: PlannedSlice) -> Iterator[Trial]:
    for item in planned.items:
        model_id = item.model or RECORDED
        key = digest([RECORDED, model_id, item.id, item.output])
        yield Trial(
            planned.composed.spec.slice_id,
            digest([planned.dataset_identity, item.id, item.digest, RECORDED, model_id, 0]),
            item,
            RECORDED,
            model_id,
            RECORDED,
            0,
            (Request(model_id, [], {}, item.id, 0, None, key),),
            None,
        )
