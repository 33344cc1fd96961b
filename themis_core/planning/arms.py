"""What is asked of one item: by a prompt or without one, of a model with one setting and of its rivals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from themis_core.planning.conversations import Conversation
from themis_core.planning.dialogues import Speaking
from themis_core.planning.handing import NO_PROMPT, Handing, handing_of
from themis_core.planning.identities import Condition, Handed, Talk, condition_of, conditions_of, requests_of, seed_of
from themis_core.planning.templates import Prompt
from themis_core.plugins import ComposedModel, ComposedSlice, Scorer
from themis_core.records import Item, Request
from themis_core.specs import digest

__all__ = ["UNPROMPTED", "Arm", "Asking", "Way", "arms_of"]


class Asking(NamedTuple):
    """What one item is asked, by a prompt or without one."""

    variant: str
    identity: str
    """Of the prompt as the item gets it."""
    messages: list[dict[str, Any]]
    digest: str
    """Of the messages."""
    follow_ups: list[dict[str, Any]]
    speaking: Speaking | None = None
    """The conversation that the prompt has."""


UNPROMPTED = Asking(NO_PROMPT, NO_PROMPT, [], digest([]), [])


class Way(NamedTuple):
    """A prompt of a slice, with its conversation, and the model that plays the user of that."""

    prompt: Prompt
    conversation: Conversation | None = None
    user: Condition | None = None

    def asking(self, item: Item) -> Asking:
        """What is asked about an item."""
        prompt = self.prompt
        messages, follow_ups, told, identity = prompt.asks(item)
        messages_digest = digest(messages)
        if prompt.holds_media:
            identity = digest([identity, messages_digest, follow_ups])
        speaking = None
        if self.conversation is not None:
            speaking = Speaking(self.conversation, item, self.user, told, prompt.opening(messages))
        return Asking(prompt.spec.id, identity, messages, messages_digest, follow_ups, speaking)


class Arm(NamedTuple):
    """One model with one setting, those that judges compare it with, and what each is handed of items."""

    condition: Condition
    rivals: Sequence[Condition]
    handings: Sequence[Handing | None]
    """Of the condition and of each rival."""
    hands: bool
    """Whether any of them is handed anything."""
    nothing: Sequence[Handed | None]
    """What they are handed if not."""

    def handed(self, item: Item) -> Sequence[Handed | None]:
        """What the condition and each rival are handed of an item."""
        return [None if each is None else _handed(each, item) for each in self.handings]

    def requests(
        self, asking: Asking, handed: Sequence[Handed | None], item_id: str, sample: int, seed: int | None
    ) -> list[tuple[tuple[Request, ...], Talk | None]]:
        """What the condition is asked, then what each rival is; what reads no prompt is asked without one."""
        found: list[tuple[tuple[Request, ...], Talk | None]] = []
        for each, of_item in zip((self.condition, *self.rivals), handed, strict=True):
            _, _, messages, content, follow_ups, speaking = asking if each.reads_prompt else UNPROMPTED
            own_seed = seed_of(each, seed, item_id, content, sample) if each.may_have_seed else None
            asked = requests_of(each, messages, content, follow_ups, item_id, sample, own_seed, of_item)
            found.append((asked, None) if speaking is None else speaking.of(asked[0]))
        return found


def _handed(handing: Handing, item: Item) -> Handed:
    handed = handing.of(item)
    return Handed(handed, digest(handed))


def arms_of(composed: ComposedSlice, models: Sequence[ComposedModel]) -> list[Arm]:
    """The arms of some models of a slice, in the order of the spec."""
    arms = []
    for model in models:
        for condition, params in conditions_of(model, composed.params):
            rivals = [condition_of(each, params) for each in _rivals(composed.scorers, model)]
            handings = [handing_of(each.model, composed) for each in (condition, *rivals)]
            hands = any(each is not None for each in handings)
            arms.append(Arm(condition, rivals, handings, hands, [None] * len(handings)))
    return arms


def _rivals(scorers: Sequence[Scorer], model: ComposedModel) -> list[ComposedModel]:
    """The models with which judges compare this one."""
    found = {each.baseline.spec.model_id: each.baseline for each in scorers if each.baseline is not None}
    return [each for each in found.values() if each is not model]
