"""The hooks of the plugin `judge`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    import click


THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_judges(register: Callable[[str, str], None]) -> None:
    register("correctness", "themis_plugin_judge.correctness:Correctness")
    register("pairwise", "themis_plugin_judge.pairwise:Pairwise")
    register("rubric", "themis_plugin_judge.rubric:Rubric")
    register("scale", "themis_plugin_judge.scale:Scale")


@hookimpl
def themis_register_commands(cli: click.Group) -> None:
    from themis_plugin_judge.commands import measure

    cli.add_command(measure)
