"""What one store holds, added to another one: any two stores, whatever their backends.

Content decides: what the target has stays, what it lacks is added by the rules of `Store.append`, so merging again
changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from themis_core import (
    BatchEnded,
    BatchIntended,
    BatchSubmitted,
    Event,
    GenerationRecorded,
    ItemRecorded,
    RunFinished,
    RunRecord,
    RunStarted,
    StorageError,
    Store,
    TrialFinished,
    canonical_json,
    event_from,
)

__all__ = ["Merged", "merge"]

_EVENTS = 500
_CHARACTERS = 4_000_000
"""A batch ends with whichever of the two comes first."""
_OF_BATCHES = (BatchIntended, BatchSubmitted, BatchEnded)


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge found in the source."""

    runs: int
    """Runs of the source."""
    events: int
    """Events that were new to the target: what it lacked, or had only as a failure. 0 if it had everything."""
    earlier_executions: int
    """Executions whose start and end were left out, because the target has a later execution of the same run: their
    times and counts are missing, their results are not."""


def merge(source: Store, target: Store) -> Merged:
    """Add all that `source` holds to `target`.

    Runs that both have are locked in the target meanwhile: raises RunLocked if one is being worked on. Raises
    StorageError, before anything is added, if the log of the source is damaged.
    """
    for damage in source.check_log():
        raise StorageError(
            f"the store to be merged is damaged ({damage.place}: {damage.problem}), so nothing was merged: "
            "verify it, and bring it back from a backup"
        )
    runs = [run.run_id for run in source.runs()]
    known = {run_id: run for run_id in runs if (run := target.run(run_id)) is not None}
    with ExitStack() as locks:
        for run_id in sorted(known):
            locks.enter_context(target.lock_run(run_id))
        left_out: set[tuple[str, str]] = set()
        lacking = _Lacking(target, known)
        count = 0
        since = {run_id: _since(target, run) for run_id, run in known.items()}
        for batch in _batches(_without_earlier(source.events(), since, left_out)):
            new = lacking.count(batch)  # before they are there
            target.append(batch)
            count += new
    return Merged(len(runs), count, len(left_out))


class _Lacking:
    """Tells what a target lacks of a batch, by look-ups: a store's `append` does not say what it changed."""

    def __init__(self, target: Store, known: Mapping[str, RunRecord]) -> None:
        self._target = target
        self._known = known
        """The runs that the target had before the merge."""
        executions = {run_id: target.executions(run_id) for run_id in known}
        self._starts = {(run_id, each.part, each.started_at) for run_id in known for each in executions[run_id]}
        self._part_ends = {(run_id, each.part, each.finished_at) for run_id in known for each in executions[run_id]}
        self._failed: dict[str, set[tuple[str, str]]] = {}
        self._batches: set[tuple[str, str]] | None = None

    def count(self, batch: Sequence[Event]) -> int:
        """How many of these events the target lacks."""
        items = [each.item.digest for each in batch if isinstance(each, ItemRecorded)]
        there = self._target.items(items) if items else {}
        return (
            sum(digest not in there for digest in items)
            + self._generations([each for each in batch if isinstance(each, GenerationRecorded)])
            + self._trials([each for each in batch if isinstance(each, TrialFinished)])
            + sum(self._is_new_start(each) for each in batch if isinstance(each, RunStarted))
            + sum(self._is_new_end(each) for each in batch if isinstance(each, RunFinished))
            + sum(self._is_new_of_batch(each) for each in batch if isinstance(each, _OF_BATCHES))
        )

    def _generations(self, recorded: Sequence[GenerationRecorded]) -> int:
        answered = self._target.stored_generations([each.key for each in recorded]) if recorded else set()
        left = [each for each in recorded if each.key not in answered]
        failures = [each.key for each in left if each.generation.failed]
        there = {each.key for each in self._target.generation_records(failures)} if failures else set()
        return sum(not each.generation.failed or each.key not in there for each in left)

    def _trials(self, finished: Sequence[TrialFinished]) -> int:
        count = 0
        for run_id in {each.run_id for each in finished}:
            trials = [each for each in finished if each.run_id == run_id]
            there = self._target.finished_trials(run_id, [(each.slice_id, each.trial_id) for each in trials])
            if any(each.outcome == "failed" for each in trials):
                failed = self._failed_before(run_id)
            else:
                failed = set()
            for each in trials:
                place = (each.slice_id, each.trial_id)
                if place not in there:
                    count += place not in failed if each.outcome == "failed" else not self._has_scores(each)
        return count

    def _has_scores(self, finished: TrialFinished) -> bool:
        """Whether the target had the trial with scores that are to be tried again, and is told nothing new of them."""
        if finished.run_id not in self._known:
            return False
        entries = self._target.score_entries(finished.run_id, finished.slice_id, finished.trial_id)
        ranks = {entry.key: entry.result.rank for entry in entries}
        return bool(ranks) and all(entry.result.rank <= ranks.get(entry.key, 2) for entry in finished.scores)

    def _failed_before(self, run_id: str) -> set[tuple[str, str]]:
        """The failed trials of a run that the target had before the merge; they are read once."""
        if run_id not in self._failed:
            known = self._known.get(run_id)
            rows = self._target.trial_rows(run_id) if known is not None and known.failed else ()
            self._failed[run_id] = {(row.slice_id, row.trial_id) for row in rows if row.outcome == "failed"}
        return self._failed[run_id]

    def _is_new_start(self, started: RunStarted) -> bool:
        return (started.run_id, started.part, started.at) not in self._starts

    def _is_new_end(self, finished: RunFinished) -> bool:
        if finished.part is not None:
            return (finished.run_id, finished.part, finished.at) not in self._part_ends
        known = self._known.get(finished.run_id)
        return known is None or finished.at > (known.finished_at or "")

    def _is_new_of_batch(self, event: BatchIntended | BatchSubmitted | BatchEnded) -> bool:
        """Whether the target had no such event of the batch of requests before the merge; its log is read once."""
        if self._batches is None:
            kinds = {each.kind for each in _OF_BATCHES}
            self._batches = {(each["kind"], each["nonce"]) for each in self._target.events() if each["kind"] in kinds}
        return (event.kind, event.nonce) not in self._batches


@dataclass(frozen=True, slots=True)
class _Since:
    """What of a run's executions a target has already."""

    at: str
    """Executions that started before this are earlier than its own; none are, as long as it is worked on in parts."""
    started_at: str
    """Its own of the whole began at this: before `at`, if it was made in parts, with the first of them."""


def _since(target: Store, run: RunRecord) -> _Since:
    if run.in_parts:
        return _Since("", "")
    whole_of_parts = any(each.part is not None for each in target.executions(run.run_id))
    return _Since((run.finished_at if whole_of_parts else None) or run.started_at, run.started_at)


def _without_earlier(
    events: Iterable[Mapping[str, Any]], known: Mapping[str, _Since], left_out: set[tuple[str, str]]
) -> Iterator[Mapping[str, Any]]:
    """Leave out starts and ends of executions before the target's own: a store shows the one appended last."""
    skipping: set[tuple[str, str | None]] = set()
    for event in events:
        kind, run_id = event["kind"], event.get("run_id", "")
        part = event.get("part")
        if kind == "run_started":
            own = part is None and run_id in known and event["at"] == known[run_id].started_at
            if run_id in known and event["at"] < known[run_id].at and not own:
                skipping.add((run_id, part))
                left_out.add((run_id, event["at"]))
            else:
                skipping.discard((run_id, part))
        if kind not in ("run_started", "run_finished") or (run_id, part) not in skipping:
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
