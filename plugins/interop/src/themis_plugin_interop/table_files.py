"""Tables and canonical lines of stored runs, written to a file or to standard output."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from themis_core import StorageError, Store
from themis_output import CannotWrite, atomic_output, echo, own_path, printing, safe, stdout
from themis_plugin_interop.canonical import canonical_lines
from themis_plugin_interop.tables import columns_of, table_rows, write_csv, write_jsonl, write_parquet

__all__ = ["export_canonical", "export_table"]


def export_canonical(store: Store, run_id: str, output: Path | None) -> None:
    """Write a run in lines that are equal for equal results, and say their SHA-256."""
    digest = hashlib.sha256()

    def write(file: IO[str]) -> None:
        for line in canonical_lines(store, run_id):
            digest.update(f"{line}\n".encode("ascii"))
            file.write(f"{line}\n")

    _write_text(write, output)
    echo(f"{digest.hexdigest()}  {safe(str(output or run_id))}", err=output is None)


def export_table(store: Store, what: str, run_ids: Sequence[str], as_format: str, output: Path | None) -> None:
    """Write one of `TABLES` as `jsonl`, `csv` or `parquet`; to standard output without a file."""
    rows, columns = table_rows(store, what, run_ids), columns_of(store, what, run_ids)
    if as_format != "parquet":
        write = write_csv if as_format == "csv" else write_jsonl
        _write_text(lambda file: write(rows, columns, file), output)
        return
    if output is None:
        raise click.UsageError("Parquet needs a file: add --output FILE")
    with _written(output) as part:
        write_parquet(rows, columns, part)


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
