"""A slice with its items and prompts, and its trials as a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from themis_core.planning.arms import UNPROMPTED, Asking, arms_of, asking_of
from themis_core.planning.conversations import Conversation
from themis_core.planning.handing import NO_PROMPT
from themis_core.planning.identities import Baseline, Trial, condition_of, conditions_of
from themis_core.planning.items import Items, Share
from themis_core.planning.templates import Prompt
from themis_core.plugins import ComposedModel, ComposedSlice, Scorer
from themis_core.records import Item, Request
from themis_core.specs import digest

__all__ = ["PlannedSlice", "generated_trials", "recorded_trials", "samples_of"]

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

    @property
    def samples(self) -> int:
        """Samples of each item."""
        return samples_of(self.composed)

    def count(self) -> int:
        """Number of trials, whatever part of them the items are of."""
        return self.items.count * self.samples * self.of_sample()

    def of_sample(self) -> int:
        """Number of trials that each sample of an item has."""
        if self.composed.spec.generation is None:
            return 1
        return sum(
            len(conditions_of(model, self.composed.params)) * (len(self.prompts) if model.reads_prompt else 1)
            for model in self.composed.models
        )

    def shared(self, share: Share | None) -> Iterator[tuple[Item, Sequence[int]]]:
        """The items, each with the samples that it has in a share; None: all of them."""
        every = range(self.samples)
        for item in self.items.shared(share):
            if samples := every if share is None else share.samples(item.id):
                yield item, samples


def samples_of(composed: ComposedSlice) -> int:
    """Samples of each item of a slice."""
    return 1 if composed.spec.generation is None else composed.num_samples


def generated_trials(
    planned: PlannedSlice,
    items: Iterable[tuple[Item, Sequence[int]]],
    models: Sequence[ComposedModel],
    seed: int | None,
) -> Iterator[Trial]:
    """The trials of some models on some items, each item with its sample indices."""
    composed = planned.composed
    arms = arms_of(planned.composed, models)
    prompted = [each for each in arms if each.condition.model.reads_prompt]
    unprompted = [each for each in arms if each not in prompted]
    # What is asked without a prompt may be compared with what is answered to the one that there is.
    needs_prompt = bool(prompted) or any(rival.model.reads_prompt for each in unprompted for rival in each.rivals)
    for item, samples in items:
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


def recorded_trials(planned: PlannedSlice, items: Iterable[Item]) -> Iterator[Trial]:
    """The trials of items that carry their outputs."""
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
