"""Batches of requests that a provider answers within hours: what an engine is handed and gives back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal

from themis_core.errors import EngineError
from themis_core.records import Generation

__all__ = ["BATCH_KEY_LENGTH", "BatchLimits", "BatchReply", "BatchState"]

BATCH_KEY_LENGTH: Final = 40
"""So many characters of a request's key are enough to tell it from the others of a batch."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one batch may hold. A run makes several of what is more."""

    max_requests: int = 10_000
    max_bytes: int = 100_000_000
    """As the run estimates it: the JSON of each request's messages and settings, and 1 KB for all around them."""


@dataclass(frozen=True, slots=True)
class BatchReply:
    """What became of one request of a batch."""

    key: str
    """`Request.key`, or its first `BATCH_KEY_LENGTH` characters."""
    result: Generation | EngineError


@dataclass(frozen=True, slots=True)
class BatchState:
    """Where a batch stands."""

    status: Literal["running", "ended", "expired", "cancelled", "failed"]
    """`running` until its replies can be had; `failed` as a whole, which `error` explains."""
    done: int = 0
    """Requests that have an answer so far."""
    failed: int = 0
    total: int = 0
    error: EngineError | None = None
    """Why the provider turned the batch down as a whole; `retryable` if it may be submitted again later."""
    replies: AsyncIterator[BatchReply] | None = None
    """Of one that is over: all that there are, in any order. A request that was never worked on has none."""
