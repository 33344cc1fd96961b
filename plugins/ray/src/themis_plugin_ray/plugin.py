"""The hooks of the plugin `ray`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    import click

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_commands(cli: click.Group) -> None:
    from themis_plugin_ray.command import run

    cli.add_command(run)
