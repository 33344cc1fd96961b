"""What is stored: the events of a log, and the way back from the plain data that a log gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias

from themis_core.errors import StorageError
from themis_core.records.batches import BatchEnded, BatchIntended, BatchSubmitted, Ticket
from themis_core.records.trial import Extraction, Generation, GenerationStatus, Item, Request, Score, ScoreEntry
from themis_plain import quick

__all__ = [
    "Event",
    "GenerationRecorded",
    "ItemRecorded",
    "RunFinished",
    "RunStarted",
    "TrialFinished",
    "event_from",
]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """An execution of a run began (or went on)."""

    kind: ClassVar[str] = "run_started"
    run_id: str
    at: str
    """UTC, ISO 8601 with microseconds, as are the times of all events."""
    manifest: dict[str, Any]
    part: str | None = None
    """What of the run it works on: `3/16` for a shard, `worker <name>` for a worker; None: the whole."""


@quick
@dataclass(frozen=True, slots=True)
class ItemRecorded:
    """An item that trials of the store refer to by its digest."""

    kind: ClassVar[str] = "item"
    item: Item


@quick
@dataclass(frozen=True, slots=True)
class GenerationRecorded:
    """A request was answered, or failed for good in this execution. A later success replaces a failure."""

    kind: ClassVar[str] = "generation"
    key: str
    run_id: str
    at: str
    request: Request
    generation: Generation

    def heard(self) -> Generation:
        """The generation with its `conversation`, as those who score are handed it in a trial of several turns."""
        return replace(self.generation, conversation=(*self.request.messages, self.generation.as_message()))


@quick
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
    """One per turn, and one for each thing that a simulated user said, in order; the last is the one scored. What a
    simulated user said last, and ended the conversation by it, stands before that."""
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
    status: Literal["completed", "failed", "interrupted", "stopped", "waiting"]
    """`completed` all trials have an answer; `failed` some trials failed; `interrupted` by the user;
    `stopped` by a budget, a quota or the store; `waiting` for batches, which a later execution collects."""
    counts: dict[str, Any]
    part: str | None = None
    """As in `RunStarted`; the latest execution with it is the one that ended."""


Event: TypeAlias = (
    RunStarted
    | ItemRecorded
    | GenerationRecorded
    | TrialFinished
    | RunFinished
    | BatchIntended
    | BatchSubmitted
    | BatchEnded
)


def event_from(data: Mapping[str, Any]) -> Event:
    """Return the event that `Store.events` gave as plain data. Raises StorageError if it is none that is known."""
    try:
        return _MAKERS[data["kind"]]({name: value for name, value in data.items() if name not in ("seq", "kind")})
    except (KeyError, TypeError) as error:
        problem = f"event {data.get('seq')} can't be read ({type(error).__name__})"
        raise StorageError(f"{problem}: verify the store that it comes from") from error


def _item(data: dict[str, Any]) -> ItemRecorded:
    return ItemRecorded(Item(**data["item"]))


def _generation(data: dict[str, Any]) -> GenerationRecorded:
    request, generation = Request(**data.pop("request")), Generation.from_dict(data.pop("generation"))
    return GenerationRecorded(**data, request=request, generation=generation)


def _trial(data: dict[str, Any]) -> TrialFinished:
    keys, scores = tuple(data.pop("generation_keys")), tuple(map(_score, data.pop("scores")))
    return TrialFinished(**data, generation_keys=keys, scores=scores)


def _score(data: Mapping[str, Any]) -> ScoreEntry:
    values = dict(data)
    result, extraction = dict(values.pop("result")), values.pop("extraction")
    return ScoreEntry(
        **{**values, "judged_by": tuple(values["judged_by"])},
        result=Score(**{**result, "parts": tuple(result["parts"])}),
        extraction=None if extraction is None else Extraction(**extraction),
    )


_MAKERS: Mapping[str, Callable[[dict[str, Any]], Event]] = {
    "run_started": lambda data: RunStarted(**data),
    "item": _item,
    "generation": _generation,
    "trial": _trial,
    "run_finished": lambda data: RunFinished(**data),
    "batch_intended": lambda data: BatchIntended(**{**data, "keys": tuple(data["keys"])}),
    "batch_submitted": lambda data: BatchSubmitted(**{**data, "ticket": Ticket(**data["ticket"])}),
    "batch_ended": lambda data: BatchEnded(**data),
}
