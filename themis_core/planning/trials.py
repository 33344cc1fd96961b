"""Trials as a stream, and the plan that they come from: what would be asked; nothing is asked here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from themis_core.components import Capabilities, Judge, JudgedAnswer, JudgeRequest
from themis_core.errors import SpecError
from themis_core.planning.arms import UNPROMPTED, Asking, arms_of, asking_of
from themis_core.planning.conversations import Conversation
from themis_core.planning.few_shot import Leak, leaks_of, taken
from themis_core.planning.handing import NO_PROMPT, handing_of
from themis_core.planning.identities import (
    Baseline,
    Trial,
    condition_of,
    conditions_of,
)
from themis_core.planning.items import Items
from themis_core.planning.scorable import Asked, Unscorable
from themis_core.planning.sendable import check_sendable
from themis_core.planning.settings import check_judging_params, check_model_params, check_user_params, own_settings
from themis_core.planning.templates import Prompt
from themis_core.plugins import (
    ComposedModel,
    ComposedSlice,
    Composition,
    LoadedDataset,
    Scorer,
    calling,
    from_outside,
    in_its_time,
)
from themis_core.reading import Place
from themis_core.records import Generation, Item, Request
from themis_core.specs import InferenceParamsSpec, PromptVariantSpec, digest
from themis_media import Media
from themis_plain import own

__all__ = ["Plan", "PlannedSlice", "questions", "survey"]

WANTED_BY = {
    "logprobs": "`logprobs` or `top_logprobs` asks for it",
    "n": "`n` asks for several choices",
    "tools": "`tools`, or a message with calls of tools, asks for it",
    "structured": "`response_format` asks for it",
    "images": "a part of a prompt is an image",
    "audio": "a part of a prompt is sound",
    "files": "a part of a prompt is a file",
}
"""Capability of an engine to what in a spec needs it."""
RECORDED = "recorded"
"""Model, variant and settings of a trial whose output its item carries."""


@dataclass(frozen=True, slots=True)
class PlannedSlice:
    """A slice with its items surveyed and its prompts compiled."""

    composed: ComposedSlice
    items: Items
    prompts: tuple[Prompt, ...]
    dataset_identity: str
    conversations: Mapping[str, Conversation] = field(default_factory=dict)
    """By prompt variant id, those that depend on what is said."""

    @property
    def scorers(self) -> tuple[Scorer, ...]:
        return self.composed.scorers

    def count(self, models: Sequence[ComposedModel] | None = None) -> int:
        """Number of trials, of these models or of all."""
        if self.composed.spec.generation is None:
            return self.items.count
        chosen = self.composed.models if models is None else [m for m in self.composed.models if m in models]
        asked = sum(
            len(conditions_of(model, self.composed.params)) * (len(self.prompts) if model.reads_prompt else 1)
            for model in chosen
        )
        return self.items.count * asked * self.composed.num_samples


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do. `run_id` is fixed by the specs, the data and the components: equal plans are one run."""

    composition: Composition
    slices: tuple[PlannedSlice, ...]
    media: Media
    """What the messages hold that is no text."""
    leaks: tuple[Leak, ...]
    """The items that are among the examples of their prompts."""
    spec_digest: str
    plan_digest: str
    asked: dict[str, Asked] = field(default_factory=dict)
    """By slice id, what its scorers say of its items; empty before `check`."""

    @property
    def run_id(self) -> str:
        return f"{self.composition.benchmark.benchmark_id}-{self.plan_digest[:12]}"

    @property
    def unscorable(self) -> list[Unscorable]:
        """The items to which no answer can be scored, as far as they are known: see `check`."""
        return [found for each in self.asked.values() for found in each.unscorable]

    def check(self) -> None:
        """Render every prompt for every item, and ask every scorer about it: no mistake is left to be found once calls
        are paid. A run that is complete has been checked before. Raises SpecError."""
        if self.asked:
            return
        for each in self.slices:
            _check(each)
            _check_judges(each)
        places = {each.composed.spec.slice_id: each.composed.place for each in self.slices}
        for endpoint in self.endpoints():
            check_sendable(self.trials(endpoint, items=1), places)
        for each in self.slices:
            slice_id = each.composed.spec.slice_id
            self.asked[slice_id] = Asked(slice_id, each.items, each.scorers)

    def count(self) -> int:
        """Number of trials in all."""
        return sum(each.count() for each in self.slices)

    def trials(
        self, endpoint: str | None = None, items: int | None = None, labels: Collection[str] | None = None
    ) -> Iterator[Trial]:
        """Stream the trials of the models at one endpoint, item by item; None: those whose items carry outputs.

        With `items`, those of so many items of each slice; with `labels`, those of these models.
        """
        seed = self.composition.project.global_seed
        for planned in self.slices:
            if planned.composed.spec.generation is None:
                if endpoint is None:
                    yield from _recorded_trials(planned, islice(planned.items, items))
            elif endpoint is not None:
                models = [model for model in planned.composed.models if model.engine.endpoint == endpoint]
                if labels is not None:
                    models = [model for model in models if model.spec.model_id in labels]
                if models:
                    yield from _generated_trials(planned, islice(planned.items, items), models, seed)

    def labels(self, endpoint: str | None) -> frozenset[str]:
        """The labels of the models under test at an endpoint."""
        models = (model for each in self.slices for model in each.composed.models)
        return frozenset(model.spec.model_id for model in models if model.engine.endpoint == endpoint)

    def baselines_of(self, labels: Collection[str]) -> frozenset[str]:
        """The labels of the models with which judges compare these ones."""
        return frozenset(
            scorer.baseline.spec.model_id
            for each in self.slices
            if any(model.spec.model_id in labels for model in each.composed.models)
            for scorer in each.scorers
            if scorer.baseline is not None
        )

    def endpoints(self) -> list[str]:
        """The endpoints of all models under test, in the order of the spec."""
        return list(dict.fromkeys(model.engine.endpoint for each in self.slices for model in each.composed.models))


def survey(composition: Composition, place: Place) -> Plan:
    """Read every dataset: the plan says which run it is, and is still to be checked. `place` is the benchmark's.

    Raises SpecError.
    """
    check_model_params(composition, place)
    seed = composition.project.global_seed or 0
    surveyed: dict[str, Items] = {}
    slices = []
    leaks: list[Leak] = []
    media = Media()
    prompts = _Prompts(composition, seed, place, media)
    shown = []
    for each in composition.slices:
        known = digest([each.spec.dataset.canonical(), each.spec.dataset_query.canonical()])
        if known not in surveyed:
            at = each.place / "dataset_query"
            surveyed[known] = Items(each.dataset, each.spec.dataset_query, composition.base_dir, seed, at)
        own = prompts.of(each)
        planned = PlannedSlice(each, surveyed[known], own, _dataset_identity(each.dataset), _conversations(own))
        _check_settings(planned)
        slices.append(planned)
        leaks += leaks_of(each.spec.slice_id, planned.items, planned.prompts)
        shown += _shown(planned)
    spec_digest = composition.benchmark.spec_digest()
    identity = [
        composition.project.project_name,
        composition.project.global_seed,
        spec_digest,
        [[each.items.digest, [prompt.digest for prompt in each.prompts]] for each in slices],
        [leak.digest for leak in leaks],
        [model.identity() for model in composition.models()],
        [[scorer.digest for scorer in each.scorers] for each in slices],
        *([shown] if shown else ()),
    ]
    return Plan(composition, tuple(slices), media, tuple(leaks), spec_digest, digest(identity))


def _shown(planned: PlannedSlice) -> list[str]:
    """A digest of what each item is shown, of prompts that hold more than text: a file may change, and its name not."""
    return [
        digest([digest([prompt.messages(item), prompt.follow_ups(item)]) for item in planned.items])
        for prompt in planned.prompts
        if prompt.spec.holds_media
    ]


class _Prompts:
    """The prompts of a benchmark, each once for slices on the dataset of its examples and once for all others."""

    def __init__(self, composition: Composition, seed: int, place: Place, media: Media) -> None:
        self._composition = composition
        self._seed = seed
        self._place = place
        self._media = media
        self._made: dict[tuple[str, bool, tuple[Path, ...]], Prompt] = {}

    def of(self, each: ComposedSlice) -> tuple[Prompt, ...]:
        variants = self._composition.benchmark.prompt_variants
        return tuple(self._prompt(variant, variants.index(variant), each) for variant in each.variants)

    def _prompt(self, variant: PromptVariantSpec, index: int, each: ComposedSlice) -> Prompt:
        dataset = self._composition.examples.get(variant.id)
        by_id = dataset is not None and _dataset_identity(dataset) == _dataset_identity(each.dataset)
        datasets = [each.dataset, *([dataset] if dataset else ())] if variant.holds_media else []
        folders = self._folders(datasets)
        if (variant.id, by_id, folders) not in self._made:
            at = self._place.at("prompt_variants", index)
            shown, spares = taken(variant.examples, dataset, self._composition.base_dir, self._seed, at)
            self._made[variant.id, by_id, folders] = Prompt(
                variant, shown, at, spares, by_id=by_id, media=self._media, folders=folders
            )
        return self._made[variant.id, by_id, folders]

    def _folders(self, datasets: Sequence[LoadedDataset]) -> tuple[Path, ...]:
        """Where parts of messages may be files: in the folders of these datasets, and in the spec's."""
        base = self._composition.base_dir
        found = []
        for each in datasets:
            with calling(each.component, "folder"):
                found.append(each.loader.folder(each.spec, base))
        return (*(each for each in found if each is not None), base)


def _conversations(prompts: Sequence[Prompt]) -> dict[str, Conversation]:
    return {
        each.spec.id: Conversation(each.spec.conversation, each.spec.variables, each.place / "conversation")
        for each in prompts
        if each.spec.conversation is not None
    }


def _check_settings(planned: PlannedSlice) -> None:
    composed = planned.composed
    check_user_params(composed.users.values())
    for model in composed.models:
        for _, params in conditions_of(model, composed.params):
            sent = own_settings(model.spec, params)
            _check_capabilities(model, sent, planned.prompts, composed.place / "generation")
    _check_labels(composed)
    _check_baselines(planned)


def _check_baselines(planned: PlannedSlice) -> None:
    """Refuse to compare what is asked without a prompt with the answers to several."""
    if len(planned.prompts) < 2 or all(model.reads_prompt for model in planned.composed.models):
        return
    for scorer in planned.scorers:
        if scorer.baseline is not None and scorer.baseline.reads_prompt:
            lone = next(model.spec.model_id for model in planned.composed.models if not model.reads_prompt)
            raise (planned.composed.place / "scores").error(
                f"{scorer.metric} compares with model {scorer.baseline.spec.model_id!r}, which is put "
                f"{len(planned.prompts)} prompt variants, and model {lone!r} reads none: take one variant for the slice"
            )


def _check(planned: PlannedSlice) -> None:
    composed = planned.composed
    if composed.spec.generation is None:
        for item in planned.items:
            if item.output is None:
                raise (composed.place / "generation").error(
                    f"item {item.id!r} carries no output, and none is generated"
                )
        return
    handings = [each for model in composed.models if (each := handing_of(model, composed)) is not None]
    for item in planned.items:
        for prompt in planned.prompts:
            prompt.messages(item)
            prompt.follow_ups(item)
            prompt.told(item)
        for conversation in planned.conversations.values():
            conversation.check(item)
        for handing in handings:
            try:
                handing.of(item)
            except SpecError as error:
                where = planned.items.places({item.id}).get(item.id)
                at = f" ({where})" if where else ""
                raise (composed.place / "generation").error(f"{error.message}{at}") from error
    for conversation in planned.conversations.values():
        conversation.check_fields(planned.items)


def _check_labels(composed: ComposedSlice) -> None:
    """Refuse two labels for one thing: each call would be made once, and both rows would show the same answers."""
    labels: dict[str, str] = {}
    for model in composed.models:
        for params in composed.params:
            other = labels.setdefault(condition_of(model, params).head, model.spec.model_id)
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
    unprompted = any(not model.reads_prompt for model in composed.models)
    for item in planned.items if judges else ():
        sent: list[Sequence[dict[str, Any]]] = [planned.prompts[0].messages(item)] if planned.prompts else []
        for messages in sent if sent and not unprompted else [*sent, ()]:
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
    judge = scorer.scoring
    assert isinstance(judge, Judge)
    nothing = Generation("answered")
    baseline = nothing if scorer.baseline else None
    try:
        judged = own(JudgedAnswer(item, nothing, "", messages=messages, baseline=baseline))
        return in_its_time(scorer.component, judge, "requests", judged)  # type: ignore[no-any-return]
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
        "tools": bool(params.tools or params.tool_choice),
        "structured": params.response_format is not None,
    }
    needed = [name for name, wanted in wants.items() if wanted]
    if model.reads_prompt:
        needed += sorted(each for prompt in prompts for each in prompt.spec.needs if each not in needed)
    for capability in needed:
        if not getattr(able, capability):
            raise place.error(
                f"model {model.spec.model_id!r}: engine {model.component!r} can't do {capability} "
                f"({WANTED_BY[capability]}): use another engine for it, or leave that out"
            )
    if problem := params.problem_of_choice():
        raise place.error(f"model {model.spec.model_id!r}: {problem}")
    model.check_params(params.given(), place)


def _dataset_identity(dataset: LoadedDataset) -> str:
    spec = dataset.spec
    return digest([dataset.component, spec.dataset_id, spec.config_name, spec.split, spec.revision])


def _generated_trials(
    planned: PlannedSlice, items: Iterable[Item], models: Sequence[ComposedModel], seed: int | None
) -> Iterator[Trial]:
    composed = planned.composed
    arms = arms_of(planned.composed, models)
    prompted = [each for each in arms if each.condition.model.reads_prompt]
    unprompted = [each for each in arms if each not in prompted]
    samples = range(composed.num_samples)
    # What is asked without a prompt may be compared with what is answered to the one that there is.
    needs_prompt = bool(prompted) or any(rival.model.reads_prompt for each in unprompted for rival in each.rivals)
    for item in items:
        item_part = digest([planned.dataset_identity, item.id, item.digest])
        handed = [(arm, arm.handed(item)) for arm in arms]
        askings = [_asking(planned, prompt, item) for prompt in planned.prompts] if needs_prompt else []
        for variant, identity, asking, of_prompt in (
            *((each.variant, each.identity, each, True) for each in askings if prompted),
            (NO_PROMPT, NO_PROMPT, askings[0] if askings else UNPROMPTED, False),
        ):
            for arm, of_item in handed:
                condition = arm.condition
                if condition.model.reads_prompt is not of_prompt:
                    continue
                for sample in samples:
                    asked = arm.requests(asking, of_item, item.id, sample, seed)
                    yield Trial(
                        composed.spec.slice_id,
                        digest([item_part, variant, identity, condition.head, sample]),
                        item,
                        variant,
                        condition.model.spec.model_id,
                        condition.label,
                        sample,
                        asked[0][0],
                        condition.model,
                        tuple(Baseline(each.model, *of) for each, of in zip(arm.rivals, asked[1:], strict=True)),
                        asked[0][1],
                    )


def _asking(planned: PlannedSlice, prompt: Prompt, item: Item) -> Asking:
    conversation, user = planned.conversations.get(prompt.spec.id), planned.composed.users.get(prompt.spec.id)
    return asking_of(prompt, item, conversation, condition_of(user.model, user.params) if user else None)


def _recorded_trials(planned: PlannedSlice, items: Iterable[Item]) -> Iterator[Trial]:
    for item in items:
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
