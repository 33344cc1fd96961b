"""Events for tests: whole and plausible, with what matters to the test given and the rest filled in.

They are made up; nothing here runs a spec.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from themis_core.records import (
    BatchEnded,
    BatchIntended,
    BatchSubmitted,
    Extraction,
    Generation,
    GenerationRecorded,
    Item,
    ItemRecorded,
    Request,
    RunFinished,
    RunStarted,
    Score,
    ScoreEntry,
    Ticket,
    TrialFinished,
)

__all__ = [
    "batch_ended",
    "batch_intended",
    "batch_submitted",
    "generation_recorded",
    "item_recorded",
    "key_of",
    "run_finished",
    "run_started",
    "score_entry",
    "trial_finished",
]

AT = "2026-01-02T03:04:05.000006+00:00"


def key_of(name: str) -> str:
    """Return a SHA-256 to stand for a key, an id or a digest."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def run_started(run_id: str = "run", *, at: str = AT, manifest: dict[str, Any] | None = None) -> RunStarted:
    return RunStarted(run_id, at, manifest or {"spec": {"benchmark_id": "made-up"}})


def run_finished(
    run_id: str = "run",
    *,
    at: str = AT,
    status: Literal["completed", "failed", "interrupted", "stopped", "waiting"] = "completed",
    counts: dict[str, Any] | None = None,
) -> RunFinished:
    return RunFinished(run_id, at, status, counts or {"trials": 1})


def item_recorded(item_id: str = "1", *, text: str = "How many?", reference: Any = "4") -> ItemRecorded:
    return ItemRecorded(Item(item_id, {"question": text}, reference, {}, digest=key_of(f"item {item_id}")))


def generation_recorded(
    name: str = "1",
    generation: Generation | None = None,
    *,
    run_id: str = "run",
    at: str = AT,
    text: str = "How many?",
) -> GenerationRecorded:
    """Return the answer to a question about item `name`; its key is `key_of(name)`."""
    request = Request("small", [{"role": "user", "content": text}], {"temperature": 0.0}, name, key=key_of(name))
    return GenerationRecorded(request.key, run_id, at, request, generation or Generation("answered", "A: 4"))


def score_entry(
    key: str, result: Score | None = None, *, score: str = "accuracy", metric: str = "match", **more: Any
) -> ScoreEntry:
    """Return one score; `more` gives the other fields of ScoreEntry."""
    values = {"parse": "number", "extraction": Extraction("4"), **more}
    return ScoreEntry(score, metric, key_of(key), result or Score(1.0), **values)


def trial_finished(item_id: str = "1", *, scores: tuple[ScoreEntry, ...] = (), **more: Any) -> TrialFinished:
    """Return the outcome of a trial of an item; `more` gives the other fields of TrialFinished."""
    values: dict[str, Any] = {
        "run_id": "run",
        "at": AT,
        "slice_id": "test",
        "trial_id": key_of(f"trial {item_id}"),
        "item_id": item_id,
        "item_digest": key_of(f"item {item_id}"),
        "prompt_variant_id": "plain",
        "model_id": "small",
        "params": "temperature=0.0",
        "sample_index": 0,
        "generation_keys": (key_of(item_id),),
        "outcome": "answered",
        "error_code": None,
        "reused": False,
    }
    return TrialFinished(**{**values, **more}, scores=scores)


def batch_intended(nonce: str = "n1", *, run_id: str = "run", at: str = AT, names: str = "12") -> BatchIntended:
    """Return the intent of a batch whose requests are those of the items with these one-letter names."""
    return BatchIntended(run_id, at, nonce, "https://api.example.com", "small", tuple(map(key_of, names)))


def batch_submitted(nonce: str = "n1", *, run_id: str = "run", at: str = AT, number: str = "batch_1") -> BatchSubmitted:
    return BatchSubmitted(run_id, at, nonce, Ticket(number, {"input_file_id": "file_1"}))


def batch_ended(nonce: str = "n1", *, run_id: str = "run", at: str = AT, outcome: str = "ended") -> BatchEnded:
    return BatchEnded(run_id, at, nonce, outcome)
