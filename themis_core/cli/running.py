"""`themis run` and `themis plan`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from themis_core.cli.outputs import CommandWithOutputs, asked_outputs
from themis_core.cli.results import View, show_result, view_options, warn
from themis_output import Figure, as_json, cell, echo, format_option, heading, number, quoted, safe, table
from themis_wording import counted

if TYPE_CHECKING:
    from themis_core.results import GroupRow
    from themis_core.session import PlanReport

__all__ = ["EXIT_CODE", "plan", "run"]

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
    format_option,
)


def _spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


@click.command(cls=CommandWithOutputs)
@_spec_options
@view_options
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def run(spec: Path, as_format: str, quiet: bool, **options: Any) -> None:
    """Run the benchmark in the file SPEC; what is stored already is not asked again.

    Exits: 0 all answered, 1 a threshold or conclusion not met, 2 the spec is wrong, 3 a plugin is broken, 4 the store,
    5 trials failed, nothing could be scored or a parse found hardly anything, 6 budget or quota reached, 70 an
    unexpected error, 74 the result could not be printed or written, 130 interrupted, 143 terminated.
    """
    from themis_core import session
    from themis_core.cli.progress import ProgressLine

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
        groups: list[GroupRow] = []
        if view.by or view.repeats:
            with session.open_results(spec, project=options["project"], overrides=options["overrides"]) as results:
                groups = view.groups(results, result.run_id)
        if as_format == "json":
            echo(as_json({**result.to_dict(), **({"groups": groups} if groups else {})}))
        else:
            show_result(result, view, groups)
        warn(result)
        if result.note:
            click.echo(safe(result.note), err=True)
    context.exit(result.exit_code)


def _check(view: View, spec: Path, options: dict[str, Any]) -> None:
    """Refuse what can't be shown before a call is paid for."""
    if view == View(wide=view.wide):
        return
    from themis_core.reading import load_specs

    view.check(load_specs(spec, options["project"], options["overrides"], None, (), None).benchmark)


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
        _show_plan(report)


def _show_plan(report: PlanReport) -> None:
    from themis_core.session.edited import told

    echo(f"run {safe(report.run_id)}, spec {report.spec_digest[:12]}, store {safe(report.storage)}")
    echo(f"{counted(report.trials, 'trial')}, {report.stored} of them stored, {report.to_call} to call")
    heading("Calls by model (input tokens are an estimate)")
    names = ("calls", "input_tokens", "max_output_tokens", "cost")
    labelled = ("model",) if any(row["model"] != row["model_id"] for row in report.per_model) else ()
    _show_calls(report.per_model, ("model_id", *labelled, "provider", "endpoint", "trials", "stored", *names))
    if any(row["params"] != report.per_model[0]["params"] for row in report.per_model):
        heading("Settings by model")
        _show_dicts(
            [{**row, "params": each} for row in report.per_model for each in row["params"]], ("model_id", "params")
        )
    if report.judges:
        heading("Calls by judge (without re-asks; tokens are an estimate)")
        _show_calls(report.judges, ("slice_id", "score", "metric", "model_id", "provider", "scores", "stored", *names))
    if any(row["cost"] for row in (*report.per_model, *report.judges)):
        echo("cost: ≤ if each answer has max_tokens, its most; ≥ where no such limit is set: of the input alone")
    if report.unknown_cost_calls:
        calls = counted(report.unknown_cost_calls, "call", "goes", "go")
        echo(f"{calls} to models without a price: what is unknown is in no sum")
    if report.may_stop:
        echo(report.may_stop)
    for each in report.edited:
        echo(safe(told(each)))
    heading("Slices")
    _show_dicts(report.slices, ("slice_id", "items", "trials"))
    if report.unscorable:
        heading("Items that can't be scored, whatever the answer is")
        _show_dicts(
            [{**row, "such as": ", ".join(row["examples"])} for row in report.unscorable],
            ("slice_id", "score", "metric", "reason", "items", "of_items", "such as"),
        )
    if report.leaks:
        heading("Items among the examples of their own prompt")
        _show_dicts(
            [{**row, "such as": ", ".join(row["examples"])} for row in report.leaks],
            ("slice_id", "prompt_variant_id", "items", "of_items", "replaced", "left_out", "allowed", "such as"),
        )
    for sample in report.samples:
        heading(f"Prompt {sample['prompt_variant_id']}, as sent for item {sample['item_id']} of {sample['slice_id']}")
        show_messages(sample["messages"])


def _show_calls(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    bounded = [{**row, "cost": _bounded(row["cost"], row["max_output_tokens"])} for row in rows]
    _show_dicts(bounded, columns, shared=("provider", "endpoint", "slice", "score", "metric"))


def _bounded(cost: float | None, max_output_tokens: int | None) -> Figure | None:
    if cost is None:
        return None
    return Figure(f"{'≥' if max_output_tokens is None else '≤'} {number(cost)}" if cost else "0")


def _show_dicts(rows: list[dict[str, Any]], columns: tuple[str, ...], shared: tuple[str, ...] = ()) -> None:
    table(
        ["sent as" if name == "model" else name.removesuffix("_id").replace("_", " ") for name in columns],
        [[row[name] for name in columns] for row in rows],
        shared=shared,
    )


def show_messages(messages: list[dict[str, Any]]) -> None:
    """Print rendered messages: the role, and beneath it what is said; parts that are no text as JSON."""
    for message in messages:
        echo(f"  {cell(message.get('role'))}:")
        content = message.get("content")
        for part in [content] if isinstance(content, str) or content is None else content:
            text = part if isinstance(part, str) else (part or {}).get("text")
            echo(quoted(text if isinstance(text, str) else as_json(part, indent=None)))
