"""`themis storage`: keeping a store in order, bringing stores together, and taking out what they hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import click

from themis_output import (
    CannotWrite,
    as_json,
    atomic_output,
    cell,
    echo,
    format_option,
    own_path,
    printing,
    safe,
    stdout,
)

if TYPE_CHECKING:
    from themis_core.components import Store

__all__ = ["storage"]

DAMAGED = 4
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_TABLES = ("trials", "scores", "generations", "items")
_FORMATS = ("jsonl", "csv", "parquet")


@click.group()
def storage() -> None:
    """Keep a store in order: verify, rebuild, back up; merge stores; export what they hold."""


def _of_store(command: Callable[..., Any]) -> Callable[..., Any]:
    spec = click.option(
        "--spec",
        type=click.Path(path_type=Path),
        metavar="SPEC",
        help="Spec file whose storage it is; ./.themis by default.",
    )
    project = click.option(
        "--project", type=click.Path(path_type=Path), metavar="FILE", help="Project file whose storage it is."
    )
    return spec(project(command))


@contextmanager
def _opened(spec: Path | None, project: Path | None, mode: Literal["read", "write"]) -> Iterator[tuple[Store, str]]:
    """Open the store that there is, and give it with its location; a command here never makes one."""
    from themis_core.session import find_storage

    backend, directory = find_storage(spec, project=project)
    location = backend.location(directory)
    if mode == "write":
        _check_that_it_is_there(backend, directory)
    with closing(backend.open(directory, mode=mode)) as store:
        yield store, location


def _check_that_it_is_there(backend: Any, directory: Path) -> None:
    from themis_core.errors import StoreOutdated

    with suppress(StoreOutdated):  # it is there then, and to open it to write brings it up to date
        backend.open(directory, mode="read").close()


@storage.command()
@_of_store
@format_option
def verify(spec: Path | None, project: Path | None, as_format: str) -> None:
    """Check every event, text, blob file and projection, changing nothing; list what is wrong, and then exit 4."""
    with _opened(spec, project, "read") as (store, location):
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
        click.echo(f"{count} things are wrong in {safe(location)}", err=True)
        click.get_current_context().exit(DAMAGED)
    if as_format == "text":
        echo(f"nothing is wrong in {safe(location)}")


@storage.command()
@click.option("--accept-loss", is_flag=True, help="Leave out what of a damaged log can't be read, and say what it is.")
@_of_store
def rebuild(accept_loss: bool, spec: Path | None, project: Path | None) -> None:
    """Make the tables that SQL tools read again from the log, in one transaction; nothing else may write meanwhile.

    A damaged log is refused: tables that are made from it would lack results, and nobody would see it.
    """
    with _opened(spec, project, "write") as (store, location):
        lost = store.rebuild(accept_loss=accept_loss)
    for each in lost:
        echo(f"{safe(each.place)}: {cell(each.problem)}")
    if lost:
        echo("what is listed is lost, and `themis storage verify` goes on to say so", err=True)
    echo(f"rebuilt {safe(location)}{' without it' if lost else ''}")


@storage.command()
@_of_store
def migrate(spec: Path | None, project: Path | None) -> None:
    """Bring a store that an older Themis made up to date, as every run does that writes to it."""
    with _opened(spec, project, "write") as (_, location):
        echo(f"up to date: {safe(location)}")


@storage.command()
@click.argument("target", type=click.Path(path_type=Path))
@_of_store
def backup(target: Path, spec: Path | None, project: Path | None) -> None:
    """Copy the store to the new folder TARGET, also while runs go on; the copy is verified before it is there."""
    with _opened(spec, project, "read") as (store, location):
        store.back_up(target)
    echo(f"copied {safe(location)} to {safe(str(target))}")


@storage.command()
@click.option("--grace", default="1d", show_default=True, metavar="TIME", help="Keep younger files: 30m, 12h, 7d.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@_of_store
@format_option
def gc(grace: str, dry_run: bool, spec: Path | None, project: Path | None, as_format: str) -> None:
    """Remove blob files that nothing stored refers to: what a crash left."""
    older_than_s = _duration(grace)
    with _opened(spec, project, "write") as (store, _):
        found = list(store.remove_unused_files(older_than_s=older_than_s, dry_run=dry_run))
    if as_format == "json":
        echo(as_json({"dry_run": dry_run, "files": found}))
        return
    for each in found:
        echo(safe(each.path))
    size = sum(each.size_bytes for each in found)
    click.echo(f"{len(found)} files, {size:,} bytes{': would be removed' if dry_run else ' removed'}", err=True)


def _duration(text: str) -> float:
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no time: write 30m, 12h or 7d", param_hint="--grace")
    return float(int(match[1]) * _SECONDS[match[2] or "s"])


@storage.command()
@click.argument("other", type=click.Path(path_type=Path, exists=True))
@_of_store
@format_option
def merge(other: Path, spec: Path | None, project: Path | None, as_format: str) -> None:
    """Add all runs of another store to this one; what is stored already stays as it is.

    OTHER is a file that names a storage (a spec with a project, or a project), or the folder of a store of the default
    backend. It is only read.
    """
    from themis_core.errors import SpecError
    from themis_core.results.merging import merge as merge_stores
    from themis_core.session import find_storage

    source, source_dir = find_storage(project=_project_of(other))
    target, target_dir = find_storage(spec, project=project)
    if source.location(source_dir) == target.location(target_dir):
        raise SpecError(f"{other} names the same store, {target.location(target_dir)}: name another one")
    with closing(source.open(source_dir, mode="read")) as read, closing(target.open(target_dir)) as store:
        merged = merge_stores(read, store)
    if as_format == "json":
        echo(as_json(merged))
        return
    into = safe(target.location(target_dir))
    if not merged.events:
        echo(f"nothing new: all of it is in {into} already")
        return
    echo(f"merged {merged.runs} runs, {merged.events} new events into {into}")
    if merged.earlier_executions:
        click.echo(
            f"{merged.earlier_executions} earlier executions of runs that are here too: their results were merged, "
            "their times and counts were not",
            err=True,
        )


def _project_of(other: Path) -> Any:
    if not other.is_dir():
        return other
    from themis_core.specs import ProjectSpec

    default = ProjectSpec().storage.model_dump(mode="json")
    return ProjectSpec.model_validate({"storage": {**default, "root_dir": str(other.absolute())}})


@storage.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--what", type=click.Choice(_TABLES), default="trials", show_default=True, help="What each row is.")
@click.option(
    "--format", "as_format", type=click.Choice(_FORMATS), help="By default as the output's name ends, or jsonl."
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
@_of_store
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
    from themis_core.session import open_results

    if canonical and (len(runs) != 1 or as_format is not None):
        raise click.UsageError("--canonical takes one RUN and no --format")
    with open_results(spec, project=project) as results:
        wanted = [results.run(each).run_id for each in runs or [run.run_id for run in results.runs()]]
    with _opened(spec, project, "read") as (store, _):
        if canonical:
            _export_canonical(store, wanted[0], output)
        else:
            _export_table(store, what, wanted, as_format or _format_of(output), output)


def _export_canonical(store: Store, run_id: str, output: Path | None) -> None:
    import hashlib

    from themis_core.results.export import canonical_lines

    digest = hashlib.sha256()

    def write(file: IO[str]) -> None:
        for line in canonical_lines(store, run_id):
            digest.update(f"{line}\n".encode("ascii"))
            file.write(f"{line}\n")

    _write_text(write, output)
    echo(f"{digest.hexdigest()}  {safe(str(output or run_id))}", err=output is None)


def _export_table(store: Store, what: str, run_ids: Iterable[str], as_format: str, output: Path | None) -> None:
    from themis_core.results.tables import TABLES, table_rows, write_csv, write_jsonl, write_parquet

    rows, columns = table_rows(store, what, run_ids), TABLES[what]
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
    if suffix and suffix not in _FORMATS:
        raise click.UsageError(f"--output ends in .{suffix}: add --format, one of {', '.join(_FORMATS)}")
    return suffix or "jsonl"


@contextmanager
def _written(output: Path) -> Iterator[Path]:
    from themis_core.errors import StorageError

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
