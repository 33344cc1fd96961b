"""`themis run` and `themis plan`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from themis_core.cli.outputs import CommandWithOutputs, asked_outputs
from themis_display import ProgressLine, View, show_plan, show_result, view_options, warn
from themis_output import as_json, echo, format_option, safe
from themis_wording import counted

if TYPE_CHECKING:
    from themis_core.results import GroupRow

__all__ = ["EXIT_CODE", "plan", "run", "run_and_show", "run_options"]

EXIT_CODE = "themis.exit_code"
"""In the context's `meta`: how a run ended that is over."""

_OPTIONS = (
    click.argument("spec", type=click.Path(path_type=Path)),
    click.option(
        "--project", type=click.Path(path_type=Path), metavar="FILE", help="File with the project's settings."
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="PATH=VALUE",
        help="Override a value of the spec: inference_grid.params[0].max_tokens=64. Repeatable.",
    ),
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N items of each slice."),
    click.option("--model", "models", multiple=True, metavar="ID", help="Only this model. Repeatable."),
    click.option("--shard", metavar="K/N", help="Only the K-th of N parts of the run; all parts together are one run."),
    format_option,
)


def _spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument SPEC and the options of `themis run` to a command of class `CommandWithOutputs`.

    What it receives by them goes on to `run_and_show`.
    """
    quiet = click.option("--quiet", is_flag=True, help="No progress on standard error.")
    retries = click.option(
        "--worker-retries",
        type=click.IntRange(min=0),
        metavar="N",
        help="How often in a row to replace a worker that is lost before it gets anything done; 3 by default.",
    )
    return _spec_options(view_options(quiet(retries(command))))


@click.command(cls=CommandWithOutputs)
@run_options
@click.option("--detach", is_flag=True, help="Don't wait for batches: run again to collect them (exit 75 until then).")
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Divide the run among N processes on this machine."
)
def run(**options: Any) -> None:
    """Run the benchmark in the file SPEC; what is already stored is not asked again.

    Exits: 0 all answered, 1 a threshold or conclusion not met, 2 the spec is wrong, 3 a plugin is broken, 4 the store
    can't be used, 5 trials failed, nothing could be scored or a parse found hardly anything, 6 budget or quota
    reached, 70 an unexpected error, 74 the result could not be printed or written, 75 batches are left for a later
    run, 130 interrupted, 143 terminated.

    With --shard, the shard that ends last prints the run's result; the others exit with 0 once their part is complete.
    """
    if options["workers"] is None and options["worker_retries"] is not None:
        raise click.UsageError("--worker-retries is about workers, and there are none: say how many with --workers")
    run_and_show(**options)


def run_and_show(spec: Path, as_format: str, quiet: bool, **options: Any) -> None:
    """Run a benchmark as `themis run` does: progress, result, outputs and exit code. `options` go on to `run`."""
    from themis_core import gates_of, session

    outputs, view = asked_outputs(as_format), View.taken(options)
    _check(view, spec, options)
    try:
        with _without_progress() if quiet else ProgressLine() as line:
            result = session.run(spec, progress=line, **options)
    except KeyboardInterrupt:  # the second Ctrl-C: the first one ends a run in good order
        click.echo("interrupted: what was saved stays saved; run the same command again to go on", err=True)
        raise
    context = click.get_current_context()
    context.meta[EXIT_CODE] = result.exit_code  # it stands, also if the result can't be printed
    with ExitStack() as written:  # each of them, also if one can't be, or if nobody reads what is printed
        for output in reversed(outputs):
            written.callback(output.write, result)
        groups: Sequence[GroupRow] = []
        if view.by or view.repeats:
            with session.open_results(spec, project=options["project"], overrides=options["overrides"]) as results:
                groups = view.groups(results, result.run_id)
        if as_format == "json":
            echo(as_json({**result.to_dict(), **({"groups": groups} if groups else {})}))
        elif result.part is not None:
            calls = counted(result.generated, "call")
            echo(f"{safe(result.run_id)}: {result.status}; {calls} answered, {counted(result.reused, 'trial')} reused")
        else:
            show_result(result, gates_of({"thresholds": result.thresholds}), view, groups)
        warn(result)
        if result.note:
            click.echo(safe(result.note), err=True)
    context.exit(result.exit_code)


def _check(view: View, spec: Path, options: dict[str, Any]) -> None:
    """Refuse what can't be shown before a call is paid for."""
    if view.is_plain:
        return
    from themis_core.reading import load_specs
    from themis_core.results import check_groups

    benchmark = load_specs(spec, options["project"], options["overrides"], None, (), None).benchmark
    check_groups(benchmark, view.by, view.repeats)
    scores = [score for each in benchmark.slices for score in each.scores]
    view.check([name for each in scores for name in (*(m.label for m in each.metrics), each.name)])


@contextmanager
def _without_progress() -> Iterator[None]:
    """Keep back what Python's logging prints for programs that set up none, but for errors and the run's warnings."""
    handler = logging.lastResort
    if handler is None:
        yield
        return
    handler.addFilter(_is_needed)
    try:
        yield
    finally:
        handler.removeFilter(_is_needed)


def _is_needed(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or record.name == "themis"


@click.command()
@_spec_options
def plan(spec: Path, as_format: str, **options: Any) -> None:
    """Say what `run` would do, call by call, and what it would cost; nothing is called or stored."""
    from themis_core import session

    report = session.plan(spec, **options)
    if as_format == "json":
        echo(as_json(report.to_dict()))
    else:
        show_plan(report, [session.edited.told(each) for each in report.edited])
