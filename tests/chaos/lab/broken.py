"""Negative controls: parts that each break one promise, put in place of the real ones in a worker's process.

A test whose checker does not catch them checks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from itertools import count, islice
from typing import Any

from lab.failpoints import is_part

from themis_core import Event, StorageError, TrialFinished

__all__ = ["BROKEN", "install"]


def _acknowledges_before_the_commit() -> None:
    """The store says "saved" and writes later, in larger groups."""
    from themis_sql import SqlStore

    waiting: list[Event] = []
    append, close = SqlStore.append, SqlStore.close

    def late(self: SqlStore, events: Sequence[Event]) -> None:
        waiting.extend(events)
        if len(waiting) > 100:
            append(self, waiting)
            waiting.clear()

    def close_all(self: SqlStore) -> None:
        append(self, waiting)
        waiting.clear()
        close(self)

    _replace(SqlStore, append=late, close=close_all)


def _loses_a_batch() -> None:
    """Each third batch with a trial is dropped, with an acknowledgement, and nobody counts in the end what is there."""
    from themis_core.session import executing
    from themis_sql import SqlStore

    _replace(executing, _ASKED_AGAIN=0)

    append = SqlStore.append
    count = 0

    def lossy(self: SqlStore, events: Sequence[Event]) -> None:
        nonlocal count
        count += any(isinstance(each, TrialFinished) for each in events)
        if count % 3:
            append(self, events)

    _replace(SqlStore, append=lossy)


def _finds_nothing_stored() -> None:
    """Resuming asks for everything again."""
    from themis_sql import SqlStore

    _replace(
        SqlStore,
        finished_trials=lambda self, run_id, trials: set(),
        generations=lambda self, keys: {},
        stored_generations=lambda self, keys: set(),
        scores=lambda self, keys: {},
        run=lambda self, run_id, run=SqlStore.run: None if run_id else run(self, run_id),
    )


def _locks_nothing() -> None:
    from themis_sql import SqlStore

    _replace(SqlStore, lock_run=lambda self, run_id, part="": nullcontext())


def _leases_what_others_have() -> None:
    """A part is handed out to everybody who asks."""
    from themis_plugin_postgres.parts import RunParts

    numbers = count(1)

    def take(self: RunParts, run_id: str, part: str, most: int) -> list[int]:
        return [number for number in islice(numbers, most) if number <= self.how_far(run_id).of]

    _replace(RunParts, take=take)


def _ignores_errors_of_the_store() -> None:
    """A batch that could not be saved is acknowledged, and nobody counts in the end what is there."""
    from themis_core.session import executing
    from themis_sql import SqlStore

    _replace(executing, _ASKED_AGAIN=0)

    append = SqlStore.append

    def blind(self: SqlStore, events: Sequence[Event]) -> None:
        with suppress(StorageError):
            append(self, events)

    _replace(SqlStore, append=blind)


def _blobs_are_not_synced() -> None:
    import os

    sync = os.fsync

    def forget(descriptor: int) -> None:
        if not is_part(descriptor):
            sync(descriptor)

    os.fsync = forget  # type: ignore[assignment]


def _long_texts_are_not_sent() -> None:
    from themis_blobs.url import UrlBlobs

    _replace(UrlBlobs, write=lambda *_: None, missing=lambda *_: set())


def _ignores_the_budget() -> None:
    from themis_costs import Budget

    _replace(Budget, start_call=lambda self, *_, **__: None, reserve=lambda self, *_, **__: 0.0)


def _ignores_ctrl_c() -> None:
    import asyncio
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _replace(signal, signal=lambda number, action: None)
    _replace(asyncio.SelectorEventLoop, add_signal_handler=lambda self, number, action, *given: None)


def _migrates_in_two_transactions() -> None:
    from themis_plugin_sqlite.database import SqliteDatabase

    remake = SqliteDatabase.remake_projections

    def split(self: SqliteDatabase) -> None:
        remake(self)
        self.run("COMMIT")
        self.run(self.begin)

    _replace(SqliteDatabase, remake_projections=split)


def _waits_for_ever() -> None:
    from themis_plugin_postgres.silence import Watch

    _replace(Watch, _look=lambda self: None)


def _counts_by_itself() -> None:
    """What this process counted decides whether the run is complete."""
    from themis_core.session import executing

    _replace(
        executing, _stored=lambda store, made: 10**9, _status=lambda progress, budget, stored, *, waits: "completed"
    )


BROKEN: dict[str, Callable[[], None]] = {
    "acknowledges before the commit": _acknowledges_before_the_commit,
    "loses a batch": _loses_a_batch,
    "finds nothing stored": _finds_nothing_stored,
    "locks nothing": _locks_nothing,
    "leases what others have": _leases_what_others_have,
    "ignores errors of the store": _ignores_errors_of_the_store,
    "blobs are not synced": _blobs_are_not_synced,
    "long texts are not sent": _long_texts_are_not_sent,
    "ignores the budget": _ignores_the_budget,
    "migrates in two transactions": _migrates_in_two_transactions,
    "ignores Ctrl-C": _ignores_ctrl_c,
    "waits for ever": _waits_for_ever,
    "counts by itself": _counts_by_itself,
}


def install(name: str) -> None:
    """Break this process."""
    BROKEN[name]()


def _replace(owner: Any, **replacements: Any) -> None:
    for name, replacement in replacements.items():
        assert hasattr(owner, name), f"{owner.__name__} has no {name} to break"
        setattr(owner, name, replacement)
