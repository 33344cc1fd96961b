"""Runs, trials and scores as a store has them: one row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # a run that is only planned does without
    from themis_intervals import ClusterSums

__all__ = [
    "ExecutionRecord",
    "Latency",
    "OutcomeCount",
    "RunRecord",
    "ScoreCell",
    "ScoreEnds",
    "ScorePlace",
    "ScoreRow",
    "ScoreSums",
    "TrialPlace",
    "TrialRow",
]


@dataclass(frozen=True, slots=True)
class ExecutionRecord:
    """One execution of a run as the store has it: of the whole, or of a part of it."""

    part: str | None
    """As in `RunStarted`; None: the whole."""
    status: str
    """As in `RunFinished`; `running` if it did not end in an orderly way (yet)."""
    started_at: str
    finished_at: str | None
    manifest: dict[str, Any]
    counts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the store has it."""

    run_id: str
    status: str
    """As in `RunFinished`, or `running` if the last execution did not end in an orderly way (yet), or if parts of the
    run were worked on since and nobody has made its result.

    `Results` says in its place, if no process is at work on the run: `unfinished` if those that were at work on parts
    ended in an orderly way, else `died`.
    """
    started_at: str
    finished_at: str | None
    manifest: dict[str, Any]
    counts: dict[str, Any]
    trials: int = 0
    """Trials with an outcome."""
    failed: int = 0
    in_parts: bool = False
    """Whether parts of it were worked on since the whole was, the last time."""

    @classmethod
    def of(cls, run_id: str, executions: Sequence[ExecutionRecord], trials: int, failed: int) -> RunRecord:
        """A run as its executions tell, the latest of the whole first, if there is one, and all of parts that followed.

        What is stored decides whether it is `completed`. Of several parts, one that goes on tells more than one that
        was stopped, and that more than one that ended.
        """
        last = executions[-1]
        planned = last.manifest.get("trials", trials)
        if last.part is None:
            lost = last.status == "completed" and isinstance(planned, int) and trials < planned
            status = "failed" if lost else last.status
            return cls(run_id, status, last.started_at, last.finished_at, last.manifest, last.counts, trials, failed)
        latest = {each.part: each for each in executions}
        statuses = {each.status for part, each in latest.items() if part is not None}
        status = next((each for each in _OPEN_ENDS if each in statuses), "running")
        finished_at = None if status == "running" else max(each.finished_at or "" for each in latest.values())
        counts = summed([each.counts for each in executions if each.part is not None])
        manifest = next((each.manifest for each in executions if each.part is None), last.manifest)
        started_at = executions[0].started_at
        return cls(run_id, status, started_at, finished_at, manifest, counts, trials, failed, in_parts=True)


_OPEN_ENDS = ("running", "stopped", "interrupted", "waiting")
"""How a part can end that is not whole, what tells the most first."""
_SUMMED = ("generated", "judged", "simulated", "failed", "unknown_cost_calls")


def summed(counts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The counts of several executions together; `reused` is of none of them, for it is of the whole run then."""
    warnings: dict[str, int] = {}
    errors: dict[str, str] = {}
    for each in counts:
        for told, times in each.get("warnings", {}).items():
            warnings[told] = warnings.get(told, 0) + times
        errors |= each.get("errors", {})
    known = [each["cost"] for each in counts if each.get("cost") is not None]
    return {
        **{name: sum(each.get(name, 0) for each in counts) for name in _SUMMED},
        "cost": sum(known) if known else None,
        "errors": errors,
        "warnings": warnings,
    }


class TrialPlace(NamedTuple):
    """Of a finished trial, what says in which part it is, and how it ended."""

    item_id: str
    sample_index: int
    outcome: str
    error_code: str | None


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


class ScoreCell(NamedTuple):
    """Which scores are summed up together, and what is to be known of their values."""

    number: int
    """Scores of several places, such as the slices of one model, may have one number."""
    lowest: float | None
    highest: float | None
    """The range of the values; None where it has no end."""
    parsed_only: bool = False
    """Leave out scores whose parse found nothing."""


class ScoreSums(NamedTuple):
    """What the values of one cell, and of one sample or metadata of it if asked for, come to; clusters are items."""

    cell: int
    sums: ClusterSums
    sample_index: int = 0
    """0, unless sums are asked for by sample."""
    item_digest: str = ""
    """One of the items, which all have the same metadata; empty, unless sums are asked for by metadata."""


class ScoreEnds(NamedTuple):
    """How many scores of one slice, model, prompt variant, setting, score and metric ended alike."""

    slice_id: str
    model_id: str
    prompt_variant_id: str
    params: str
    score: str
    metric: str
    parse: str | None
    parsed: bool | None
    parse_reason: str | None
    """These three as in `ScoreRow`."""
    reason: str | None
    """Why there is no value; None if there is one."""
    scores: int
    """How many."""
    sample_index: int = 0
    item_digest: str = ""
    """These two as in `ScoreSums`."""


ScorePlace = tuple[str, str, str, str, str, str]
"""Slice, model, prompt variant, label of the settings, score and metric: the first six fields of a `ScoreRow`."""


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
