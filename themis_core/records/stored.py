"""Runs, trials and scores as a store has them: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Latency", "OutcomeCount", "RunRecord", "ScoreRow", "TrialRow"]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the store has it."""

    run_id: str
    status: str
    """As in `RunFinished`, or `running` if the last execution did not end in an orderly way (yet).

    `Results` says `died` in its place if no process is at work on the run.
    """
    started_at: str
    finished_at: str | None
    manifest: dict[str, Any]
    counts: dict[str, Any]
    trials: int = 0
    """Trials with an outcome."""
    failed: int = 0


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One finished trial as the store has it."""

    run_id: str
    slice_id: str
    trial_id: str
    item_id: str
    item_digest: str
    prompt_variant_id: str
    model_id: str
    params: str
    sample_index: int
    generation_keys: tuple[str, ...]
    outcome: str
    error_code: str | None
    finished_at: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    """Of all turns, and of what a simulated user said."""


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """How many finished trials of one slice, model, prompt variant and setting ended in one way."""

    slice_id: str
    model_id: str
    prompt_variant_id: str
    params: str
    outcome: str
    error_code: str | None
    count: int


class Latency(NamedTuple):
    """How long the call took whose answer a trial has, the last of several turns; `latency_s` of its `Generation`."""

    slice_id: str
    model_id: str
    prompt_variant_id: str
    params: str
    latency_s: float


class ScoreRow(NamedTuple):
    """One score of one finished trial as the store has it, with what results are grouped by.

    A tuple, because a summary makes one for each score of a run, and a frozen dataclass takes four times as long.
    """

    slice_id: str
    model_id: str
    prompt_variant_id: str
    params: str
    score: str
    metric: str
    item_id: str
    sample_index: int
    trial_id: str
    outcome: str
    value: float | None
    reason: str | None
    parse: str | None
    parsed: bool | None
    """None if the score reads the raw answer."""
    parse_reason: str | None
    item_digest: str
    """Of the item's whole content: what two runs have in common is found by it."""
    parts: tuple[float, ...] = ()
    extracted: str | None = None
    """What the parse found, as JSON, where whole rows were asked for; None if it found nothing."""
    details: str | None = None
    """Of the score, as JSON, where whole rows were asked for; None if there are none."""
