"""The plan that trials come from: what would be asked; nothing is asked here."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from themis_core.planning.checking import check_items, check_judges, check_settings, questions
from themis_core.planning.conversations import Conversation
from themis_core.planning.few_shot import Leak, leaks_of, taken
from themis_core.planning.identities import Trial
from themis_core.planning.items import Items, Share
from themis_core.planning.scorable import Asked, Unscorable
from themis_core.planning.sendable import check_sendable
from themis_core.planning.settings import check_model_params
from themis_core.planning.slices import PlannedSlice, generated_trials, recorded_trials
from themis_core.planning.templates import Prompt
from themis_core.plugins import ComposedSlice, Composition, LoadedDataset, calling
from themis_core.reading import Place
from themis_core.records import Item, Part
from themis_core.specs import PromptVariantSpec, digest
from themis_media import Media

__all__ = ["Plan", "PlannedSlice", "questions", "survey"]


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
    part: Part | None = None
    """The part whose trials it has, if it has no others: a plan for one part keeps no other's items."""
    asked: dict[str, Asked] = field(default_factory=dict)
    """By slice id, what its scorers say of its items; empty before `check`."""

    @property
    def by_item(self) -> bool:
        """Whether all samples of an item are in one part."""
        return _by_item(self.composition)

    @property
    def run_id(self) -> str:
        return f"{self.composition.benchmark.benchmark_id}-{self.plan_digest[:12]}"

    @property
    def unscorable(self) -> list[Unscorable]:
        """The items to which no answer can be scored, as far as they are known: see `check`."""
        return [found for each in self.asked.values() for found in each.unscorable]

    def check(self) -> None:
        """Render every prompt for every item of its part, ask every scorer about it, and have engines look through what
        they answer from: no mistake is left to be found once calls are paid. A run that is complete has been checked
        before. Raises SpecError."""
        if self.asked:
            return
        for model in self.composition.by_engine():
            model.check_content()
        for each in self.slices:
            check_items(each)
            check_judges(each)
        places = {each.composed.spec.slice_id: each.composed.place for each in self.slices}
        for endpoint in self.endpoints():
            check_sendable(self.trials(endpoint, items=1), places)
        for each in self.slices:
            slice_id = each.composed.spec.slice_id
            self.asked[slice_id] = Asked(slice_id, each.items, each.scorers)

    def trust(self) -> None:
        """Take it as checked, which it was elsewhere. What scorers say of an item they are asked when it is scored."""
        for each in self.slices:
            self.asked.setdefault(each.composed.spec.slice_id, Asked.later(each.scorers))

    def index(self, of: int) -> None:
        """Note which items are in which of so many parts: `trials` of one looks at no item of the others then."""
        most: dict[int, int] = {}
        for each in self.slices:
            most[id(each.items)] = max(most.get(id(each.items), 0), each.samples)
        for items in {id(each.items): each.items for each in self.slices}.values():
            items.index(of, self.by_item, most[id(items)])

    def count(self, part: Part | None = None) -> int:
        """Number of trials in all, or in a part.

        That of its own part is known; for any other the ids of all items are looked at.
        """
        if part is None:
            return sum(each.count() for each in self.slices)
        self._has(part)
        return sum(self._samples_of(each, part) * each.of_sample() for each in self.slices)

    def parts(self, of: int) -> list[int]:
        """Number of trials in each of so many parts, by one look at the ids of all items.

        Raises ValueError for a plan for one part, which knows no other's items.
        """
        if self.part is not None:
            raise ValueError(f"this plan has the trials of part {self.part} alone")
        found = [0] * of
        for planned in self.slices:
            trials = planned.of_sample() * (planned.samples if self.by_item else 1)
            for item in planned.items:
                for sample in (None,) if self.by_item else range(planned.samples):
                    found[Part.holding(item.id, sample, of).number - 1] += trials
        return found

    def _samples_of(self, planned: PlannedSlice, part: Part) -> int:
        if part == self.part:
            return planned.items.samples(planned.samples)
        share = Share(part, self.by_item, planned.samples)
        return sum(len(share.samples(item.id)) for item in planned.items)

    def _has(self, part: Part | None) -> None:
        if self.part is not None and part is not None and part != self.part:
            raise ValueError(f"this plan has the trials of part {self.part} alone, and none of {part}")

    def trials(
        self,
        endpoint: str | None = None,
        items: int | None = None,
        labels: Collection[str] | None = None,
        part: Part | None = None,
    ) -> Iterator[Trial]:
        """Stream the trials of the models at one endpoint, item by item; None: those whose items carry outputs.

        With `items`, those of so many items of each slice; with `labels`, those of these models; with `part`, those in
        it. A plan for one part has no others: it raises ValueError for another part.
        """
        self._has(part)
        part = part or self.part
        return chain.from_iterable(self._of_slice(each, endpoint, items, labels, part) for each in self.slices)

    def _of_slice(
        self,
        planned: PlannedSlice,
        endpoint: str | None,
        items: int | None,
        labels: Collection[str] | None,
        part: Part | None,
    ) -> Iterator[Trial]:
        shared = islice(planned.shared(Share(part, self.by_item, planned.samples) if part else None), items)
        if planned.composed.spec.generation is None:
            return recorded_trials(planned, (item for item, _ in shared)) if endpoint is None else iter(())
        models = [
            model
            for model in planned.composed.models
            if model.engine.endpoint == endpoint and (labels is None or model.spec.model_id in labels)
        ]
        return generated_trials(planned, shared, models, self.composition.project.global_seed) if models else iter(())

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


def _by_item(composition: Composition) -> bool:
    """Whether trials of one item may ask for the same, whatever their samples: judges and simulated users are asked so,
    and a baseline's answer is needed by all that are compared with it."""
    return any(
        each.users or any(scorer.judges is not None or scorer.baseline is not None for scorer in each.scorers)
        for each in composition.slices
    )


def survey(composition: Composition, place: Place, part: Part | None = None, *, indexed: bool = False) -> Plan:
    """Read every dataset: the plan says which run it is, and is still to be checked. `place` is the benchmark's.

    With `part`, its trials alone are kept; it says the same run. With `indexed`, `Plan.index` works. Raises SpecError.
    """
    check_model_params(composition, place)
    seed = composition.project.global_seed or 0
    surveyed: dict[str, Items] = {}
    slices = []
    leaks: list[Leak] = []
    media = Media()
    prompts = _Prompts(composition, seed, place, media)
    shown = []
    by_item = _by_item(composition)
    samples: dict[str, int] = {}
    for each in composition.slices:
        samples[_data(each)] = max(samples.get(_data(each), 0), each.num_samples)
    for each in composition.slices:
        known = _data(each)
        if known not in surveyed:
            share = Share(part, by_item, samples[known]) if part else None
            at = each.place / "dataset_query"
            query = each.spec.dataset_query
            surveyed[known] = Items(each.dataset, query, composition.base_dir, seed, at, share, indexed=indexed)
        own = prompts.of(each)
        planned = PlannedSlice(each, surveyed[known], own, _dataset_identity(each.dataset), _conversations(own))
        check_settings(planned)
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
    return Plan(composition, tuple(slices), media, tuple(leaks), spec_digest, digest(identity), part)


def _data(composed: ComposedSlice) -> str:
    return digest([composed.spec.dataset.canonical(), composed.spec.dataset_query.canonical()])


def _shown(planned: PlannedSlice) -> list[str]:
    """A digest of what each item is shown, of prompts that hold more than text: a file may change, and its name not."""
    return [
        digest([_digest_of(prompt, item) for item in planned.items.every()])
        for prompt in planned.prompts
        if prompt.holds_media
    ]


def _digest_of(prompt: Prompt, item: Item) -> str:
    asks = prompt.asks(item)
    return digest([asks.messages, asks.follow_ups])


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


def _dataset_identity(dataset: LoadedDataset) -> str:
    spec = dataset.spec
    return digest([dataset.component, spec.dataset_id, spec.config_name, spec.split, spec.revision])
