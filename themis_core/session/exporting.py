"""A stored run, handed to the exporter that a command names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from themis_core.components import Exporter
from themis_core.errors import PluginError, SpecError, StorageError
from themis_core.plugins import blaming, in_force, open_storage, plugins_of
from themis_core.plugins.making import Maker
from themis_core.reading import Place
from themis_core.results import Results
from themis_core.specs import ProjectSpec
from themis_wording import counted

__all__ = ["exported"]


def exported(
    project: ProjectSpec, directory: Path, place: Place, run_id: str, to: str, folder: Path, config: Mapping[str, Any]
) -> list[str]:
    """Write a run by an exporter and return what is lost, a sentence each."""
    from themis_output import CannotWrite, whole_folder  # with click, which a run does not need

    plugins = plugins_of(project, directory)
    name, exporter = Maker(plugins).component(Exporter, to, config, Place(), Place(), directory)  # type: ignore[type-abstract]
    storage = open_storage(project, directory, place)[1]
    with in_force(project.execution_policy), Results(storage, directory, plugins, project.execution_policy) as results:
        run = results.run(run_id)
        summary = results.result(run.run_id).to_dict()
    try:
        # Without a deadline: to write a large run takes its time, and the user can stop it.
        with (
            closing(storage.open(directory, mode="read")) as store,
            whole_folder(folder) as part,
            blaming(name, "export", but=(SpecError, StorageError, PluginError, OSError)),
        ):
            missing = summary["ledger"]["unfinished"]
            unfinished = (
                [f"The run is not finished: {counted(missing, 'trial', 'is', 'are')} missing."] if missing else []
            )
            return [*unfinished, *exporter.losses, *exporter.export(store, run, summary, part)]
    except CannotWrite as error:
        raise StorageError(str(error)) from error
