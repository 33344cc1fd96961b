"""Stores that each break one rule, each with the compliance suite; `test_broken_stores` expects it to find out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from themis_core import Event, GenerationRecorded, ScoreRow, Store, TrialFinished, TrialRow
from themis_core.testing.events import AT
from themis_core.testing.memory import MemoryStorage, MemoryStore
from themis_core.testing.storage import StorageBackendSuite

_Content = Any


class LosesABatch(MemoryStore):
    def __init__(self, content: _Content) -> None:
        super().__init__(content)
        self._batches = 0

    def append(self, events: Sequence[Event]) -> None:
        self._batches += 1
        if self._batches != 2:
            super().append(events)


class WritesTwice(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        before = len(self._open.log)
        super().append(events)
        log = self._open.log
        log.extend([{**each, "seq": len(log) + place} for place, each in enumerate(log[before:], 1)])


class ForgetsTheOrderOfEvents(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        super().append(events[::-1])


class ForgetsTheOrderOfRows(MemoryStore):
    def trial_rows(self, run_id: str, trial_id: str | None = None, *, outcome: str | None = None) -> Iterator[TrialRow]:
        return iter(sorted(super().trial_rows(run_id, trial_id, outcome=outcome), key=lambda row: row.trial_id))


class ScattersItems(MemoryStore):
    def scores_by_item(self, run_id: str, *, whole: bool = False) -> Iterator[ScoreRow]:
        return self.score_rows(run_id, whole=whole)


class ForgetsMetadata(MemoryStore):
    def metadata(self, digests: Sequence[str]) -> dict[str, dict[str, Any]]:
        return {digest: {} for digest in super().metadata(digests)}


class TruncatesAtNul(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        super().append([self._cut(each) for each in events])

    def _cut(self, event: Event) -> Event:
        if not isinstance(event, GenerationRecorded):
            return event
        return replace(event, generation=replace(event.generation, text=event.generation.text.split("\0")[0]))


class AcknowledgesBeforeCommit(MemoryStore):
    """Keeps the last batch to itself until more comes, or it is closed; shows it only to its own user."""

    def __init__(self, content: _Content) -> None:
        super().__init__(content)
        self._waiting: list[Event] = []

    def append(self, events: Sequence[Event]) -> None:
        self._commit()
        self._waiting = list(events)

    def _commit(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            super().append(waiting)

    def close(self) -> None:
        if self._content is not None:
            self._commit()
        super().close()


class SavesHalfOfABadBatch(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            super().append([event])


class LetsFailureReplaceSuccess(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, GenerationRecorded):
                self._open.generations.pop(event.key, None)
        super().append(events)


class CountsATrialTwice(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        again = [replace(each, trial_id=f"{each.trial_id}'") for each in events if isinstance(each, TrialFinished)]
        super().append([*events, *again])


class ForgetsFailures(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        super().append([each for each in events if not (isinstance(each, TrialFinished) and each.outcome == "failed")])


class RoundsTimes(MemoryStore):
    def append(self, events: Sequence[Event]) -> None:
        super().append([replace(each, at=AT[:19]) if isinstance(each, TrialFinished) else each for each in events])


class HoldsNoLocks(MemoryStore):
    @contextmanager
    def lock_run(self, run_id: str, part: str = "") -> Iterator[None]:
        yield


class TellsNobodyOfItsLocks(MemoryStore):
    def is_held(self, run_id: str, part: str | None = None) -> bool:
        return False


class LocksNoParts(MemoryStore):
    @contextmanager
    def lock_run(self, run_id: str, part: str = "") -> Iterator[None]:
        if part:
            yield
            return
        with super().lock_run(run_id):
            yield


class ShutsOutEveryPart(MemoryStore):
    @contextmanager
    def lock_run(self, run_id: str, part: str = "") -> Iterator[None]:
        with super().lock_run(run_id):
            yield


class TakesTheShardsOfARunForOtherRuns(MemoryStore):
    def has_others_at_work(self, run_id: str) -> bool:
        return len(self._open.held) > 1


class ForgetsReports(MemoryStore):
    def report(self, run_id: str, part: str, progress: Mapping[str, Any]) -> None:
        pass


class ForgetsWhenItIsClosed(MemoryStore):
    def close(self) -> None:
        if self._content is not None:
            self._content.generations.clear()
            self._content.log.clear()
        super().close()


def suite_of(opened: Callable[[Any], Store]) -> type[StorageBackendSuite]:
    class Backend(MemoryStorage):
        def open(self, base_dir: Path, *, mode: Literal["write", "read"] = "write") -> Store:
            store = super().open(base_dir, mode=mode)
            assert isinstance(store, MemoryStore)
            return opened(store._content)

    class Suite(StorageBackendSuite):
        @pytest.fixture
        def backend(self) -> MemoryStorage:
            return Backend()

    return Suite


TestUnbroken = suite_of(MemoryStore)
TestLosesABatch = suite_of(LosesABatch)
TestWritesTwice = suite_of(WritesTwice)
TestForgetsTheOrderOfEvents = suite_of(ForgetsTheOrderOfEvents)
TestForgetsTheOrderOfRows = suite_of(ForgetsTheOrderOfRows)
TestScattersItems = suite_of(ScattersItems)
TestForgetsMetadata = suite_of(ForgetsMetadata)
TestTruncatesAtNul = suite_of(TruncatesAtNul)
TestAcknowledgesBeforeCommit = suite_of(AcknowledgesBeforeCommit)
TestSavesHalfOfABadBatch = suite_of(SavesHalfOfABadBatch)
TestLetsFailureReplaceSuccess = suite_of(LetsFailureReplaceSuccess)
TestCountsATrialTwice = suite_of(CountsATrialTwice)
TestForgetsFailures = suite_of(ForgetsFailures)
TestRoundsTimes = suite_of(RoundsTimes)
TestHoldsNoLocks = suite_of(HoldsNoLocks)
TestTellsNobodyOfItsLocks = suite_of(TellsNobodyOfItsLocks)
TestLocksNoParts = suite_of(LocksNoParts)
TestShutsOutEveryPart = suite_of(ShutsOutEveryPart)
TestTakesTheShardsOfARunForOtherRuns = suite_of(TakesTheShardsOfARunForOtherRuns)
TestForgetsReports = suite_of(ForgetsReports)
TestForgetsWhenItIsClosed = suite_of(ForgetsWhenItIsClosed)
