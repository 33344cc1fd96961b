"""Executes a plan from its lock to its result, and tells observers and whoever watches the progress."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Literal

from themis_core.components import Store
from themis_core.errors import ThemisError
from themis_core.execution import Progress, Runner, Writer, now
from themis_core.planning import Plan
from themis_core.records import RunFinished, RunRecord, RunStarted
from themis_core.results import RunResult, summarise
from themis_core.results.reading import aggregates_of
from themis_core.session.ending import made_together, told, with_conclusions
from themis_core.session.looking import Looked, look_for
from themis_core.session.manifests import manifest_of
from themis_core.session.parts import limits_of, result_of_part, spent_of, stored_of_part, within_limits
from themis_core.session.passes import INTERRUPTED, UNFINISHED, counts_of, interrupt, note_of, worked
from themis_costs import Budget
from themis_interrupts import in_good_order
from themis_plain import own
from themis_wording import counted

__all__ = ["execute"]

log = logging.getLogger("themis")
Status = Literal["completed", "failed", "interrupted", "stopped", "waiting"]
_ASKED_AGAIN = 3
"""How often a run goes over its trials again if the store lost some that it had acknowledged."""


async def execute(
    made: Plan,
    writer: Writer,
    report: Callable[[Progress], None] | None,
    looked: Looked,
    *,
    detach: bool = False,
) -> RunResult:
    """Work through a plan whose run, or whose part of it, is locked, and return its result.

    `looked` is what the store had of the run before it was locked. The result of a part that was worked through is
    `unfinished`: see `ending` for that of the run.
    """
    budget = Budget(limits_of(made))
    loop = asyncio.get_running_loop()
    with in_good_order(lambda: loop.call_soon_threadsafe(interrupt, budget, writer)):
        return await _execute(made, writer, budget, report, looked, detach)


async def _execute(
    made: Plan,
    writer: Writer,
    budget: Budget,
    report: Callable[[Progress], None] | None,
    looked: Looked,
    detach: bool,
) -> RunResult:
    composition = made.composition
    finished = looked.finished
    before = await writer.read(lambda store: store.run(made.run_id))
    if before != finished or looked.is_stored:  # another process may have been at work on it
        looked = await writer.read(lambda store: look_for(store, made))
        finished = looked.finished
    if looked.is_stored:
        return await made_together(made, writer, report)
    if finished is None and looked.check is None:
        made.check()
    # Nothing is under way yet, and what hangs can be ended in the main thread alone.
    manifest = manifest_of(made, looked.check)
    complete = finished is not None
    part = None if made.part is None or complete else str(made.part)  # of a run that is complete there are no parts
    planned = made.count(None if complete else made.part)
    progress = Progress(planned, stored=_stored_before(made, before), part=part or "")
    started = RunStarted(made.run_id, finished.started_at if finished else now(), manifest, part)
    if complete:
        progress.done = progress.reused = progress.planned
    else:
        await writer.save([started])
    composition.plugins.observers("themis_run_started").tell(lambda: own({"event": started}))
    if before:
        limited = budget.policy.max_cost is not None
        budget.before = await writer.read(lambda store: spent_of(store, made, limited=limited))
    budget.priced = composition.priced
    progress.cost = budget.before
    runner, failed = await _passes(made, writer, budget, progress, report, None if complete else started, detach)
    waits = runner.batching.waiting
    stored = planned if complete else await writer.read(lambda store: _stored(store, made))
    status = "failed" if failed else _status(progress, budget, stored, waits=waits)
    ended = RunFinished(made.run_id, now(), status, counts_of(runner, budget, None if part else before), part)
    if not complete:
        await writer.save([ended])
    if composition.conclusions and part is None and not failed and status in ("completed", "failed"):
        ended = await with_conclusions(made, writer, ended, finished)
    if report:
        progress.note = ""
        report(progress)
    aggregates = aggregates_of(manifest, composition.plugins)
    note = note_of(status, budget.stopped, runner.saving.codes, runner.batching.left)

    def result_of(store: Store, record: RunRecord, storage: str) -> RunResult:
        if part is not None:
            return result_of_part(
                store, record, part, progress, counts=ended.counts, status=status, note=note, storage=storage
            )
        seen = status if status != "completed" else _status(progress, budget, record.trials, waits=waits)
        said = note if seen == status else UNFINISHED
        return summarise(store, record, aggregates, counts=ended.counts, status=seen, storage=storage, note=said)

    result = await told(made, writer, manifest, ended, result_of)
    if failed:
        raise failed
    return result


async def _passes(
    made: Plan,
    writer: Writer,
    budget: Budget,
    progress: Progress,
    report: Callable[[Progress], None] | None,
    started: RunStarted | None,
    detach: bool,
) -> tuple[Runner, ThemisError | None]:
    """Work through the trials as often as it takes; without `started` all are stored, and there is nothing to do.

    Returns the runner of the last pass, and what ended it too early.
    """
    working = within_limits(made)
    runner = Runner(working, writer, budget, progress, detach=detach)
    if started is None:
        return runner, None
    failed = await worked(runner, report)
    while runner.has_postponed and not failed and budget.stopped is None:
        runner, failed = await _pass_again(working, writer, budget, progress, report, detach)
    for _ in range(_ASKED_AGAIN):
        lost = progress.done - await writer.read(lambda store: _stored(store, made))
        if lost <= 0 or failed or budget.stopped is not None or runner.batching.waiting:
            break
        log.warning("the store no longer has %s that it had acknowledged: asked again", counted(lost, "trial"))
        await writer.save([started])  # which may be lost as well
        runner, failed = await _pass_again(working, writer, budget, progress, report, detach)
    return runner, failed


async def _pass_again(
    made: Plan,
    writer: Writer,
    budget: Budget,
    progress: Progress,
    report: Callable[[Progress], None] | None,
    detach: bool,
) -> tuple[Runner, ThemisError | None]:
    """Go over all trials once more, and do what is missing; what the last pass did counts as done now."""
    reused, progress.done, progress.failed = progress.reused, 0, 0
    runner = Runner(made, writer, budget, progress, detach=detach)
    failed = await worked(runner, report)
    progress.reused = reused
    return runner, failed


def _status(progress: Progress, budget: Budget, stored: int, *, waits: bool) -> Status:
    """What is stored decides: a store may lose what it acknowledged, as a standby does that lags and is promoted."""
    if budget.stopped is not None and (min(stored, progress.done) < progress.planned or budget.exhausted):
        return "interrupted" if budget.stopped == INTERRUPTED else "stopped"
    if waits:
        return "waiting"
    return "failed" if progress.failed or min(stored, progress.done) < progress.planned else "completed"


def _stored_before(made: Plan, before: RunRecord | None) -> int:
    """Trials that the run had before; of a part that is found out on the way."""
    return 0 if before is None or made.part is not None else before.trials - before.failed


def _stored(store: Store, made: Plan) -> int:
    """How many trials of a plan the store has with an outcome."""
    if made.part is None:
        record = store.run(made.run_id)
        return 0 if record is None else record.trials
    return stored_of_part(store, made)
