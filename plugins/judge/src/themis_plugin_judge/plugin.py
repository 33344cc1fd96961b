"""The hooks of the plugin `judge`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    import click

    from themis_core import Judge

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_judges(register: Callable[[str, type[Judge]], None]) -> None:
    from themis_plugin_judge.correctness import Correctness
    from themis_plugin_judge.pairwise import Pairwise
    from themis_plugin_judge.rubric import Rubric
    from themis_plugin_judge.scale import Scale

    register("correctness", Correctness)
    register("pairwise", Pairwise)
    register("rubric", Rubric)
    register("scale", Scale)


@hookimpl
def themis_register_commands(cli: click.Group) -> None:
    from themis_plugin_judge.commands import measure

    cli.add_command(measure)
