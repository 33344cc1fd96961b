"""How a run's result is shown: its scores, its ledger, what went wrong, its thresholds."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from themis_core.wording import counted
from themis_output import Figure, cell, echo, fits, number, safe, stdout, table

if TYPE_CHECKING:
    from themis_core.results import RunResult

__all__ = ["cost_text", "show_result", "warn"]

_NAMES = ("slice", "model", "prompt", "params", "score", "metric")
_ROW = ("slice_id", "model_id", "prompt_variant_id", "params", "score", "metric")
MISSED_SHOWN = 20
"""Rows of one threshold; `--format json` has all of them."""


def cost_text(known: float | None, unknown_calls: int, at_most: float | None) -> str:
    """What calls cost, and how many calls' cost isn't known; empty if there is nothing to say."""
    if not unknown_calls:
        return "" if known is None else f"cost {number(known)}"
    bound = "" if at_most is None else f", {number(at_most)} at most"
    unknown = f"cost of {counted(unknown_calls, 'call')} unknown"
    return f"cost {number(known or 0.0)} and the {unknown}{bound}" if known else f"{unknown}{bound}"


def show_result(result: RunResult) -> None:
    """Print what a run gave: scores with their intervals, then the ledger that every number needs beside it."""
    if result.scores:
        _show_scores(result)
    else:
        echo("no scores")
    _show_counts(result)
    for name, counts in result.ledger.get("scores", {}).items():
        if unscored := counts["unscored"]:
            reasons = ", ".join(f"{cell(reason)} {count}" for reason, count in unscored.items())
            echo(f"  {cell(name)}: {sum(unscored.values())} unscored ({reasons})")
    for code, message in result.errors.items():
        count = result.ledger.get("failures", {}).get(code)
        echo(f"  {cell(code)}{f' ({count})' if count else ''}, such as: {cell(message)}")
    if not result.note:  # which names the remedies
        for code, remedy in result.remedies.items():
            echo(f"  {cell(code)}, what to do: {cell(remedy)}")
    for threshold in result.thresholds:
        _show_threshold(threshold)
    for each in result.conclusions:
        _show_conclusion(each)


def _show_scores(result: RunResult) -> None:
    from themis_core.results.table import scores_told

    shown = scores_told(result.scores)
    above, header, cells = shown if fits(*shown[1:]) else _metrics_above(*shown)
    for line in above:
        echo(cell(line))
    rows = [[text if name in _NAMES else Figure(text) for name, text in zip(header, row, strict=True)] for row in cells]
    table(header, rows, shared=("score",))


def _metrics_above(
    above: list[str], header: Sequence[str], cells: Sequence[Sequence[str]]
) -> tuple[list[str], Sequence[str], Sequence[Sequence[str]]]:
    """Say above a table that is too wide which metric each score has, if none has two."""
    score, metric = header.index("score"), header.index("metric")
    pairs = list(dict.fromkeys((row[score], row[metric]) for row in cells))
    if len({name for name, _ in pairs}) < len(pairs):
        return above, header, cells
    told = "metrics: " + ", ".join(f"{name} is {component}" for name, component in pairs)
    kept = [[text for index, text in enumerate(row) if index != metric] for row in (header, *cells)]
    return [*above, told], kept[0], kept[1:]


def _show_counts(result: RunResult) -> None:
    ends = ("answered", "refused", "truncated", "empty", "absent", "failed", "unfinished")
    ledger = ", ".join(f"{result.ledger[name]} {name}" for name in ends if result.ledger.get(name))
    cost = cost_text(result.cost, result.unknown_cost_calls, result.cost_at_most)
    ended = f"{safe(result.run_id)}: {result.status}; {counted(result.trials, 'trial')} ({ledger or 'none finished'})"
    told = f"; {cost} in all executions" if cost else ""
    reused = f"{counted(result.reused, 'trial')} reused"
    work = f"{counted(result.generated, 'call')} answered, {reused}{told}; store {safe(result.storage)}"
    narrow = stdout().isatty() and len(ended) + len(work) + 2 > shutil.get_terminal_size().columns
    parting = "\n  " if narrow else "; "
    echo(f"\n{ended}{parting}{work}")


def warn(result: RunResult) -> None:
    """Say on standard error what must not be overlooked, whatever else is shown."""
    for line in result.warnings:
        click.echo(safe(line), err=True)


def _show_threshold(threshold: Mapping[str, Any]) -> None:
    said = ("met", "judged", "why", "missed", "unjudged")
    shown = {
        name: value for name, value in threshold.items() if name not in said and (name, value) != ("max_missing", 0)
    }
    told = ", ".join(f"{name} {cell(value)}" for name, value in shown.items())
    missed, unjudged = threshold["missed"], threshold["unjudged"]
    verdict = "met" if threshold["met"] else "NOT MET" if missed else "NOT JUDGED, so not met"
    why = f"; {cell(threshold['why'])}" if threshold["why"] and not unjudged else ""
    echo(f"  threshold {verdict}: {told}{why}")
    _show_rows(missed)
    _show_rows(unjudged)


def _show_conclusion(conclusion: Mapping[str, Any]) -> None:
    """What it says, line by line; first whether the run is as it was wanted."""
    verdict = {True: "met: ", False: "NOT MET: ", None: ""}[conclusion["met"]]
    first, *rest = conclusion["text"].splitlines() or [""]
    echo(f"\n{safe(conclusion['conclusion'])}: {verdict}{safe(first)}")
    for line in rest:
        echo(f"  {safe(line)}")


def _show_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows[:MISSED_SHOWN]:
        names = " · ".join(cell(row[name]) for name in _ROW if (name, row[name]) != ("params", "default"))
        echo(f"    {names}: {cell(row['why']) if 'why' in row else number(row['value'], 6)}")
    if len(rows) > MISSED_SHOWN:
        echo(f"    and {len(rows) - MISSED_SHOWN} more; `--format json` has them all")
