"""Tells observers of single requests. Where nobody listens there is no `RequestWatch`, and a request costs nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count
from typing import Literal, NamedTuple

from themis_core.components import Engine
from themis_core.errors import EngineError
from themis_core.execution.progress import now
from themis_core.plugins import Composition, Observers
from themis_core.records import BatchRecord, Generation, Request, RequestFailed, RequestFinished, RequestStarted
from themis_plain import own

__all__ = ["CUT_OFF", "RequestWatch", "TrialName", "watch_of"]


class TrialName(NamedTuple):
    """A trial of a run."""

    slice_id: str
    trial_id: str


class _Asker(NamedTuple):
    """For which trial, and what, a request is sent."""

    slice_id: str = ""
    trial_id: str = ""
    purpose: Literal["answer", "judge", "user"] = "answer"


class _Asked(NamedTuple):
    """An attempt under way, and when it began."""

    started: RequestStarted
    begun: float


_NOBODY = _Asker()
_asker: ContextVar[_Asker] = ContextVar("themis_asker", default=_NOBODY)
CUT_OFF = EngineError("cancelled", "cut off, as the run ended", unknown_outcome=True)


def watch_of(composition: Composition, run_id: str) -> RequestWatch | None:
    """What tells observers of requests; None if none of them listens."""
    hooks = ("themis_request_started", "themis_request_finished", "themis_request_failed")
    observers = [composition.plugins.observers(hook) for hook in hooks]
    if not any(each.namespaces for each in observers):
        return None
    names = {id(model.engine): model.component for model in composition.models()}
    return RequestWatch(run_id, names, *observers)


class RequestWatch:
    """The observers of one execution's requests."""

    def __init__(
        self, run_id: str, names: Mapping[int, str], started: Observers, finished: Observers, failed: Observers
    ) -> None:
        self._run_id = run_id
        self._names = names
        self._started, self._finished, self._failed = started, finished, failed
        self._numbers = count(1)

    def trial(self, slice_id: str, trial_id: str) -> None:
        """From here on, what the current task asks is for this trial."""
        _asker.set(_Asker(slice_id, trial_id))

    @contextmanager
    def asking_as(self, purpose: Literal["judge", "user"]) -> Iterator[None]:
        """What is asked within is a judge's, or what a simulated user is to say."""
        token = _asker.set(_asker.get()._replace(purpose=purpose))
        try:
            yield
        finally:
            _asker.reset(token)

    def started(self, endpoint: str, engine: Engine, request: Request, attempt: int) -> _Asked:
        asker = _asker.get()
        name = self._names.get(id(engine), type(engine).__name__)
        event = RequestStarted(
            next(self._numbers), self._run_id, now(), name, endpoint, attempt, asker.purpose, asker.slice_id,
            asker.trial_id, request,
        )  # fmt: skip
        self._started.tell(lambda: {"event": own(event)})
        return _Asked(event, time.monotonic())

    def of_batch(
        self, record: BatchRecord, seconds: float, engine: Engine, request: Request, attempt: int, trial: TrialName,
        result: Generation | EngineError,
    ) -> None:  # fmt: skip
        """Tell of a request that was in a batch, handed in so many seconds ago, and of what became of it.

        Only now, so that nothing is held for hours, and that the run which collects tells of each once.
        """
        name = self._names.get(id(engine), type(engine).__name__)
        batch = record.ticket.id if record.ticket is not None else record.nonce
        event = RequestStarted(
            next(self._numbers), self._run_id, record.at, name, record.endpoint, attempt, "answer", *trial, request,
            batch,
        )  # fmt: skip
        self._started.tell(lambda: {"event": own(event)})
        asked = _Asked(event, time.monotonic() - seconds)
        if isinstance(result, EngineError):
            self.failed(asked, result)
        else:
            self.ended(asked, result)

    def ended(self, asked: _Asked, generation: Generation) -> None:
        """An attempt brought a generation, which is one that failed if a local engine did."""
        if generation.failed:
            code = generation.error_code or "engine_error"
            self.failed(asked, EngineError(code, generation.error or ""))
            return
        event = RequestFinished(asked.started, _since(asked), generation)
        self._finished.tell(lambda: {"event": own(event)})

    def failed(self, asked: _Asked, error: EngineError) -> None:
        event = RequestFailed(
            asked.started, _since(asked), error.code, error.message, error.status, error.retryable,
            error.unknown_outcome,
        )  # fmt: skip
        self._failed.tell(lambda: {"event": own(event)})

    def count_failures(self) -> None:
        for each in (self._started, self._finished, self._failed):
            each.count_failures()


def _since(asked: _Asked) -> float:
    return round(time.monotonic() - asked.begun, 6)
