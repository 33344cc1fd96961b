"""`themis report` and `themis view`: what they are asked, and where they write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from themis_core import StorageError, Store, counted
from themis_output import CannotWrite, atomic_output, echo, own_path, own_stdout, safe, store_options

if TYPE_CHECKING:
    from themis_plugin_report.gathering import Gathered, Wanted

__all__ = ["report", "view"]

FORMATS = ("html", "markdown", "latex", "csv")
ENDS = {".html": "html", ".htm": "html", ".md": "markdown", ".tex": "latex", ".csv": "csv"}
MOST = 20_000
"""Single results of a page, unless more are asked for."""


def _store_command(command: Callable[..., Any]) -> click.Command:
    """Make a command that reads a store, with standard output to itself."""
    return click.command()(store_options(own_stdout()(command)))


def _wanted_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--by` and what is said of labels; the command receives `wanted`."""

    @wraps(command)
    def told(
        *args: Any, by: Sequence[str], label: str | None, numbers: Sequence[str], threshold: float | None, **more: Any
    ) -> Any:
        from themis_labels import Labels, label_values
        from themis_plugin_report.gathering import Wanted

        if label is None and (numbers or threshold is not None):
            raise click.UsageError("--label-value and --threshold are about labels: add --label NAME")
        labels = None if label is None else Labels(label, label_values(numbers))
        return command(*args, wanted=Wanted(by, labels, threshold), **more)

    for option in reversed(_WANTED):
        told = option(told)
    return told


_WANTED = (
    click.option(
        "--by",
        multiple=True,
        metavar="NAME",
        help="Plot and tabulate groups by this, such as metadata.subject, params.temperature. Repeatable. By default "
        "the dimensions and metadata that several slices or items share.",
    ),
    click.option(
        "--label",
        metavar="NAME",
        help="Measure judges against human labels: the field or metadata with the labels, as in `themis judge "
        "measure`.",
    ),
    click.option(
        "--label-value",
        "numbers",
        multiple=True,
        metavar="TEXT=NUMBER",
        help="With --label: what a label counts as. Repeatable.",
    ),
    click.option(
        "--threshold",
        type=float,
        help="With --label: count labels and judges' scores from here on as 1, lower ones as 0.",
    ),
)


@_store_command
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write the report; required for HTML.",
)
@click.option(
    "--format",
    "as_format",
    type=click.Choice(FORMATS),
    help="By default, the output's extension decides, or else html.",
)
@click.option(
    "--table",
    "name",
    metavar="NAME",
    help="Only this table, such as scores, in Markdown, LaTeX or CSV. A CSV file holds one.",
)
@click.option(
    "--setup", is_flag=True, help="Write the paragraph on the experimental set-up instead: text, Markdown or LaTeX."
)
@click.option(
    "--results",
    "most",
    type=click.IntRange(0),
    show_default=str(MOST),
    help="The most single results that an HTML page may hold.",
)
@_wanted_options
def report(
    runs: Sequence[str],
    wanted: Wanted,
    output: Path | None,
    as_format: str | None,
    name: str | None,
    setup: bool,
    most: int | None,
    spec: Path | None,
    project: Path | None,
) -> None:
    """Write the results of each RUN (by default the latest) as a self-contained HTML page, or as tables.

    The beginning of a run's id is enough.
    """
    from themis_plugin_report.gathering import gathered, opened

    chosen = _setup_format(as_format, output) if setup else _format_of(as_format, output)
    _check_options(chosen, setup=setup, name=name, most=most, groups=bool(wanted.by or wanted.labels))
    if chosen == "html" and output is None:
        raise click.UsageError("a page needs a file: add -o report.html, or --format markdown")
    with opened(spec, project) as (results, store):
        made = gathered(results, store, runs, wanted)
        with closing(made.index):
            if setup:
                _write(_setups(made, chosen), output)
            elif chosen == "html":
                _write_page(store, made, output, MOST if most is None else most)
            else:
                _write(_tables(made, chosen, name), output)


def _format_of(as_format: str | None, output: Path | None) -> str:
    suffix = "" if output is None else output.suffix.lower()
    by_name = ENDS.get(suffix)
    if by_name and as_format and by_name != as_format:
        raise click.UsageError(f"--output ends in {suffix}, and --format is {as_format}: leave one of them out")
    if suffix and not by_name and not as_format:
        raise click.UsageError(f"--output ends in {suffix}: add --format, one of {', '.join(FORMATS)}")
    return as_format or by_name or "html"


def _setup_format(as_format: str | None, output: Path | None) -> str:
    """As `_format_of`, but without a format that is told, it is plain text."""
    if as_format is None and (output is None or output.suffix.lower() in ("", ".txt")):
        return "text"
    found = _format_of(as_format, output)
    if found not in ("markdown", "latex"):
        raise click.UsageError(
            f"--setup writes a paragraph, which is no {found}: --format markdown or latex, an output that ends in "
            ".md, .tex or .txt, or no output"
        )
    return found


def _check_options(chosen: str, *, setup: bool, name: str | None, most: int | None, groups: bool) -> None:
    """Raise UsageError for an option that would change nothing."""
    if name is not None and (setup or chosen == "html"):
        instead = "--setup writes no table" if setup else "a page has all tables"
        raise click.UsageError(f"{instead}: leave out --table, or choose markdown, latex or csv without --setup")
    if groups and setup:
        raise click.UsageError("--setup writes no numbers: leave out --by and --label")
    if most is not None and (setup or chosen != "html"):
        raise click.UsageError("only an HTML page holds single results: leave out --results, or add -o report.html")


def _setups(made: Gathered, chosen: str) -> str:
    from themis_plugin_report.setups import setup_of
    from themis_plugin_report.tables import in_latex, in_markdown
    from themis_plugin_report.verdicts import unfinished

    write = {"markdown": in_markdown, "latex": in_latex}.get(chosen, str)
    told = [
        " ".join(filter(None, (_stressed(unfinished(result), chosen), write(setup_of(run)))))
        for run, result in zip(made.runs, made.results, strict=True)
    ]
    return "\n\n".join(told) + "\n"


def _stressed(text: str, chosen: str) -> str:
    """A sentence that nobody overlooks, in a format; empty for none."""
    from themis_plugin_report.tables import in_latex, in_markdown

    if not text:
        return ""
    return {"markdown": f"**{in_markdown(text)}.**", "latex": rf"\textbf{{{in_latex(text)}.}}"}.get(
        chosen, f"{safe(text)}."
    )


def _write_page(store: Store, made: Gathered, output: Path | None, most: int) -> None:
    from themis_plugin_report.page import whole

    total = made.index.count()
    page, left_out = whole(made, store, most)
    _write(page, output)
    more = (
        f"; {left_out} are left out: --results {total} takes all of them, and `themis view` shows them"
        if left_out
        else ""
    )
    told = f"{output}: {len(page) / 1e6:.1f} MB, {counted(total - left_out, 'result')} of {total}{more}"
    click.echo(safe(told), err=True)


def _tables(made: Gathered, chosen: str, name: str | None) -> str:
    from themis_plugin_report.tables import TABLES, as_csv, as_latex, as_markdown, tables
    from themis_plugin_report.verdicts import unfinished

    found = {each.name: each for each in tables(made)}
    if chosen == "csv":
        name = name or "scores"
    if name is not None and name not in found:
        known = ", ".join(found if name in TABLES else TABLES)
        raise click.UsageError(f"there is no table {name!r} to write: one of {known}")
    wanted = list(found.values()) if name is None else [found[name]]
    write = {"markdown": as_markdown, "latex": as_latex, "csv": as_csv}[chosen]
    lacking = [_stressed(told, chosen) for told in map(unfinished, made.results) if told]
    if chosen == "csv":  # which has no place for a sentence
        for told in lacking:
            click.echo(told, err=True)
        lacking = []
    return "\n".join([*(f"{told}\n" for told in lacking), *map(write, wanted)])


def _write(text: str, output: Path | None) -> None:
    if output is None:
        echo(text.rstrip("\r\n"))
        return
    try:
        with atomic_output(own_path(output)) as part:
            part.write_text(text, "utf-8", newline="")
    except CannotWrite as error:
        raise StorageError(str(error)) from error


@_store_command
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on this machine; a free one by default.")
@_wanted_options
def view(runs: Sequence[str], port: int, wanted: Wanted, spec: Path | None, project: Path | None) -> None:
    """Serve the pages of a store to a browser on this machine, for runs of any size, also while they run.

    Prints the address of a list of all runs, or of one page with each RUN. Ctrl-C ends the server. It only reads the
    store.
    """
    import secrets
    import socket
    from urllib.parse import urlencode

    import uvicorn

    from themis_plugin_report.gathering import check, opened
    from themis_plugin_report.serving import application

    with opened(spec, project) as (results, _):  # what is wrong is told before anything is served
        ids = list(dict.fromkeys(results.run(each).run_id for each in runs))
        check(results, ids, wanted)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
            listening.listen()  # who reads the address may call it at once
        except OSError as error:
            raise click.UsageError(f"port {port} can't be had ({error.strerror}): leave out --port") from error
        port, token = listening.getsockname()[1], secrets.token_urlsafe(16)
        hosts = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
        path = f"run?{urlencode([('id', each) for each in ids])}" if ids else ""
        echo(f"http://127.0.0.1:{port}/{token}/{path}")
        config = uvicorn.Config(
            application(spec, project, token, hosts, wanted), log_level="warning", access_log=False,
            server_header=False, timeout_graceful_shutdown=2,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listening])
