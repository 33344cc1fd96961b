"""Who speaks next in a trial of several turns, given what was said: the model, or another one that plays the user.

    talk = Dialogue(trial.requests, trial.talk)
    while talk.next is not None:
        talk.take(the answer to talk.next)

The keys are known before anything is said, so what is stored is looked up without it, and a conversation that is over
is found to be over by walking through what is stored. Nothing is asked here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from themis_core.errors import SpecError
from themis_core.planning.conversations import Conversation, Heard
from themis_core.planning.identities import Baseline, Condition, Talk, Trial
from themis_core.records import HANDED_BACK, SIMULATED_USER, WARNING, Generation, Item, Request
from themis_core.specs import digest

__all__ = ["Dialogue", "Speaking", "as_user", "followed", "goes_on"]

Messages = list[dict[str, Any]]


def goes_on(generation: Generation) -> bool:
    """Whether a next turn may follow on this answer; if not, it is the one that is scored."""
    return generation.status in ("answered", "truncated")


@dataclass(frozen=True, slots=True)
class Speaking:
    """What a conversation is about for one item, before a model is chosen."""

    conversation: Conversation
    item: Item
    user: Condition | None
    """The model that plays the user, with its settings."""
    told: Messages
    """What that is told before the conversation."""
    opening: Messages
    """What of the first request is part of the conversation, without system messages and examples."""

    def of(self, first: Request) -> tuple[tuple[Request, ...], Talk]:
        """The requests of a trial whose first one this is, as far as they are known, and the rest of what is known."""
        told = [self.user.head, digest(self.told)] if self.user else None
        content = digest([self.conversation.content(self.item), told])
        requests, replies = [first], []
        shown = [*self.told, *_swapped(self.opening)]
        for _ in range(self.conversation.spec.max_turns - 1):
            key = requests[-1].key
            if self.user is not None:
                replies.append(_reply(self.user, first, shown, digest([key, "user", told])))
            requests.append(replace(first, messages=[], key=digest([key, content])))
        model = self.user.model if self.user else None
        return tuple(requests), Talk(self.conversation, self.item, model, tuple(replies))


def _reply(user: Condition, first: Request, shown: Messages, key: str) -> Request:
    """What a model that plays the user is asked. Sample 0 has the seed that is given, further ones derive theirs."""
    params = user.params
    seed: int | None = params.get("seed")
    if first.sample_index and user.model.engine.capabilities.seed and "seed" not in user.model.spec.params.leave_out:
        seed = int(digest([key, "seed"])[:8], 16) >> 1
    return Request(user.model.spec.sent, shown, params, first.item_id, first.sample_index, seed, key)


class Dialogue:
    """What was said in one trial, turn by turn."""

    def __init__(self, requests: Sequence[Request], talk: Talk | None = None) -> None:
        self._requests = requests
        self._talk = talk
        self._said: list[str] = []
        self._swapped: Messages = []
        self._keys: list[tuple[str, bool]] = []
        self.answers: list[Generation] = []
        """Those of the model under test."""
        self.messages: Messages = requests[0].messages
        """All that was said, and what the model was sent before."""
        self.asked: Messages = requests[0].messages
        """The same without the model's answers."""
        self.next: Request | None = requests[0]
        """What is to be asked now, with its messages; None if it is over."""
        self.is_of_user = False
        """Whether it is the simulated user that is to be asked."""
        self.failed: Generation | None = None
        """Why it can't go on: what failed was the simulated user, or a rule."""
        self.fault: Request | None = None
        """What would have been asked if a rule had not failed."""

    @property
    def turns(self) -> int:
        """Number of answers so far."""
        return len(self.answers)

    @property
    def keys(self) -> list[str]:
        """Generation keys of all that was said, in order. The last one is that of the answer that is scored, or of what
        failed: a reply of the simulated user that ended it stands before the answer that it is to."""
        keys = [key for key, _ in self._keys]
        if self.next is None and self.failed is None and len(keys) > 1 and self._keys[-1][1]:
            keys[-2:] = reversed(keys[-2:])
        return keys

    @property
    def answer(self) -> Generation | None:
        """The answer that is scored, or what failed; None as long as it goes on."""
        return None if self.next is not None else self.failed or self.answers[-1]

    @property
    def scored(self) -> Generation | None:
        """The answer that is scored as those who score are handed it; None as long as it goes on."""
        answer = self.answer
        return answer if answer is None or not (heard := self.heard) else replace(answer, conversation=heard)

    @property
    def heard(self) -> tuple[dict[str, Any], ...]:
        """The whole conversation for those who score, with the last answer; empty if there can be one answer only.

        What an answer's engine alone can read is left out: who scores may hand messages to another one.
        """
        if len(self._requests) < 2 or not self.answers:
            return ()
        said = (*self.messages, self.answers[-1].as_message())
        return tuple({name: value for name, value in each.items() if name != HANDED_BACK} for each in said)

    def take(self, generation: Generation) -> None:
        """Go on with the answer to `next`."""
        request, of_user = self.next, self.is_of_user
        assert request is not None
        self._keys.append((request.key, of_user))
        self.next, self.is_of_user = None, False
        if of_user:
            self._take_reply(generation)
            return
        self.answers.append(generation)
        if not goes_on(generation) or self.turns == len(self._requests):
            return
        if self._talk is None:
            self._ask(self._requests[self.turns].messages)
            return
        try:
            self._go_on(self._talk)
        except SpecError as error:
            self._fail(str(error))

    def _go_on(self, talk: Talk) -> None:
        heard = Heard(talk.item, self._said, self.answers)
        if talk.conversation.is_over(heard):
            return
        if (messages := talk.conversation.by_rule(heard)) is not None:
            self._said += [str(each["content"]) for each in messages if each["role"] == "user"]
            self._ask(messages)
        elif talk.user is not None:
            request = talk.replies[self.turns - 1]
            heard_by_user = [*self._swapped, *_heard(self.answers[-1].as_message())]
            self.next, self.is_of_user = replace(request, messages=[*request.messages, *heard_by_user]), True

    def _take_reply(self, generation: Generation) -> None:
        talk = self._talk
        assert talk is not None
        if not goes_on(generation):
            self.failed = generation
            return
        heard = Heard(talk.item, self._said, self.answers)
        try:
            if not talk.conversation.ends_with(heard, generation.text):
                self._said.append(generation.text)
                self._ask([{"role": "user", "content": generation.text}])
        except SpecError as error:
            self._fail(str(error))

    def _ask(self, messages: Messages) -> None:
        said = self.answers[-1].as_message()
        self.messages = [*self.messages, said, *messages]
        self.asked = [*self.asked, *messages]
        to_user = messages[0]["role"] == "user"  # and not results of tools, which the model answers to once more
        self._swapped += [*(_heard(said) if to_user else _swapped([said])), *_swapped(messages)]
        self.next = replace(self._requests[self.turns], messages=self.messages)

    def _fail(self, error: str) -> None:
        self.failed = Generation("failed", error_code="conversation_error", error=error, attempts=0)
        self.fault = replace(self._requests[self.turns], messages=[*self.messages, self.answers[-1].as_message()])
        self._keys.append((self.fault.key, False))


def followed(of: Trial | Baseline, stored: Mapping[str, Generation]) -> Dialogue:
    """A trial's dialogue as far as it is stored."""
    dialogue = Dialogue(of.requests, of.talk)
    while dialogue.next is not None and (answer := stored.get(dialogue.next.key)) is not None:
        dialogue.take(answer)
    return dialogue


def as_user(generation: Generation, turn: int, name: str) -> Generation:
    """What a model that plays the user said after so many answers, marked as such.

    A user that refuses, or says nothing, failed: that is not the fault of the model under test.
    """
    provider = {**generation.provider, SIMULATED_USER: turn}
    if generation.failed:
        error = f"the simulated user {name}: {generation.error}"
        return replace(generation, provider=provider, error=error)
    if goes_on(generation) and generation.text.strip():
        if generation.status == "truncated":
            provider[WARNING] = f"the simulated user {name} was cut off at its max_tokens, and said no more than that"
        elif WARNING in provider:
            provider[WARNING] = f"the simulated user {name}: {provider[WARNING]}"
        return replace(generation, provider=provider)
    why = f"it refused: {generation.refusal or generation.text or generation.finish_reason or 'no reason given'}"
    said = why if generation.status == "refused" else "it said nothing"
    error = f"the simulated user {name}: {said}"
    return replace(generation, status="failed", error_code="no_user_reply", error=error, provider=provider)


_OTHER = {"user": "assistant", "assistant": "user"}


def _swapped(messages: Sequence[Mapping[str, Any]]) -> Messages:
    """What the user's model sees: texts alone, its own as the assistant's; neither system messages nor tools."""
    seen = [(_OTHER[each["role"]], _text_of(each.get("content"))) for each in messages if each["role"] in _OTHER]
    return [{"role": role, "content": text} for role, text in seen if text.strip()]


def _heard(answer: Mapping[str, Any]) -> Messages:
    """What the user hears of an answer; also of one without text, for else it would go on from its own words."""
    return _swapped([answer]) or [{"role": "user", "content": "(no text)"}]


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text") or f"({part.get('type')})" for part in content)
    return str(content or "")
