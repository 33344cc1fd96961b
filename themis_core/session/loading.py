"""Reads what the user wrote: files, models, overrides. Nothing is composed or run here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from themis_core.errors import SpecError
from themis_core.plugins import Composition, compose
from themis_core.specs import BenchmarkSpec, ProjectSpec, current_folder
from themis_core.specs.guessing import did_you_mean
from themis_core.specs.numbers import as_meant
from themis_core.specs.problems import Place, spec_error
from themis_core.specs.reading import read_spec
from themis_core.specs.secrets import key_in_spec
from themis_documents import Source, set_value, steps_of
from themis_secrets import looks_like_a_key

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
    here = base_dir or current_folder()
    changes = [_override(each) for each in overrides]
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
        inline, place = _overridden(inline, "project", changes, Place(source, (), ("project",)))
        settings, project_dir = _valid(ProjectSpec, inline, place), here
    data, place_of = _overridden(data, "benchmark", changes, Place(source, (), offset))
    benchmark = _narrowed(_valid(BenchmarkSpec, data, place_of), data, limit, models, place_of)
    return Loaded(settings, benchmark, here, project_dir, place_of, place)


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


@dataclass(frozen=True, slots=True)
class Override:
    """What `--set` says of one value."""

    told: str
    """How the user wrote it, but without the value: that may be a secret."""
    part: str
    """`benchmark` or `project`."""
    path: str
    """From the part on, which is its first step."""
    value: str


def _override(text: str) -> Override:
    path, equals, value = text.partition("=")
    if not equals:
        raise SpecError(f"--set {_shown(text)}: write it as path=value, such as benchmark.num_samples=3")
    head, told = path.split(".")[0].split("[")[0], f"--set {_shown(path)}"
    if head in ("benchmark", "project"):
        return Override(told, head, path, value)
    if head in ProjectSpec.model_fields and head not in BenchmarkSpec.model_fields:
        raise SpecError(f"{told}: {head!r} is a setting of the project. Did you mean `--set project.{path}`?")
    return Override(told, "benchmark", f"benchmark.{path}", value)


def _shown(path: str) -> str:
    return "..." if any(map(looks_like_a_key, re.split(r"[.\[\]]", path))) else path


def _overridden(data: Any, part: str, changes: Sequence[Override], place: Place) -> tuple[Any, Place]:
    """The data of a part with what was set in it; its place blames the command line for that."""
    places = {}
    for each in changes:
        if each.part == part:
            try:
                data = set_value({part: data}, each.path, each.value)[part]
                places[*place.offset, *map(str, steps_of(each.path)[1:])] = each.told
            except ValueError as error:
                raise SpecError(f"{each.told}: {error}") from error
    if not places:
        return data, place
    source = place.source or Source("", data, {})
    return data, Place(replace(source, overrides={**source.overrides, **places}), place.loc, place.offset)


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
    data, place = _overridden(data, "project", changes, place)
    return _valid(ProjectSpec, data, place), directory, place


def _valid(model: Any, data: Any, place: Place) -> Any:
    if (found := key_in_spec(data)) is not None:
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
    if not limit and not models:
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
        if limit:
            changed["dataset_query"] = {**(changed.get("dataset_query") or {}), "limit": limit}
        slices.append(changed)
    data["slices"] = slices
    return _valid(BenchmarkSpec, data, place)  # type: ignore[no-any-return]
