"""The one thread that owns the store: saves in groups, answers look-ups, never blocks the event loop.

While one commit runs, the next group forms by itself. It decides nothing about trials.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from themis_core.components import Store
from themis_core.errors import StorageError, ThemisError
from themis_core.records import Event

__all__ = ["Writer"]

T = TypeVar("T")
GROUP = 1_000
"""Most waiting jobs that one commit takes."""
LINGER_S = 0.004
"""Seconds for which a group stays open: answers that come one by one would otherwise pay for a commit each, which
costs as much CPU as ten trials do."""


@dataclass(slots=True)
class _Job:
    future: asyncio.Future[Any]
    events: Sequence[Event] | None
    read: Callable[[Store], Any] | None


class Writer:
    """Runs in its own thread from `start` to `stop`; the store is opened, used and closed there."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="themis-writer", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._closed = self._loop.create_future()
        self.error: BaseException | None = None
        """Why saving failed; no call may start once it is set."""

    async def start(self) -> None:
        """Open the store. Raises what opening it raises."""
        self._thread.start()
        await self._opened

    async def save(self, events: Sequence[Event]) -> None:
        """Return once the events are on stable storage. Raises StorageError if they are not."""
        if self.error is not None:
            raise self._failed()
        job = _Job(self._loop.create_future(), events, None)
        self._jobs.put(job)
        await job.future

    async def read(self, look: Callable[[Store], T]) -> T:
        """Run a look-up in the writer's thread, after everything that was given to `save` before it."""
        job = _Job(self._loop.create_future(), None, look)
        self._jobs.put(job)
        result: T = await job.future
        return result

    async def stop(self) -> None:
        """Finish what waits, close the store, end the thread."""
        if self._thread.is_alive():
            self._jobs.put(None)
            await self._closed

    def _failed(self) -> StorageError:
        if isinstance(self.error, StorageError):
            return self.error
        return StorageError(f"saving failed: {self.error}")

    def _work(self) -> None:
        try:
            store = self._open_store()
        except BaseException as error:  # noqa: BLE001 - raised again where `start` is awaited
            self._tell(self._opened, error=error)
            self._tell(self._closed)
            return
        self._tell(self._opened)
        try:
            while self._group(store):
                pass
        finally:
            store.close()
            self._tell(self._closed)

    def _group(self, store: Store) -> bool:
        """Take what waits, commit its events as one group, then do its look-ups; False when told to end."""
        jobs = [self._jobs.get()]
        time.sleep(LINGER_S)
        while len(jobs) < GROUP and not self._jobs.empty():
            jobs.append(self._jobs.get())
        going_on = None not in jobs
        live = [job for job in jobs if job is not None]
        saves = [job for job in live if job.events is not None]
        done: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        if saves:
            error = self._append(store, [event for job in saves for event in job.events or ()])
            done += [(job.future, None, error) for job in saves]
        for job in live:
            if job.read is not None:
                try:
                    done.append((job.future, job.read(store), None))
                except Exception as error:  # noqa: BLE001 - raised again where the look-up is awaited
                    done.append((job.future, None, error))
        self._loop.call_soon_threadsafe(_resolve, done)
        return going_on

    def _append(self, store: Store, events: Sequence[Event]) -> BaseException | None:
        if self.error is None:
            try:
                store.append(events)
            except ThemisError as error:
                self.error = error
            except Exception as error:  # noqa: BLE001 - raised again where the save is awaited
                self.error = StorageError(f"saving failed: {type(error).__name__}: {error}")
                self.error.__cause__ = error
        return self.error

    def _tell(self, future: asyncio.Future[None], error: BaseException | None = None) -> None:
        self._loop.call_soon_threadsafe(_resolve, [(future, None, error)])


def _resolve(done: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    for future, result, error in done:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
