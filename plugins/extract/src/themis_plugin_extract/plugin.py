"""Registers the extractors and a command; they are imported when a spec first names the plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    import click


THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_extractors(register: Callable[[str, str], None]) -> None:
    register("boxed", "themis_plugin_extract.boxes:Boxed")
    register("choice", "themis_plugin_extract.choices:Choice")
    register("first_number", "themis_plugin_extract.numbers:FirstNumber")
    register("json", "themis_plugin_extract.json_values:Json")
    register("last_number", "themis_plugin_extract.numbers:LastNumber")
    register("line", "themis_plugin_extract.plain:Line")
    register("normalized", "themis_plugin_extract.plain:Normalized")
    register("number", "themis_plugin_extract.numbers:Number")
    register("regex", "themis_plugin_extract.patterns:Regex")
    register("tag", "themis_plugin_extract.marked:Tag")
    register("without_reasoning", "themis_plugin_extract.marked:WithoutReasoning")


@hookimpl
def themis_register_commands(cli: click.Group) -> None:
    from themis_plugin_extract.commands import compare

    cli.add_command(compare)
