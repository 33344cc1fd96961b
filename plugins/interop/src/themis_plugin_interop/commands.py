"""`themis export` and `themis import`: what they are asked, and what they say."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

import themis_core as themis
from themis_core import counted, own_exit
from themis_output import cell, echo, own_path, own_stdout, safe, store_options
from themis_plugin_interop.table_files import export_canonical, export_table
from themis_plugin_interop.tables import FORMATS, TABLES

__all__ = ["export", "import_"]

_OF_TABLES = (*FORMATS, "canonical")


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "--to",
    "to",
    metavar="FORMAT",
    help="jsonl, csv, parquet; canonical; every-eval-ever, inspect, lm-eval, openai-evals, hub-results; or an exporter "
    "of a plugin, as NAMESPACE/NAME. By default, the output's extension decides, or else jsonl.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="For a table a file, by default standard output; for another tool a new folder.",
)
@click.option("--what", type=click.Choice(list(TABLES)), help="What the rows of a table are; trials by default.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="An option of an exporter.")
@store_options
@own_stdout()
@own_exit()
def export(
    runs: Sequence[str],
    to: str | None,
    output: Path | None,
    what: str | None,
    settings: Sequence[str],
    spec: Path | None,
    project: Path | None,
) -> None:
    """Write stored runs as a table (all runs by default), or one RUN in the format of another tool.

    The beginning of a run's id is enough. Notes on standard error say what a tool's format can't hold.
    """
    to = to or _format_of(output)
    if to in _OF_TABLES:
        if settings:
            raise click.UsageError(f"--set is of exporters; {to} has no options")
        _export_rows(runs, to, output, what, spec, project)
        return
    if len(runs) != 1 or output is None:
        raise click.UsageError(f"--to {to} takes one RUN and a new folder: themis export RUN --to {to} -o FOLDER")
    if what:
        raise click.UsageError("--what is of tables: jsonl, csv and parquet")
    name = to if "/" in to else f"interop/{to.replace('-', '_')}"
    for each in themis.export(runs[0], name, own_path(output), _config(settings), spec=spec, project=project):
        echo(f"note: {cell(each)}", err=True)
    echo(f"wrote {safe(str(output))}")


def _export_rows(
    runs: Sequence[str], to: str, output: Path | None, what: str | None, spec: Path | None, project: Path | None
) -> None:
    if to == "canonical" and (len(runs) != 1 or what):
        raise click.UsageError("--to canonical takes one RUN and no --what")
    with themis.open_results(spec, project=project) as results:
        found = [results.run(each) for each in runs] if runs else list(results.runs())
        wanted = [run.run_id for run in found]
        for run in found:
            if (missing := run.manifest.get("trials", 0) - run.trials) > 0:
                told = f"{safe(run.run_id)} is not finished: {counted(missing, 'trial', 'is', 'are')} missing"
                echo(f"note: {told}", err=True)
    backend, folder = themis.find_storage(spec, project=project)
    with closing(backend.open(folder, mode="read")) as store:
        if to == "canonical":
            export_canonical(store, wanted[0], output)
        else:
            export_table(store, what or "trials", wanted, to, output)


def _format_of(output: Path | None) -> str:
    suffix = "" if output is None else output.suffix[1:].lower()
    if output is not None and suffix not in FORMATS and not _is_special(output):
        raise click.UsageError(f"add --to: the name of {output} says none of {', '.join(FORMATS)}")
    return suffix or "jsonl"


def _is_special(path: Path) -> bool:
    """Whether it is a device, a pipe or a socket, whose name says nothing."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _config(settings: Sequence[str]) -> dict[str, object]:
    config: dict[str, object] = {}
    for each in settings:
        name, is_given, value = each.partition("=")
        if not is_given:
            raise click.BadParameter(f"{each!r} is not NAME=VALUE", param_hint="--set")
        config[name] = {"true": True, "false": False}.get(value, value)
    return config


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True), metavar="FILE...")
@click.option(
    "--from", "tool", type=click.Choice(["inspect", "lm-eval"]), required=True, help="The tool that wrote the logs."
)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="A new folder to write to."
)
@own_stdout()
@own_exit()
def import_(files: Sequence[Path], tool: str, output: Path) -> None:
    """Make a spec and recordings from another tool's logs, so that `themis run` can score the answers again.

    Each FILE is a log, or a folder of logs.
    """
    from themis_plugin_interop.importing import import_logs

    for each in import_logs([own_path(file) for file in files], tool, own_path(output)):
        echo(f"note: {cell(each)}", err=True)
    echo(f"wrote {safe(str(output / 'spec.yaml'))}")
