"""How a run's result is shown: its scores, its ledger, what went wrong, its thresholds."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import click

from themis_display.shapes import Gate, Mean, Result, Row
from themis_display.tables import TEXTS, Told, columns_of, crossed_by_model, scores_told
from themis_display.views import View
from themis_output import Figure, cell, cut, echo, fits, heading, number, safe, sentences, stdout, table
from themis_wording import counted

__all__ = ["conclusion_told", "cost_text", "show_result", "warn"]

PAGE = 120
MISSED_SHOWN = 20
"""Rows of one threshold; `--format json` has all of them."""


def cost_text(known: float | None, unknown_calls: int, at_most: float | None) -> str:
    """What calls cost, and how many calls' cost isn't known; empty if there is nothing to say."""
    if not unknown_calls:
        return "" if known is None else f"cost {number(known)}"
    bound = "" if at_most is None else f", {number(at_most)} at most"
    unknown = f"cost of {counted(unknown_calls, 'call')} unknown"
    return f"cost {number(known or 0.0)} and the {unknown}{bound}" if known else f"{unknown}{bound}"


def show_result(result: Result, gates: Sequence[Gate], view: View | None = None, groups: Sequence[Row] = ()) -> None:
    """Print what a run gave: scores with their intervals, then the ledger that every number needs beside it.

    `gates` are those of its thresholds. With groups, they stand in the place of the scores.
    """
    view = view or View()
    rows = view.of(groups or result.scores)
    if rows:
        _show_rows_of(rows, wide=view.wide, by_model=bool(groups))
        _show_too_few(rows, view.repeats)
    else:
        echo("no scores")
    _show_aggregates(result.aggregates, view)
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
    if result.tolerated:
        echo("  failed trials are no more than the thresholds on `failed` accept")
    for gate in gates:
        _show_gate(gate)
    for each in result.conclusions:
        _show_conclusion(each)


def _show_rows_of(rows: Sequence[Row], *, wide: bool, by_model: bool) -> None:
    """A row for each number; with `by_model`, or if that is too wide, a column for each model if these fit."""
    texts = (*columns_of(rows), *TEXTS)
    shown = scores_told(rows, grouped=by_model)
    is_wide = not fits(*shown[1:])
    if not wide and (by_model or is_wide):
        across = crossed_by_model(rows)
        if across is not None and _width(across) <= max(_width(shown), _room()):
            shown = across
        elif is_wide:
            shown = _metrics_above(*shown)
    above, header, cells = shown
    for line in above:
        echo(cell(line))
    figures = [
        [cut(text) if name in texts else Figure(text) for name, text in zip(header, row, strict=True)] for row in cells
    ]
    table(header, figures, shared=("score",))


def _room() -> int:
    """Characters of a line that people still read: those of the terminal, and `PAGE` in a file."""
    return shutil.get_terminal_size().columns if stdout().isatty() else PAGE


def _width(told: Told) -> int:
    return sum(max(map(len, column)) + 2 for column in zip(told[1], *told[2], strict=True))


def _show_aggregates(rows: Sequence[Mean], view: View) -> None:
    for name, of_name in groupby(rows, lambda row: row.aggregate):
        means = list(of_name)
        weighed = " or ".join(dict.fromkeys(mean.weighed() for mean in means))
        samples = f", {means[0].repeats}" if means[0].repeats else ""
        heading(f"{name}: {weighed}{samples}")
        _show_rows_of(means, wide=view.wide, by_model=True)
        _show_too_few(means, means[0].repeats)


def _show_too_few(rows: Sequence[Row], repeats: str | None) -> None:
    """Say of rows without a number that the run has not the samples for it."""
    if repeats and any(row.no_interval == "too_few_samples" for row in rows):
        fewest = repeats[repeats.rindex("@" if "@" in repeats else "^") + 1 :]
        echo(f"too_few_samples: {repeats} needs {fewest} scored samples of an item, and no item there has so many")


def _metrics_above(above: list[str], header: list[str], cells: list[list[str]]) -> Told:
    """Say above a table that is too wide which metric each score has, if none has two."""
    score, metric = header.index("score"), header.index("metric")
    pairs = list(dict.fromkeys((row[score], row[metric]) for row in cells))
    if len({name for name, _ in pairs}) < len(pairs):
        return above, header, cells
    told = "metrics: " + ", ".join(f"{name} is {component}" for name, component in pairs)
    kept = [[text for index, text in enumerate(row) if index != metric] for row in (header, *cells)]
    return [*above, told], kept[0], kept[1:]


def _show_counts(result: Result) -> None:
    ends = ("answered", "refused", "truncated", "empty", "absent", "failed", "unfinished")
    ledger = ", ".join(f"{result.ledger[name]} {name}" for name in ends if result.ledger.get(name))
    cost = cost_text(result.cost, result.unknown_cost_calls, result.cost_at_most)
    ended = f"{safe(result.run_id)}: {result.status}; {counted(result.trials, 'trial')} ({ledger or 'none finished'})"
    told = f"; {cost} in all executions" if cost else ""
    reused = f"{counted(result.reused, 'trial')} reused"
    calls = f"{counted(result.generated, 'call')} answered{_by_others(result)}"
    work = f"{calls}, {reused}{told}; store {safe(result.storage)}"
    narrow = stdout().isatty() and len(ended) + len(work) + 2 > shutil.get_terminal_size().columns
    parting = "\n  " if narrow else "; "
    echo(f"\n{ended}{parting}{work}")


def _by_others(result: Result) -> str:
    """How many of the calls went to other models than those under test, as a parenthesis; empty if none did."""
    by = [(result.judged, "judges"), (result.simulated, "simulated users")]
    told = " and ".join(f"{number} by {who}" for number, who in by if number)
    return f" ({told})" if told else ""


def warn(result: Result) -> None:
    """Say on standard error what must not be overlooked, whatever else is shown."""
    for line in result.warnings:
        click.echo(safe(line), err=True)


def _show_gate(gate: Gate) -> None:
    verdict = {"met": "met", "missed": "NOT MET"}.get(gate.state, "NOT JUDGED, so not met")
    compared = f": {gate.compared}" if gate.state == "met" and gate.compared else ""
    echo(f"  threshold {verdict}: {cell(gate.name)}{compared}")
    for line in gate.lines[:MISSED_SHOWN]:
        echo(f"    {cell(line)}")
    if len(gate.lines) > MISSED_SHOWN:
        echo(f"    and {len(gate.lines) - MISSED_SHOWN} more; `--format json` has them all")


def conclusion_told(conclusion: Mapping[str, Any]) -> str:
    """Its name, whether the run is as it was wanted, and what it says."""
    verdict = {True: "met: ", False: "NOT MET: ", None: ""}[conclusion["met"]]
    return f"{conclusion['conclusion']}: {verdict}{conclusion['text']}"


def _show_conclusion(conclusion: Mapping[str, Any]) -> None:
    """What it says, line by line; first whether the run is as it was wanted."""
    first, *rest = conclusion_told(conclusion).splitlines()
    echo()
    echo(sentences(safe(first), more="    "))
    for line in rest:
        echo(sentences(safe(line), "  ", "    "))
