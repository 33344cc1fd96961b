"""Reads what users write into the classes of `specs`, and says what is wrong with it and where.

It composes nothing. In the order in which a spec comes in:

    paths ─ files ─ overrides ─ numbers ─ loading (the classes of `specs`) ─ problems, each at its place
"""

from themis_core.reading.files import read_spec
from themis_core.reading.loading import LoadedSpecs, ProjectLike, SpecLike, load_project, load_specs
from themis_core.reading.numbers import as_meant
from themis_core.reading.paths import PathKind, current_folder, path_kind, resolve_path
from themis_core.reading.places import Place
from themis_core.reading.problems import spec_error
from themis_wording import counted, shown_path

__all__ = [
    "LoadedSpecs",
    "PathKind",
    "Place",
    "ProjectLike",
    "SpecLike",
    "as_meant",
    "counted",
    "current_folder",
    "load_project",
    "load_specs",
    "path_kind",
    "read_spec",
    "resolve_path",
    "shown_path",
    "spec_error",
]
