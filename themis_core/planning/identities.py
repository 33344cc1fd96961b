"""What one trial asks, and the keys by which that is known again.

The keys, and what each holds (all SHA-256 over canonical JSON):

    generation key = engine, its identity and version, model as sent, params · messages · item id · sample index · seed
                     · what the engine is handed of the item, if it names something
                     (a follow-up turn: the key of the turn before · its own message; a turn of a conversation: the
                     key of the turn before · the rules, and what they read of item and variables · the simulated
                     user's engine, model, params and messages; a reply of that user: the key of the turn before ·
                     the same of the user)
    score key      = generation key · item content · parse chain and metric or judge, each with config and version
                     (a judge that compares: the generation key of the baseline's answer as well; a conversation:
                     what says that it is over)
    trial id       = dataset identity · item id and content · prompt variant · model and params · sample index
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from themis_core.components import Judge
from themis_core.planning.conversations import Conversation
from themis_core.planning.settings import own_settings
from themis_core.plugins import ComposedModel, Scorer
from themis_core.records import Item, Request
from themis_core.specs import InferenceParamsSpec, digest
from themis_plain import quick

__all__ = [
    "Baseline",
    "Condition",
    "Handed",
    "Talk",
    "Trial",
    "condition_of",
    "conditions_of",
    "requests_of",
    "score_key",
    "seed_of",
]


@dataclass(frozen=True, slots=True)
class Talk:
    """What of a conversation is known before anything is said."""

    conversation: Conversation
    item: Item
    user: ComposedModel | None
    """The model that plays the user, if there is one."""
    replies: tuple[Request, ...]
    """What that is asked after each answer but the last, as far as it is known; none without such a model."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What another model of the slice is asked where this trial's model is asked the same."""

    model: ComposedModel
    requests: tuple[Request, ...]
    talk: Talk | None = None

    @property
    def needed(self) -> tuple[Request, ...]:
        """Its requests, and those to a simulated user."""
        return self.requests if self.talk is None else self.requests + self.talk.replies


@quick
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
    """One per turn, the messages of each without the model's earlier answers. Of a conversation it is the most that
    there can be, and what is said from the second one on is not known."""
    model: ComposedModel | None
    """None if the item carries its output."""
    baselines: tuple[Baseline, ...] = ()
    """What its judges compare with."""
    talk: Talk | None = None
    """Of a conversation whose turns depend on what is said."""

    @property
    def key(self) -> str:
        """Key of the last turn, whose answer is scored if no earlier one ends the trial."""
        return self.requests[-1].key

    @property
    def own(self) -> tuple[Request, ...]:
        """Its own requests, those to a simulated user included."""
        return self.requests if self.talk is None else self.requests + self.talk.replies

    @property
    def needed(self) -> tuple[Request, ...]:
        """Its own requests, and those of its baselines."""
        if not self.baselines and self.talk is None:
            return self.requests
        return self.own + tuple(request for each in self.baselines for request in each.needed)

    def baseline_of(self, scorer: Scorer) -> Baseline | None:
        """What a judge compares this trial with; None if with nothing, or if the trial is of the baseline itself."""
        if scorer.baseline is None:
            return None
        return next((each for each in self.baselines if each.model is scorer.baseline), None)

    def score_key(self, scorer: Scorer) -> str:
        """Identity of one score: equal keys have equal scores."""
        baseline = self.baseline_of(scorer) if self.baselines else None
        label = self.model_id if self.model is not None and self.model.spec.sent != self.model_id else None
        end = self.talk.conversation.end if self.talk else None
        return score_key(self.key, self.item, scorer, baseline.requests[-1].key if baseline else None, label, end)


class Handed(NamedTuple):
    """What an engine is handed of an item, and its digest."""

    item: dict[str, Any]
    digest: str


@dataclass(frozen=True, slots=True)
class Condition:
    """One model with one setting: what is the same for all trials that share them."""

    model: ComposedModel
    label: str
    params: dict[str, Any]
    head: str
    """Digest of all of a generation key that comes from engine, model and settings."""
    model_id: str
    """The model's label."""
    sent: str
    """The name that its server is sent."""
    reads_prompt: bool
    may_have_seed: bool
    """Whether any of its requests may have one: see `seed_of`."""


def score_key(
    generation_key: str,
    item: Item,
    scorer: Scorer,
    baseline_key: str | None = None,
    label: str | None = None,
    end: str | None = None,
) -> str:
    """Identity of one score: equal keys have equal scores. `baseline_key` is that of the answer compared with.

    `label` is the model's, where that is not the name in the generation key: judges are told the label. `end` says when
    a conversation is over, and so which of its answers is scored.
    """
    parts: list[Any] = [generation_key, item.digest, scorer.digest, *([baseline_key] if baseline_key else ())]
    if end is not None:
        parts.append({"end": end})
    return digest([*parts, {"label": label}] if label and isinstance(scorer.scoring, Judge) else parts)


def requests_of(
    condition: Condition,
    messages: list[dict[str, Any]],
    messages_digest: str,
    follow_ups: list[dict[str, Any]],
    item_id: str,
    sample: int,
    seed: int | None,
    handed: Handed | None = None,
) -> tuple[Request, ...]:
    """One request per turn. `handed` is what the engine is handed of the item, if it names something."""
    content: list[Any] = [condition.head, messages_digest, item_id, sample, seed]
    item: dict[str, Any] = {}
    if handed is not None:
        content.append({"item": handed.digest})
        item = handed.item
    key = digest(content)
    first = Request(condition.sent, messages, condition.params, item_id, sample, seed, key, item)
    if not follow_ups:
        return (first,)
    turns = [first]
    for message in follow_ups:
        key = digest([key, message])
        turns.append(Request(condition.sent, [message], condition.params, item_id, sample, seed, key, item))
    return tuple(turns)


def condition_of(model: ComposedModel, params: InferenceParamsSpec) -> Condition:
    sent = own_settings(model.spec, params)
    given = sent.given()
    may_have_seed = "seed" not in model.spec.params.leave_out and (
        given.get("seed") is not None or model.engine.capabilities.seed
    )
    head = digest([model.identity(), given])
    return Condition(
        model, sent.label(), given, head, model.spec.model_id, model.spec.sent, model.reads_prompt, may_have_seed
    )


def conditions_of(
    model: ComposedModel, grid: Sequence[InferenceParamsSpec]
) -> list[tuple[Condition, InferenceParamsSpec]]:
    """The model's own settings, each once, with the first one of the grid that it comes of."""
    found: dict[str, tuple[Condition, InferenceParamsSpec]] = {}
    for params in grid:
        condition = condition_of(model, params)
        found.setdefault(condition.head, (condition, params))
    return list(found.values())


def seed_of(condition: Condition, base: int | None, item_id: str, messages_digest: str, sample: int) -> int | None:
    """The seed of one sample: derived, unless it is sample 0 and the project has no global seed.

    It does not depend on the number of samples, so raising that keeps the samples there are.
    """
    if not condition.may_have_seed:
        return None
    given: int | None = condition.params.get("seed")
    if sample == 0 and (given is not None or base is None):
        return given
    if not condition.model.engine.capabilities.seed:
        return None
    return int(digest([base or 0, given, item_id, messages_digest, sample])[:8], 16) >> 1
