"""What is passed between rooms and what is stored: plain values, serialisable, equal by content.

No behaviour beyond turning a record into plain data and back; no I/O.

One trial's records, in the order in which they come to be:

    Item ─ Trial ─ Request ─ Generation ─ Extraction ─ Score
    events: RunStarted · ItemRecorded · GenerationRecorded · TrialFinished (with its scores) · RunFinished
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Final, Literal, TypeAlias

__all__ = [
    "ERROR_CODES",
    "ERROR_REMEDIES",
    "Event",
    "Extraction",
    "Generation",
    "GenerationRecorded",
    "Item",
    "ItemRecorded",
    "OutcomeCount",
    "Request",
    "Row",
    "RunCost",
    "RunFinished",
    "RunRecord",
    "RunStarted",
    "Score",
    "SCORE_FAULTS",
    "ScoreEntry",
    "ScoreRow",
    "TrialFinished",
    "TrialRow",
    "UNKNOWN_COST",
    "Usage",
    "WARNING",
]

GenerationStatus = Literal["answered", "refused", "truncated", "empty", "absent", "failed"]

ERROR_CODES: Final = {
    "timeout": "the attempt took longer than its deadline",
    "connection": "no connection, or it broke before the reply was complete",
    "unreachable": "nobody listens at the address, or there is no such host",
    "certificate": "the server's certificate is not trusted",
    "tls": "client and server agree on no secure connection, such as https to a port for http",
    "redirect": "the address sends elsewhere, which is never followed",
    "proxy": "the proxy can't be reached or refuses the connection",
    "rate_limited": "the provider asked to slow down (429)",
    "overloaded": "the provider is overloaded for now (503, 529)",
    "server_error": "the provider failed (other 5xx, 408, 409)",
    "bad_request": "the provider refuses the request as it is (400, 422)",
    "context_length": "prompt and answer do not fit the model's context",
    "content_filter": "the provider's filter refused the prompt: the answer counts as refused",
    "unauthorized": "the key is missing or wrong (401)",
    "forbidden": "the key may not do this (403)",
    "not_found": "no such model or address (404)",
    "too_large": "the request is too large (413)",
    "quota_exhausted": "the account's quota or credit is used up",
    "invalid_reply": "the reply is not what the protocol says",
    "reply_too_large": "the reply is larger than the limit",
    "missing": "no recorded output for this item and model",
    "unsupported": "the engine can't do what the parameters ask",
    "circuit_open": "not called: the endpoint failed too often",
    "engine_error": "the engine raised an unexpected exception",
    "cancelled": "stopped before the reply came",
}
"""Stable codes of failed generations, with their meaning."""

ERROR_REMEDIES: Final = {
    "timeout": "raise `execution_policy.attempt_timeout_s`, or let fewer calls be in flight",
    "connection": "look at the network and at the server's own log",
    "unreachable": "start the server, or correct its address",
    "certificate": "let the client trust the authority that signed it, or correct the server's name",
    "tls": "write the address with http: or https:, whichever the server speaks at that port",
    "redirect": "write the address at which the interface itself answers",
    "proxy": "correct the variable that names the proxy, or list the server's host in NO_PROXY",
    "rate_limited": "lower `execution_policy.requests_per_minute`, or raise `retry_window_s`",
    "overloaded": "wait a while, or let fewer calls be in flight",
    "server_error": "look at the provider's status page or the server's own log",
    "bad_request": "change what the message names: a setting (see `params` of a model), the model or the prompt",
    "context_length": "shorten the prompt, or lower `max_tokens`",
    "content_filter": "change the prompt or the filter",
    "unauthorized": "put the right key into the variable that the spec names",
    "forbidden": "let the account have access to this model, or use another key",
    "not_found": "correct the model's name or the server's address",
    "too_large": "shorten the prompt, or send smaller images",
    "quota_exhausted": "top up the account or raise its limit",
    "invalid_reply": "look at what answers at this address",
    "reply_too_large": "lower `max_tokens`, or raise the engine's limit",
    "missing": "record the output, or take the item or model out of the spec",
    "unsupported": "take the setting out, or use another engine",
    "circuit_open": "mend what the message names",
    "engine_error": "report it to the engine's author",
    "cancelled": "let the run come to its end",
}
"""What to do about the failures of each code, before the run is started again."""
SCORE_FAULTS: Final = {
    "extractor_error": "an extractor raised an exception",
    "extractor_timeout": "an extractor needed more time than it may take",
    "metric_error": "the metric or judge raised an exception",
    "metric_timeout": "the metric or judge needed more time than it may take",
    "not_finite": "the metric or judge gave a number that is not finite",
    "out_of_range": "the metric or judge gave a number outside of the range that it declares",
    "judge_unavailable": "the judging model, or the one compared with, gave no answer",
}
"""Reasons of scores that are missing by a component's or endpoint's fault, with their meaning: nothing is known of the
answer.

Nothing that is stored with such a reason is final: the next run tries it again, which asks no model under test.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What a dataset loader yields: one row as it is in the source, and where it came from."""

    data: dict[str, Any]
    """Column name to JSON-like value."""
    location: str = ""
    """For messages, such as `data/test.jsonl:17`."""


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


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one call; None where the provider did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_input_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What an engine is asked: complete in itself, so it can be sent from anywhere."""

    model_id: str
    """The name that the server is sent: `model` of the model's spec, or its `model_id` if that is absent."""
    messages: list[dict[str, Any]]
    """`{"role": ..., "content": text or list of parts}`, rendered; a part is `{"type": "text", "text": ...}` or
    `{"type": "image_url", "image_url": {"url": ..., "detail": ...}}`."""
    params: dict[str, Any] = field(default_factory=dict)
    """The inference settings that are set, by their names in `InferenceParamsSpec`."""
    item_id: str = ""
    sample_index: int = 0
    seed: int | None = None
    key: str = ""
    """The generation key."""


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
    usage: Usage = Usage()
    cost: float | None = None
    """In the currency of the prices, all attempts; None if no price is given or a part is unknown: see `RunCost`."""
    latency_s: float | None = None
    """Seconds from the start of the last attempt to its reply."""
    attempts: int = 1
    alternatives: tuple[str, ...] = ()
    """Texts of the further choices, if `n` asked for more than one."""
    tool_calls: tuple[dict[str, Any], ...] = ()
    logprobs: tuple[dict[str, Any], ...] | None = None
    """One dict per token: `token`, `logprob`, `top_logprobs`."""
    provider: dict[str, Any] = field(default_factory=dict)
    """What else the provider said: response id, model version, fingerprint."""

    @property
    def failed(self) -> bool:
        return self.status == "failed"

    def to_dict(self) -> dict[str, Any]:
        """Plain data without the fields that have their default; `from_dict` reverses it."""
        data: dict[str, Any] = {"status": self.status}
        for name, default in _GENERATION_DEFAULTS:
            value = getattr(self, name)
            if value != default:
                data[name] = value
        if self.usage != _NO_USAGE:
            data["usage"] = {each: count for each in _USAGE_FIELDS if (count := getattr(self.usage, each)) is not None}
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
        return cls(**values)


_USAGE_FIELDS = tuple(each.name for each in fields(Usage))
_NO_USAGE = Usage()
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
)


@dataclass(frozen=True, slots=True)
class RunCost:
    """What calls cost, in the currency of the prices: from `known` to `most`. Costs can be added."""

    known: float | None = None
    """Of the calls whose token counts are known; None if there are none with a price."""
    unknown_calls: int = 0
    """Calls whose cost is not known: no usable token counts, no reply, or no price."""
    unknown_most: float | None = 0.0
    """The most that those can have cost together; None if one of them has no price."""

    @property
    def most(self) -> float:
        """The most that all can have cost, calls without a price left out."""
        return (self.known or 0.0) + (self.unknown_most or 0.0)

    @property
    def at_most(self) -> float | None:
        """`most`, if that is the most that all can have cost; None if a call has no price, or none has one."""
        return self.most if self and self.unknown_most is not None else None

    def __bool__(self) -> bool:
        return self.known is not None or self.unknown_calls > 0

    def __add__(self, other: RunCost) -> RunCost:
        known, more = self.known, other.known
        most, most_more = self.unknown_most, other.unknown_most
        return RunCost(
            more if known is None else known if more is None else known + more,
            self.unknown_calls + other.unknown_calls,
            None if most is None or most_more is None else most + most_more,
        )

    @classmethod
    def of(cls, generation: Generation) -> RunCost:
        """What a generation that is stored cost, attempts that failed included."""
        unknown = generation.provider.get(UNKNOWN_COST)
        return cls(generation.cost) if unknown is None else cls(**unknown)

    def put_into(self, generation: Generation) -> Generation:
        """The generation with this cost. Where a part is unknown its `cost` is None, and `provider` tells the parts."""
        provider = {name: value for name, value in generation.provider.items() if name != UNKNOWN_COST}
        if not self.unknown_calls:
            return replace(generation, cost=self.known, provider=provider)
        parts = {"known": self.known, "unknown_calls": self.unknown_calls, "unknown_most": self.unknown_most}
        return replace(generation, cost=None, provider={**provider, UNKNOWN_COST: parts})


UNKNOWN_COST: Final = "unknown_cost"
"""In a generation's `provider`: the fields of its `RunCost`, if a part of it is unknown."""
WARNING: Final = "warning"
"""In a generation's `provider`: a sentence that the run is to tell, such as that nobody knows if an answer is whole.

Equal sentences are counted, so they name what is alike, and nothing of the one answer.
"""


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


@dataclass(frozen=True, slots=True)
class RunStarted:
    """An execution of a run began (or went on)."""

    kind: ClassVar[str] = "run_started"
    run_id: str
    at: str
    """UTC, ISO 8601."""
    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ItemRecorded:
    """An item that trials of the store refer to by its digest."""

    kind: ClassVar[str] = "item"
    item: Item


@dataclass(frozen=True, slots=True)
class GenerationRecorded:
    """A request was answered, or failed for good in this execution. A later success replaces a failure."""

    kind: ClassVar[str] = "generation"
    key: str
    run_id: str
    at: str
    request: Request
    generation: Generation


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A trial has its outcome. A later outcome of the same run, slice and trial replaces a failed one, and one of which
    it raises the rank of a score."""

    kind: ClassVar[str] = "trial"
    run_id: str
    at: str
    slice_id: str
    trial_id: str
    item_id: str
    item_digest: str
    prompt_variant_id: str
    model_id: str
    params: str
    """The settings' label."""
    sample_index: int
    generation_keys: tuple[str, ...]
    """One per turn; the last is the one scored."""
    outcome: GenerationStatus
    error_code: str | None
    reused: bool
    """True if no call was made for it in this execution."""
    scores: tuple[ScoreEntry, ...]


@dataclass(frozen=True, slots=True)
class RunFinished:
    """An execution of a run ended in an orderly way."""

    kind: ClassVar[str] = "run_finished"
    run_id: str
    at: str
    status: Literal["completed", "failed", "interrupted", "stopped"]
    """`completed` all trials have an answer; `failed` some trials failed; `interrupted` by the user;
    `stopped` by a budget, a quota or the store."""
    counts: dict[str, Any]


Event: TypeAlias = RunStarted | ItemRecorded | GenerationRecorded | TrialFinished | RunFinished


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the store has it."""

    run_id: str
    status: str
    """As in `RunFinished`, or `running` if the last execution did not end in an orderly way (yet).

    `Results` says `died` in its place if no process is at work on the run.
    """
    started_at: str
    finished_at: str | None
    manifest: dict[str, Any]
    counts: dict[str, Any]
    trials: int = 0
    """Trials with an outcome."""
    failed: int = 0


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One finished trial as the store has it."""

    run_id: str
    slice_id: str
    trial_id: str
    item_id: str
    item_digest: str
    prompt_variant_id: str
    model_id: str
    params: str
    sample_index: int
    generation_keys: tuple[str, ...]
    outcome: str
    error_code: str | None
    finished_at: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    """Of all turns."""


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """How many finished trials of one slice, model, prompt variant and setting ended in one way."""

    slice_id: str
    model_id: str
    prompt_variant_id: str
    params: str
    outcome: str
    error_code: str | None
    count: int


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One score of one finished trial as the store has it, with what results are grouped by."""

    slice_id: str
    model_id: str
    prompt_variant_id: str
    params: str
    score: str
    metric: str
    item_id: str
    sample_index: int
    trial_id: str
    outcome: str
    value: float | None
    reason: str | None
    parse: str | None
    parsed: bool | None
    """None if the score reads the raw answer."""
    parse_reason: str | None
    parts: tuple[float, ...] = ()
