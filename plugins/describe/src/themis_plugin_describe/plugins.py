"""`themis plugins`: what specs can name."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from themis_output import as_json, cell, echo, fits, format_option, heading, own_stdout, quoted, safe, table

if TYPE_CHECKING:
    from themis_core import Component, Installed, LoadedPlugin, SpecError

__all__ = ["plugins"]


@click.group()
def plugins() -> None:
    """List the installed plugins, or show what one offers."""


@plugins.command("list")
@format_option
@own_stdout()
def list_plugins(as_format: str) -> None:
    """List the installed plugins from their metadata; none is imported."""
    from themis_core import discover

    by_namespace, unreadable = discover()
    found = [_metadata(each) for same in by_namespace.values() for each in same]
    if as_format == "json":
        echo(as_json({"plugins": found, "unreadable": unreadable}))
        return
    for leftover in unreadable:
        echo(f"can't be read, and harms no other: {cell(leftover.path)} ({cell(leftover.problem)})", err=True)
    if found:
        _show_plugins(found)
    else:
        click.echo("no plugins are installed: pip install 'themis-core[standard]'", err=True)


def _metadata(each: Installed) -> dict[str, Any]:
    names = ("namespace", "distribution", "version", "summary")
    return {**{name: getattr(each, name) for name in names}, "origin": each.origin()}


def _show_plugins(found: list[dict[str, Any]]) -> None:
    columns = ["namespace", "distribution", "version", "summary", "origin"]
    listed = [{**each, "origin": _brief_origin(each["origin"])} for each in found]
    as_usual = all(each["distribution"] == f"themis-plugin-{each['namespace']}" for each in found)
    if as_usual and not fits(columns, [list(each.values()) for each in listed]):
        columns.remove("distribution")
        echo("distributions: themis-plugin-NAMESPACE")
    table(columns, [[each[name] for name in columns] for each in listed], whole=("namespace", "version"))


def _brief_origin(origin: dict[str, Any] | None) -> str:
    """Where a distribution came from; `plugins show` has the folder of an editable one."""
    return "editable" if ((origin or {}).get("dir_info") or {}).get("editable") else _origin(origin)


def _origin(origin: dict[str, Any] | None) -> str:
    if origin is None:
        return "index"
    commit = (origin.get("vcs_info") or {}).get("commit_id")
    editable = " (editable)" if (origin.get("dir_info") or {}).get("editable") else ""
    return f"{origin.get('url')}{f'@{commit}' if commit else ''}{editable}"


@plugins.command("show")
@click.argument("name")
@format_option
@own_stdout()
def show_plugin(name: str, as_format: str) -> None:
    """Import a plugin and show its components with their config; if it is broken, the full traceback.

    NAME is a namespace, or `namespace/name` for one component with its long texts in full, such as a judge's prompt.
    """
    from themis_core import Plugins

    namespace, _, component = name.partition("/")
    loaded = Plugins().load(namespace)
    components = {
        kind: [_describe(f"{namespace}/{each}", cls) for each, cls in sorted(chosen.items())]
        for kind, offered in loaded.offers.items()
        if (chosen := {each: cls for each, cls in offered.items() if component in ("", each)})
    }
    if component and not components:
        raise _no_component(name, loaded)
    if as_format == "json":
        echo(as_json({**loaded.provenance, "components": components}))
        return
    echo(f"{safe(namespace)}: {loaded.provenance['distribution']} {loaded.provenance['version']}")
    echo(f"origin: {safe(_origin(loaded.provenance['origin']))}")
    for kind, all_described in components.items():
        heading(f"{kind.replace('_', ' ')}s")
        for described in all_described:
            _show_component(described, in_full=bool(component))


def _describe(name: str, cls: type[Component]) -> dict[str, Any]:
    return {
        "name": name,
        "version": cls.version,
        "description": (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " "),
        "config": [_describe_field(field.alias or key, field) for key, field in cls.model_fields.items()],
    }


def _describe_field(name: str, field: Any) -> dict[str, Any]:
    from pydantic_core import to_jsonable_python

    described: dict[str, Any] = {
        "name": name,
        "type": inspect.formatannotation(field.annotation).replace("typing.", ""),
        "required": field.is_required(),
        "description": field.description or "",
    }
    if not field.is_required() and field.default_factory is None:
        described["default"] = to_jsonable_python(field.default, fallback=repr)
    return described


def _no_component(name: str, loaded: LoadedPlugin) -> SpecError:
    from themis_core import SpecError

    namespace, _, component = name.partition("/")
    known = sorted({each for offered in loaded.offers.values() for each in offered})
    guesses = get_close_matches(component, known, n=1)
    hint = f" Did you mean {namespace}/{guesses[0]}?" if guesses else ""
    return SpecError(f"plugin {namespace!r} offers no {component!r}. It offers: {', '.join(known) or 'nothing'}.{hint}")


def _show_component(component: dict[str, Any], *, in_full: bool) -> None:
    echo(f"  {component['name']} (version {component['version']}): {cell(component['description'])}")
    for field in component["config"]:
        long = in_full and isinstance(field.get("default"), str) and "\n" in field["default"]
        default = f" = {cell(as_json(field['default'], indent=None))}" if "default" in field and not long else ""
        required = " (required)" if field["required"] else ""
        echo(f"      {field['name']}: {field['type']}{default}{required}")
        if field["description"]:
            echo(f"          {cell(field['description'])}")
        if long:
            echo(quoted(quoted(field["default"])))
