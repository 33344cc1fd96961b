"""What judges that ask models share: prompt, marker, format of the verdict, the re-ask, ballots, the audit trail.

A form of judgement says what to ask (`questions`) and what its verdicts are worth (`worth`), and nothing else.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from themis_core import (
    Judge,
    JudgedAnswer,
    JudgeReply,
    JudgeRequest,
    PromptTemplate,
    Score,
    SpecError,
)
from themis_plugin_judge.ballots import Ballot, Combine, combined
from themis_plugin_judge.markers import as_text, asked_for, json_key, marker_of, text_tag, wrapped
from themis_plugin_judge.prompts import SYSTEM
from themis_plugin_judge.steps import STEPS
from themis_plugin_judge.verdicts import Labels, Verdict, read_verdicts

__all__ = ["PromptedJudge", "Question", "check_logprobs"]

NOT_ASKED_AGAIN: Final = frozenset({"judge_refused", "no_logprobs"})
"""What asking once more would not change."""
_KEPT_OF_REPLY: Final = 4_000
"""Characters of a reply that the re-ask repeats: its end, where the verdict was to be."""
_WHY: Final = {
    "judge_truncated": "Your reply was cut off before it ended.",
    "two_verdicts": "Your reply has more than one verdict.",
    "unknown_verdict": "What stands where the verdict was to be is none of the possible verdicts.",
}


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask: the material by the name under which the prompt shows it, and what is to be decided."""

    material: Mapping[str, str]
    labels: Labels
    variables: Mapping[str, Any] = field(default_factory=dict)
    """What else the template may name."""
    parts: Sequence[Mapping[str, Any]] = ({},)
    """One for each verdict that is wanted: what the audit trail says of it."""
    shown: Sequence[str] = ("answer",)
    """The material that a prompt can't leave out."""


class PromptedJudge(Judge):
    """Base of the judges that ask models."""

    runs_in = "inline"

    prompt: str = Field(description="Template of what is asked; the format of the verdict is added beneath it.")
    system: str | None = Field(SYSTEM, description="System message; null for models that take none.")
    question: str | None = Field(
        None,
        description="Template of the question as the judge sees it, such as `{{ item.question }}`; by default the user "
        "messages that the model was sent.",
    )
    verdict: Literal["text", "json"] = Field(
        "text",
        description="How the judge writes its verdict: `text`, on a line of its own after an explanation, or `json`, "
        "one object by a JSON Schema that is sent as `response_format`.",
    )
    logprobs: int | None = Field(
        None,
        ge=1,
        le=20,
        description="Alternatives asked for at each token. If given, a verdict's value is the mean over the possible "
        "verdicts, weighted with their probabilities; the engine must give log-probabilities.",
    )
    combine: Combine = Field(
        "mean",
        description="How the ballots of several judging models and repeats become one score: mean, median, majority or "
        "unanimity.",
    )

    @field_validator("prompt", "question")
    @classmethod
    def _compiles(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                PromptTemplate(text)
            except SpecError as error:
                raise ValueError(error.message) from error
        return text

    @model_validator(mode="after")
    def _settings_fit(self) -> PromptedJudge:
        if self.logprobs is not None and self.verdict == "json":
            raise ValueError("logprobs: they are read from verdicts in free text; take it out, or set verdict: text")
        if self.logprobs is not None and self.combine in ("majority", "unanimity"):
            raise ValueError(f"combine: expected values are hardly ever equal, so there is no {self.combine}: use mean")
        return self

    @property
    def requires(self) -> frozenset[str]:
        wanted = {"logprobs": self.logprobs is not None, "structured": self.verdict == "json"}
        return frozenset(name for name, is_wanted in wanted.items() if is_wanted)

    @abstractmethod
    def questions(self, judged: JudgedAnswer) -> Sequence[Question] | Score:
        """What to ask about an answer, in order; or the score of one that there is nothing to ask about."""

    @abstractmethod
    def worth(self, judged: JudgedAnswer, values: Sequence[float]) -> float:
        """The value of one ballot, in [0, 1]: `values` has one for each part of each question."""

    def requests(self, judged: JudgedAnswer) -> Sequence[JudgeRequest]:
        asked = self.questions(judged)
        return [] if isinstance(asked, Score) else [self._request(judged, each) for each in asked]

    def again(self, judged: JudgedAnswer, reply: JudgeReply) -> JudgeRequest | None:
        question = self._asked(judged)[reply.question]
        verdicts = self._read(question, reply)
        reason = next((each.reason for each in verdicts if each.reason is not None), None)
        if reason is None or reason in NOT_ASKED_AGAIN:
            return None
        why = _WHY.get(reason, "Your reply has no verdict where it was to be.")
        messages = [
            *reply.request.messages,
            {"role": "assistant", "content": reply.generation.text[-_KEPT_OF_REPLY:] or "(nothing)"},
            {"role": "user", "content": f"{why}\n\n{self._format(asked_for(reply.request), question)}"},
        ]
        return JudgeRequest(messages, reply.request.params)

    def score(self, judged: JudgedAnswer, replies: Sequence[JudgeReply]) -> Score:
        asked = self.questions(judged)
        if isinstance(asked, Score):
            return asked
        found: dict[tuple[str, int], list[Verdict]] = {}
        trail = []
        for reply in replies:
            question = asked[reply.question]
            verdicts = self._read(question, reply)
            found.setdefault((reply.model_id, reply.repeat), []).extend(verdicts)
            trail += [_entry(reply, each, of) for each, of in zip(verdicts, question.parts, strict=True)]
        ballots = [self._ballot(judged, each) for each in found.values()]
        score = combined(ballots, self.combine)
        return Score(score.value, score.reason, details={"verdicts": trail, "prompt": self._prompt_name})

    def _ballot(self, judged: JudgedAnswer, verdicts: Sequence[Verdict]) -> Ballot:
        values = [each.value for each in verdicts if each.value is not None]
        if len(values) < len(verdicts):
            return None, next(each.reason for each in verdicts if each.reason is not None)
        return self.worth(judged, values), None

    def _read(self, question: Question, reply: JudgeReply) -> list[Verdict]:
        return read_verdicts(
            reply.generation, asked_for(reply.request), len(question.parts), question.labels,
            as_json=self.verdict == "json", logprobs=self.logprobs is not None,
        )  # fmt: skip

    def _asked(self, judged: JudgedAnswer) -> Sequence[Question]:
        asked = self.questions(judged)
        return [] if isinstance(asked, Score) else asked

    def _request(self, judged: JudgedAnswer, question: Question) -> JudgeRequest:
        marker = marker_of([judged.item.id, judged.item.fields, dict(question.material), dict(question.variables)])
        material = wrapped(question.material, marker)
        text = self._template.render(judged.item, **{"reference": "", **question.variables, **material})
        if hidden := [name for name in question.shown if material[name] not in text]:
            raise SpecError(f"prompt: it does not show {{{{ {hidden[0]} }}}}, without which there is nothing to judge")
        said = [{"role": "system", "content": self.system}] if self.system else []
        said.append({"role": "user", "content": f"{text.rstrip()}\n\n{self._format(marker, question)}"})
        return JudgeRequest(said, self._params(marker, question))

    def _params(self, marker: str, question: Question) -> dict[str, Any]:
        if self.logprobs is not None:
            return {"logprobs": True, "top_logprobs": self.logprobs}
        return {"response_format": _schema(marker, question)} if self.verdict == "json" else {}

    def _format(self, marker: str, question: Question) -> str:
        """Where to put the verdict: added beneath every prompt, and said again when a verdict can't be read."""
        parts = len(question.parts)
        numbers = range(1, parts + 1)
        if self.verdict == "json":
            keys = ", ".join(f'"{json_key(marker, number, parts)}"' for number in numbers)
            return (
                'Reply with one JSON object and nothing else. Its keys: "explanation", a few sentences; then '
                f"{keys}, {'each ' if parts > 1 else ''}one of {_listed(question.labels, quoted=True)}."
            )
        lines = "\n".join(f"{text_tag(marker, number, parts)}: <verdict>" for number in numbers)
        what = "this line" if parts == 1 else f"these {parts} lines"
        return (
            f"Explain your judgement in a few sentences. Then end with {what}, written nowhere else in your reply, "
            f"with one of {_listed(question.labels)} for <verdict>:\n{lines}"
        )

    def material(self, judged: JudgedAnswer) -> dict[str, str]:
        """Question, answer and, if the item has one, reference; the answer's steps, if the prompt shows them."""
        material = {"question": self._question(judged), "answer": as_text(judged.value)}
        if judged.item.reference is not None:
            material["reference"] = as_text(judged.item.reference)
        if self._shows_conversation:
            material["conversation"] = _as_script(judged.generation.conversation or _single_turn(judged))
        return material | {name: told(judged.generation.steps) for name, told in STEPS.items() if name in self._shows}

    @cached_property
    def _shows(self) -> frozenset[str]:
        """What of the steps the prompt names: others' requests are what they were without it."""
        return frozenset(name for name in STEPS if re.search(rf"\b{name}\b", self.prompt))

    @cached_property
    def _shows_conversation(self) -> bool:
        """Whether the prompt names it: the requests of others stay what they are without it."""
        return re.search(r"\bconversation\b", self.prompt) is not None

    def _question(self, judged: JudgedAnswer) -> str:
        if self._question_template is not None:
            return self._question_template.render(judged.item)
        said = [_text_of(message) for message in judged.messages if message.get("role") == "user"]
        if not said:
            raise SpecError(
                "question: the answers are recorded, or of a model that reads no prompt, so what was asked is not "
                "known: set it to a template such as {{ item.question }}"
            )
        return "\n\n".join(said)

    @cached_property
    def _template(self) -> PromptTemplate:
        return PromptTemplate(self.prompt)

    @cached_property
    def _question_template(self) -> PromptTemplate | None:
        return None if self.question is None else PromptTemplate(self.question)

    @cached_property
    def _prompt_name(self) -> str:
        shipped = self.prompt == type(self).model_fields["prompt"].default and self.system == SYSTEM
        return f"shipped, version {self.version}" if shipped else "of the spec"


def check_logprobs(labels: Labels) -> None:
    """Raise ValueError if a label is the beginning of another, so that a first token may not tell them apart."""
    for label in labels:
        if other := [each for each in labels if each != label and each.startswith(label)]:
            raise ValueError(
                f"logprobs: the verdict {label} is the beginning of {other[0]}, so their first tokens may be the same: "
                "choose others, such as a range up to 9"
            )


def _entry(reply: JudgeReply, verdict: Verdict, part: Mapping[str, Any]) -> dict[str, Any]:
    entry = {"judge": reply.model_id, "repeat": reply.repeat, **part, "value": verdict.value, "reason": verdict.reason}
    more = {"label": verdict.label, "mass": verdict.mass, "asked_again": reply.asked_again or None}
    return {**entry, **{name: value for name, value in more.items() if value is not None}}


def _schema(marker: str, question: Question) -> dict[str, Any]:
    parts = len(question.parts)
    keys = [json_key(marker, number, parts) for number in range(1, parts + 1)]
    one = {"type": "string", "enum": list(question.labels)}
    schema = {
        "type": "object",
        "properties": {"explanation": {"type": "string"}, **dict.fromkeys(keys, one)},
        "required": ["explanation", *keys],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "verdict", "strict": True, "schema": schema}}


def _listed(labels: Labels, *, quoted: bool = False) -> str:
    names = [f'"{label}"' if quoted else label for label in labels]
    if all(label.isdigit() for label in labels) and len(names) > 3:
        return f"the whole numbers from {names[0]} to {names[-1]}"
    return ", ".join(names[:-1]) + f" and {names[-1]}"


def _single_turn(judged: JudgedAnswer) -> list[Mapping[str, Any]]:
    return [*judged.messages, {"role": "assistant", "content": judged.generation.text}]


def _as_script(messages: Sequence[Mapping[str, Any]]) -> str:
    """What was said, by whom: each message with its role before it, calls of tools as JSON."""
    told = []
    for message in messages:
        calls = [json.dumps(each, ensure_ascii=False) for each in message.get("tool_calls") or ()]
        told.append(f"[{message['role']}]\n" + "\n".join(each for each in (_text_of(message), *calls) if each))
    return "\n\n".join(told)


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "\n".join(part.get("text") or _UNSEEN.get(part.get("type", ""), "(a part)") for part in content)
    return str(content or "")


_UNSEEN = {"image_url": "(an image)", "input_audio": "(sound)", "file": "(a file)"}
"""What a judge reads in the place of what it is not shown."""
