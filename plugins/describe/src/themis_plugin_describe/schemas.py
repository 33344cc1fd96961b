"""`themis schema`: what spec files can say, for editors, with the config of the storage backends that are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from themis_output import as_json, cell, echo, own_stdout

if TYPE_CHECKING:
    from themis_core import Spec, StorageBackend

__all__ = ["schema"]


@click.command()
@click.argument("part", type=click.Choice(["benchmark", "project", "file"]), default="file")
@own_stdout()
def schema(part: str) -> None:
    """Print the JSON Schema of spec files, for editors: of a whole file (default), a benchmark or a project.

    It includes the storage backends of the installed plugins, which are imported for that.
    """
    from themis_core import BenchmarkSpec, ProjectSpec

    models: dict[str, type[Spec]] = {"benchmark": BenchmarkSpec, "project": ProjectSpec}
    body = _file_schema(models) if part == "file" else models[part].model_json_schema()
    if part != "benchmark":
        _add_backends(body["$defs"], _backends())
    echo(as_json({"$schema": "https://json-schema.org/draft/2020-12/schema", **body}))


def _file_schema(models: dict[str, type[Spec]]) -> dict[str, Any]:
    from pydantic.json_schema import models_json_schema

    references, shared = models_json_schema([(model, "validation") for model in models.values()])
    return {
        "title": "Themis spec file",
        "type": "object",
        "properties": {name: references[(model, "validation")] for name, model in models.items()},
        "additionalProperties": False,
        "$defs": shared["$defs"],
    }


def _backends() -> dict[str, tuple[list[str], type[StorageBackend]]]:
    """The storage backends of all installed plugins by full name, each with the names that a spec may use.

    A plugin that is broken is named on standard error and left out: it harms no other.
    """
    from themis_core import Plugins, StorageBackend, ThemisError

    plugins, found = Plugins(), {}
    for namespace in plugins.namespaces:
        try:
            offered = plugins.load(namespace).offers["storage_backend"]
        except ThemisError as error:
            echo(f"left out: {cell(str(error))}", err=True)
            continue
        for name, cls in offered.items():
            assert issubclass(cls, StorageBackend)
            full = f"{namespace}/{name}"
            found[full] = ([namespace, full] if len(offered) == 1 else [full], cls)
    return found


def _add_backends(definitions: dict[str, Any], backends: dict[str, tuple[list[str], type[StorageBackend]]]) -> None:
    """Let `StorageConfig` be the config of one of these backends, or of another, such as one of a loose file."""
    from pydantic.json_schema import models_json_schema

    classes = list(dict.fromkeys(cls for _, cls in backends.values()))
    references, shared = models_json_schema(
        [(cls, "validation") for cls in classes], ref_template="#/$defs/storage.{model}"
    )
    for name, nested in shared.get("$defs", {}).items():
        definitions[f"storage.{name}"] = nested
    general = definitions["StorageConfig"]
    choices = []
    for full, (names, cls) in backends.items():
        config = definitions[references[(cls, "validation")]["$ref"].removeprefix("#/$defs/")]
        backend = {**general["properties"]["backend"], "enum": names}
        choices.append(
            {
                **config,
                "title": full,
                "properties": {"backend": backend, **config.get("properties", {})},
                "required": ["backend", *config.get("required", ())],
            }
        )
    known = [name for names, _ in backends.values() for name in names]
    backend = {**general["properties"]["backend"], "not": {"enum": known}}
    other = {**general, "title": "another backend", "properties": {"backend": backend}}
    definitions["StorageConfig"] = {"description": general["description"], "oneOf": [*choices, other]}
