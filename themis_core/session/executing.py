"""Executes a plan from its lock to its result, and tells observers and whoever watches the progress."""

from __future__ import annotations

import asyncio
import logging
import platform
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from themis_core.components import Judge, Store
from themis_core.errors import StorageError, ThemisError
from themis_core.execution import Progress, Runner, Writer, now
from themis_core.planning import Plan
from themis_core.plugins import LoadedDataset, calling
from themis_core.records import ERROR_REMEDIES, RunCost, RunFinished, RunRecord, RunStarted
from themis_core.results import RunResult, summarise
from themis_core.results.reading import aggregates_of
from themis_core.session.concluding import concluded
from themis_core.session.edited import code_of
from themis_core.session.finished import finished_before, unscorable_of
from themis_core.version import version
from themis_costs import Budget
from themis_interrupts import in_good_order
from themis_plain import own
from themis_wording import counted

__all__ = ["execute"]

log = logging.getLogger("themis")
progress_log = logging.getLogger("themis.progress")
INTERRUPTED = "interrupted"
"""Why a run stopped, if the user stopped it."""
Status = Literal["completed", "failed", "interrupted", "stopped", "waiting"]
_ASKED_AGAIN = 3
"""How often a run goes over its trials again if the store lost some that it had acknowledged."""
_UNFINISHED = "trials are missing in the store, which had acknowledged them: run the same command again to ask for them"


async def execute(
    made: Plan,
    writer: Writer,
    report: Callable[[Progress], None] | None,
    finished: RunRecord | None = None,
    *,
    detach: bool = False,
) -> RunResult:
    """Work through a plan whose run is locked, and return its result. `finished` is the run as it was before it was
    locked, if it was finished then."""
    budget = Budget(made.composition.project.execution_policy)
    loop = asyncio.get_running_loop()
    with in_good_order(lambda: loop.call_soon_threadsafe(_interrupt, budget, writer)):
        return await _execute(made, writer, budget, report, finished, detach)


async def _execute(
    made: Plan,
    writer: Writer,
    budget: Budget,
    report: Callable[[Progress], None] | None,
    finished: RunRecord | None,
    detach: bool,
) -> RunResult:
    composition = made.composition
    before = await writer.read(lambda store: store.run(made.run_id))
    if before != finished:  # another process was at work on it
        finished = await writer.read(lambda store: finished_before(store, made))
    if finished is None:
        made.check()
    # Nothing is under way yet, and what hangs can be ended in the main thread alone.
    manifest = manifest_of(made, finished)
    progress = Progress(made.count(), stored=before.trials - before.failed if before else 0)
    complete = finished is not None
    started = RunStarted(made.run_id, finished.started_at if finished else now(), manifest)
    if complete:
        progress.done = progress.reused = progress.planned
    else:
        await writer.save([started])
    composition.plugins.observers("themis_run_started").tell(lambda: own({"event": started}))
    budget.before = await writer.read(lambda store: store.cost(made.run_id)) if before else RunCost()
    budget.priced = composition.priced
    progress.cost = budget.before
    runner = Runner(made, writer, budget, progress, detach=detach)
    failed = None if complete else await _work(runner, report)
    while runner.has_postponed and not failed and budget.stopped is None:
        runner, failed = await _pass_again(made, writer, budget, progress, report, detach)
    for _ in range(_ASKED_AGAIN if not complete else 0):
        lost = progress.done - _stored(await writer.read(lambda store: store.run(made.run_id)))
        if lost <= 0 or failed or budget.stopped is not None or runner.batching.waiting:
            break
        log.warning("the store no longer has %s that it had acknowledged: asked again", counted(lost, "trial"))
        await writer.save([started])  # which may be lost as well
        runner, failed = await _pass_again(made, writer, budget, progress, report, detach)
    record = await writer.read(lambda store: store.run(made.run_id))
    waits = runner.batching.waiting
    status = "failed" if failed else _status(progress, budget, _stored(record), waits=waits)
    ended = RunFinished(made.run_id, now(), status, _counts(runner, budget, before))
    if not complete:
        await writer.save([ended])
    if composition.conclusions and not failed and status in ("completed", "failed"):
        ended = await _concluded(made, writer, ended, finished)
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
        seen = status if status != "completed" else _status(progress, budget, record.trials, waits=waits)
        told = note if seen == status else _UNFINISHED
        return summarise(store, record, aggregates, counts=ended.counts, status=seen, storage=location, note=told)

    result = await writer.read(look)
    finish = {"event": ended, "summary": result.to_dict()}
    composition.plugins.observers("themis_run_finished").tell(lambda: own(finish))
    if failed:
        raise failed
    return result


async def _concluded(made: Plan, writer: Writer, finished: RunFinished, known: RunRecord | None) -> RunFinished:
    """The end of a run with what is concluded of it, which is stored unless it is `known`."""
    found = await asyncio.to_thread(concluded, made.composition, made.run_id)
    finished = replace(finished, at=now(), counts={**finished.counts, "conclusions": found})
    if known is None or known.counts.get("conclusions") != found:
        await writer.save([finished])
    return finished


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
    ticking = asyncio.create_task(_tick(runner, report)) if report else None
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
        if ticking is not None:
            ticking.cancel()
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


def _stored(record: RunRecord | None) -> int:
    return 0 if record is None else record.trials


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


async def _tick(runner: Runner, report: Callable[[Progress], None]) -> None:
    while True:
        runner.progress.note = runner.note
        report(runner.progress)
        await asyncio.sleep(0.2)


def manifest_of(made: Plan, finished: RunRecord | None = None) -> dict[str, Any]:
    """What the run was made of: enough to explain every number, and no secret. `finished` says that it was, before."""
    composition = made.composition
    scorers = [
        {
            "slice_id": each.composed.spec.slice_id,
            "score": scorer.score,
            "metric": scorer.metric,
            "kind": "judge" if isinstance(scorer.scoring, Judge) else "metric",
            "component": scorer.component,
            "version": scorer.scoring.version,
            "config": scorer.scoring.model_dump(mode="json", by_alias=True),
            "aggregates_mean": scorer.scoring.aggregates_mean,
            "higher_is_better": scorer.scoring.higher_is_better,
            "lowest": scorer.scoring.lowest,
            "highest": scorer.scoring.highest,
            "denominator": spec.denominator,
            "max_unparsed": parses[spec.parse].max_unparsed if spec.parse else 1.0,
        }
        for each in made.slices
        for parses in [{parse.name: parse for parse in each.composed.spec.parses}]
        for spec in each.composed.spec.scores
        for scorer in each.scorers
        if scorer.score == spec.name
    ]
    datasets = [
        {
            "slice_id": each.composed.spec.slice_id,
            "component": each.composed.dataset.component,
            "items": each.items.count,
            "digest": each.items.digest,
            **_fingerprint(each.composed.dataset, composition.base_dir),
        }
        for each in made.slices
    ]
    return {
        "themis": version(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "spec_digest": made.spec_digest,
        "plan_digest": made.plan_digest,
        "trials": made.count(),
        "project": composition.project.canonical(),
        "benchmark": composition.benchmark.canonical(),
        "storage": composition.storage_name,
        "plugins": composition.plugins.provenance(),
        **({"prices": dict(composition.prices)} if composition.prices is not None else {}),
        "models": [model.identity() for model in composition.models()],
        "code": code_of(composition),
        "datasets": datasets,
        "scorers": scorers,
        "samples": {
            each.composed.spec.slice_id: each.composed.spec.generation.num_samples or composition.benchmark.num_samples
            for each in made.slices
            if each.composed.spec.generation is not None
        },
        "aggregates": [each.canonical() for each in composition.benchmark.aggregates],
        "dimensions": {each.composed.spec.slice_id: each.composed.spec.dimensions for each in made.slices},
        "thresholds": [each.canonical() for each in composition.benchmark.thresholds],
        "unscorable": [asdict(each) for each in unscorable_of(made, finished)],
    }


def _fingerprint(dataset: LoadedDataset, base_dir: Path) -> dict[str, Any]:
    with calling(dataset.component, "fingerprint"):
        return dataset.loader.fingerprint(dataset.spec.model_copy(deep=True), base_dir)
