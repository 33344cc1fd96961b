"""The Python API: read the specs, compose, plan, run, read the result. What the commands do, they do through this."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from themis_core.components import DRIVER, StorageBackend
from themis_core.errors import RunLocked, SpecError, StorageError, StoreMissing
from themis_core.execution import Progress, Writer
from themis_core.planning import Plan, survey
from themis_core.plugins import Composition, compose, failure, in_force, open_storage, plugins_of
from themis_core.reading import Place, ProjectLike, SpecLike, current_folder, load_project, load_specs
from themis_core.records import Part
from themis_core.results import Results, RunResult
from themis_core.session.answers_again import Reread, rereading
from themis_core.session.batches import cancel_batch
from themis_core.session.checks import unscorable_in
from themis_core.session.concluding import check_conclusions
from themis_core.session.ending import end_if_last, end_run
from themis_core.session.executing import execute
from themis_core.session.exporting import exported
from themis_core.session.finished import finished_before
from themis_core.session.forecasting import PlanReport, edits_told, report_of
from themis_core.session.garbage import collecting_less
from themis_core.session.holding import entered
from themis_core.session.looking import Looked, look_for
from themis_core.session.orders import WorkOrder
from themis_core.session.parts import part_of, result_while_ended
from themis_core.specs import ProjectSpec
from themis_interrupts import listening
from themis_interrupts.event_loop import run_to_its_end
from themis_lanes import leave_alone

if TYPE_CHECKING:
    # What is about workers is imported where there are some: it takes a twentieth of the start of a run.
    from themis_core.session.driving import Crewed, Driven
    from themis_core.session.launching import Launcher
    from themis_workers import WorkerEnd

__all__ = [
    "PlanReport",
    "Progress",
    "Reread",
    "RunResult",
    "WorkOrder",
    "cancel_batch",
    "export",
    "find_storage",
    "open_results",
    "plan",
    "rereading",
    "run",
    "run_async",
    "work",
    "work_async",
]


log = logging.getLogger("themis")


def run(
    spec: SpecLike,
    *,
    project: ProjectLike = None,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    models: Sequence[str] = (),
    progress: Callable[[Progress], None] | None = None,
    base_dir: Path | None = None,
    detach: bool = False,
    shard: Part | str | None = None,
    workers: int | None = None,
    launcher: Launcher | None = None,
    worker_retries: int | None = None,
    allow_differing_versions: bool = False,
) -> RunResult:
    """Run a benchmark and return its result; what is stored is not called again.

    `spec` is a file or a BenchmarkSpec; `overrides` are `path=value` texts; `limit` takes the first items of each
    slice; `models` are model ids to keep. With `detach` no batch is waited for: the result's status is then `waiting`,
    and a later run collects it. With `shard`, such as `3/16`, only that part of the run is worked on, within its share
    of the limits: the result is `unfinished`, and that of the whole run for the shard that ends last. `progress` is
    called about five times a second in the event loop's thread.
    Relative paths start at the spec file's folder, or at `base_dir` (by default the current folder). Raises
    SpecError, PluginError or StorageError before the first call; failed trials raise nothing and are in the result.

    With `workers`, so many of them make the run, which a `launcher` starts: by default, processes of this machine. The
    store must be one that hands out parts. One that is lost is replaced up to `worker_retries` times in a row (3 by
    default) in which it gets nothing done. Workers must have the versions that are here, unless
    `allow_differing_versions`. These three without `workers` are a SpecError.
    """
    with listening():
        return run_to_its_end(
            run_async(
                spec,
                project=project,
                overrides=overrides,
                limit=limit,
                models=models,
                progress=progress,
                base_dir=base_dir,
                detach=detach,
                shard=shard,
                workers=workers,
                launcher=launcher,
                worker_retries=worker_retries,
                allow_differing_versions=allow_differing_versions,
            ),
            failure=partial(failure, "a component"),
            leave_alone=leave_alone,
        )


async def run_async(
    spec: SpecLike,
    *,
    project: ProjectLike = None,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    models: Sequence[str] = (),
    progress: Callable[[Progress], None] | None = None,
    base_dir: Path | None = None,
    detach: bool = False,
    shard: Part | str | None = None,
    workers: int | None = None,
    launcher: Launcher | None = None,
    worker_retries: int | None = None,
    allow_differing_versions: bool = False,
) -> RunResult:
    """`run` for code that has an event loop already."""
    with listening():
        part, crew = part_of(shard), None
        if workers is not None:
            from themis_core.session.driving import RETRIES, Crewed
            from themis_core.session.launching import LocalLauncher

            order = WorkOrder.of(
                spec,
                workers,
                project=project,
                overrides=overrides,
                limit=limit,
                models=models,
                base_dir=base_dir,
                allow_differing=allow_differing_versions,
            )
            crew = Crewed(order, launcher or LocalLauncher(), RETRIES if worker_retries is None else worker_retries)
            crew.check(shard=part is not None, detach=detach)
        else:
            _refuse_without_workers(
                launcher=launcher, worker_retries=worker_retries, allow_differing_versions=allow_differing_versions
            )
        loaded = load_specs(spec, project, overrides, limit, models, base_dir)
        with in_force(loaded.project.execution_policy):
            composition = compose(loaded)
            with collecting_less():  # from here on: what was imported is left out for good
                return await _run_composed(composition, loaded.place, progress, detach, part, crew)


def _refuse_without_workers(**given: object) -> None:
    """What is about workers does nothing without them: whoever says it believes that there are some."""
    if said := [name for name, value in given.items() if value is not None and value is not False]:
        raise SpecError(f"{said[0]} is about workers, and there are none: say how many with workers, or leave it out")


def work(order: WorkOrder) -> WorkerEnd:
    """Work on a run as one of its workers, until nothing of it is left to do, and say how that ended.

    A launcher has a process of its own call this. Raises SpecError, PluginError or StorageError if the worker can't
    work; what it had is others' then.
    """
    with listening():
        return run_to_its_end(work_async(order), failure=partial(failure, "a component"), leave_alone=leave_alone)


async def work_async(order: WorkOrder) -> WorkerEnd:
    """`work` for code that has an event loop already."""
    from themis_core.session.working import work_by

    with listening():
        return await work_by(order)


async def _run_composed(
    composition: Composition,
    place: Place,
    progress: Callable[[Progress], None] | None,
    detach: bool,
    part: Part | None,
    crew: Crewed | None,
) -> RunResult:
    made = survey(composition, place, part)
    looked = await _looked(made)
    if looked.check is None and not looked.is_stored:
        made.check()
        await asyncio.to_thread(check_conclusions, made, place)
    unscorable = made.unscorable if looked.check is None else unscorable_in(looked.check)
    for told in [*(each.told() for each in unscorable), *(each.told() for each in made.leaks)]:
        log.warning("%s", told)
    # The store's thread opens it; everything that can be wrong with the specs was found before.
    writer = Writer(lambda: composition.storage.open(composition.project_dir))
    await writer.start()
    try:
        if crew is not None and looked.finished is None and not looked.is_stored:
            driven = await _driven(made, writer, progress, crew)
            return await end_run(
                made,
                writer,
                interrupted=driven.interrupted,
                cause=driven.cause,
                stopped=driven.stopped,
                is_announced=True,
            )
        result = await _held(made, writer, progress, looked, detach)
        if result.part is not None:  # nothing is held now, so the last one finds nobody at work
            return await end_if_last(made, writer) or result
        return result
    finally:
        await writer.stop()


async def _held(
    made: Plan, writer: Writer, progress: Callable[[Progress], None] | None, looked: Looked, detach: bool
) -> RunResult:
    """Work through a plan with its lock."""
    part = "" if made.part is None else str(made.part)
    try:
        lock = await writer.read(lambda store: entered(store, made.run_id, part))
    except RunLocked:
        location = made.composition.location
        ended = await writer.read(lambda store: result_while_ended(store, made, location))
        if ended is None:
            raise
        return ended
    try:
        is_new = looked.finished is None and not looked.is_stored
        for told in await writer.read(lambda store: edits_told(made, store)) if is_new else ():
            log.warning("%s", told)
        return await execute(made, writer, progress, looked, detach=detach)
    finally:
        await writer.read(lambda store: lock.__exit__(None, None, None))


async def _driven(made: Plan, writer: Writer, progress: Callable[[Progress], None] | None, crew: Crewed) -> Driven:
    """Have workers make a run, with the lock of its driver."""
    from themis_core.session.driving import drive

    lock = await writer.read(lambda store: entered(store, made.run_id, DRIVER))
    try:
        for told in await writer.read(lambda store: edits_told(made, store)):
            log.warning("%s", told)
        return await drive(made, writer, crew, progress)
    finally:
        await writer.read(lambda store: lock.__exit__(None, None, None))


async def _looked(made: Plan) -> Looked:
    """What the store has of the run. It is only looked into: there may be none yet."""
    composition = made.composition
    looking = Writer(lambda: composition.storage.open(composition.project_dir, mode="read"))
    try:
        await looking.start()
    except StorageError:  # such as one of an older version, which is brought up to date when it is opened to be written
        return Looked()
    try:
        return await looking.read(lambda store: look_for(store, made))
    finally:
        await looking.stop()


def plan(
    spec: SpecLike,
    *,
    project: ProjectLike = None,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    models: Sequence[str] = (),
    base_dir: Path | None = None,
    look_up: bool = True,
    shard: Part | str | None = None,
    parts: int | None = None,
) -> PlanReport:
    """Say what `run` would do, without calling anything or creating a store.

    Without `look_up` the store is not opened, as where it can't be reached from here: nothing counts as stored. With
    `shard`, it is what that part of the run would do. With `parts`, the trials of each of so many parts are counted as
    well, of the whole alone.
    """
    with listening():
        part = part_of(shard)
        if part is not None and parts is not None:
            raise SpecError("shard and parts: parts are those of the whole run, so ask for one of the two")
        loaded = load_specs(spec, project, overrides, limit, models, base_dir)
        with in_force(loaded.project.execution_policy):
            composition = compose(loaded)
            with collecting_less():
                made = survey(composition, loaded.place, part)
                report = _report(made, loaded.place, look_up)
                return report if parts is None else replace(report, parts=made.parts(parts))


def _report(made: Plan, place: Place, look_up: bool) -> PlanReport:
    try:
        storage, directory = made.composition.storage, made.composition.project_dir
        store = storage.open(directory, mode="read") if look_up else None
    except StoreMissing:
        store = None
    if store is None:
        made.check()
        check_conclusions(made, place)
        return report_of(made, None)
    try:
        if (finished := finished_before(store, made)) is None:
            made.check()
            check_conclusions(made, place)
        return report_of(made, store, finished)
    finally:
        store.close()


def open_results(
    spec: SpecLike | None = None,
    *,
    project: ProjectLike = None,
    overrides: Sequence[str] = (),
    base_dir: Path | None = None,
) -> Results:
    """Open what is stored for reading, as a context manager: the storage of a spec, a project, or `./.themis`."""
    settings, directory, place = _project(spec, project, base_dir, overrides)
    with in_force(settings.execution_policy):
        storage, plugins = open_storage(settings, directory, place)[1], plugins_of(settings, directory)
        return Results(storage, directory, plugins, settings.execution_policy)


def export(
    run_id: str,
    to: str,
    folder: Path,
    config: Mapping[str, Any] | None = None,
    *,
    spec: SpecLike | None = None,
    project: ProjectLike = None,
    base_dir: Path | None = None,
) -> list[str]:
    """Write a stored run into a new folder by an exporter (`namespace/name`, with its config), whole or not at all.

    Returns what the format can't hold, a sentence each. Raises SpecError, PluginError or StorageError.
    """
    return exported(*_project(spec, project, base_dir), run_id, to, folder, config or {})


def find_storage(
    spec: SpecLike | None = None,
    *,
    project: ProjectLike = None,
    overrides: Sequence[str] = (),
    base_dir: Path | None = None,
) -> tuple[StorageBackend, Path]:
    """Return the storage of a spec, a project, or `./.themis`, and the folder that its relative paths start at."""
    settings, directory, place = _project(spec, project, base_dir, overrides)
    with in_force(settings.execution_policy):
        return open_storage(settings, directory, place)[1], directory


def _project(
    spec: SpecLike | None, project: ProjectLike, base_dir: Path | None, overrides: Sequence[str] = ()
) -> tuple[ProjectSpec, Path, Place]:
    if spec is None:
        return load_project(project, base_dir or current_folder())
    loaded = load_specs(spec, project, overrides, None, (), base_dir)
    return loaded.project, loaded.project_dir, loaded.project_place
