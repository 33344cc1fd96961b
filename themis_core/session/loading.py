"""Reads what the user wrote: files, models, overrides. Nothing is composed or run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from themis_core.errors import SpecError
from themis_core.plugins import Composition, compose
from themis_core.specs import BenchmarkSpec, ProjectSpec
from themis_core.specs.problems import Place, spec_error
from themis_core.specs.source import Source, close_match, read_source, set_value

__all__ = ["Loaded", "ProjectLike", "SpecLike", "load_project", "load_specs"]

SpecLike = str | Path | BenchmarkSpec
ProjectLike = str | Path | ProjectSpec | None


@dataclass(frozen=True, slots=True)
class Loaded:
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


def load_specs(
    spec: SpecLike,
    project: ProjectLike,
    overrides: Sequence[str],
    limit: int | None,
    models: Sequence[str],
    base_dir: Path | None,
) -> Loaded:
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
        settings, project_dir, place = load_project(project, here)
    place_of = Place(source, (), offset)
    benchmark = _narrowed(_valid(BenchmarkSpec, data, place_of), data, limit, models, place_of)
    return Loaded(settings, benchmark, here, project_dir, place_of, place)


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


def load_project(project: ProjectLike, here: Path) -> tuple[ProjectSpec, Path, Place]:
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
