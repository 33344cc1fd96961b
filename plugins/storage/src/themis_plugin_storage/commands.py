"""`themis storage`: keeping a store in order, and bringing stores together."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import Any

import click

import themis_core as themis
from themis_core import SpecError, counted
from themis_output import as_json, cell, echo, format_option, safe
from themis_plugin_storage import merging
from themis_plugin_storage.opening import opened, store_command

__all__ = ["backup", "gc", "merge", "migrate", "rebuild", "verify"]

DAMAGED = 4
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


@store_command
@format_option
def verify(spec: Path | None, project: Path | None, as_format: str) -> None:
    """Check every event, text, blob file and projection; list what is wrong and exit with 4. Changes nothing."""
    with opened(spec, project, "read") as (store, location):
        found = store.verify()
        if as_format == "json":
            damages = list(found)
            echo(as_json({"storage": location, "damages": damages}))
            count = len(damages)
        else:
            count = 0
            for each in found:
                count += 1
                echo(f"{safe(each.place)}: {cell(each.problem)}")
    if count:
        click.echo(f"{counted(count, 'thing', 'is', 'are')} wrong in {safe(location)}", err=True)
        click.get_current_context().exit(DAMAGED)
    if as_format == "text":
        echo(f"nothing is wrong in {safe(location)}")


@store_command
@click.option("--accept-loss", is_flag=True, help="Leave out the unreadable parts of a damaged log, and list them.")
def rebuild(accept_loss: bool, spec: Path | None, project: Path | None) -> None:
    """Rebuild the tables that SQL tools read from the log, in one transaction; nothing else may write meanwhile.

    A damaged log is refused: the tables would lack results, and nobody would notice.
    """
    with opened(spec, project, "write") as (store, location):
        lost = store.rebuild(accept_loss=accept_loss)
    for each in lost:
        echo(f"{safe(each.place)}: {cell(each.problem)}")
    if lost:
        echo("what is listed is lost, and `themis storage verify` goes on to say so", err=True)
    echo(f"rebuilt {safe(location)}{' without it' if lost else ''}")


@store_command
def migrate(spec: Path | None, project: Path | None) -> None:
    """Bring a store of an older Themis up to date, as every run that writes to it does."""
    with opened(spec, project, "write") as (_, location):
        echo(f"up to date: {safe(location)}")


@store_command
@click.argument("target", type=click.Path(path_type=Path))
def backup(target: Path, spec: Path | None, project: Path | None) -> None:
    """Copy the store to the new folder TARGET, even during runs; the copy is verified before it appears."""
    with opened(spec, project, "read") as (store, location):
        store.back_up(target)
    echo(f"copied {safe(location)} to {safe(str(target))}")


@store_command
@click.option(
    "--grace", default="1d", show_default=True, metavar="TIME", help="Keep files younger than this: 30m, 12h, 7d."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@format_option
def gc(grace: str, dry_run: bool, spec: Path | None, project: Path | None, as_format: str) -> None:
    """Remove blob files that nothing in the store refers to, such as leftovers of a crash."""
    older_than_s = _duration(grace)
    with opened(spec, project, "write") as (store, _):
        found = list(store.remove_unused_files(older_than_s=older_than_s, dry_run=dry_run))
    if as_format == "json":
        echo(as_json({"dry_run": dry_run, "files": found}))
        return
    for each in found:
        echo(safe(each.path))
    size = sum(each.size_bytes for each in found)
    click.echo(
        f"{counted(len(found), 'file')}, {size:,} bytes{': would be removed' if dry_run else ' removed'}", err=True
    )


def _duration(text: str) -> float:
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no time: write 30m, 12h or 7d", param_hint="--grace")
    return float(int(match[1]) * _SECONDS[match[2] or "s"])


@store_command
@click.argument("other", type=click.Path(path_type=Path, exists=True))
@format_option
def merge(other: Path, spec: Path | None, project: Path | None, as_format: str) -> None:
    """Add all runs of another store to this one; what is already stored stays as it is.

    OTHER is a file that names a store (a spec with a project, or a project), or the folder of a store of the default
    backend. It is only read.
    """
    source, source_dir = themis.find_storage(project=_project_of(other))
    target, target_dir = themis.find_storage(spec, project=project)
    if source.location(source_dir) == target.location(target_dir):
        raise SpecError(f"{other} names the same store, {target.location(target_dir)}: name another one")
    with closing(source.open(source_dir, mode="read")) as read, closing(target.open(target_dir)) as store:
        merged = merging.merge(read, store)
    if as_format == "json":
        echo(as_json(merged))
        return
    into = safe(target.location(target_dir))
    if not merged.events:
        echo(f"nothing new: all of it is in {into} already")
        return
    echo(f"merged {counted(merged.runs, 'run')}, {counted(merged.events, 'new event')} into {into}")
    if merged.earlier_executions:
        click.echo(
            f"{counted(merged.earlier_executions, 'earlier execution')} of runs that are here too: "
            "results were merged, times and counts were not",
            err=True,
        )


def _project_of(other: Path) -> Any:
    if not other.is_dir():
        return other
    default = themis.ProjectSpec().storage.model_dump(mode="json")
    return themis.ProjectSpec.model_validate({"storage": {**default, "root_dir": str(other.absolute())}})
