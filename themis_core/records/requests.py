"""What observers are told of single requests, as they are sent, answered or lost. Nothing of it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from themis_core.records.trial import Generation, Request

__all__ = ["RequestFailed", "RequestFinished", "RequestStarted"]


@dataclass(frozen=True, slots=True)
class RequestStarted:
    """One attempt at a request is about to be sent.

    One that was sent in a batch is told of when its outcome is read, just before that, by the run that reads it.
    """

    number: int
    """Of the attempt, counted from 1 in this execution: what becomes of it has the same."""
    run_id: str
    at: str
    """UTC, ISO 8601; of a batch, when it was handed in."""
    engine: str
    """Name of the component, such as `openai/chat`."""
    endpoint: str
    attempt: int
    """1, or more if earlier attempts at this request failed."""
    purpose: Literal["answer", "judge", "user"]
    """Whether it is asked of a model under test, of a judging model, or of one that plays the user."""
    slice_id: str
    trial_id: str
    """The trial that it is asked for first; others of the run may use the answer too."""
    request: Request
    """What the engine is handed. Images, sound and files that are long stand in it as `sha256:…`."""
    batch: str = ""
    """The provider's id of the batch that it was sent in; empty if it was sent by itself."""


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """An attempt brought a generation: an answer, a refusal, or an empty or truncated one."""

    started: RequestStarted
    seconds: float
    """From the start of the attempt to its generation; of a batch, from when it was handed in to when it is read."""
    generation: Generation


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """An attempt failed, or was cut off as the run ended. Another attempt may follow, with a number of its own."""

    started: RequestStarted
    seconds: float
    code: str
    """One of `ERROR_CODES`."""
    message: str
    status: int | None
    """The HTTP status, if there was one."""
    retryable: bool
    unknown_outcome: bool
    """Whether the request may have been answered, and billed, all the same."""
