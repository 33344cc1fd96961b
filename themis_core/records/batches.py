"""Batches of requests as they are stored: what is intended, what the provider was handed, how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

__all__ = ["BatchEnded", "BatchIntended", "BatchRecord", "BatchSubmitted", "Ticket", "open_batches_of"]


@dataclass(frozen=True, slots=True)
class Ticket:
    """What finds a batch at its provider again. Plain data, which is stored: no secret."""

    id: str
    """The provider's id of the batch, which people are shown."""
    details: dict[str, Any] = field(default_factory=dict)
    """What else the engine needs to collect or cancel it; JSON-like."""


@dataclass(frozen=True, slots=True)
class BatchIntended:
    """A batch is about to be submitted: from here on it may be at the provider."""

    kind: ClassVar[str] = "batch_intended"
    run_id: str
    at: str
    nonce: str
    """What the batch carries at the provider, so that it is found without a ticket."""
    endpoint: str
    """Of the engine that submits it."""
    model_id: str
    """The name that the server is sent."""
    keys: tuple[str, ...]
    """Generation keys of its requests."""


@dataclass(frozen=True, slots=True)
class BatchSubmitted:
    """The provider has the batch."""

    kind: ClassVar[str] = "batch_submitted"
    run_id: str
    at: str
    nonce: str
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """Nothing more is to be had of the batch: what was answered is stored. `run_id` is that of its intent."""

    kind: ClassVar[str] = "batch_ended"
    run_id: str
    at: str
    nonce: str
    outcome: str
    """`ended`, `expired`, `cancelled` or `failed`, as the provider says; `abandoned` was never submitted; `forgotten`
    was given up by the user."""


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch that is open: intended, and not ended."""

    run_id: str
    at: str
    """When it was intended: UTC, ISO 8601."""
    nonce: str
    endpoint: str
    model_id: str
    keys: tuple[str, ...]
    ticket: Ticket | None = None
    """None as long as nobody knows whether the provider has it."""


def open_batches_of(events: Iterable[Mapping[str, Any]]) -> list[BatchRecord]:
    """The batches that are open after these events, which are plain data as of `Store.events`; the oldest first."""
    found: dict[str, BatchRecord] = {}
    ended: set[str] = set()
    for event in events:
        kind, nonce = event["kind"], str(event.get("nonce"))
        if kind == BatchIntended.kind and nonce not in found and nonce not in ended:
            told = {name: event[name] for name in ("run_id", "at", "nonce", "endpoint", "model_id")}
            found[nonce] = BatchRecord(**told, keys=tuple(event["keys"]))
        elif kind == BatchSubmitted.kind and nonce in found and found[nonce].ticket is None:
            found[nonce] = replace(found[nonce], ticket=Ticket(**event["ticket"]))
        elif kind == BatchEnded.kind:
            ended.add(nonce)
            found.pop(nonce, None)
    return list(found.values())
