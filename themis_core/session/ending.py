"""The end of a run: what is concluded of it, and the one result of a run on which several processes worked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from themis_core.components import Store
from themis_core.errors import RunLocked
from themis_core.execution import Progress, Writer, now
from themis_core.execution.scores import UNAVAILABLE
from themis_core.planning import Plan
from themis_core.records import ExecutionRecord, Part, RunFinished, RunRecord, RunStarted, summed
from themis_core.results import RunResult, summarise
from themis_core.results.reading import aggregates_of
from themis_core.session.checks import UNSCORABLE, whole_check
from themis_core.session.concluding import concluded
from themis_core.session.finished import finished_before
from themis_core.session.holding import entered
from themis_core.session.manifests import manifest_of
from themis_core.session.passes import note_of
from themis_plain import own
from themis_wording import counted

__all__ = ["end_if_last", "end_run", "is_stored", "made_together", "told", "with_conclusions"]

_SHOWN = 10
"""Shards that a message names."""


async def end_run(
    made: Plan,
    writer: Writer,
    report: Callable[[Progress], None] | None = None,
    *,
    interrupted: bool = False,
    cause: str = "",
    stopped: str = "",
    is_announced: bool = False,
) -> RunResult:
    """Make the one result of a run on which several processes worked, and store its end.

    It asks for no trial: what is planned is compared with what is stored. The caller holds nothing of the run; raises
    RunLocked if anybody is at work on it. A run that is not whole is `interrupted`, if the caller was, `failed` for a
    `cause`, and else as its parts ended; `stopped` is what one of them said whose budget was used up.
    With `is_announced`, this process has told observers already that the run started.
    """
    lock = await writer.read(lambda store: entered(store, made.run_id))
    try:
        return await made_together(
            made, writer, report, interrupted=interrupted, cause=cause, stopped=stopped, is_announced=is_announced
        )
    finally:
        await writer.read(lambda store: lock.__exit__(None, None, None))


async def end_if_last(made: Plan, writer: Writer) -> RunResult | None:
    """The same, if all that is planned is stored and nobody is at work any longer; None if that is not so.

    Whoever lets go of its part calls this afterwards. So the last one finds that all is stored and nobody is at work;
    of two that end at one moment one gets the lock of the whole.
    """
    record = await writer.read(lambda store: store.run(made.run_id))
    if record is None or record.trials < made.count():
        return None
    try:
        return await end_run(made, writer)
    except RunLocked:
        return None


def is_stored(store: Store, made: Plan) -> bool:
    """Whether a run that was worked on in parts has an outcome of each trial, and nothing that is to be tried again."""
    record = store.run(made.run_id)
    if record is None or not record.in_parts or record.failed or record.trials != made.count():
        return False
    return not store.has_faults(made.run_id)


async def made_together(
    made: Plan,
    writer: Writer,
    report: Callable[[Progress], None] | None = None,
    *,
    interrupted: bool = False,
    cause: str = "",
    stopped: str = "",
    is_announced: bool = False,
) -> RunResult:
    """The same for whoever holds the whole run."""
    known = await writer.read(lambda store: finished_before(store, made) or _ended_before(store, made))
    executions = [] if known else await writer.read(lambda store: list(store.executions(made.run_id)))
    if known:
        manifest = known.manifest
    else:
        manifest = manifest_of(replace(made, part=None), await asyncio.to_thread(whole_check, made, executions))
    started = RunStarted(made.run_id, known.started_at if known else _began(executions), manifest)
    if not is_announced:
        made.composition.plugins.observers("themis_run_started").tell(lambda: own({"event": started}))
    state = await writer.read(
        lambda store: _state(store, made, executions, interrupted=interrupted, cause=cause, stopped=stopped)
    )
    if known:
        ended = RunFinished(made.run_id, now(), state.status, known.counts)
    else:
        ended = RunFinished(made.run_id, now(), state.status, state.counts)
        await writer.save([started, ended])
        await writer.read(lambda store: store.release(made.run_id))  # what parts noted that they ask for
    if made.composition.conclusions and not cause and state.status in ("completed", "failed"):
        ended = await with_conclusions(made, writer, ended, known)
    if report:
        report(_progress(state))
    aggregates = aggregates_of(manifest, made.composition.plugins)

    def result_of(store: Store, record: RunRecord, storage: str) -> RunResult:
        return summarise(
            store, record, aggregates, counts=ended.counts, status=state.status, storage=storage, note=state.note
        )

    return await told(made, writer, manifest, ended, result_of)


async def told(
    made: Plan,
    writer: Writer,
    manifest: dict[str, Any],
    ended: RunFinished,
    result_of: Callable[[Store, RunRecord, str], RunResult],
) -> RunResult:
    """The result, made of the store, the run with this manifest, and where it is stored; observers are told of it."""
    location = made.composition.location

    def look(store: Store) -> RunResult:
        record = store.run(made.run_id)
        assert record is not None
        return result_of(store, replace(record, manifest=manifest), location)

    result = await writer.read(look)
    finish = {"event": ended, "summary": result.to_dict()}
    made.composition.plugins.observers("themis_run_finished").tell(lambda: own(finish))
    return result


def _ended_before(store: Store, made: Plan) -> RunRecord | None:
    """The run, if another process has made its result and no part was worked on since."""
    record = store.run(made.run_id)
    if record is None or record.in_parts or record.finished_at is None or record.trials < made.count():
        return None
    return record if UNSCORABLE in record.manifest else None


async def with_conclusions(made: Plan, writer: Writer, finished: RunFinished, known: RunRecord | None) -> RunFinished:
    """The end of a run with what is concluded of it, which is stored unless it is `known`."""
    found = await asyncio.to_thread(concluded, made.composition, made.run_id)
    finished = replace(finished, at=now(), counts={**finished.counts, "conclusions": found})
    if known is None or known.counts.get("conclusions") != found:
        await writer.save([finished])
    return finished


@dataclass(frozen=True, slots=True)
class _State:
    """How a run stands whose parts have ended."""

    status: Any
    note: str
    counts: dict[str, Any]
    record: RunRecord
    planned: int


def _state(
    store: Store,
    made: Plan,
    executions: Sequence[ExecutionRecord],
    *,
    interrupted: bool,
    cause: str,
    stopped: str,
) -> _State:
    record = store.run(made.run_id)
    assert record is not None
    planned = made.count()
    counts = summed([each.counts for each in _since_the_last_result(executions) if each.part is not None])
    counts["reused"] = _reused(record, executions)
    counts["failed"] = record.failed
    status, note = _status(store, made, record, executions, interrupted=interrupted, cause=cause, stopped=stopped)
    return _State(status, note, counts, record, planned)


def _began(executions: Sequence[ExecutionRecord]) -> str:
    """When the first of the parts began whose result is made now."""
    return min((each.started_at for each in _since_the_last_result(executions) if each.part is not None), default=now())


def _since_the_last_result(executions: Sequence[ExecutionRecord]) -> Sequence[ExecutionRecord]:
    """The executions of parts since the run had a result, the last time."""
    ends = [at for at, each in enumerate(executions) if each.part is None and each.finished_at is not None]
    return executions[ends[-1] + 1 :] if ends else executions


def _reused(record: RunRecord, executions: Sequence[ExecutionRecord]) -> int:
    """Trials whose answers were stored before the parts began.

    The first execution of each part says how many it did not find. Parts of several divisions each say so of what
    those before them left; a part that did not begin again found all.
    """
    first: dict[str | None, int] = {}
    for each in _since_the_last_result(executions):
        if each.part is not None and "reused" in each.counts:
            of_part = "done" if each.part.startswith("worker ") else "planned"
            first.setdefault(each.part, max(each.counts.get(of_part, 0) - each.counts["reused"], 0))
    return max(record.trials - sum(first.values()), 0)


def _status(
    store: Store,
    made: Plan,
    record: RunRecord,
    executions: Sequence[ExecutionRecord],
    *,
    interrupted: bool,
    cause: str,
    stopped: str,
) -> tuple[str, str]:
    missing = made.count() - record.trials
    again = "run the same command again"
    if interrupted and missing > 0:
        return "interrupted", f"interrupted: what arrived is saved; {again} to go on"
    if cause:
        return "failed", f"{cause}; what arrived is saved; {again} to go on"
    latest = {each.part: each.status for each in _since_the_last_result(executions) if each.part is not None}
    if missing > 0:
        status = next((each for each in ("stopped", "waiting") if each in latest.values()), "failed")
        if status == "stopped" and stopped:
            return status, stopped
        return status, f"{counted(missing, 'trial is', 'trials are')} missing: {again} to go on"
    if record.failed:
        codes: Counter[str] = Counter()
        for each in store.outcomes(made.run_id):
            codes.update({each.error_code: each.count} if each.error_code else {})
        return "failed", note_of("failed", None, codes, "", _again(store, made))
    if _lacks_verdicts(store, made):
        again = again if made.part is None else "run the whole, without --shard,"
        return "failed", f"some trials have no verdict: {again} to try only those again"
    return "completed", ""


def _again(store: Store, made: Plan) -> str:
    """Which command: a shard tries again what is in its own part alone."""
    if made.part is None:
        return "run the same command again"
    by_item, of = made.by_item, made.part.of
    parts = sorted(
        {
            Part.holding(each.item_id, None if by_item else each.sample_index, of)
            for each in store.trial_places(made.run_id)
            if each.outcome == "failed"
        }
    )
    named = ", ".join([*map(str, parts[:_SHOWN]), *(["…"] if len(parts) > _SHOWN else [])])
    return f"run {'shard' if len(parts) == 1 else 'shards'} {named} again, or the whole without --shard,"


def _lacks_verdicts(store: Store, made: Plan) -> bool:
    """Whether a judging model could not be asked, which counts as a failure."""
    judged = any(scorer.judges or scorer.baseline for each in made.slices for scorer in each.scorers)
    return judged and any(each.reason == UNAVAILABLE for each in store.score_ends(made.run_id))


def _progress(state: _State) -> Progress:
    progress = Progress(state.planned, done=state.record.trials, reused=state.record.trials)
    progress.failed = state.record.failed
    return progress
