"""What `--set` changes in the data of a spec, and whom a mistake in it is blamed on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from themis_core.errors import SpecError
from themis_core.reading.places import Place
from themis_core.specs import BenchmarkSpec, ProjectSpec
from themis_documents import Source, set_value, steps_of
from themis_secrets import looks_like_a_key

__all__ = ["Override", "overridden", "override_of"]


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


def override_of(text: str) -> Override:
    """Take apart what the user wrote, such as `benchmark.num_samples=3`. Raises SpecError."""
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


def overridden(data: Any, part: str, changes: Sequence[Override], place: Place) -> tuple[Any, Place]:
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
