"""A stored run, handed to the exporter that a command names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from themis_core.components import Exporter
from themis_core.errors import PluginError, SpecError, StorageError
from themis_core.plugins import blaming, in_force, open_storage, plugins_of
from themis_core.plugins.making import Maker
from themis_core.reading import Place
from themis_core.results import Results
from themis_core.specs import ProjectSpec

__all__ = ["exported"]


def exported(
    project: ProjectSpec, directory: Path, place: Place, run_id: str, to: str, folder: Path, config: Mapping[str, Any]
) -> list[str]:
    """Write a run by an exporter and return what is lost, a sentence each."""
    plugins = plugins_of(project, directory)
    name, exporter = Maker(plugins).component(Exporter, to, config, Place(), Place(), directory)  # type: ignore[type-abstract]
    storage = open_storage(project, directory, place)[1]
    with in_force(project.execution_policy):
        with Results(storage, directory, plugins, project.execution_policy) as results:
            run = results.run(run_id)
            summary = results.result(run.run_id).to_dict()
        with closing(storage.open(directory, mode="read")) as store, _made_whole(folder) as part:
            # Without a deadline: to write a large run takes its time, and the user can stop it.
            with blaming(name, "export", but=(SpecError, StorageError, PluginError, OSError)):
                return [*exporter.losses, *exporter.export(store, run, summary, part)]


@contextmanager
def _made_whole(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside the one that is wanted; it takes that place when the block ends well."""
    if folder.is_dir() and any(folder.iterdir()) or folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder} is there already: name a new folder")
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        part = Path(mkdtemp(prefix=f".{folder.name[:100]}.", dir=folder.absolute().parent))
    except OSError as error:
        raise StorageError(f"can't write {folder}: {error.strerror or error}") from error
    try:
        yield part
        mask = os.umask(0)
        os.umask(mask)
        part.chmod(0o777 & ~mask)  # a temporary folder is its owner's alone
        with suppress(FileNotFoundError):
            folder.rmdir()
        part.rename(folder)
    except OSError as error:
        raise StorageError(f"can't write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
