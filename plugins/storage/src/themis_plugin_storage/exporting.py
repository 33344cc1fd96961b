"""`themis storage export`: what it is asked, and where it writes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

import themis_core as themis
from themis_core import StorageError, Store
from themis_output import CannotWrite, atomic_output, echo, own_path, printing, safe, stdout
from themis_plugin_storage.canonical import canonical_lines
from themis_plugin_storage.opening import opened, store_command
from themis_plugin_storage.tables import FORMATS, TABLES, columns_of, table_rows, write_csv, write_jsonl, write_parquet

__all__ = ["export"]


@store_command
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--what", type=click.Choice(list(TABLES)), default="trials", show_default=True, help="What each row is.")
@click.option(
    "--format", "as_format", type=click.Choice(FORMATS), help="By default as the output's name ends, or jsonl."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Standard output by default.",
)
@click.option(
    "--canonical", is_flag=True, help="One run, in lines that are equal for equal results; with their SHA-256."
)
def export(
    runs: Sequence[str],
    what: str,
    as_format: str | None,
    output: Path | None,
    canonical: bool,
    spec: Path | None,
    project: Path | None,
) -> None:
    """Write what is stored of each RUN (all of them by default) as a table; the beginning of a run's id will do."""
    if canonical and (len(runs) != 1 or as_format is not None):
        raise click.UsageError("--canonical takes one RUN and no --format")
    with themis.open_results(spec, project=project) as results:
        wanted = [results.run(each).run_id for each in runs or [run.run_id for run in results.runs()]]
    with opened(spec, project, "read") as (store, _):
        if canonical:
            _export_canonical(store, wanted[0], output)
        else:
            _export_table(store, what, wanted, as_format or _format_of(output), output)


def _export_canonical(store: Store, run_id: str, output: Path | None) -> None:
    digest = hashlib.sha256()

    def write(file: IO[str]) -> None:
        for line in canonical_lines(store, run_id):
            digest.update(f"{line}\n".encode("ascii"))
            file.write(f"{line}\n")

    _write_text(write, output)
    echo(f"{digest.hexdigest()}  {safe(str(output or run_id))}", err=output is None)


def _export_table(store: Store, what: str, run_ids: Sequence[str], as_format: str, output: Path | None) -> None:
    rows, columns = table_rows(store, what, run_ids), columns_of(store, what, run_ids)
    if as_format != "parquet":
        write = write_csv if as_format == "csv" else write_jsonl
        _write_text(lambda file: write(rows, columns, file), output)
        return
    if output is None:
        raise click.UsageError("Parquet needs a file: add --output FILE")
    with _written(output) as part:
        write_parquet(rows, columns, part)


def _format_of(output: Path | None) -> str:
    suffix = "" if output is None else output.suffix[1:].lower()
    if suffix and suffix not in FORMATS:
        raise click.UsageError(f"--output ends in .{suffix}: add --format, one of {', '.join(FORMATS)}")
    return suffix or "jsonl"


@contextmanager
def _written(output: Path) -> Iterator[Path]:
    try:
        with atomic_output(own_path(output)) as part:
            yield part
    except CannotWrite as error:
        raise StorageError(str(error)) from error


def _write_text(write: Callable[[IO[str]], Any], output: Path | None) -> None:
    if output is None:
        with printing():
            write(stdout() if not stdout().isatty() else _Screen())  # type: ignore[arg-type]
        return
    with _written(output) as part, part.open("w", encoding="utf-8", newline="") as file:
        write(file)


class _Screen:
    """Standard output as a terminal shows it: what could steer the terminal is escaped."""

    def write(self, text: str) -> int:
        return stdout().write(safe(text.replace("\r\n", "\n")))
