"""The hooks of the plugin `shards`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from themis_core import hookimpl

if TYPE_CHECKING:
    import click

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_commands(cli: click.Group) -> None:
    from themis_plugin_shards.commands import kubernetes, local, slurm

    cli.help = "Run the shards of a benchmark as a Slurm array job, a Kubernetes Indexed Job, or processes here."
    for command in (slurm, kubernetes, local):
        cli.add_command(command)
