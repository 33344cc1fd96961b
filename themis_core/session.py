"""The Python API: read the specs, compose, plan, run, read the result. What the commands do, they do through this."""

from __future__ import annotations

import asyncio
import logging
import platform
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from importlib_metadata import version
from pydantic import ValidationError

from themis_core.components import Judge, StorageBackend, Store
from themis_core.errors import SpecError, StorageError
from themis_core.execution import Budget, JudgeForecast, Progress, Runner, Writer, cost_of, estimate_tokens, now
from themis_core.planning import Plan, Trial, make_plan
from themis_core.plugins import Composition, compose, open_storage
from themis_core.records import RunFinished, RunRecord, RunStarted, Usage
from themis_core.results import Results, RunResult, summarise
from themis_core.results.reading import aggregates_of
from themis_core.specs import BenchmarkSpec, ProjectSpec
from themis_core.specs.problems import Place, spec_error
from themis_core.specs.source import Source, close_match, read_source, set_value

__all__ = ["PlanReport", "Progress", "RunResult", "find_storage", "open_results", "plan", "run", "run_async"]

log = logging.getLogger("themis")
SpecLike = str | Path | BenchmarkSpec
ProjectLike = str | Path | ProjectSpec | None
LOOK_UP = 500


def run(
    spec: SpecLike,
    *,
    project: ProjectLike = None,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    models: Sequence[str] = (),
    progress: Callable[[Progress], None] | None = None,
    base_dir: Path | None = None,
) -> RunResult:
    """Run a benchmark and return its result; what is stored is not called again.

    `spec` is a file or a BenchmarkSpec; `overrides` are `path=value` texts; `limit` takes the first items of each
    slice; `models` are model ids to keep. `progress` is called about five times a second in the event loop's thread.
    Relative paths start at the spec file's folder, or at `base_dir` (by default the current folder). Raises
    SpecError, PluginError or StorageError before the first call; failed trials raise nothing and are in the result.
    """
    return asyncio.run(
        run_async(
            spec,
            project=project,
            overrides=overrides,
            limit=limit,
            models=models,
            progress=progress,
            base_dir=base_dir,
        )
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
) -> RunResult:
    """`run` for code that has an event loop already."""
    loaded = _load(spec, project, overrides, limit, models, base_dir)
    composition = loaded.compose()
    made = make_plan(composition, loaded.place)
    # The store's thread opens it; everything that can be wrong with the specs was found before.
    writer = Writer(lambda: composition.storage.open(composition.project_dir))
    await writer.start()
    try:
        lock = await writer.read(lambda store: _entered(store, made.run_id))
        try:
            return await _execute(made, writer, progress)
        finally:
            await writer.read(lambda store: lock.__exit__(None, None, None))
    finally:
        await writer.stop()


def plan(
    spec: SpecLike,
    *,
    project: ProjectLike = None,
    overrides: Sequence[str] = (),
    limit: int | None = None,
    models: Sequence[str] = (),
    base_dir: Path | None = None,
) -> PlanReport:
    """Say what `run` would do, without calling anything or creating a store."""
    loaded = _load(spec, project, overrides, limit, models, base_dir)
    composition = loaded.compose()
    made = make_plan(composition, loaded.place)
    try:
        store = composition.storage.open(composition.project_dir, mode="read")
    except StorageError as error:
        log.debug("nothing is stored yet: %s", error)
        return _report(made, None)
    try:
        return _report(made, store)
    finally:
        store.close()


def open_results(spec: SpecLike | None = None, *, project: ProjectLike = None, base_dir: Path | None = None) -> Results:
    """Open what is stored for reading, as a context manager: the storage of a spec, a project, or `./.themis`."""
    return Results(*find_storage(spec, project=project, base_dir=base_dir))


def find_storage(
    spec: SpecLike | None = None, *, project: ProjectLike = None, base_dir: Path | None = None
) -> tuple[StorageBackend, Path]:
    """Return the storage of a spec, a project, or `./.themis`, and the folder that its relative paths start at."""
    if spec is not None:
        loaded = _load(spec, project, (), None, (), base_dir)
        return open_storage(loaded.project, loaded.project_dir, loaded.project_place)[1], loaded.project_dir
    settings, directory, place = _project(project, base_dir or Path.cwd())
    return open_storage(settings, directory, place)[1], directory


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a run would do."""

    run_id: str
    spec_digest: str
    trials: int
    stored: int
    to_call: int
    per_model: list[dict[str, Any]]
    """`model_id, provider, endpoint, trials, stored, calls, input_tokens, max_output_tokens, cost`; tokens are
    estimates, those of calls that are still to be made."""
    samples: list[dict[str, Any]]
    """One rendered request per prompt variant: `prompt_variant_id, slice_id, item_id, messages`."""
    slices: list[dict[str, Any]]
    """`slice_id, items, trials`."""
    storage: str
    judges: list[dict[str, Any]]
    """One per judge and judging model, as `JudgeForecast.rows` gives them; their calls are in `to_call`."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `themis plan --format json` prints it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Loaded:
    project: ProjectSpec
    benchmark: BenchmarkSpec
    base_dir: Path
    project_dir: Path
    place: Place
    project_place: Place

    def compose(self) -> Composition:
        return compose(
            self.project,
            self.benchmark,
            base_dir=self.base_dir,
            project_dir=self.project_dir,
            place=self.place,
            project_place=self.project_place,
        )


def _load(
    spec: SpecLike,
    project: ProjectLike,
    overrides: Sequence[str],
    limit: int | None,
    models: Sequence[str],
    base_dir: Path | None,
) -> _Loaded:
    here = base_dir or Path.cwd()
    offset: tuple[str, ...] = ()
    if isinstance(spec, BenchmarkSpec):
        source, data, inline = None, spec.model_dump(mode="json", by_alias=True, exclude_unset=True), None
    else:
        path = Path(spec)
        read = read_source(path)
        here = path.parent
        source, data, inline, offset = _sections(read, overrides)
    if isinstance(spec, BenchmarkSpec) and overrides:
        data = _overridden({"benchmark": data}, overrides)["benchmark"]
    if inline is not None:
        if project is not None:
            raise SpecError("the file has a `project` of its own: drop it, or the separate project", path=str(spec))
        place = Place(source, (), ("project",))
        settings, project_dir = _valid(ProjectSpec, inline, place), here
    else:
        settings, project_dir, place = _project(project, here)
    place_of = Place(source, (), offset)
    benchmark = _narrowed(_valid(BenchmarkSpec, data, place_of), data, limit, models, place_of)
    return _Loaded(settings, benchmark, here, project_dir, place_of, place)


def _sections(
    read: Source, overrides: Sequence[str]
) -> tuple[Source, dict[str, Any], dict[str, Any] | None, tuple[str, ...]]:
    """Split a file into benchmark and project: under keys of these names, or the benchmark alone."""
    if "benchmark_id" in read.data and "benchmark" not in read.data:
        return read, _overridden({"benchmark": read.data}, overrides)["benchmark"], None, ()
    data = _overridden(read.data, overrides)
    for key in data:
        if key not in ("project", "benchmark"):
            guess = close_match(key, ["project", "benchmark"])
            hint = f" Did you mean {guess!r}?" if guess else " A spec file has `benchmark` and, if wanted, `project`."
            raise Place(read, (key,)).error(f"unknown key {key!r}.{hint}")
    if not isinstance(data.get("benchmark"), dict):
        raise Place(read).error("the file has no `benchmark`: it is what there is to run")
    if data.get("project") is not None and not isinstance(data["project"], dict):
        raise Place(read, ("project",)).error("must be a mapping")
    return read, data["benchmark"], data.get("project"), ("benchmark",)


def _overridden(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    for each in overrides:
        path, equals, value = each.partition("=")
        if not equals:
            raise SpecError(f"--set {each}: write it as path=value, such as benchmark.num_samples=3")
        if path.split(".")[0].split("[")[0] not in ("benchmark", "project"):
            path = f"benchmark.{path}"
        try:
            data = set_value(data, path, value)
        except ValueError as error:
            raise SpecError(f"--set {each}: {error}") from error
    return data


def _project(project: ProjectLike, here: Path) -> tuple[ProjectSpec, Path, Place]:
    if project is None:
        return ProjectSpec(), here, Place()
    if isinstance(project, ProjectSpec):
        return project, here, Place()
    read = read_source(project)
    nested = isinstance(read.data.get("project"), dict)
    place = Place(read, (), ("project",) if nested else ())
    return _valid(ProjectSpec, read.data["project"] if nested else read.data, place), Path(project).parent, place


def _valid(model: Any, data: Any, place: Place) -> Any:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise spec_error(error, model, place) from error


def _narrowed(
    benchmark: BenchmarkSpec, data: dict[str, Any], limit: int | None, models: Sequence[str], place: Place
) -> BenchmarkSpec:
    """Apply `limit` and `models`: they change the spec, and so the run."""
    if not limit and not models:
        return benchmark
    known = [model.model_id for model in benchmark.models]
    for name in models:
        if name not in known:
            guess = close_match(name, known)
            hint = f" Did you mean {guess!r}?" if guess else ""
            raise SpecError(f"no model {name!r} in the spec. Known: {', '.join(known)}.{hint}")
    data = dict(data)
    if models:
        data["models"] = [each for each in data["models"] if each["model_id"] in models]
    slices = []
    for each in data["slices"]:
        changed = dict(each)
        generation = changed.get("generation")
        if models and isinstance(generation, dict) and generation.get("models"):
            changed["generation"] = {**generation, "models": [m for m in generation["models"] if m in models]}
        if limit:
            changed["dataset_query"] = {**(changed.get("dataset_query") or {}), "limit": limit}
        slices.append(changed)
    data["slices"] = slices
    return _valid(BenchmarkSpec, data, place)  # type: ignore[no-any-return]


def _entered(store: Store, run_id: str) -> Any:
    lock = store.lock_run(run_id)
    lock.__enter__()
    return lock


async def _execute(made: Plan, writer: Writer, report: Callable[[Progress], None] | None) -> RunResult:
    composition = made.composition
    manifest = await asyncio.to_thread(_manifest, made)
    progress = Progress(made.count())
    budget = Budget(composition.project.execution_policy)
    runner = Runner(made, writer, budget, progress)
    started = RunStarted(made.run_id, now(), manifest)
    before = await writer.read(lambda store: store.run(made.run_id))
    if _is_complete(before, progress.planned):
        progress.done = progress.reused = progress.planned
        started = RunStarted(made.run_id, before.started_at if before else now(), manifest)
    else:
        await writer.save([started])
    _observe(composition, "themis_run_started", started)
    interrupted = False
    if progress.done < progress.planned:
        ticking = asyncio.create_task(_tick(runner, report)) if report else None
        try:
            with _on_interrupt(lambda: budget.stop("interrupted")):
                await runner.run()
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            if ticking is not None:
                ticking.cancel()
        interrupted = budget.stopped == "interrupted"
    status = "completed"
    if progress.failed:
        status = "failed"
    if budget.stopped is not None and (progress.done < progress.planned or budget.exhausted):
        status = "interrupted" if interrupted else "stopped"
    counts = {
        "generated": progress.generated,
        "reused": progress.reused,
        "failed": progress.failed,
        "cost": progress.cost,
        "errors": dict(runner.errors),
    }
    finished = RunFinished(made.run_id, now(), status, counts)  # type: ignore[arg-type]
    if not _is_complete(before, progress.planned):
        await writer.save([finished])
    if report:
        progress.note = ""
        report(progress)
    note = _note(status, budget.stopped)
    aggregates = aggregates_of(manifest, composition.plugins)
    location = composition.storage.location(composition.project_dir)

    def look(store: Store) -> RunResult:
        record = store.run(made.run_id)
        assert record is not None
        record = replace(record, manifest=manifest)
        return summarise(store, record, aggregates, counts=counts, status=status, storage=location, note=note)

    result = await writer.read(look)
    _observe(composition, "themis_run_finished", finished, result.to_dict())
    return result


def _is_complete(record: RunRecord | None, planned: int) -> bool:
    """Whether there is nothing left to do, so that not even the trials need looking up."""
    return record is not None and record.status == "completed" and record.failed == 0 and record.trials == planned


def _note(status: str, reason: str | None) -> str:
    if status == "interrupted":
        return "interrupted: what arrived is saved; run the same command again to go on"
    if status == "stopped":
        return f"stopped: {reason}; what arrived is saved; run the same command again to go on"
    if status == "failed":
        return "some trials failed: run the same command again to try only those again"
    return ""


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _tick(runner: Runner, report: Callable[[Progress], None]) -> None:
    while True:
        runner.progress.note = runner.note
        report(runner.progress)
        await asyncio.sleep(0.2)


@contextmanager
def _on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C end the run in good order; the second one ends it as Python does."""
    loop = asyncio.get_running_loop()
    handled: list[signal.Signals] = []

    def first(number: signal.Signals) -> None:
        stop()
        loop.remove_signal_handler(number)
        handled.remove(number)

    try:
        for number in (signal.SIGINT,):
            loop.add_signal_handler(number, first, number)
            handled.append(number)
    except (NotImplementedError, RuntimeError, ValueError):
        pass  # not in the main thread, or on Windows: Ctrl-C ends the run at once, and what was saved stays saved
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


def _observe(composition: Composition, hook: str, *args: Any) -> None:
    for name, observe in composition.plugins.observers(hook):
        try:
            # pluggy lets an implementation take fewer arguments than the hook has.
            observe(*args[: observe.__code__.co_argcount - (1 if hasattr(observe, "__self__") else 0)])
        except Exception:
            log.exception("plugin %r: %s failed; the run goes on", name, hook)


def _manifest(made: Plan) -> dict[str, Any]:
    """What the run was made of: enough to explain every number, and no secret."""
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
        }
        for each in made.slices
        for scorer in each.scorers
    ]
    datasets = [
        {
            "slice_id": each.composed.spec.slice_id,
            "component": each.composed.dataset.component,
            "items": each.items.count,
            "digest": each.items.digest,
            **each.composed.dataset.loader.fingerprint(each.composed.dataset.spec, composition.base_dir),
        }
        for each in made.slices
    ]
    return {
        "themis": version("themis-core"),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "spec_digest": made.spec_digest,
        "plan_digest": made.plan_digest,
        "trials": made.count(),
        "project": composition.project.canonical(),
        "benchmark": composition.benchmark.canonical(),
        "storage": composition.storage_name,
        "plugins": composition.plugins.provenance(),
        "models": [model.identity() for model in composition.models()],
        "datasets": datasets,
        "scorers": scorers,
        "dimensions": {each.composed.spec.slice_id: each.composed.spec.dimensions for each in made.slices},
        "thresholds": [each.canonical() for each in composition.benchmark.thresholds],
    }


def _report(made: Plan, store: Store | None) -> PlanReport:
    per_model: dict[str, dict[str, Any]] = {}
    samples: dict[str, dict[str, Any]] = {}
    judged = JudgeForecast(made)
    for endpoint in (None, *made.endpoints()):
        trials = made.trials(endpoint)
        while batch := list(islice(trials, LOOK_UP)):
            keys = [request.key for trial in batch for request in trial.requests]
            stored = store.stored_generations(keys) if store is not None else set()
            judged.add(batch, store)
            for trial in batch:
                _tally(per_model, trial, stored)
                if trial.model is not None and trial.prompt_variant_id not in samples:
                    samples[trial.prompt_variant_id] = {
                        "prompt_variant_id": trial.prompt_variant_id,
                        "slice_id": trial.slice_id,
                        "item_id": trial.item.id,
                        "messages": [m for request in trial.requests for m in request.messages],
                    }
    slices = [
        {"slice_id": each.composed.spec.slice_id, "items": each.items.count, "trials": each.count()}
        for each in made.slices
    ]
    rows = list(per_model.values())
    location = made.composition.storage.location(made.composition.project_dir)
    return PlanReport(
        made.run_id,
        made.spec_digest,
        made.count(),
        sum(row["stored"] for row in rows),
        sum(row["calls"] for row in (*rows, *judged.rows())),
        rows,
        list(samples.values()),
        slices,
        location,
        judged.rows(),
    )


def _tally(per_model: dict[str, dict[str, Any]], trial: Trial, stored: set[str]) -> None:
    model = trial.model
    row = per_model.setdefault(
        trial.model_id,
        {
            "model_id": trial.model_id,
            "provider": model.component if model else "recorded",
            "endpoint": model.engine.endpoint if model else None,
            "trials": 0,
            "stored": 0,
            "calls": 0,
            "input_tokens": 0,
            "max_output_tokens": 0,
            "cost": None,
        },
    )
    row["trials"] += 1
    missing = [request for request in trial.requests if request.key not in stored]
    row["stored"] += not missing
    if model is None:
        return
    for request in missing:
        tokens = estimate_tokens(request.messages)
        row["calls"] += 1
        row["input_tokens"] += tokens
        limit = request.params.get("max_tokens")
        if limit is None or row["max_output_tokens"] is None:
            row["max_output_tokens"] = None
        else:
            row["max_output_tokens"] += limit
        cost = cost_of(Usage(tokens, limit or 0), model.spec.price)
        if cost is not None:
            row["cost"] = (row["cost"] or 0.0) + cost
