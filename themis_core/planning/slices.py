"""A slice with its items and prompts, and its trials as a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

from themis_core.planning.arms import UNPROMPTED, Way, arms_of
from themis_core.planning.conversations import Conversation
from themis_core.planning.handing import NO_PROMPT
from themis_core.planning.identities import Baseline, Trial, condition_of, conditions_of
from themis_core.planning.items import Items, Share
from themis_core.planning.templates import Prompt
from themis_core.plugins import ComposedModel, ComposedSlice, Scorer
from themis_core.records import Item, Request
from themis_core.specs import digest

__all__ = ["PlannedSlice", "generated_trials", "recorded_trials"]

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
        return self.composed.num_samples

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
        items = self.items.shared(share)
        if share is None:
            return zip(items, repeat(range(self.samples)))
        return ((item, samples) for item in items if (samples := share.samples(item.id)))


def generated_trials(
    planned: PlannedSlice,
    items: Iterable[tuple[Item, Sequence[int]]],
    models: Sequence[ComposedModel],
    seed: int | None,
) -> Iterator[Trial]:
    """The trials of some models on some items, each item with its sample indices."""
    slice_id, dataset = planned.composed.spec.slice_id, planned.dataset_identity
    arms = arms_of(planned.composed, models)
    prompted = [each for each in arms if each.condition.reads_prompt]
    unprompted = [each for each in arms if not each.condition.reads_prompt]
    # What is asked without a prompt may be compared with what is answered to the one that there is.
    needs_prompt = bool(prompted) or any(rival.reads_prompt for each in unprompted for rival in each.rivals)
    ways = [_way(planned, prompt) for prompt in planned.prompts] if needs_prompt else []
    for item, samples in items:
        of_item = digest([dataset, item.id, item.digest])
        askings = [way.asking(item) for way in ways]
        handed = [arm.handed(item) if arm.hands else arm.nothing for arm in arms]
        for variant, identity, asking, reads in (
            *[(each.variant, each.identity, each, True) for each in askings if prompted],
            *([(NO_PROMPT, NO_PROMPT, askings[0] if askings else UNPROMPTED, False)] if unprompted else ()),
        ):
            for arm, of_arm in zip(arms, handed, strict=True):
                condition = arm.condition
                if condition.reads_prompt is not reads:
                    continue
                for sample in samples:
                    (requests, talk), *of_rivals = arm.requests(asking, of_arm, item.id, sample, seed)
                    yield Trial(
                        slice_id,
                        digest([of_item, variant, identity, condition.head, sample]),
                        item,
                        variant,
                        condition.model_id,
                        condition.label,
                        sample,
                        requests,
                        condition.model,
                        tuple([Baseline(each.model, *of) for each, of in zip(arm.rivals, of_rivals, strict=True)]),
                        talk,
                    )


def _way(planned: PlannedSlice, prompt: Prompt) -> Way:
    user = planned.composed.users.get(prompt.spec.id)
    playing = condition_of(user.model, user.params) if user else None
    return Way(prompt, planned.conversations.get(prompt.spec.id), playing)


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
