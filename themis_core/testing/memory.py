"""A storage backend that keeps everything in memory: the fake for tests, and the simplest reading of the contract.

Nothing survives the process. It passes `StorageBackendSuite` as every other backend does.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from themis_core.components import Holder, LiveChange, PartsRecord, StorageBackend, Store, locked_by, shuts_out
from themis_core.errors import StorageError, StoreMissing
from themis_core.records import (
    BatchEnded,
    BatchIntended,
    BatchSubmitted,
    Event,
    ExecutionRecord,
    Extraction,
    Generation,
    GenerationRecorded,
    Item,
    ItemRecorded,
    OutcomeCount,
    RunCost,
    RunFinished,
    RunRecord,
    RunStarted,
    Score,
    ScoreEntry,
    ScoreRow,
    TrialFinished,
    TrialRow,
)

__all__ = ["MemoryStorage", "MemoryStore"]


@dataclass
class _Execution:
    run_id: str
    started_at: str
    manifest: dict[str, Any] = field(default_factory=dict)
    finished_at: str | None = None
    status: str = "running"
    counts: dict[str, Any] = field(default_factory=dict)
    part: str | None = None


@dataclass
class _Parts:
    """The parts of a run, each with the lock of who has leased it, or None."""

    opened: float
    open: dict[int, Holder | None]
    finished: set[int] = field(default_factory=set)


@dataclass
class _Content:
    """What stores that were opened at one place share."""

    log: list[dict[str, Any]] = field(default_factory=list)
    executions: list[_Execution] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    generations: dict[str, GenerationRecorded] = field(default_factory=dict)
    scores: dict[str, tuple[Score, Extraction | None]] = field(default_factory=dict)
    trials: dict[tuple[str, str, str], TrialFinished] = field(default_factory=dict)
    """By run, slice and trial."""
    held: dict[tuple[str, str], Holder] = field(default_factory=dict)
    """By run and part."""
    since: dict[tuple[str, str], float] = field(default_factory=dict)
    """Since when, by a clock that tells them apart."""
    parts: dict[str, _Parts] = field(default_factory=dict)
    """By run, those that are handed out to workers."""
    claims: dict[str, str] = field(default_factory=dict)
    """Generation key to the run that asks for it."""
    live: dict[str, str] = field(default_factory=dict)
    """Live states as JSON."""
    batches: set[tuple[str, str]] = field(default_factory=set)
    """Kind of event and nonce, of all that is stored of batches."""
    lock: threading.Lock = field(default_factory=threading.Lock)


class MemoryStorage(StorageBackend):
    """Opens the same content for the same name and folder, within one process."""

    not_identity = frozenset({"name"})

    name: str = Field(default="default", description="Name of the store; each name has content of its own.")

    def open(self, base_dir: Path, *, mode: Literal["write", "read"] = "write") -> Store:
        place = (str(base_dir.absolute()), self.name)
        if mode == "read" and place not in _contents:
            raise StoreMissing(f"there is no store {self.location(base_dir)}: run something first")
        return MemoryStore(_contents.setdefault(place, _Content()))

    def location(self, base_dir: Path) -> str:
        return f"memory:{self.name}"


_contents: dict[tuple[str, str], _Content] = {}


class MemoryStore(Store):
    """An open store in memory. Made without content, it is a new and empty one."""

    def __init__(self, content: _Content | None = None) -> None:
        self._content: _Content | None = content or _Content()

    @property
    def _open(self) -> _Content:
        if self._content is None:
            raise StorageError("the store was closed")
        return self._content

    def append(self, events: Sequence[Event]) -> None:
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        content = self._open
        plain = [_plain(event, at) for event in events]  # raises before anything has changed
        with content.lock:
            for event, data in zip(events, plain, strict=True):
                if _apply(content, event):
                    content.log.append({"seq": len(content.log) + 1, **data})

    def finished_trials(self, run_id: str, trials: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        content = self._open
        known = {pair: content.trials.get((run_id, *pair)) for pair in trials}
        return {pair for pair, found in known.items() if found is not None and _is_final(content, found)}

    def generations(self, keys: Sequence[str]) -> dict[str, Generation]:
        known = self._open.generations
        return {key: known[key].generation for key in keys if key in known and not known[key].generation.failed}

    def stored_generations(self, keys: Sequence[str]) -> set[str]:
        return set(self.generations(keys))

    def scores(self, keys: Sequence[str]) -> dict[str, tuple[Score, Extraction | None]]:
        known = self._open.scores
        return {key: known[key] for key in keys if key in known}

    def runs(self) -> Iterator[RunRecord]:
        latest = {each.run_id: place for place, each in enumerate(self._open.executions)}
        for run_id in sorted(latest, key=latest.__getitem__, reverse=True):
            record = self.run(run_id)
            if record is not None:
                yield record

    def run(self, run_id: str) -> RunRecord | None:
        content = self._open
        executions = [each for each in content.executions if each.run_id == run_id]
        if not executions:
            return None
        wholes = [place for place, each in enumerate(executions) if each.part is None]
        outcomes = [each.outcome for each in content.trials.values() if each.run_id == run_id]
        latest = [_record(each) for each in executions[wholes[-1] if wholes else 0 :]]
        return RunRecord.of(run_id, latest, len(outcomes), outcomes.count("failed"))

    def cost(self, run_id: str) -> RunCost:
        records = self._open.generations.values()
        return sum((RunCost.of(each.generation) for each in records if each.run_id == run_id), RunCost())

    def _trials(self, run_id: str, trial_id: str | None) -> list[TrialFinished]:
        return [
            each
            for each in self._open.trials.values()
            if each.run_id == run_id and each.trial_id.startswith(trial_id or "")
        ]

    def trial_rows(self, run_id: str, trial_id: str | None = None, *, outcome: str | None = None) -> Iterator[TrialRow]:
        trials = [each for each in self._trials(run_id, trial_id) if outcome in (None, each.outcome)]
        trials.sort(key=lambda each: (*_arm(each), each.item_id, each.sample_index))
        return map(self._trial_row, trials)

    def outcomes(self, run_id: str) -> Sequence[OutcomeCount]:
        ends = Counter((*_arm(each), each.outcome, each.error_code or "") for each in self._trials(run_id, None))
        return [OutcomeCount(*end[:-1], end[-1] or None, count) for end, count in sorted(ends.items())]

    def _trial_row(self, trial: TrialFinished) -> TrialRow:
        known = self._open.generations
        turns = [known[key].generation if key in known else None for key in trial.generation_keys]
        return TrialRow(
            run_id=trial.run_id,
            slice_id=trial.slice_id,
            trial_id=trial.trial_id,
            item_id=trial.item_id,
            item_digest=trial.item_digest,
            prompt_variant_id=trial.prompt_variant_id,
            model_id=trial.model_id,
            params=trial.params,
            sample_index=trial.sample_index,
            generation_keys=trial.generation_keys,
            outcome=trial.outcome,
            error_code=trial.error_code,
            finished_at=trial.at,
            input_tokens=_total([each and each.usage.input_tokens for each in turns]),
            output_tokens=_total([each and each.usage.output_tokens for each in turns]),
            cost=_total([each and each.cost for each in turns]),
        )

    def score_rows(self, run_id: str, trial_id: str | None = None, *, whole: bool = False) -> Iterator[ScoreRow]:
        pairs = [(trial, entry) for trial in self._trials(run_id, trial_id) for entry in trial.scores]
        pairs.sort(
            key=lambda pair: (
                *_arm(pair[0]),
                pair[1].score,
                pair[1].metric,
                pair[0].item_id,
                pair[0].sample_index,
            )
        )
        return (self._score_row(trial, entry, whole) for trial, entry in pairs)

    def scores_by_item(self, run_id: str, *, whole: bool = False) -> Iterator[ScoreRow]:
        pairs = [(trial, entry) for trial in self._trials(run_id, None) for entry in trial.scores]
        pairs.sort(key=lambda pair: (pair[1].score, pair[1].metric, pair[0].item_digest, _arm(pair[0])))
        return (self._score_row(trial, entry, whole) for trial, entry in pairs)

    def _score_row(self, trial: TrialFinished, entry: ScoreEntry, whole: bool) -> ScoreRow:
        score, extraction = self._open.scores[entry.key]
        found = extraction is not None and extraction.parsed
        return ScoreRow(
            slice_id=trial.slice_id,
            model_id=trial.model_id,
            prompt_variant_id=trial.prompt_variant_id,
            params=trial.params,
            score=entry.score,
            metric=entry.metric,
            item_id=trial.item_id,
            sample_index=trial.sample_index,
            trial_id=trial.trial_id,
            outcome=trial.outcome,
            value=score.value,
            reason=score.reason,
            parse=entry.parse,
            parsed=None if entry.parse is None else found,
            parse_reason=extraction.reason if extraction else None,
            item_digest=trial.item_digest,
            parts=score.parts,
            extracted=json.dumps(extraction.value) if whole and extraction and extraction.value is not None else None,
            details=json.dumps(score.details) if whole and score.details else None,
        )

    def generation_records(self, keys: Sequence[str]) -> Iterator[GenerationRecorded]:
        known = self._open.generations
        return (known[key] for key in keys if key in known)

    def items(self, digests: Sequence[str]) -> dict[str, Item]:
        known = self._open.items
        return {digest: known[digest] for digest in digests if digest in known}

    def score_entries(self, run_id: str, slice_id: str, trial_id: str) -> Sequence[ScoreEntry]:
        content = self._open
        trial = content.trials.get((run_id, slice_id, trial_id))
        return [_stored(content, entry) for entry in trial.scores] if trial else []

    def events(self, run_id: str | None = None) -> Iterator[dict[str, Any]]:
        return (dict(each) for each in self._open.log if run_id is None or each.get("run_id") == run_id)

    @contextmanager
    def lock_run(self, run_id: str, part: str = "") -> Iterator[None]:
        content = self._open
        with content.lock:
            for (run, other), holder in content.held.items():
                if run == run_id and shuts_out(part, other):
                    raise locked_by(run_id, part, holder)
            since = datetime.now(UTC).isoformat(timespec="seconds")
            content.held[run_id, part] = Holder(part, os.getpid(), socket.gethostname(), since)
            content.since[run_id, part] = time.monotonic()
        try:
            yield
        finally:
            with content.lock:
                del content.held[run_id, part], content.since[run_id, part]
                self._free(run_id, part)

    def is_held(self, run_id: str, part: str | None = None) -> bool:
        return any(run == run_id and part in (None, held) for run, held in list(self._open.held))

    def at_work(self, run_id: str) -> Sequence[Holder]:
        return [holder for (run, _), holder in list(self._open.held.items()) if run == run_id]

    def report(self, run_id: str, part: str, progress: Mapping[str, Any]) -> None:
        content = self._open
        with content.lock:
            if (holder := content.held.get((run_id, part))) is not None:
                content.held[run_id, part] = replace(holder, progress=json.loads(json.dumps(dict(progress))))

    def open_parts(self, run_id: str, of: int) -> int:
        content = self._open
        with content.lock:
            known = content.parts.get(run_id)
            since = [at for (run, _), at in content.since.items() if run == run_id]
            is_over = known is None or len(since) < 2 or not (known.open or min(since) <= known.opened)
            if known is None or is_over:
                known = content.parts[run_id] = _Parts(time.monotonic(), dict.fromkeys(range(1, of + 1)))
            return len(known.open) + len(known.finished)

    def take_parts(self, run_id: str, part: str, most: int) -> list[int]:
        with self._open.lock:
            parts, holder = self._parts_of(run_id), self._lock_of(run_id, part)
            taken = [number for number, leased in parts.open.items() if leased is None][:most]
            parts.open.update(dict.fromkeys(taken, holder))
            return taken

    def finish_parts(self, run_id: str, part: str, numbers: Sequence[int]) -> None:
        with self._open.lock:
            parts, holder = self._parts_of(run_id), self._lock_of(run_id, part)
            for number in numbers:
                if (leased := parts.open.get(number)) is not None and leased.part == holder.part:
                    del parts.open[number]
                    parts.finished.add(number)

    def give_back_parts(self, run_id: str, part: str) -> None:
        with self._open.lock:
            self._lock_of(run_id, part)
            self._free(run_id, part)

    def parts(self, run_id: str) -> PartsRecord:
        with self._open.lock:
            parts = self._parts_of(run_id)
            leased = sum(each is not None for each in parts.open.values())
            return PartsRecord(len(parts.open) + len(parts.finished), len(parts.finished), leased)

    def _parts_of(self, run_id: str) -> _Parts:
        return self._open.parts.get(run_id, _Parts(0.0, {}))

    def _lock_of(self, run_id: str, part: str) -> Holder:
        if (holder := self._open.held.get((run_id, part))) is None:
            raise StorageError(f"{part or 'the whole'} of run {run_id!r} is not held: lock it before it takes parts")
        return holder

    def _free(self, run_id: str, part: str) -> None:
        """Let others have what the holder of a part has leased."""
        open_ones = self._parts_of(run_id).open
        for number, leased in open_ones.items():
            if leased is not None and leased.part == part:
                open_ones[number] = None

    def has_others_at_work(self, run_id: str) -> bool:
        return any(run != run_id for run, _ in list(self._open.held))

    def claim(self, run_id: str, key: str) -> bool:
        content = self._open
        with content.lock:
            owner = content.claims.get(key, run_id)
            if owner != run_id and self.is_held(owner):
                return False
            content.claims[key] = run_id
            return True

    def release(self, run_id: str, keys: Sequence[str] | None = None) -> None:
        content = self._open
        with content.lock:
            for key in list(content.claims if keys is None else keys):
                if content.claims.get(key) == run_id:
                    del content.claims[key]

    def exchange(self, changes: Mapping[str, LiveChange]) -> dict[str, Any]:
        content = self._open
        with content.lock:
            now = time.monotonic()
            made = {name: change(json.loads(content.live.get(name, "null")), now) for name, change in changes.items()}
            content.live |= {name: json.dumps(state, allow_nan=False) for name, (state, _) in made.items()}
        return {name: answer for name, (_, answer) in made.items()}

    def close(self) -> None:
        self._content = None


def _apply(content: _Content, event: Event) -> bool:
    """Change the content as the event says; false if that changed nothing."""
    match event:
        case ItemRecorded(item):
            if item.digest in content.items:
                return False
            content.items[item.digest] = item
        case GenerationRecorded():
            known = content.generations.get(event.key)
            if known is not None and (not known.generation.failed or event.generation.failed):
                return False
            content.generations[event.key] = event
        case TrialFinished():
            return _apply_trial(content, event)
        case RunStarted():
            if any(_is(each, event, started_at=event.at) for each in content.executions):
                return False
            content.executions.append(_Execution(event.run_id, event.at, event.manifest, part=event.part))
        case RunFinished():
            return _apply_run_finished(content, event)
        case BatchIntended() | BatchSubmitted() | BatchEnded():
            return _apply_batch(content, event)
    return True


def _apply_batch(content: _Content, event: BatchIntended | BatchSubmitted | BatchEnded) -> bool:
    place = (event.kind, event.nonce)
    if place in content.batches:
        return False
    if not isinstance(event, BatchIntended) and (BatchIntended.kind, event.nonce) not in content.batches:
        return False
    content.batches.add(place)
    return True


def _apply_trial(content: _Content, event: TrialFinished) -> bool:
    place = (event.run_id, event.slice_id, event.trial_id)
    known = content.trials.get(place)
    if known is not None:
        again = event.outcome == "failed" and event.at <= known.at
        if (known.outcome != "failed" and not _raises_a_rank(content, event)) or again:
            return False
    content.trials[place] = event
    for entry in event.scores:
        stored = content.scores.get(entry.key)
        if stored is None or entry.result.rank > stored[0].rank:
            content.scores[entry.key] = (entry.result, entry.extraction)
    return True


def _raises_a_rank(content: _Content, event: TrialFinished) -> bool:
    stored = ((entry, content.scores.get(entry.key)) for entry in event.scores)
    return any(known is not None and entry.result.rank > known[0].rank for entry, known in stored)


def _is_final(content: _Content, trial: TrialFinished) -> bool:
    return trial.outcome != "failed" and all(content.scores[entry.key][0].rank for entry in trial.scores)


def _apply_run_finished(content: _Content, event: RunFinished) -> bool:
    executions = [each for each in content.executions if _is(each, event)]
    if any(_is(each, event, finished_at=event.at) for each in executions):
        return False
    if not executions:
        executions.append(_Execution(event.run_id, event.at, part=event.part))
        content.executions.append(executions[0])
    last = executions[-1]
    last.finished_at, last.status, last.counts = event.at, event.status, event.counts
    return True


def _record(each: _Execution) -> ExecutionRecord:
    return ExecutionRecord(each.part, each.status, each.started_at, each.finished_at, each.manifest, each.counts)


def _is(execution: _Execution, event: RunStarted | RunFinished, **times: str) -> bool:
    same = (execution.run_id, execution.part) == (event.run_id, event.part)
    return same and all(getattr(execution, name) == at for name, at in times.items())


def _stored(content: _Content, entry: ScoreEntry) -> ScoreEntry:
    result, extraction = content.scores[entry.key]
    names = (entry.score, entry.metric, entry.key)
    return ScoreEntry(*names, result, entry.parse, extraction, entry.new, entry.judged_by)


def _arm(trial: TrialFinished) -> tuple[str, str, str, str]:
    return (trial.slice_id, trial.model_id, trial.prompt_variant_id, trial.params)


def _total(counts: list[Any]) -> Any:
    """Return the sum, or None if one of the turns did not say."""
    return None if not counts or None in counts else sum(counts)


def _plain(event: Event, at: str) -> dict[str, Any]:
    """Return the event as JSON would give it back; raises ValueError for NaN and infinities."""
    data = {"kind": event.kind, "at": at, **asdict(event)}
    if isinstance(event, GenerationRecorded):
        data["generation"] = event.generation.to_dict()
    if isinstance(event, RunStarted | RunFinished) and event.part is None:
        del data["part"]
    plain: dict[str, Any] = json.loads(json.dumps(data, allow_nan=False))
    return plain
