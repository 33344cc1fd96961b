"""What is told of runs, for `themis view`: read in a thread of its own, one after another, and kept for a while."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import themis_core as themis
from themis_core import RunRecord, SpecError, Store
from themis_plugin_report.gathering import AS_USUAL, Gathered, Wanted, numbers_of, opened, with_singles

__all__ = ["Shelf"]

SHARE = 10
"""What changed is read again after as many times as long as reading it took: a large run is not read all the time."""
PATIENCE_S = 1.5
"""For so long a page is waited for; then what there is of it is shown."""
CLOSES_S = 1.0
"""Of what is being read when the server ends."""
MOST_KEPT = 8
"""Pages that are kept."""
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kept:
    made: Gathered
    statuses: Sequence[Any]
    states: Any
    next_at: float


class Shelf:
    """May be asked from any thread. The store is read in its own."""

    def __init__(self, spec: Path | None, project: Path | None, wanted: Wanted = AS_USUAL) -> None:
        """Raises StoreMissing if there is no store."""
        self._wanted = wanted
        self._lock = Lock()
        self._kept: dict[Key, _Kept] = {}
        self._numbers: dict[Key, Gathered] = {}
        self._making: dict[Key, Future[Gathered]] = {}
        self._closing = False
        self._files = ExitStack()
        self._thread = ThreadPoolExecutor(1, "themis-view-reading")
        self._open: tuple[themis.Results, Store] = self._thread.submit(
            lambda: self._files.enter_context(opened(spec, project))
        ).result()

    def close(self) -> None:
        """Close the store once what is being read of it is read; waits for that a moment only."""
        self._closing = True
        closed = self._thread.submit(self._files.close)
        self._thread.shutdown(wait=False)
        wait([closed], CLOSES_S)

    def told_of(self, runs: Sequence[RunRecord]) -> Gathered | None:
        """What is told of these runs: as it was a moment ago while one goes on, as it is once they have ended.

        While it is still being read: its numbers alone (`whole` is false), or None if not even these are known.
        """
        key = tuple(run.run_id for run in runs)
        statuses = [(run.run_id, run.status, run.finished_at) for run in runs]
        states = (statuses, [(run.trials, run.failed) for run in runs])
        with self._lock:
            kept = self._kept.get(key)
            goes_on = kept is not None and kept.statuses == statuses and any(run.status == "running" for run in runs)
            if kept is not None and (kept.states == states or (goes_on and time.monotonic() < kept.next_at)):
                return kept.made
            making = self._making.get(key)
            if making is None:
                making = self._making[key] = self._thread.submit(self._make, key, statuses, states)
        try:
            return making.result(PATIENCE_S)
        except TimeoutError:
            if making.done():  # the error is of what was read
                raise
        with self._lock:
            return kept.made if kept is not None and goes_on else self._numbers.get(key)

    def _with_singles(self, first: Gathered) -> Gathered:
        """With what is wanted, if it can be had of these runs; else with a note of why it can't."""
        try:
            return with_singles(first, *self._open, self._wanted)
        except SpecError as error:
            return replace(with_singles(first, *self._open), notes=[str(error)])

    def _make(self, key: Key, statuses: Sequence[Any], states: Any) -> Gathered:
        start = time.monotonic()
        try:
            if self._closing:
                raise CancelledError
            first = numbers_of(*self._open, key)
            with self._lock:
                self._numbers[key] = first
            if self._closing:
                raise CancelledError
            made = self._with_singles(first)
            with self._lock:
                if key not in self._kept and len(self._kept) >= MOST_KEPT:
                    del self._kept[next(iter(self._kept))]
                took = time.monotonic() - start
                self._kept[key] = _Kept(made, statuses, states, start + took * SHARE)
            return made
        finally:
            with self._lock:
                self._numbers.pop(key, None)
                self._making.pop(key, None)
