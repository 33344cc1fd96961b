"""Executes a plan from its lock to its result, and tells observers and whoever watches the progress."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

from themis_core.components import Store
from themis_core.errors import StorageError, ThemisError
from themis_core.execution import Progress, Runner, Writer, now
from themis_core.planning import Plan
from themis_core.records import ERROR_REMEDIES, RunCost, RunFinished, RunRecord, RunStarted
from themis_core.results import RunResult, summarise
from themis_core.results.reading import aggregates_of
from themis_core.session.ending import made_together, with_conclusions
from themis_core.session.looking import Looked, look_for
from themis_core.session.manifests import manifest_of
from themis_core.session.parts import limits_of, result_of_part, spent_of, stored_of_part, within_limits
from themis_costs import Budget
from themis_interrupts import in_good_order
from themis_plain import own
from themis_wording import counted

__all__ = ["execute", "manifest_of"]

log = logging.getLogger("themis")
progress_log = logging.getLogger("themis.progress")
INTERRUPTED = "interrupted"
"""Why a run stopped, if the user stopped it."""
Status = Literal["completed", "failed", "interrupted", "stopped", "waiting"]
_REPORT_S = 2.0
_ASKED_AGAIN = 3
"""How often a run goes over its trials again if the store lost some that it had acknowledged."""
_UNFINISHED = "trials are missing in the store, which had acknowledged them: run the same command again to ask for them"


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
    with in_good_order(lambda: loop.call_soon_threadsafe(_interrupt, budget, writer)):
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
    part = None if made.part is None else str(made.part)
    progress = Progress(made.count(made.part), stored=_stored_before(made, before), part=part or "")
    complete = finished is not None
    started = RunStarted(made.run_id, finished.started_at if finished else now(), manifest, part)
    if complete:
        progress.done = progress.reused = progress.planned
    else:
        await writer.save([started])
    composition.plugins.observers("themis_run_started").tell(lambda: own({"event": started}))
    budget.before = (
        await writer.read(lambda store: spent_of(store, made, limited=budget.policy.max_cost is not None))
        if before
        else RunCost()
    )
    budget.priced = composition.priced
    progress.cost = budget.before
    working = within_limits(made)
    runner = Runner(working, writer, budget, progress, detach=detach)
    failed = None if complete else await _work(runner, report)
    while runner.has_postponed and not failed and budget.stopped is None:
        runner, failed = await _pass_again(working, writer, budget, progress, report, detach)
    for _ in range(_ASKED_AGAIN if not complete else 0):
        lost = progress.done - await writer.read(lambda store: _stored(store, made))
        if lost <= 0 or failed or budget.stopped is not None or runner.batching.waiting:
            break
        log.warning("the store no longer has %s that it had acknowledged: asked again", counted(lost, "trial"))
        await writer.save([started])  # which may be lost as well
        runner, failed = await _pass_again(working, writer, budget, progress, report, detach)
    waits = runner.batching.waiting
    stored = await writer.read(lambda store: _stored(store, made))
    status = "failed" if failed else _status(progress, budget, stored, waits=waits)
    ended = RunFinished(made.run_id, now(), status, _counts(runner, budget, None if part else before), part)
    if not complete:
        await writer.save([ended])
    if composition.conclusions and part is None and not failed and status in ("completed", "failed"):
        ended = await with_conclusions(made, writer, ended, finished)
    if report:
        progress.note = ""
        report(progress)
    aggregates = aggregates_of(manifest, composition.plugins)
    location = composition.storage.location(composition.project_dir)
    note = _note(status, budget.stopped, runner.saving.codes, runner.batching.left)

    def look(store: Store) -> RunResult:
        record = store.run(made.run_id)
        assert record is not None
        record = replace(record, manifest=manifest)
        if part is not None and not complete:
            return result_of_part(store, record, part, progress, counts=ended.counts, status=status, note=note,
                                  storage=location)  # fmt: skip
        seen = status if status != "completed" else _status(progress, budget, record.trials, waits=waits)
        told = note if seen == status else _UNFINISHED
        return summarise(store, record, aggregates, counts=ended.counts, status=seen, storage=location, note=told)

    result = await writer.read(look)
    finish = {"event": ended, "summary": result.to_dict()}
    composition.plugins.observers("themis_run_finished").tell(lambda: own(finish))
    if failed:
        raise failed
    return result


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
    failed = await _work(runner, report)
    progress.reused = reused
    return runner, failed


async def _work(runner: Runner, report: Callable[[Progress], None] | None) -> ThemisError | None:
    """Do what there is to do. Returns the error that ended the run; raises it if nothing can be saved any longer."""
    ticking = [asyncio.create_task(_tick(runner, report))] if report else []
    if runner.progress.part:
        ticking.append(asyncio.create_task(_report(runner)))
    try:
        await runner.run()
    except BaseException as raised:
        error = _first(raised)
        if isinstance(error, ThemisError) and not isinstance(error, StorageError):
            return error
        if error is raised:
            raise
        raise error from raised
    finally:
        for each in ticking:
            each.cancel()
    return None


def _interrupt(budget: Budget, writer: Writer) -> None:
    budget.stop(INTERRUPTED, interrupted=True)
    store = f" and {writer.note}" if writer.note else ""
    progress_log.warning(
        "stopping: waiting for %s%s; Ctrl-C again stops now", counted(budget.in_flight, "answer"), store
    )


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


def _counts(runner: Runner, budget: Budget, before: RunRecord | None) -> dict[str, Any]:
    progress = runner.progress
    warned = Counter(before.counts.get("warnings", {})) if before else Counter()
    return {
        "generated": progress.generated,
        "judged": progress.judged,
        "simulated": progress.simulated,
        "reused": progress.reused,
        "failed": progress.failed,
        "cost": budget.cost.known,
        "unknown_cost_calls": budget.cost.unknown_calls,
        "errors": dict(runner.saving.errors),
        "warnings": dict(warned + runner.saving.warnings),
        **({} if progress.part == "" else {"planned": progress.planned, "done": progress.done}),
    }


def _note(status: str, reason: str | None, codes: Counter[str], batches: str) -> str:
    again = "run the same command again"
    if status == "waiting":
        return f"waiting: {batches}; {again} to collect what they answer"
    if batches:
        again = f"{batches}; {again}, which collects what they answer,"
    if status == "interrupted":
        return f"interrupted: what arrived is saved; {again} to go on"
    if status == "stopped":
        remedy = f". {_to_do(codes)}" if "quota_exhausted" in codes else ""
        return f"stopped: {reason}{remedy}; what arrived is saved; {again} to go on"
    if status == "failed" and not codes:
        return _UNFINISHED
    if status == "failed":
        return f"some trials failed or have no verdict. {_to_do(codes)}. Then {again} to try only those again"
    return ""


def _to_do(codes: Counter[str]) -> str:
    remedies = {code: ERROR_REMEDIES.get(code, "mend what its message names") for code in codes}
    return "; ".join(f"{code} ({count}): {remedies[code]}" for code, count in codes.most_common())


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _report(runner: Runner) -> None:
    """Tell the store how far a part is, for whoever looks at the run from elsewhere."""
    with suppress(StorageError):  # which ends the run where it saves
        while True:
            await runner.report()
            await asyncio.sleep(_REPORT_S)


async def _tick(runner: Runner, report: Callable[[Progress], None]) -> None:
    while True:
        runner.progress.note = runner.note
        report(runner.progress)
        await asyncio.sleep(0.2)
