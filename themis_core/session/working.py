"""Works on a run as one of its workers: leases parts of it, one after the other, until none is left.

    order ─ the same versions? ─ plan, nothing rendered ─ the same run? ─ lock as this worker ─ parts are opened
      ─ engines are started once ─ lease, work, finish … ─ what is left is given back ─ how it ended

A worker checks no item before it works on it, for the driver has checked them all, and makes no result.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, Literal

from themis_core.components import Store
from themis_core.errors import PluginError, SpecError, StorageError, ThemisError
from themis_core.execution import Leasing, Runner, Writer, how_many_parts, now
from themis_core.execution.progress import Progress
from themis_core.planning import Plan, survey
from themis_core.plugins import compose, in_force
from themis_core.records import RunFinished, RunStarted
from themis_core.results import RunResult
from themis_core.session.garbage import collecting_less
from themis_core.session.holding import entered
from themis_core.session.manifests import manifest_of
from themis_core.session.orders import WorkOrder
from themis_core.session.parts import result_of_part
from themis_core.session.passes import COUNTED, INTERRUPTED, counts_of, interrupt, note_of, worked
from themis_costs import Budget
from themis_interrupts import in_good_order
from themis_plain import own
from themis_workers import WorkerEnd

__all__ = ["work_by"]

log = logging.getLogger("themis")
REPORT_S: Final = 2.0
"""Seconds between two reports of how far this worker is."""
_EXITS: Final[Mapping[str, int]] = {"completed": 0, "failed": 5, "stopped": 6, "interrupted": 130}


async def work_by(order: WorkOrder) -> WorkerEnd:
    """Work on the run of an order. Raises SpecError, PluginError or StorageError if that is not possible (any more)."""
    if (found := order.differences()) and not order.allow_differing:
        raise PluginError(
            f"worker {order.name} has other versions than its driver ({'; '.join(found)}), so what it does may differ: "
            "install the same ones, or allow it"
        )
    loaded = order.load()
    with in_force(loaded.project.execution_policy):
        composition = compose(loaded)
        with collecting_less():
            made = survey(composition, loaded.place, indexed=True)
            _check(made, order)
            writer = Writer(lambda: composition.storage.open(composition.project_dir))
            await writer.start()
            try:
                lock = await writer.read(lambda store: entered(store, made.run_id, order.part))
                try:
                    return await _work(made, order, writer)
                finally:
                    await writer.read(lambda store: lock.__exit__(None, None, None))
            finally:
                await writer.stop()


def _check(made: Plan, order: WorkOrder) -> None:
    if made.run_id != order.run_id:
        raise SpecError(
            f"worker {order.name} plans run {made.run_id}, and its driver {order.run_id}: the dataset, a file or a "
            "plugin is another one where the worker is; let both have the same"
        )
    if (batches := made.composition.project.execution_policy.batches) is not None:
        named = ", ".join(batches.models)
        raise SpecError(
            f"models that are asked by batches ({named}) can't be asked by workers, each of which would hand in some "
            "of the requests: run without --workers, or leave out execution_policy.batches"
        )


async def _work(made: Plan, order: WorkOrder, writer: Writer) -> WorkerEnd:
    wanted = how_many_parts(made.count(), order.workers)
    of = await writer.read(lambda store: store.open_parts(made.run_id, wanted))
    made.index(of)
    made.trust()
    working = _within_limits(made, order.workers)
    budget = Budget(working.composition.project.execution_policy)
    budget.priced = made.composition.priced
    if budget.policy.max_cost is not None:
        budget.before = await writer.read(lambda store: store.cost(made.run_id))
    loop = asyncio.get_running_loop()
    with in_good_order(lambda: loop.call_soon_threadsafe(interrupt, budget, writer)):
        return await _lease(working, order, writer, budget, of)


async def _lease(made: Plan, order: WorkOrder, writer: Writer, budget: Budget, of: int) -> WorkerEnd:
    record = await writer.read(lambda store: store.run(made.run_id))
    manifest = record.manifest if record is not None else manifest_of(made)
    started = RunStarted(made.run_id, now(), manifest, order.part)
    await writer.save([started])
    made.composition.plugins.observers("themis_run_started").tell(lambda: own({"event": started}))
    source = Leasing(made, writer, budget, order.part, of)
    runner = Runner(made, writer, budget, Progress(made.count()), source)
    reporting = asyncio.create_task(_report(runner, source, budget, writer, order))
    try:
        failed = await worked(runner, None)
    except ThemisError:
        with suppress(ThemisError):  # what can't be given back is others' when the lease has run out
            await source.give_back()
        raise
    finally:
        reporting.cancel()
    await source.give_back()
    left = runner.has_postponed
    status = _status(budget, is_whole=not (failed or left or runner.progress.failed))
    counts = {**counts_of(runner, budget, None), "done": runner.progress.done}
    ended = RunFinished(made.run_id, now(), status, counts, order.part)
    await writer.save([ended])
    await writer.read(lambda store: store.report(made.run_id, order.part, _told(runner, budget)))
    note = "another run has requests of this one in a batch" if left else ""
    note = note or note_of(status, budget.stopped, runner.saving.codes, "")
    result = await writer.read(lambda store: _result(store, made, runner.progress, ended, note))
    finish = {"event": ended, "summary": result.to_dict()}
    made.composition.plugins.observers("themis_run_finished").tell(lambda: own(finish))
    if failed:
        raise failed
    return WorkerEnd(_EXITS[status], note, counts)


def _result(store: Store, made: Plan, progress: Progress, ended: RunFinished, note: str) -> RunResult:
    """What observers are told of this worker's end: they may have something to close."""
    run = store.run(made.run_id)
    assert run is not None
    assert ended.part is not None
    location = made.composition.location
    return result_of_part(
        store, run, ended.part, progress, counts=ended.counts, status=ended.status, storage=location,
        note=note or "Its driver makes the result",
    )  # fmt: skip


def _status(budget: Budget, *, is_whole: bool) -> Literal["completed", "failed", "interrupted", "stopped"]:
    if budget.stopped is not None:
        return "interrupted" if budget.stopped == INTERRUPTED else "stopped"
    return "completed" if is_whole else "failed"


def _within_limits(made: Plan, workers: int) -> Plan:
    """The plan for one of so many workers, with its share of the limits; they all spend the one `max_cost`."""
    composition = made.composition
    whole = composition.project.execution_policy
    policy = whole.divided(workers).model_copy(update={"max_cost": whole.max_cost})
    project = composition.project.model_copy(update={"execution_policy": policy})
    return replace(made, composition=replace(composition, project=project))


async def _report(runner: Runner, source: Leasing, budget: Budget, writer: Writer, order: WorkOrder) -> None:
    """Report how far this worker is, again and again. A store that fails ends the run where it saves."""
    while True:
        with suppress(StorageError):
            await source.note()
            told = _told(runner, budget)
            await writer.read(lambda store, told=told: store.report(order.run_id, order.part, told))  # type: ignore[misc]
        await asyncio.sleep(REPORT_S)


def _told(runner: Runner, budget: Budget) -> dict[str, Any]:
    """What this worker did since it began."""
    progress = runner.progress
    return {
        **{name: getattr(progress, name) for name in (*COUNTED, "done", "in_flight")},
        "cost": budget.cost.known,
        "unknown_cost_calls": budget.cost.unknown_calls,
        "unknown_cost_most": budget.cost.unknown_most,
        "note": runner.note,
    }
