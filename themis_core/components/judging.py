"""Judges, what they are handed and what they ask."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from themis_core.components.scoring import Scoring
from themis_core.records import (
    Generation,
    Item,
    Score,
)

__all__ = ["Judge", "JudgeReply", "JudgeRequest", "JudgedAnswer"]


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """What a judge judges: one answer to one item."""

    item: Item
    generation: Generation
    value: Any
    """What the score's parse found, or the raw text if it has none."""
    model_id: str = ""
    """The model that answered, by its label."""
    sample_index: int = 0
    messages: Sequence[dict[str, Any]] = ()
    """What the model was sent: the rendered messages of all turns, its own answers left out. None if the answer is
    recorded in the item."""
    baseline: Generation | None = None
    """The answer of `Judge.baseline_model` to the same, with equal settings and sample; None if it names no model."""


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One question to a judging model: rendered messages, and settings that override the spec's."""

    messages: list[dict[str, Any]]
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JudgeReply:
    """What one judging model said to one question."""

    model_id: str
    """The judging model, by its label."""
    question: int
    """Index in what `Judge.requests` returned."""
    repeat: int
    """From 0 to the `repeats` of the spec, less one."""
    request: JudgeRequest
    generation: Generation
    """Answered, refused, truncated or empty, never failed."""
    asked_again: bool = False
    """Whether this is the reply to what `Judge.again` returned; the reply before it is kept, but read no more."""


class Judge(Scoring):
    """Asks models about an answer and reads their verdicts. Does no I/O: the run sends the requests.

    Each question goes to every judging model of the spec, as often as its `repeats` say.
    """

    asks_models: ClassVar[bool] = True
    """False for a judge that knows its verdicts, also of answers that hold nothing; the spec then names no model."""

    @property
    def requires(self) -> frozenset[str]:
        """Names of the `Capabilities` that the engines of its judging models must have."""
        return frozenset()

    @property
    def baseline_model(self) -> str | None:
        """Id of the model of the same slice whose answer is `JudgedAnswer.baseline`, if the judge compares with one.

        The answers of that model itself are unscored, with reason `is_baseline`.
        """
        return None

    @abstractmethod
    def requests(self, judged: JudgedAnswer) -> Sequence[JudgeRequest]:
        """Return the questions to ask about one answer; equal input gives equal questions. None if there is no need.

        Also called before the run, with an empty answer to each item, so that a SpecError (an unknown template
        variable, say) comes before the first call, and a plan can count the calls.
        """

    def again(self, judged: JudgedAnswer, reply: JudgeReply) -> JudgeRequest | None:
        """Return what to ask once more after a reply whose verdict can't be read; None if there is nothing to ask.

        Called once for each reply, and not for the reply to what it returned.
        """
        return None

    @abstractmethod
    def score(self, judged: JudgedAnswer, replies: Sequence[JudgeReply]) -> Score:
        """Read the verdicts: one reply per judging model, question and repeat, in this order.

        A verdict that can't be read is `Score(reason=...)`, never the worst value.
        """
