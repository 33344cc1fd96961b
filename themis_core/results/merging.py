"""What one store holds, added to another one: any two stores, whatever their backends.

Content decides: what the target has stays, what it lacks is added by the rules of `Store.append`, so merging again
changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from themis_core.components import Store
from themis_core.errors import StorageError
from themis_core.records import (
    Event,
    Extraction,
    Generation,
    GenerationRecorded,
    Item,
    ItemRecorded,
    Request,
    RunFinished,
    RunStarted,
    Score,
    ScoreEntry,
    TrialFinished,
)
from themis_core.specs import canonical_json

__all__ = ["Merged", "event_from", "merge"]

_EVENTS = 500
_CHARACTERS = 4_000_000
"""A batch ends with whichever of the two comes first."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge read."""

    runs: int
    """Runs of the source."""
    events: int
    """Events of the source that were appended; those whose content the target had changed nothing."""
    earlier_executions: int
    """Executions whose start and end were left out, because the target has a later execution of the same run: their
    times and counts are missing, their results are not."""


def merge(source: Store, target: Store) -> Merged:
    """Add all that `source` holds to `target`.

    Runs that both have are locked in the target meanwhile: raises RunLocked if one is being worked on.
    """
    runs = [run.run_id for run in source.runs()]
    latest = {run_id: known.started_at for run_id in runs if (known := target.run(run_id)) is not None}
    with ExitStack() as locks:
        for run_id in sorted(latest):
            locks.enter_context(target.lock_run(run_id))
        left_out: set[tuple[str, str]] = set()
        count = 0
        for batch in _batches(_without_earlier(source.events(), latest, left_out)):
            target.append(batch)
            count += len(batch)
    return Merged(len(runs), count, len(left_out))


def _without_earlier(
    events: Iterable[Mapping[str, Any]], latest: Mapping[str, str], left_out: set[tuple[str, str]]
) -> Iterator[Mapping[str, Any]]:
    """Leave out starts and ends of executions before the target's own: a store shows the one appended last."""
    skipping: set[str] = set()
    for event in events:
        kind, run_id = event["kind"], event.get("run_id", "")
        if kind == "run_started":
            if event["at"] < latest.get(run_id, ""):
                skipping.add(run_id)
                left_out.add((run_id, event["at"]))
            else:
                skipping.discard(run_id)
        if kind not in ("run_started", "run_finished") or run_id not in skipping:
            yield event


def _batches(events: Iterable[Mapping[str, Any]]) -> Iterator[list[Event]]:
    batch: list[Event] = []
    characters = 0
    for event in events:
        batch.append(event_from(event))
        characters += len(canonical_json(event))
        if len(batch) == _EVENTS or characters >= _CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


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
}
