"""The commands `themis compare`, `themis baseline` and `themis power`. What they say is found in the modules beside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from themis_output import as_json, cell, echo, heading, own_stdout, quoted, safe, sentences, store_options

__all__ = ["baseline", "compare", "power"]

_PATH = click.Path(path_type=Path)


def _format(*formats: str) -> Callable[..., Any]:
    return click.option(
        "--format", "as_format", type=click.Choice(formats), default="text", show_default=True,
        help="For people, for programs, or for a page." if "markdown" in formats else "For people, or for programs.",
    )  # fmt: skip


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN [RUN]...")
@click.option("--by", type=click.Choice(["model", "prompt", "params"]), help="What to compare within one run.")
@click.option("--model", "models", multiple=True, metavar="ID", help="Only this model. Repeatable.")
@click.option("--prompt", "prompts", multiple=True, metavar="ID", help="Only this prompt variant. Repeatable.")
@click.option("--params", "settings", multiple=True, metavar="TEXT", help="Only this setting, as results show it.")
@click.option("--slice", "slice_id", metavar="ID", help="Only this slice.")
@click.option("--baseline", metavar="NAME", help="Within one run: compare all others with this one.")
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Score or metric; by default the first of the spec. Repeatable.",
)
@click.option("--margin", type=float, metavar="X", help="The difference that does not matter.")
@click.option("--cluster", metavar="FIELD", help="Metadata field; items that share its value are not independent.")
@click.option(
    "--correction", type=click.Choice(["holm", "bh", "none"]), default="holm", show_default=True,
    help="How to correct the p-values of several comparisons.",
)  # fmt: skip
@click.option("--unpaired", is_flag=True, help="Compare runs that have no items in common.")
@click.option(
    "--flips",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Show N items that one side got right and the other wrong, if two sides are compared.",
)
@click.option("--spec-b", type=_PATH, metavar="FILE", help="Spec of another store, for all runs but the first.")
@click.option("--project-b", type=_PATH, metavar="FILE", help="The same, by a project file.")
@store_options
@_format("text", "json", "markdown")
@own_stdout()
def compare(
    runs: tuple[str, ...], by: str | None, models: tuple[str, ...], prompts: tuple[str, ...], settings: tuple[str, ...],
    slice_id: str | None, as_format: str, spec: Path | None, project: Path | None, spec_b: Path | None,
    project_b: Path | None, metrics: tuple[str, ...], **options: Any,
) -> None:  # fmt: skip
    """Say whether B is better than A: runs, or the models, prompts or settings of one run.

    RUN is a run's id or its beginning, a part of a run (`RUN:model=ID`, also prompt, params, slice), or a file
    that `themis baseline set` wrote. With several runs, the first is A. With one run, every pair of its models is
    compared.

    Exits: 0 B is better, or equivalent within the margin; 1 B is worse; 10 inconclusive; other codes from 2 on as in
    `themis run`. If every pair is compared, 0 means that all pairs could be told apart.
    """
    from themis_plugin_stats.baselines import is_file
    from themis_plugin_stats.comparing import compare as made
    from themis_plugin_stats.opening import opened
    from themis_plugin_stats.sides import parse_side

    with opened(runs, spec, project, spec_b, project_b) as stores:
        sides = [parse_side(each) for each in runs]
        found_by, only = _split(by, models, prompts, settings)
        for side in sides:
            side.only.update({"slice": slice_id} if slice_id else {})
            side.only.update(_fixed(found_by, models, prompts, settings))
        found = made(*sides, results=stores, by=found_by, only=only, metric=metrics, **options)  # type: ignore[arg-type]
    if as_format == "json":
        echo(as_json(found.to_dict()))
    elif as_format == "markdown":
        echo(safe(found.markdown()))
    else:
        _show(found)
        if options["flips"] and not found.flips:
            echo(f"\n{_no_flips(found, any(is_file(each.run) for each in sides))}")
    click.get_current_context().exit(found.exit_code)


def _split(
    by: str | None, models: tuple[str, ...], prompts: tuple[str, ...], settings: tuple[str, ...]
) -> tuple[str | None, tuple[str, ...]]:
    """By what one run is split, and which parts of that take part: what is named more than once says it as well."""
    named = {"model": models, "prompt": prompts, "params": settings}
    found = by or next((name for name, values in named.items() if len(values) > 1), None)
    if found is None and len(models) == 1:
        return None, ()
    return found, named.get(found or "", ())


def _fixed(
    by: str | None, models: tuple[str, ...], prompts: tuple[str, ...], settings: tuple[str, ...]
) -> dict[str, str]:
    """What all sides have in common: what is named once, and is not what is compared."""
    named = {"model": models, "prompt": prompts, "params": settings}
    for name, values in named.items():
        if len(values) > 1 and name != by:
            raise click.UsageError(f"--{name} is there more than once, but --by {by} says what is compared")
    return {name: values[0] for name, values in named.items() if len(values) == 1 and name != by}


def _show(found: Any) -> None:
    for line in found.verdict.splitlines():
        echo(sentences(safe(line)), bold=True)
    echo()
    echo(safe(found.table()))
    if found.differs:
        heading("What differs")
        for each in found.differs:
            echo(f"  {cell(each['what'])}: {cell(each['a'])} → {cell(each['b'])}")
    for each in found.flips:
        heading(f"Item {each['item']} of {each['slice']}: {each['score_a']:g} → {each['score_b']:g}")
        echo(f"  reference: {cell(each['reference'])}")
        for name in ("answer_a", "answer_b"):
            echo(f"  {name.replace('_', ' ').replace(' a', ' A').replace(' b', ' B')}:\n{quoted(each[name] or '')}")


def _no_flips(found: Any, is_of_file: bool) -> str:
    if len({(each.a, each.b) for each in found.pairs}) > 1:
        return "flips are shown of one pair: name its two sides, such as RUN:model=ID RUN:model=ID"
    return "flips are not shown: a baseline file has no answers" if is_of_file else "no item flipped"


@click.group()
def baseline() -> None:
    """Keep a run's scores in a file, to compare later runs with."""


@baseline.command("set")
@click.argument("run")
@click.option("-o", "--output", type=_PATH, default=Path("themis-baseline.json"), show_default=True, metavar="FILE")
@store_options
@own_stdout()
def set_baseline(run: str, output: Path, spec: Path | None, project: Path | None) -> None:
    """Write the scores of RUN, item by item, to a file that you can commit.

    `themis compare FILE RUN` compares another run with the file, without the store of this run; so does the
    conclusion `stats/compare` of a spec.
    """
    from themis_core import SpecError, counted, open_results
    from themis_output import CannotWrite
    from themis_plugin_stats.baselines import write_baseline
    from themis_plugin_stats.collecting import ALL, collect

    with open_results(spec, project=project) as results:
        collected = collect(results, run, ALL, each_score=True)
        numbers = results.result(collected.run.run_id).scores
    try:
        write_baseline(collected, numbers, output)
    except CannotWrite as error:
        raise SpecError(str(error)) from error
    count = sum(len(cell.items) for cells in collected.cells.values() for cell in cells.values())
    echo(f"{safe(str(output))}: {safe(collected.run.run_id)}, {counted(count, 'score')}")
    if collected.run.status != "completed":
        told = f"warning: this run has the status {collected.run.status}: only what has a score is in the file"
        echo(told, err=True)


@baseline.command("show")
@click.argument("file", type=_PATH, default=Path("themis-baseline.json"), required=False)
@_format("text", "json")
@own_stdout()
def show_baseline(file: Path, as_format: str) -> None:
    """Show a baseline file: its run, and the number for each slice, model, prompt and setting."""
    from themis_output import table
    from themis_plugin_stats.baselines import read_baseline

    found = read_baseline(file)
    rows = [
        {
            "slice": group.slice_id, "model": group.model, "prompt": group.prompt, "params": group.params,
            "metric": "/".join(key), "value": cell.number,
            "items": len(cell.items),
        }
        for key, cells in found.cells.items() for group, cell in cells.items()
    ]  # fmt: skip
    told = {
        "run_id": found.run.run_id,
        "status": found.run.status,
        "finished_at": found.run.finished_at,
        "file": str(file),
    }
    if as_format == "json":
        echo(as_json({**told, "scores": rows}))
        return
    echo(f"{safe(str(file))}: {safe(found.run.run_id)}, {found.run.status}, at {_time(found.run.finished_at)}")
    table(list(rows[0]) if rows else ["slice"], [list(row.values()) for row in rows], shared=("params", "metric"))


def _time(at: str | None) -> str:
    return "–" if at is None else f"{safe(at[:19].replace('T', ' '))} UTC"


@click.command()
@click.argument("run", required=False)
@click.option("--difference", type=float, metavar="X", help="The true difference to find.")
@click.option("--items", type=click.IntRange(min=2), metavar="N", help="How many items there will be.")
@click.option("--rate", type=click.FloatRange(0, 1), metavar="P", help="Without a run: the rate of A, such as 0.7.")
@click.option(
    "--agreement", type=click.FloatRange(0, 1), metavar="K",
    help="Without a run: how much the sides are right on the same items, from 0 (by chance) to 1; 0.5 by default.",
)  # fmt: skip
@click.option("--metric", metavar="NAME", help="Score or metric; by default the first.")
@click.option(
    "--power",
    "wanted",
    type=click.FloatRange(0.01, 0.999),
    default=0.8,
    show_default=True,
    help="Chance of finding the difference.",
)
@store_options
@_format("text", "json")
@own_stdout()
def power(run: str | None, spec: Path | None, project: Path | None, as_format: str, **options: Any) -> None:
    """Say how many items a comparison needs, or what it can show, from a stored run or from assumed rates.

    With RUN, the spread between its models (or prompts, or settings) is used. The output also says where the spread
    comes from: items, prompt variants, samples, or repeats of judges.
    """
    from themis_plugin_stats.forecasting import forecast

    found = forecast(run, spec=spec, project=project, **options)
    echo(as_json(found.to_dict()) if as_format == "json" else safe(found.text()))
