"""`themis export` and `themis import`: what they are asked, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import yaml

import themis_core as themis
from themis_core import own_exit
from themis_output import cell, echo, own_path, own_stdout, safe

__all__ = ["export", "import_"]


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "--to", "to", required=True, metavar="FORMAT", help="Format, or an exporter of another plugin as NAMESPACE/NAME."
)
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="A new folder.")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="An option of the format; may be repeated."
)
@click.option("--spec", type=click.Path(path_type=Path), metavar="SPEC", help="Spec whose storage it is.")
@click.option("--project", type=click.Path(path_type=Path), metavar="FILE", help="Project file whose storage it is.")
@own_stdout()
@own_exit()
def export(run: str, to: str, output: Path, settings: Sequence[str], spec: Path | None, project: Path | None) -> None:
    """Write RUN in the format of another tool, and say what the format can't hold."""
    name = to if "/" in to else f"interop/{to.replace('-', '_')}"
    lost = themis.export(run, name, own_path(output), _config(settings), spec=spec, project=project)
    for each in lost:
        echo(f"note: {cell(each)}", err=True)
    echo(f"wrote {safe(str(output))}")


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="FILE...")
@click.option(
    "--from", "tool", type=click.Choice(["inspect", "lm-eval"]), required=True, help="The tool that wrote them."
)
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="A new folder.")
@own_stdout()
@own_exit()
def import_(files: Sequence[Path], tool: str, output: Path) -> None:
    """Make a spec and recordings of the logs of another tool, so that `themis run` scores their answers again.

    Each FILE is a log, or a folder of logs.
    """
    from themis_plugin_interop.importing import import_logs

    for each in import_logs([own_path(file) for file in files], tool, own_path(output)):
        echo(f"note: {cell(each)}", err=True)
    echo(f"wrote {safe(str(output / 'spec.yaml'))}")


def _config(settings: Sequence[str]) -> dict[str, object]:
    config = {}
    for each in settings:
        name, is_given, value = each.partition("=")
        if not is_given:
            raise click.BadParameter(f"{each!r} is not NAME=VALUE", param_hint="--set")
        config[name] = yaml.safe_load(value) if value in ("true", "false") else value
    return config
