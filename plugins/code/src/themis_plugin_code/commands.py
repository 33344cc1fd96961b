"""The command that says which limits hold on this system."""

from __future__ import annotations

import click

from themis_output import as_json, cell, echo, format_option
from themis_plugin_code import running

__all__ = ["limits"]


@click.command()
@format_option
def limits(as_format: str) -> None:
    """Show each limit for programs, and what enforces it on this system, or why it does not hold."""
    held = running.limits()
    if as_format == "json":
        echo(as_json(held))
        return
    for limit, wall in held.items():
        said = f"held by {wall['by']}" if "by" in wall else f"NOT HELD: {wall['missing']}"
        echo(f"{limit:<10} {cell(said)}")
