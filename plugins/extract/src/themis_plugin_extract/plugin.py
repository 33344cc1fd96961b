"""Registers the extractors and a command; they are imported when a spec first names the plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    import click

    from themis_core import Extractor

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_extractors(register: Callable[[str, type[Extractor]], None]) -> None:
    from themis_plugin_extract.boxes import Boxed
    from themis_plugin_extract.choices import Choice
    from themis_plugin_extract.json_values import Json
    from themis_plugin_extract.marked import Tag, WithoutReasoning
    from themis_plugin_extract.numbers import FirstNumber, LastNumber, Number
    from themis_plugin_extract.patterns import Regex
    from themis_plugin_extract.plain import Line, Normalized

    register("boxed", Boxed)
    register("choice", Choice)
    register("first_number", FirstNumber)
    register("json", Json)
    register("last_number", LastNumber)
    register("line", Line)
    register("normalized", Normalized)
    register("number", Number)
    register("regex", Regex)
    register("tag", Tag)
    register("without_reasoning", WithoutReasoning)


@hookimpl
def themis_register_commands(cli: click.Group) -> None:
    from themis_plugin_extract.commands import compare

    cli.add_command(compare)
