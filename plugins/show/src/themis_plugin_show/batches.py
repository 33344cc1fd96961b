"""`themis batches`: what runs left at their providers, and how it is cancelled or given up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from themis_core import BatchEnded, BatchRecord, SpecError, cancel_batch, find_storage, open_results
from themis_output import as_json, echo, safe, table
from themis_plugin_show.trials import store_options

__all__ = ["batches"]

_SPEC = click.argument("spec", type=click.Path(path_type=Path))
_PROJECT = click.option(
    "--project", type=click.Path(path_type=Path), metavar="FILE", help="File with the project's settings."
)


@click.group(invoke_without_command=True)
@store_options
@click.pass_context
def batches(context: click.Context, spec: Path | None, project: Path | None, as_format: str) -> None:
    """List the batches that are open at their providers; `themis run` collects them."""
    if context.invoked_subcommand is not None:
        return
    with open_results(spec, project=project) as results:
        found = results.open_batches()
    if as_format == "json":
        echo(as_json({"batches": [_brief(each) for each in found]}))
    elif found:
        rows = [[value for name, value in _brief(each).items() if name != "nonce"] for each in found]
        table(["batch", "run id", "model", "endpoint", "requests", "intended (UTC)"], rows)
    else:
        click.echo("no batches are open", err=True)


@batches.command()
@_SPEC
@click.argument("batch")
@_PROJECT
def cancel(spec: Path, batch: str, project: Path | None) -> None:
    """Cancel BATCH of a run of SPEC at its provider; the next run collects what was answered by then."""
    with open_results(spec, project=project) as results:
        found = _found(results.open_batches(), batch)
    cancel_batch(found, spec, project=project)
    click.echo(f"batch {safe(_name(found))} is being cancelled; `themis run` collects what it answered", err=True)


@batches.command()
@_SPEC
@click.argument("batch")
@_PROJECT
def forget(spec: Path, batch: str, project: Path | None) -> None:
    """Give up BATCH of a run of SPEC, if its answers are lost; its requests are asked, and paid for, again."""
    with open_results(spec, project=project) as results:
        found = _found(results.open_batches(), batch)
    storage, folder = find_storage(spec, project=project)
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    with closing(storage.open(folder)) as store, store.lock_run(found.run_id):
        store.append([BatchEnded(found.run_id, at, found.nonce, "forgotten")])
    click.echo(f"batch {safe(_name(found))} is forgotten; the provider may go on with it", err=True)


def _found(batches: Sequence[BatchRecord], name: str) -> BatchRecord:
    """The open batch of this id of its provider, or of this nonce."""
    for each in batches:
        if name in (each.nonce, _name(each)):
            return each
    known = ", ".join(map(_name, batches)) or "there are none"
    raise SpecError(f"no batch {name!r} is open: {known}")


def _name(record: BatchRecord) -> str:
    return record.ticket.id if record.ticket is not None else record.nonce


def _brief(record: BatchRecord) -> dict[str, str | int]:
    return {
        "batch": _name(record),
        "run_id": record.run_id,
        "model": record.model_id,
        "endpoint": record.endpoint,
        "requests": len(record.keys),
        "intended_at": record.at[:19].replace("T", " "),
        "nonce": record.nonce,
    }
