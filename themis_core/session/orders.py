"""What a worker is told to work on: plain data, which any launcher can carry to another process or machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from themis_core.components import StorageBackend
from themis_core.discovery import discover
from themis_core.errors import PluginError, SpecError
from themis_core.plugins import Plugins, in_force, open_storage
from themis_core.reading import LoadedSpecs, ProjectLike, SpecLike, current_folder, load_specs
from themis_core.specs import BenchmarkSpec, ProjectSpec
from themis_core.version import version

__all__ = ["WorkOrder"]

_PYTHON, _CORE = "python", "themis-core"


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """Which run a worker works on, and as whom. It holds no secrets: specs name environment variables."""

    run_id: str
    """What the worker's own plan must come to."""
    name: str
    """Of the worker, such as `3-8f2a`: no two that work on a run at a time have one name."""
    workers: int
    """Among how many the limits of the execution policy are divided, unless it says `share_limits`."""
    spec: str | Mapping[str, Any]
    """A file, or a benchmark as plain data."""
    project: str | Mapping[str, Any] | None = None
    overrides: Sequence[str] = ()
    limit: int | None = None
    models: Sequence[str] = ()
    base_dir: str | None = None
    """Where relative paths start if `spec` is no file. A relative one starts at the worker's current folder."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions of the driver: of Python, of the core, and of what the run's plugins come with."""
    allow_differing: bool = False
    """Whether versions may be others where the worker is."""
    variables: Sequence[str] = ()
    """Names of the environment variables that components read and that are set at the driver; never their values."""

    @classmethod
    def of(
        cls,
        spec: SpecLike,
        workers: int,
        *,
        project: ProjectLike = None,
        overrides: Sequence[str] = (),
        limit: int | None = None,
        models: Sequence[str] = (),
        base_dir: Path | None = None,
        allow_differing: bool = False,
    ) -> WorkOrder:
        """An order for what is run here, before it was planned and has a worker; all paths in it are absolute."""
        return cls(
            "",
            "",
            workers,
            _carried(spec),
            None if project is None else _carried(project),
            tuple(overrides),
            limit,
            tuple(models),
            str((base_dir or current_folder()).absolute()),
            allow_differing=allow_differing,
        )

    def planned(self, run_id: str, plugins: Plugins, variables: Sequence[str] = ()) -> WorkOrder:
        """The order once the run was planned, with the plugins that it loaded and the variables that these read."""
        there = tuple(name for name in variables if name in os.environ)
        return replace(self, run_id=run_id, environment=_environment(plugins), variables=there)

    @property
    def part(self) -> str:
        """What the worker holds of the run, as `Store.lock_run` and `Holder.part` name it."""
        return f"worker {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON takes."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WorkOrder:
        """The way back. Raises PluginError for an order that another version of Themis wrote."""
        try:
            return cls(**data)
        except TypeError as error:
            raise PluginError(
                f"this is no order for Themis {version()} ({error}): let the driver and its workers have one version"
            ) from None

    def load(self) -> LoadedSpecs:
        """The specs, read where the worker is. Raises SpecError."""
        spec: SpecLike = self.spec if isinstance(self.spec, str) else BenchmarkSpec.model_validate(self.spec)
        project: ProjectLike = None
        if self.project is not None:
            project = self.project if isinstance(self.project, str) else ProjectSpec.model_validate(self.project)
        base_dir = Path(self.base_dir) if self.base_dir is not None else None
        return load_specs(spec, project, self.overrides, self.limit, self.models, base_dir)

    def storage(self) -> tuple[StorageBackend, Path]:
        """The store's backend and the folder that its relative paths start at, read where this process is.

        Nothing is opened. Raises SpecError or PluginError.
        """
        loaded = self.load()
        with in_force(loaded.project.execution_policy):
            return open_storage(loaded.project, loaded.project_dir, loaded.project_place)[1], loaded.project_dir

    def within(self, folder: Path) -> WorkOrder:
        """The order for a worker whose current folder has what this folder has. Raises SpecError for paths outside."""
        found: dict[str, str] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name not in ("spec", "project", "base_dir") or not isinstance(value, str):
                continue
            try:
                found[each.name] = str(Path(value).absolute().relative_to(folder.absolute()))
            except ValueError:
                if each.name == "base_dir" and isinstance(self.spec, str):
                    found[each.name] = "."  # nothing starts there, as the spec is a file
                    continue
                raise SpecError(f"{value} is not in {folder}, so it would not be where the workers are") from None
        return replace(self, **found)  # type: ignore[arg-type]

    def differences(self) -> list[str]:
        """What is of another version in this process than at the driver, a clause each."""
        here = _installed()
        return [_difference(name, there, here.get(name)) for name, there in self.environment.items()
                if _counts(name, there) != _counts(name, here.get(name))]  # fmt: skip


def _carried(given: str | Path | BenchmarkSpec | ProjectSpec) -> str | dict[str, Any]:
    if isinstance(given, str | Path):
        return str(Path(given).absolute())
    return given.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _environment(plugins: Plugins) -> dict[str, str]:
    """What a run with these plugins depends on, by name. Loose files are not in it: their content is in its id."""
    of_plugins = {each["distribution"]: each["version"] for each in plugins.provenance() if "distribution" in each}
    return {_PYTHON: platform.python_version(), _CORE: version(), **dict(sorted(of_plugins.items()))}


def _installed() -> dict[str, str]:
    plugins = {each.distribution: each.version for found in discover()[0].values() for each in found}
    return {**plugins, _PYTHON: platform.python_version(), _CORE: version()}


def _counts(name: str, found: str | None) -> str | None:
    """Of Python, a patch is no difference."""
    return ".".join(found.split(".")[:2]) if name == _PYTHON and found else found


def _difference(name: str, there: str, here: str | None) -> str:
    return f"{name} is {here or 'not installed'}, and {there} at the driver"
