"""What one trial is made of, from the row of a dataset to its scores."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

from themis_core.records.codes import SCORE_FAULTS
from themis_core.records.steps import Step
from themis_costs import Usage
from themis_plain import quick

__all__ = [
    "Extraction",
    "Generation",
    "GenerationStatus",
    "HANDED_BACK",
    "Item",
    "Request",
    "Row",
    "SIMULATED_USER",
    "Score",
    "ScoreEntry",
    "WARNING",
]

GenerationStatus = Literal["answered", "refused", "truncated", "empty", "absent", "failed"]
HANDED_BACK: Final = "handed_back"
"""In a generation's `provider`: what its engine wants to see again in the turns that follow, such as signed reasoning.

JSON-like data, which the run does not read: the assistant's message of those turns has it under this name.
"""
SIMULATED_USER: Final = "simulated_user"
"""In a generation's `provider`: that a simulated user said it, and after which answer of the conversation: 1, 2, …"""
WARNING: Final = "warning"
"""In a generation's `provider`: a sentence that the run is to tell, such as that nobody knows if an answer is whole.

Equal sentences are counted, so they name what is alike, and nothing of the one answer.
"""


@quick
@dataclass(frozen=True, slots=True)
class Row:
    """What a dataset loader yields: one row as it is in the source, and where it came from."""

    data: dict[str, Any]
    """Column name to JSON-like value."""
    location: str = ""
    """For messages, such as `data/test.jsonl:17`."""


@quick
@dataclass(frozen=True, slots=True)
class Item:
    """One dataset row after mapping."""

    id: str
    fields: dict[str, Any]
    reference: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)
    output: str | None = None
    model: str | None = None
    digest: str = ""
    """SHA-256 of the content (id, fields, reference, metadata, output, model)."""


@quick
@dataclass(frozen=True, slots=True)
class Request:
    """What an engine is asked: complete in itself, so it can be sent from anywhere."""

    model_id: str
    """The name that the server is sent: `model` of the model's spec, or its `model_id` if that is absent."""
    messages: list[dict[str, Any]]
    """`{"role": ..., "content": text or list of parts}`, rendered. A part is one of

    - `{"type": "text", "text": ...}`
    - `{"type": "image_url", "image_url": {"url": ..., "detail": ...}}`, with an `https:` or a `data:` URL
    - `{"type": "input_audio", "input_audio": {"data": Base64, "format": "wav" or "mp3"}}`
    - `{"type": "file", "file": {"filename": ..., "file_data": a `data:` URL}}`

    An assistant's message may have `tool_calls`: a list of `{"id": ..., "type": "function", "function": {"name": ...,
    "arguments": JSON text}}`. One of the role `tool` has the `tool_call_id` of the call whose result it is.

    Empty if the engine reads no prompt."""
    params: dict[str, Any] = field(default_factory=dict)
    """The inference settings that are set, by their names in `InferenceParamsSpec`."""
    item_id: str = ""
    sample_index: int = 0
    seed: int | None = None
    key: str = ""
    """The generation key."""
    item: dict[str, Any] = field(default_factory=dict)
    """What of the item the engine is handed: what `Engine.item_fields` names, by these names; empty by default."""


_NO_USAGE: Final = Usage()


@quick
@dataclass(frozen=True, slots=True)
class Generation:
    """The answer to one request, or its failure."""

    status: GenerationStatus
    text: str = ""
    """The answer, reasoning not included."""
    reasoning: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    """One of `ERROR_CODES`, if failed."""
    error: str | None = None
    """What went wrong, for people, if failed."""
    usage: Usage = _NO_USAGE
    cost: float | None = None
    """In the currency of the prices, all attempts; None if no price is given or a part is unknown: see `RunCost`."""
    latency_s: float | None = None
    """Seconds from the sending of the last request to the last byte of its reply, if the engine measured that; or else
    from the start of the last attempt to its answer."""
    attempts: int = 1
    alternatives: tuple[str, ...] = ()
    """Texts of the further choices, if `n` asked for more than one."""
    tool_calls: tuple[dict[str, Any], ...] = ()
    logprobs: tuple[dict[str, Any], ...] | None = None
    """One dict per token: `token`, `logprob`, `top_logprobs`."""
    provider: dict[str, Any] = field(default_factory=dict)
    """What else the provider said: response id, model version, fingerprint."""
    steps: tuple[Step, ...] = ()
    """How an application came to its answer, in order: the first 1,000 steps, with up to 256 KiB of input and output
    each and 1 MiB in all. The run keeps these bounds, and says so where something is left out."""
    steps_left_out: int = 0
    """Steps beyond the first 1,000."""
    conversation: tuple[dict[str, Any], ...] = ()
    """What was said in a trial of several turns: the messages of its last request, and this answer as the last one.
    Metrics and judges are handed it. It is empty for prompts of one turn, and in what is stored: the request has it."""

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    def as_message(self) -> dict[str, Any]:
        """The answer as a message of the turns that follow, with the tool calls that they may refer to, and what its
        engine wants to see again."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.tool_calls:
            message["tool_calls"] = list(self.tool_calls)
        if HANDED_BACK in self.provider:
            message[HANDED_BACK] = self.provider[HANDED_BACK]
        return message

    def to_dict(self) -> dict[str, Any]:
        """Plain data without the fields that have their default; `from_dict` reverses it."""
        data: dict[str, Any] = {"status": self.status}
        for name, default in _GENERATION_DEFAULTS:
            value = getattr(self, name)
            if value != default:
                data[name] = value
        if self.usage != _NO_USAGE:
            data["usage"] = {each: count for each in _USAGE_FIELDS if (count := getattr(self.usage, each)) is not None}
        if self.steps:
            data["steps"] = [each.to_dict() for each in self.steps]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Generation:
        """Build a generation from what `to_dict` gave, lists of JSON read as tuples."""
        values = dict(data)
        if "usage" in values:
            values["usage"] = Usage(**values["usage"])
        for name in ("alternatives", "tool_calls", "logprobs"):
            if values.get(name) is not None:
                values[name] = tuple(values[name])
        if "steps" in values:
            values["steps"] = tuple(map(Step.from_dict, values["steps"]))
        return cls(**values)


_USAGE_FIELDS = tuple(each.name for each in fields(Usage))
_GENERATION_DEFAULTS: tuple[tuple[str, Any], ...] = (
    ("text", ""),
    ("reasoning", None),
    ("refusal", None),
    ("finish_reason", None),
    ("error_code", None),
    ("error", None),
    ("cost", None),
    ("latency_s", None),
    ("attempts", 1),
    ("alternatives", ()),
    ("tool_calls", ()),
    ("logprobs", None),
    ("provider", {}),
    ("steps_left_out", 0),
)


@quick
@dataclass(frozen=True, slots=True)
class Extraction:
    """What a parse found in a text: a value, or the reason why not."""

    value: Any = None
    """JSON-like; meaningful only if `reason` is None."""
    reason: str | None = None
    """Short and stable, such as `no_match`; None if something was found.

    `extractor_timeout` says that it could not be decided: no other extractor is tried, and the score is missing.
    """

    @property
    def parsed(self) -> bool:
        return self.reason is None


@quick
@dataclass(frozen=True, slots=True)
class Score:
    """One number that a metric or a judge gave one generation, or the reason why not."""

    value: float | None = None
    """Finite; None if unscored."""
    reason: str | None = None
    """Short and stable, such as `no_reference`; None if scored. `absent` is a score that was never recorded, where the
    spec says that this is right: it is counted, misses no threshold and is no reason for exit 5."""
    parts: tuple[float, ...] = ()
    """What the metric's `aggregate` needs beyond the value, such as n-gram counts."""
    details: dict[str, Any] = field(default_factory=dict)
    """For people: what was compared, a judge's explanation."""

    @property
    def scored(self) -> bool:
        return self.value is not None

    @property
    def rank(self) -> int:
        """How much it says: 0 nothing, by a fault of `SCORE_FAULTS`; 1 that there is no score; 2 a score.

        A store keeps what has the higher rank. What has rank 0 is tried again by the next run.
        """
        return 2 if self.value is not None else int(self.reason not in SCORE_FAULTS)


@quick
@dataclass(frozen=True, slots=True)
class ScoreEntry:
    """One score of a finished trial, with the names that the spec gave it."""

    score: str
    metric: str
    """The metric's label."""
    key: str
    """The score key; equal keys have equal scores."""
    result: Score
    parse: str | None = None
    extraction: Extraction | None = None
    """None if the raw answer was scored, there was none to read, or an extractor failed at it."""
    new: bool = True
    """False if it was found stored."""
    judged_by: tuple[str, ...] = ()
    """Generation keys of the judge's replies."""
