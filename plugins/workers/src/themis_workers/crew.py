"""A number of workers that are kept at work: each has a place, and is replaced there when it is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from themis_workers.worker import RunningWorker, WorkerEnd

__all__ = ["Crew", "Ended", "Judged", "Told"]

Judged = Literal["done", "lost", "broken", "hopeless"]
"""What an end means. `done`: it ended by itself, and nobody takes its place. `lost`: another one takes its place.
`broken`: as `lost`, but several that break in the same way are the end of all. `hopeless`: that of all, at once."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
SAME_CAUSE = 3
"""So many workers that break in the same way, one after the other with nothing done between, are the end of all."""


@dataclass(frozen=True, slots=True)
class Told:
    """A worker that ended otherwise than by itself, for people."""

    name: str
    cause: str
    log: str
    """The end of what it wrote to standard error."""
    again_in_s: float | None
    """When another one takes its place; None: nobody does."""
    times: int
    """How often the place was lost in a row."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker that was done, or was stopped."""

    name: str
    end: WorkerEnd
    log: str
    """The end of what it wrote to standard error."""


@dataclass(slots=True)
class _Place:
    number: int
    due: float
    worker: RunningWorker | None = None
    lost: int = 0
    is_over: bool = False


@dataclass(slots=True)
class _Streak:
    """Workers that broke in one way, one after the other."""

    cause: str = ""
    code: int | None = None
    times: int = 0

    def add(self, cause: str, code: int | None) -> bool:
        self.times = self.times + 1 if cause == self.cause else 1
        self.cause, self.code = cause, code
        return self.times >= SAME_CAUSE


@dataclass(slots=True)
class Crew:
    """Workers that are kept at work. `look` is called again and again, and everything happens in it.

    A place may be lost `retries` times in a row: `has_done` says that its worker got something done, and then it
    begins to count anew. So what is lost now and then goes on for ever, and what never gets anywhere ends.
    """

    start: Callable[[int], RunningWorker]
    """Starts the worker of a place, from 1 on, which may have been lost before. What it raises is the place's loss."""
    size: int
    retries: int
    judge: Callable[[WorkerEnd], Judged]
    from_outside: Callable[[BaseException], bool] = lambda error: not isinstance(error, Exception)
    """Which of what a worker's methods raise goes on, and is not the worker's loss."""
    clock: Callable[[], float] = time.monotonic
    cause: str = ""
    """Why all are at an end that were not done; empty as long as one may get on."""
    code: int | None = None
    """The exit code with which that was told."""
    ended: list[Ended] = field(default_factory=list)
    """Those that were done, or were stopped."""
    is_stopping: bool = False
    is_retired: bool = False
    _places: list[_Place] = field(default_factory=list)
    _told: list[Told] = field(default_factory=list)
    _streak: _Streak = field(default_factory=_Streak)

    def __post_init__(self) -> None:
        self._places = [_Place(number, self.clock()) for number in range(1, self.size + 1)]

    @property
    def running(self) -> list[RunningWorker]:
        """Those at work, or about to be."""
        return [each.worker for each in self._places if each.worker is not None]

    @property
    def is_over(self) -> bool:
        """Whether nobody is at work, and nobody will be."""
        nobody_comes = self.is_stopping or self.is_retired or all(each.is_over for each in self._places)
        return not self.running and nobody_comes

    @property
    def waits_s(self) -> float | None:
        """Until a lost worker is replaced, if nobody is at work meanwhile; None if somebody is."""
        if self.running or self.is_over:
            return None
        return max(0.0, min(each.due for each in self._places if not each.is_over) - self.clock())

    def look(self) -> list[Told]:
        """Ask each how it is, replace who was lost, and return what there is to tell."""
        for each in self._places:
            if each.worker is not None:
                self._ask(each, each.worker)
            elif not (each.is_over or self.is_stopping or self.is_retired) and each.due <= self.clock():
                self._begin(each)
        if not (self.is_stopping or self.is_retired or self.cause) and self._streak.cause and self._is_lost():
            self.cause, self.code = self._streak.cause, self._streak.code
        told, self._told = self._told, []
        return told

    def has_done(self, name: str) -> None:
        """Note that a worker got something done since it was started."""
        for each in self._places:
            if each.worker is not None and each.worker.name == name:
                each.lost = 0
                self._streak = _Streak()

    def retire(self) -> None:
        """Start nobody from now on: there is nothing left to begin. Those at work go on to their end."""
        self.is_retired = True

    def stop(self) -> None:
        """Ask all to end in good order, and start nobody from now on."""
        if self.is_stopping:
            return
        self.is_stopping = True
        for worker in self.running:
            try:
                worker.stop()
            except BaseException as error:
                if self.from_outside(error):
                    raise
                self._end(worker)

    def kill(self) -> None:
        """End all at once, and start nobody from now on."""
        self.is_stopping = True
        for worker in self.running:
            self._end(worker)

    def _begin(self, place: _Place) -> None:
        try:
            place.worker = self.start(place.number)
        except BaseException as error:
            if self.from_outside(error):
                raise
            self._lose(place, f"worker {place.number}", WorkerEnd(None, f"it could not be started: {_said(error)}"), "")

    def _ask(self, place: _Place, worker: RunningWorker) -> None:
        try:
            end = worker.poll()
        except BaseException as error:
            if self.from_outside(error):
                raise
            self._end(worker)
            end = WorkerEnd(None, f"it could not be asked how it is: {_said(error)}")
        if end is None:
            return
        place.worker = None
        if self.is_stopping or self.judge(end) == "done":
            place.is_over = True
            self.ended.append(Ended(worker.name, end, self._tail(worker)))
        else:
            self._lose(place, worker.name, end, self._tail(worker))

    def _lose(self, place: _Place, name: str, end: WorkerEnd, log: str) -> None:
        judged, cause = self.judge(end), end.message or f"exit code {end.exit_code}"
        place.lost += 1
        is_same = self._streak.add(cause, end.exit_code)
        place.is_over = judged == "hopeless" or place.lost > self.retries
        if judged == "hopeless" or (judged == "broken" and is_same):
            self.cause, self.code, place.is_over = cause, end.exit_code, True
        wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (place.lost - 1))
        place.due = self.clock() + wait
        again = None if place.is_over or self.is_retired or self.cause else wait
        self._told.append(Told(name, cause, log, again, place.lost))

    def _is_lost(self) -> bool:
        """Whether no place is left that may get on."""
        return all(each.is_over for each in self._places) and any(each.lost > self.retries for each in self._places)

    def _end(self, worker: RunningWorker) -> None:
        try:
            worker.kill()
        except BaseException as error:
            if self.from_outside(error):
                raise

    def _tail(self, worker: RunningWorker) -> str:
        try:
            return str(worker.log_tail())
        except BaseException as error:
            if self.from_outside(error):
                raise
            return ""


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
