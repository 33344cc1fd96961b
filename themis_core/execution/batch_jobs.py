"""Batches as a run sees them: one that fills up, and one that is at its provider."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from themis_core.components import BATCH_KEY_LENGTH, BatchState
from themis_core.execution.watching import TrialName
from themis_core.plugins import ComposedModel
from themis_core.records import BatchRecord, Request
from themis_core.specs import PriceSpec, canonical_json
from themis_plain import Parked
from themis_wording import counted

__all__ = ["BatchPrices", "Job", "Packing", "Wanted", "age_of", "new_nonce", "short", "told_together"]

AROUND = 1_024
"""Bytes of a request beside its messages and settings, as they are estimated."""


class Wanted(NamedTuple):
    """A request that this run waits for."""

    place: int
    """In the file of requests."""
    key: str
    model: ComposedModel
    reserved: float
    """What is set aside for its cost."""
    trial: TrialName
    """The trial that it is asked for first."""


def short(key: str) -> str:
    """What of a key names its request within a batch."""
    return key[:BATCH_KEY_LENGTH]


@dataclass(slots=True)
class Job:
    """A batch that is open, with what of it this run wants."""

    record: BatchRecord
    model: ComposedModel
    """One whose engine reaches it."""
    wanted: dict[str, Wanted] = field(default_factory=dict)
    state: BatchState | None = None
    """As of the last look."""
    trouble: str = ""
    """Why the last look failed."""
    over: bool = False
    look_after: float = 0.0
    """Moment of `time.monotonic` before which the provider does not want to be asked again."""
    incomplete_since: float | None = None
    """Moment since which its provider has given fewer answers than it says to have."""

    @property
    def keys(self) -> set[str]:
        return {short(key) for key in self.record.keys}

    @property
    def is_moved(self) -> bool:
        """Whether the model that reaches it is asked at another address now."""
        return self.record.endpoint != self.model.engine.endpoint

    @property
    def told(self) -> str:
        """One line for people."""
        number = self.record.ticket.id if self.record.ticket else self.record.nonce
        if self.state is None:
            stands = counted(len(self.record.keys), "request")
        else:
            failed = f", {self.state.failed} failed" if self.state.failed else ""
            stands = f"{self.state.done}/{self.state.total or len(self.record.keys)} answered{failed}"
        trouble = f", last look failed: {self.trouble}" if self.trouble else ""
        return f"batch {number}: {stands}, {_duration(age_of(self.record))} old{trouble}"


def told_together(jobs: Sequence[Job]) -> str:
    """One line for people about many batches."""
    done = sum(job.state.done for job in jobs if job.state is not None)
    total = sum(len(job.record.keys) for job in jobs)
    oldest = max(age_of(job.record) for job in jobs)
    troubles = sum(bool(job.trouble) for job in jobs)
    trouble = f", of {troubles} the last look failed" if troubles else ""
    return f"{len(jobs)} batches: {done}/{total} answered, the oldest {_duration(oldest)} old{trouble}"


class BatchPrices:
    """What batches of each model cost."""

    def __init__(self) -> None:
        self._known: dict[str, PriceSpec | None] = {}

    def of(self, model: ComposedModel) -> PriceSpec | None:
        """The prices of a request of a batch; None if they are not known."""
        label, price = model.spec.model_id, model.spec.price
        if label not in self._known:
            self._known[label] = None if price is None else price.in_batch()
        return self._known[label]


class Packing:
    """A batch of one model's requests that fills up."""

    def __init__(self, model: ComposedModel, file: Parked[Request], max_requests: int | None) -> None:
        limits = model.engine.batch_limits
        self.model = model
        self._file = file
        self._max_requests = min(limits.max_requests, max_requests or limits.max_requests)
        self._max_bytes = limits.max_bytes
        self._bytes = 0
        self.wanted: dict[str, Wanted] = {}

    def has_room(self, request: Request) -> bool:
        """Whether one more fits. One alone always does: what is too large for its provider is told by that."""
        size = self._bytes + _size(request)
        return not self.wanted or (len(self.wanted) < self._max_requests and size <= self._max_bytes)

    def add(self, request: Request, whole: Request, model: ComposedModel, reserved: float, trial: TrialName) -> None:
        """Take a request; `whole` is as it is sent."""
        self._bytes += _size(whole)
        place = self._file.add(request)
        self.wanted[short(request.key)] = Wanted(place, request.key, model, reserved, trial)

    def requests(self) -> Iterator[Request]:
        return (self._file.at(each.place) for each in self.wanted.values())


def _size(request: Request) -> int:
    return len(canonical_json([request.messages, request.params])) + AROUND


def age_of(record: BatchRecord) -> float:
    """Seconds since the batch was intended; never negative, whatever the clocks say."""
    return max((datetime.now(UTC) - datetime.fromisoformat(record.at)).total_seconds(), 0.0)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"


def new_nonce() -> str:
    """A new name for a batch: `themis-<UTC time>-<16 hexadecimal digits>`."""
    return f"themis-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}-{secrets.token_hex(8)}"
