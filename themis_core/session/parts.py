"""What one part of a run keeps to and gives: its share of the limits, what it has spent, what is stored of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from themis_core.components import Store
from themis_core.errors import SpecError
from themis_core.execution import Progress
from themis_core.planning import Plan
from themis_core.records import ERROR_REMEDIES, Part, RunCost, RunRecord
from themis_core.results import RunResult
from themis_core.specs import ExecutionPolicySpec

__all__ = [
    "limits_of",
    "part_of",
    "result_of_part",
    "result_while_ended",
    "spent_of",
    "stored_of_part",
    "within_limits",
]

_LOOK_UP = 500
"""Trials per look-up."""
_ENDS = ("answered", "refused", "truncated", "empty", "absent", "failed")


def part_of(shard: Part | str | None) -> Part | None:
    """The part that is asked for. Raises SpecError, which says what to write."""
    if shard is None or isinstance(shard, Part):
        return shard
    try:
        return Part.parse(shard)
    except ValueError as error:
        raise SpecError(f"--shard: {error}") from None


def limits_of(made: Plan) -> ExecutionPolicySpec:
    """The execution policy of a plan, or its part's share of it."""
    policy = made.composition.project.execution_policy
    return policy if made.part is None else policy.divided(made.part.of)


def within_limits(made: Plan) -> Plan:
    """The plan for whoever works through it, with these limits."""
    if made.part is None:
        return made
    project = made.composition.project.model_copy(update={"execution_policy": limits_of(made)})
    return replace(made, composition=replace(made.composition, project=project))


def spent_of(store: Store, made: Plan, *, limited: bool) -> RunCost:
    """What earlier executions spent: of the run, or of a part if it has a share of `max_cost`."""
    if made.part is None or made.composition.project.execution_policy.share_limits:
        return store.cost(made.run_id)
    if not limited:
        return RunCost()
    part, by_item = made.part, made.by_item
    return store.cost_of(made.run_id, lambda item_id, sample: part.has(item_id, None if by_item else sample))


def stored_of_part(store: Store, made: Plan) -> int:
    """How many trials of a plan for one part the store has with an outcome; each is looked up."""
    found = 0
    for endpoint in (None, *made.endpoints()):
        trials = made.trials(endpoint)
        while batch := list(islice(trials, _LOOK_UP)):
            found += len(store.ended_trials(made.run_id, [(each.slice_id, each.trial_id) for each in batch]))
    return found


def result_of_part(
    store: Store,
    run: RunRecord,
    part: str,
    progress: Progress,
    *,
    counts: Mapping[str, Any],
    status: str,
    note: str,
    storage: str,
) -> RunResult:
    """What a part gave whose run is still to get its result: counts, and how far it and the run are; no numbers."""
    planned = run.manifest["trials"]
    outcomes = dict.fromkeys(_ENDS, 0)
    codes: dict[str, int] = {}
    for each in store.outcomes(run.run_id):
        outcomes[each.outcome] += each.count
        if each.error_code:
            codes[each.error_code] = codes.get(each.error_code, 0) + each.count
    missing = planned - sum(outcomes.values())
    return RunResult(
        run.run_id, run.manifest["spec_digest"], "unfinished" if status == "completed" else status, planned,
        counts["generated"], counts["reused"], progress.failed, progress.cost.known, progress.cost.unknown_calls,
        progress.cost.at_most, {"planned": planned, "unfinished": missing, **outcomes, "failures": codes,
                                "extractions": {}, "scores": {}},
        [], [], storage, [], _told(part, progress, planned, planned - missing, note), counts["errors"],
        {code: ERROR_REMEDIES.get(code, "") for code in sorted(codes)},
        [], [], counts["judged"], counts["simulated"], part=part,
    )  # fmt: skip


def result_while_ended(store: Store, made: Plan, storage: str) -> RunResult | None:
    """What a part gives that is kept out of its run by whoever makes the result just now; None if that is not why.

    All that is planned is stored then, and nothing failed, so that nothing is left to be done for it.
    """
    run = store.run(made.run_id)
    if run is None or made.part is None or run.failed or run.trials < made.count():
        return None
    count = made.count(made.part)
    progress = Progress(count, done=count, reused=count)
    counts = {"generated": 0, "reused": count, "errors": {}, "judged": 0, "simulated": 0}
    return result_of_part(
        store, run, str(made.part), progress, counts=counts, status="completed", note="", storage=storage
    )


def _told(part: str, progress: Progress, planned: int, stored: int, note: str) -> str:
    """How far a part and its run are, and what makes the result."""
    share = f" ({100 * stored // planned}%)" if planned else ""
    of_part = f"{progress.done} of {progress.planned} trials" if progress.planned else "it has no trials"
    who = part if part.startswith("worker ") else f"shard {part}"
    told = f"{who}: {of_part}; the run: {stored} of {planned}{share}. "
    if note:
        return f"{told}{note}"
    return f"{told}The shard that ends last makes the result, and so does the same command without --shard"
