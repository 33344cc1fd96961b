"""`themis judge measure`: how it is asked and what it prints. What is measured is in `measure`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

import themis_core as themis
from themis_core import SpecError, counted
from themis_intervals import shown
from themis_labels import METHODS, Estimate, JudgeMeasurement, Labels, Scale, figures, label_values, measure_run
from themis_output import format_option

__all__ = ["measure"]


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option(
    "--label",
    default="label",
    show_default=True,
    metavar="NAME",
    help="Field or metadata with the human label, or `reference`; its value may be a mapping from model id to label.",
)
@click.option(
    "--label-value", "numbers", multiple=True, metavar="TEXT=NUMBER", help="What a label counts as. Repeatable."
)
@click.option("--threshold", type=float, help="Count labels and scores from here on as 1, lower ones as 0.")
@click.option(
    "--scale",
    type=click.Choice(["nominal", "ordinal", "interval"]),
    help="The scale for kappa and alpha; by default nominal for 0 and 1, interval for grades.",
)
@click.option("--no-run", is_flag=True, help="Only read what is stored; call nothing.")
@click.option("--project", type=click.Path(path_type=Path), metavar="FILE", help="File with the project's settings.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N items of each slice.")
@click.option("--model", "models", multiple=True, metavar="ID", help="Only this model. Repeatable.")
@format_option
def measure(
    spec: Path,
    label: str,
    numbers: Sequence[str],
    threshold: float | None,
    scale: Scale | None,
    no_run: bool,
    as_format: str,
    project: Path | None,
    **taken: Any,
) -> None:
    """Run the benchmark in the file SPEC and measure its judges against human labels.

    What is stored is not asked again. Exits as `themis run` does, except that thresholds of the spec are ignored.
    """
    labels = Labels(label, label_values(numbers))
    exit_code, note = 0, ""
    if no_run:
        run_id = themis.plan(spec, project=project, **taken).run_id
    else:
        result = themis.run(spec, project=project, **taken)
        run_id, note = result.run_id, result.note
        exit_code = result.exit_code if result.exit_code != 1 else 0
    with themis.open_results(spec, project=project) as results:
        if all(run.run_id != run_id for run in results.runs()):
            raise SpecError(f"nothing is stored of {run_id}, which is the run of this spec: leave out --no-run")
        measured = measure_run(results, run_id, labels, threshold=threshold, scale=scale)
    if as_format == "json":
        told = {"run_id": run_id, "label": label, "threshold": threshold, "judges": [asdict(each) for each in measured]}
        click.echo(json.dumps(told, indent=2, allow_nan=False))
    else:
        click.echo("\n\n".join(_page(each) for each in measured))
    if note:
        click.echo(_safe(note), err=True)
    click.get_current_context().exit(exit_code)


def _page(found: JudgeMeasurement) -> str:
    reasons = ", ".join(f"{reason} {count}" for reason, count in found.unscored.items())
    head = (
        f"{found.score}/{found.metric} ({found.component}), slices: {', '.join(found.slices)}\n"
        f"{counted(found.labelled, 'answer', 'has', 'have')} a label, {found.n} of them a score; of all answers "
        f"{sum(found.unscored.values())} unscored{f' ({reasons})' if reasons else ''}, {found.not_judged} not judged\n"
    )
    lines = [
        _safe(head),
        *_aligned(
            [("figure", "value", "95 % interval", "n"), *((name, *_told(each)) for name, each in figures(found))],
            left=1,
        ),
    ]
    if (bias := found.position_bias) is not None:
        lines.append(
            f"\nposition: {bias['n']} questions in both orders, {_cell(bias['consistent'])} consistent; "
            f"{bias['first']} favour the first place, {bias['second']} the second (p = {_cell(bias['p'])})"
        )
    return "\n".join([*lines, "", *_corrections(found)])


def _corrections(found: JudgeMeasurement) -> list[str]:
    rest = [each for each in found.corrected if each.n]
    if not rest:
        return ["every scored answer has a label: there is nothing to correct"]
    names = ("slice", "model", "prompt", "params", "judge", "corrected", "95 % interval", "n", "not judged", "unscored")
    rows = [
        (
            *(each.slice_id, each.model_id, each.prompt_variant_id, each.params),
            *(_cell(each.judge_mean), *_told(each.corrected), str(each.not_judged), str(each.unscored)),
        )
        for each in rest
    ]
    lines = [f"answers without a label, corrected by {METHODS[found.method]}:", *_aligned([names, *rows], left=4)]
    if any(each.corrected.low is None for each in rest):
        lines.append(
            "–: the labels or the scores tell too little for it (fewer than five, or all alike), or the judge is no "
            "better than chance, or it errs otherwise than on the answers with a label"
        )
    return lines


def _told(figure: Estimate) -> tuple[str, str, str]:
    return _cell(figure.value), shown(figure.low, figure.high), str(figure.n)


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _aligned(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Rows of equal length as lines; the first `left` columns start at the left, the others end at the right."""
    cells = [[_safe(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def _safe(text: str) -> str:
    """Escape what could steer a terminal or hide text."""
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode("ascii") for each in text
    )
