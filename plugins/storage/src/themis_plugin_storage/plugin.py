"""The hooks of the plugin `storage`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    import click

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_commands(cli: click.Group) -> None:
    from themis_plugin_storage.commands import backup, gc, merge, migrate, rebuild, verify

    cli.help = "Keep a store in order: verify, rebuild, back up; merge stores."
    for command in (verify, rebuild, migrate, backup, gc, merge):
        cli.add_command(command)
