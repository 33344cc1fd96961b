"""Reads what the user wrote: files, models, overrides. Nothing is composed or run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from themis_core.errors import SpecError
from themis_core.reading.files import read_spec
from themis_core.reading.numbers import as_meant
from themis_core.reading.overrides import Override, overridden, override_of
from themis_core.reading.paths import current_folder
from themis_core.reading.places import Place
from themis_core.reading.problems import spec_error
from themis_core.specs import BenchmarkSpec, ProjectSpec
from themis_documents import Source
from themis_secrets import find_key, looks_like_a_key
from themis_wording import did_you_mean

__all__ = ["LoadedSpecs", "ProjectLike", "SpecLike", "load_project", "load_specs"]

SpecLike = str | Path | BenchmarkSpec
ProjectLike = str | Path | ProjectSpec | None

_FREE_TEXT: Final = frozenset({"messages", "dataset", "dataset_id"})
"""Keys beneath which a text that looks like a key may be what a model is asked about, or a row of data."""


@dataclass(frozen=True, slots=True)
class LoadedSpecs:
    """A benchmark and its project as they were read: with the folders that their paths start at, and their places."""

    project: ProjectSpec
    benchmark: BenchmarkSpec
    base_dir: Path
    project_dir: Path
    place: Place
    project_place: Place


def load_specs(
    spec: SpecLike,
    project: ProjectLike,
    overrides: Sequence[str],
    limit: int | None,
    models: Sequence[str],
    base_dir: Path | None,
) -> LoadedSpecs:
    here = base_dir or current_folder()
    changes = [override_of(each) for each in overrides]
    source, inline = None, None
    offset: tuple[str, ...] = ()
    if isinstance(spec, BenchmarkSpec):
        data = spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
    else:
        source, here = read_spec(spec), Path(spec).parent
        data, inline, offset = _sections(source)
    if inline is None:
        settings, project_dir, place = load_project(project, here, changes)
    elif project is not None:
        raise SpecError("the file has a `project` of its own: drop it, or the separate project", path=str(spec))
    else:
        inline, place = overridden(inline, "project", changes, Place(source, (), ("project",)))
        settings, project_dir = _valid(ProjectSpec, inline, place), here
    data, place_of = overridden(data, "benchmark", changes, Place(source, (), offset))
    benchmark = _narrowed(_valid(BenchmarkSpec, data, place_of), data, limit, models, place_of)
    return LoadedSpecs(settings, benchmark, here, project_dir, place_of, place)


def _sections(read: Source) -> tuple[dict[str, Any], dict[str, Any] | None, tuple[str, ...]]:
    """Split a file into benchmark and project: under keys of these names, or the benchmark alone."""
    data = read.data
    if "benchmark_id" in data and "benchmark" not in data:
        return data, None, ()
    for key in data:
        if key not in ("project", "benchmark"):
            otherwise = " A spec file has `benchmark` and, if wanted, `project`."
            hint = did_you_mean(key, ["project", "benchmark"], otherwise)
            raise Place(read, (key,)).error(f"unknown key {key!r}.{hint}")
    if not isinstance(data.get("benchmark"), dict):
        raise Place(read).error("the file has no `benchmark`: it is what there is to run")
    if data.get("project") is not None and not isinstance(data["project"], dict):
        raise Place(read, ("project",)).error("must be a mapping")
    return data["benchmark"], data.get("project"), ("benchmark",)


def load_project(project: ProjectLike, here: Path, changes: Sequence[Override] = ()) -> tuple[ProjectSpec, Path, Place]:
    directory, place, data = here, Place(), {}
    if isinstance(project, ProjectSpec):
        if not any(each.part == "project" for each in changes):
            return project, here, place
        data = project.model_dump(mode="json", by_alias=True, exclude_unset=True)
    elif project is not None:
        read, directory = read_spec(project), Path(project).parent
        nested = isinstance(read.data.get("project"), dict)
        data, place = read.data["project"] if nested else read.data, Place(read, (), ("project",) if nested else ())
    data, place = overridden(data, "project", changes, place)
    return _valid(ProjectSpec, data, place), directory, place


def _valid(model: Any, data: Any, place: Place) -> Any:
    if (found := find_key(data, skip=_FREE_TEXT)) is not None:
        known = [step for step in found if not looks_like_a_key(str(step))]
        raise place.at(*known).error(
            "here stands a key, or what looks like one, and specs are shown and stored: put it into an environment "
            "variable, and write that variable's name where the component asks for one, such as `api_key_env`"
        )
    data = as_meant(data, model, place)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise spec_error(error, model, data, place) from None  # pydantic's own message quotes what was given, keys too


def _narrowed(
    benchmark: BenchmarkSpec, data: dict[str, Any], limit: int | None, models: Sequence[str], place: Place
) -> BenchmarkSpec:
    """Apply `limit` and `models`: they change the spec, and so the run."""
    if limit is not None and limit < 1:
        raise SpecError(f"limit is {limit}: it is how many items of each slice are taken at most, and 1 or more")
    if limit is None and not models:
        return benchmark
    known = [model.model_id for model in benchmark.models]
    for name in models:
        if name not in known:
            raise SpecError(f"no model {name!r} in the spec. Known: {', '.join(known)}.{did_you_mean(name, known)}")
    data = dict(data)
    if models:
        data["models"] = [each for each in data["models"] if each["model_id"] in models]
    slices = []
    for each in data["slices"]:
        changed = dict(each)
        generation = changed.get("generation")
        if models and isinstance(generation, dict) and generation.get("models"):
            changed["generation"] = {**generation, "models": [m for m in generation["models"] if m in models]}
        if limit is not None:
            changed["dataset_query"] = {**(changed.get("dataset_query") or {}), "limit": limit}
        slices.append(changed)
    data["slices"] = slices
    try:
        return _valid(BenchmarkSpec, data, place)  # type: ignore[no-any-return]
    except SpecError as error:
        if models:  # the file itself is valid
            error.message += f" (the only models that are taken: {', '.join(models)})"
        raise
