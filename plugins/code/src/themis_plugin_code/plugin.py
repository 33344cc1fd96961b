"""The hooks of the plugin `code`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    import click

    from themis_core import Extractor, Metric

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_extractors(register: Callable[[str, type[Extractor]], None]) -> None:
    from themis_plugin_code.blocks import Python

    register("python", Python)


@hookimpl
def themis_register_metrics(register: Callable[[str, type[Metric]], None]) -> None:
    from themis_plugin_code.unit_tests import UnitTests

    register("unit_tests", UnitTests)


@hookimpl
def themis_register_commands(cli: click.Group) -> None:
    from themis_plugin_code.commands import limits

    cli.help = "Programs that models write: which limits hold here."
    cli.add_command(limits)
