"""The one thread that owns the store: saves in groups, answers look-ups, never blocks the event loop.

While one commit runs, the next group forms by itself. It decides nothing about trials.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from themis_core.components import Store
from themis_core.errors import StorageError, ThemisError
from themis_core.plugins import policy_in_force
from themis_core.records import Event, TrialFinished

__all__ = ["Unsavable", "Writer"]

T = TypeVar("T")
log = logging.getLogger("themis.progress")
GROUP = 1_000
"""Most waiting jobs that one commit takes."""
LINGER_S = 0.001
"""Seconds for which a group stays open, unless jobs come one after the other. Answers come in bursts, and the first of
one would otherwise pay for a commit of its own; four times as long would save no CPU that can be measured, and hold up
what is asked next."""
PATIENCE_S = 5.0
"""Seconds of waiting for the store after which it is said."""
UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError)
"""What encoders raise for values that they can't take: the fault of these values, not of the store."""


class Unsavable(StorageError):
    """Some events hold what no store can encode. Nothing of them was saved; all else can be."""


@dataclass(slots=True)
class _Job:
    future: asyncio.Future[Any]
    events: Sequence[Event] | None
    read: Callable[[Store], Any] | None


Done = tuple[asyncio.Future[Any], Any, Exception | None]
"""A future, and what it is told: a result or an error."""


class Writer:
    """Runs in its own thread from `start` to `stop`; the store is opened, used and closed there."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # With the deadlines in force: aggregates are made there.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._work,), name="themis-writer", daemon=True
        )
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._closed = self._loop.create_future()
        self._busy_since: float | None = None
        self._waiting: dict[asyncio.Future[Any], float] = {}
        """Since when each future is awaited, the oldest first."""
        self._timer: asyncio.TimerHandle | None = None
        """One for all that wait: a timer for each trial is work for the loop that hardly ever tells anything."""
        self._latest = 1
        """Jobs of the last group."""
        self._said = False
        self._limit_s = policy_in_force.get().storage_timeout_s
        self._is_given_up = False
        self.error: ThemisError | None = None
        """Why saving failed; no call may start once it is set."""

    async def start(self) -> None:
        """Open the store. Raises what opening it raises."""
        self._busy_since = time.monotonic()
        self._thread.start()
        await self._answered(self._opened)

    async def save(self, events: Sequence[Event]) -> None:
        """Return once the events are on stable storage. Raises StorageError if they are not.

        Unsavable if it is these events' own fault, so that others can still be saved.
        """
        if self.error is not None:
            raise self._failed()
        job = _Job(self._loop.create_future(), events, None)
        self._jobs.put(job)
        await self._answered(job.future)

    async def read(self, look: Callable[[Store], T]) -> T:
        """Run a look-up in the writer's thread, after everything that was given to `save` before it."""
        if self._is_given_up:
            raise self._failed()
        job = _Job(self._loop.create_future(), None, look)
        self._jobs.put(job)
        result: T = await self._answered(job.future)
        return result

    async def stop(self) -> None:
        """Finish what waits, close the store, end the thread. Raises StorageError if closing fails."""
        if self._thread.ident is not None and not self._is_given_up:  # it was started
            self._jobs.put(None)
            await self._answered(self._closed)

    @property
    def note(self) -> str:
        """That the store lets one wait, for people; empty if it does not."""
        since = self._busy_since
        waited = 0.0 if since is None else time.monotonic() - since
        return f"waiting for the store for {waited:.0f} s" if waited >= PATIENCE_S else ""

    async def _answered(self, future: asyncio.Future[T]) -> T:
        self._waiting[future] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(min(PATIENCE_S, self._limit_s), self._say_if_it_waits)
        try:
            return await future
        finally:
            del self._waiting[future]
            self._said = False

    def _say_if_it_waits(self) -> None:
        """Say it once when the oldest that waits has waited for `PATIENCE_S`, and look again as long as any does."""
        self._timer = None
        if not self._waiting:
            return
        if self._busy_since is not None and time.monotonic() - self._busy_since >= self._limit_s:
            self._give_up()
            return
        left = next(iter(self._waiting.values())) + PATIENCE_S - self._loop.time()
        if left <= 0 and not self._said:
            self._said = True
            log.warning("waiting for the store for %g s; nothing is lost by ending the run meanwhile", PATIENCE_S)
        again = min(left if left > 0 else PATIENCE_S, self._limit_s)
        self._timer = self._loop.call_later(again, self._say_if_it_waits)

    def _give_up(self) -> None:
        """Leave the store and its thread alone: a call of it does not return."""
        self._is_given_up = True
        self.error = StorageError(
            f"the store did not answer for {self._limit_s:g} s (execution_policy.storage_timeout_s), so the run ends; "
            "what was acknowledged is stored: run the same command again to go on"
        )
        for future in self._waiting:
            if not future.done():
                future.set_exception(self.error)

    def _failed(self) -> StorageError:
        if isinstance(self.error, StorageError):
            return self.error
        return StorageError(f"saving failed: {self.error}")

    def _work(self) -> None:
        try:
            store = self._open_store()
        except BaseException as error:  # noqa: BLE001 - raised again where `start` is awaited
            # Told at once: whoever awaits the first may close the loop before a second could be told.
            self._tell([(self._opened, None, _raisable(error)), (self._closed, None, None)])
            return
        self._busy_since = None
        self._tell([(self._opened, None, None)])
        closing: Exception | None = None
        try:
            while self._group(store):
                pass
        finally:
            try:
                store.close()
            except BaseException as failed:  # noqa: BLE001 - raised again where `stop` is awaited
                closing = _storage_error("closing the store failed", failed)
            self._tell([(self._closed, None, closing)])

    def _group(self, store: Store) -> bool:
        """Take what waits, commit its events as one group, then do its look-ups; False when told to end."""
        jobs = [self._jobs.get()]
        self._busy_since = time.monotonic()
        if len(self._waiting) > 1 or self._latest > 1:  # one after the other, as a run begins, nobody comes meanwhile
            time.sleep(LINGER_S)
        while len(jobs) < GROUP and not self._jobs.empty():
            jobs.append(self._jobs.get())
        self._latest = len(jobs)
        going_on = None not in jobs
        live = [job for job in jobs if job is not None]
        saves = [job for job in live if job.events is not None]
        done = self._save(store, saves) if saves else []
        for job in live:
            if job.read is not None:
                try:
                    done.append((job.future, job.read(store), None))
                except BaseException as error:  # noqa: BLE001 - raised again where the look-up is awaited
                    done.append((job.future, None, _raisable(error)))
        if going_on:  # else the store is about to be closed, which can take its time as well
            self._busy_since = None
        self._tell(done)
        return going_on

    def _save(self, store: Store, jobs: list[_Job]) -> list[Done]:
        """Append all events of some jobs in one commit; in more if some can't be encoded, which fails those alone."""
        error = self.error
        if error is None:
            try:
                store.append([event for job in jobs for event in job.events or ()])
            except UNENCODABLE as wrong:
                if len(jobs) > 1:
                    half = len(jobs) // 2
                    return self._save(store, jobs[:half]) + self._save(store, jobs[half:])
                return [(jobs[0].future, None, _unsavable(jobs[0], wrong))]
            except BaseException as failed:  # noqa: BLE001 - raised again where the saves are awaited
                error = self.error = _storage_error("saving failed", failed)
        return [(job.future, None, error) for job in jobs]

    def _tell(self, done: list[Done]) -> None:
        # A loop that is closed has nobody left who waits.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_resolve, done)


def _raisable(error: BaseException) -> Exception:
    """What may be raised where a future is awaited: no future takes StopIteration, and CancelledError would lie."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return _storage_error("the store failed", error)


def _storage_error(what: str, error: BaseException) -> ThemisError:
    if isinstance(error, ThemisError):
        return error
    wrapped = StorageError(f"{what}: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


def _unsavable(job: _Job, error: Exception) -> Unsavable:
    trials = [event for event in job.events or () if isinstance(event, TrialFinished)]
    named = [f"trial {each.trial_id} (slice {each.slice_id!r}, item {each.item_id!r})" for each in trials[:3]]
    more = f" and {len(trials) - 3} more" if len(trials) > 3 else ""
    what = ", ".join(named) + more if named else ", ".join(sorted({event.kind for event in job.events or ()}))
    unsavable = Unsavable(
        f"{what}: not saved, for it holds what no store can encode ({type(error).__name__}: {error}). "
        "Look for a component that returns or changes such a value, an item's fields included."
    )
    unsavable.__cause__ = error
    return unsavable


def _resolve(done: list[Done]) -> None:
    for future, result, error in done:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
