"""How a run's result is shown: its scores, its ledger, what went wrong, its thresholds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from themis_core.errors import SpecError
from themis_output import Figure, cell, echo, fits, heading, number, safe, stdout, table
from themis_wording import counted

if TYPE_CHECKING:
    from themis_core.results import Gate, GroupRow, Results, RunResult
    from themis_core.results.table import Row, Told
    from themis_core.specs import BenchmarkSpec

__all__ = ["View", "cost_text", "show_result", "view_options", "warn"]

PAGE = 120
MISSED_SHOWN = 20
"""Rows of one threshold; `--format json` has all of them."""


@dataclass(frozen=True, slots=True)
class View:
    """What of a result is shown, and how."""

    by: tuple[str, ...] = ()
    repeats: str | None = None
    metrics: tuple[str, ...] = ()
    sort: str | None = None
    wide: bool = False

    @classmethod
    def taken(cls, options: dict[str, Any]) -> View:
        """That of the options of `view_options`, which are taken out of the others."""
        by = tuple(name.strip() for each in options.pop("by") for name in each.split(",") if name.strip())
        return cls(by, **{name: options.pop(name) for name in ("repeats", "metrics", "sort", "wide")})

    def groups(self, results: Results, run_id: str) -> list[GroupRow]:
        """What `by` and `repeats` ask for: the groups, then their totals."""
        if not self.by and self.repeats is None:
            return []
        return results.groups(run_id, self.by, repeats=self.repeats, totals=True)

    def check(self, benchmark: BenchmarkSpec) -> None:
        """Raises SpecError for what can't be shown of a run of it."""
        from themis_core.results.groups import checked_repeats
        from themis_core.results.labels import checked
        from themis_core.results.table import NAMES

        checked(self.by, benchmark)
        checked_repeats(self.repeats)
        self._check_sort(self.by or NAMES)
        scores = [score for each in benchmark.slices for score in each.scores]
        self._check_metrics([name for each in scores for name in (*(m.label for m in each.metrics), each.name)])

    def _check_metrics(self, known: Sequence[str]) -> None:
        if unknown := sorted(set(self.metrics) - set(known)):
            listed = ", ".join(dict.fromkeys(known))
            raise SpecError(f"--metric: no metric or score {', '.join(unknown)}. Known: {listed}")

    def _check_sort(self, names: Sequence[str]) -> None:
        name = (self.sort or "value").removeprefix("-")
        if name not in ("value", "n", *names):
            raise SpecError(f"--sort: no column {name!r}. Known: value, n, {', '.join(names)}; a leading - turns it")

    def of(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that are asked for, in the order that is asked for, totals last."""
        from themis_core.results.table import columns_of

        self._check_metrics([name for row in rows for name in (row.metric, row.score)])
        kept = [row for row in rows if not self.metrics or {row.metric, row.score} & set(self.metrics)]
        if self.sort is None or not kept:
            return kept
        self._check_sort(columns_of(kept))
        return sorted(kept, key=self._place, reverse=self.sort.startswith("-"))

    def _place(self, row: Row) -> tuple[Any, ...]:
        """What a row is sorted by: totals and rows without the value stand last, whichever way it goes."""
        from themis_core.results.labels import placed
        from themis_core.results.table import labels_of

        sort = self.sort or ""
        backwards, name, labels = sort.startswith("-"), sort.removeprefix("-"), labels_of(row)
        is_total = (len(labels) < len(self.by)) != backwards
        if name in ("value", "n"):
            number = getattr(row, name)
            return (is_total, (number is None) != backwards, number or 0.0)
        lacks, *place = placed(labels.get(name))
        return (is_total, lacks != backwards, *place)


_VIEW_OPTIONS = (
    click.option(
        "--by",
        multiple=True,
        metavar="NAMES",
        help="Group by slice, model, prompt, family, params, params.temperature, dimensions.subject, "
        "metadata.category or sample; several with commas.",
    ),
    click.option(
        "--repeats",
        metavar="HOW",
        help="What the samples of an item make: pass@3, pass^3, majority@3, best@3, worst@3.",
    ),
    click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Only this metric or score. Repeatable."),
    click.option("--sort", metavar="COLUMN", help="Order by value, n or a name of --by; -value: the greatest first."),
    click.option("--wide", is_flag=True, help="A row for each number with all its columns, whatever the width."),
)


def view_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return reduce(lambda decorated, option: option(decorated), reversed(_VIEW_OPTIONS), command)


def cost_text(known: float | None, unknown_calls: int, at_most: float | None) -> str:
    """What calls cost, and how many calls' cost isn't known; empty if there is nothing to say."""
    if not unknown_calls:
        return "" if known is None else f"cost {number(known)}"
    bound = "" if at_most is None else f", {number(at_most)} at most"
    unknown = f"cost of {counted(unknown_calls, 'call')} unknown"
    return f"cost {number(known or 0.0)} and the {unknown}{bound}" if known else f"{unknown}{bound}"


def show_result(result: RunResult, view: View | None = None, groups: Sequence[GroupRow] = ()) -> None:
    """Print what a run gave: scores with their intervals, then the ledger that every number needs beside it.

    With groups, they stand in the place of the scores.
    """
    from themis_core.results import gates_of

    view = view or View()
    rows: list[Row] = view.of(groups or result.scores)
    if rows:
        _show_rows_of(rows, wide=view.wide, by_model=bool(groups))
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
    for gate in gates_of({"thresholds": result.thresholds}):
        _show_gate(gate)
    for each in result.conclusions:
        _show_conclusion(each)


def _show_rows_of(rows: Sequence[Row], *, wide: bool, by_model: bool) -> None:
    """A row for each number; with `by_model`, or if that is too wide, a column for each model if these fit."""
    from themis_core.results.table import TEXTS, columns_of, crossed_by_model, scores_told

    texts = (*columns_of(rows), *TEXTS)
    shown: Told = scores_told(rows)
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
        [text if name in texts else Figure(text) for name, text in zip(header, row, strict=True)] for row in cells
    ]
    table(header, figures, shared=("score",))


def _room() -> int:
    """Characters of a line that people still read: those of the terminal, and `PAGE` in a file."""
    return shutil.get_terminal_size().columns if stdout().isatty() else PAGE


def _width(told: Told) -> int:
    return sum(max(map(len, column)) + 2 for column in zip(told[1], *told[2], strict=True))


def _show_aggregates(rows: Sequence[GroupRow], view: View) -> None:
    for name, of_name in groupby(rows, lambda row: row.aggregate):
        means = list(of_name)
        first = means[0]
        parts = "" if first.weighting == "micro" else f" of {counted(first.parts or 0, 'group')}"
        samples = f", {first.repeats}" if first.repeats else ""
        heading(f"{name}: {(first.weighting or '').replace('_', ' ')} mean{parts}{samples}")
        _show_rows_of(means, wide=view.wide, by_model=True)


def _metrics_above(above: list[str], header: list[str], cells: list[list[str]]) -> Told:
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


def _show_gate(gate: Gate) -> None:
    verdict = {"met": "met", "missed": "NOT MET"}.get(gate.state, "NOT JUDGED, so not met")
    compared = f": {gate.compared}" if gate.state == "met" and gate.compared else ""
    echo(f"  threshold {verdict}: {cell(gate.name)}{compared}")
    for line in gate.lines[:MISSED_SHOWN]:
        echo(f"    {cell(line)}")
    if len(gate.lines) > MISSED_SHOWN:
        echo(f"    and {len(gate.lines) - MISSED_SHOWN} more; `--format json` has them all")


def _show_conclusion(conclusion: Mapping[str, Any]) -> None:
    """What it says, line by line; first whether the run is as it was wanted."""
    verdict = {True: "met: ", False: "NOT MET: ", None: ""}[conclusion["met"]]
    first, *rest = conclusion["text"].splitlines() or [""]
    echo(f"\n{safe(conclusion['conclusion'])}: {verdict}{safe(first)}")
    for line in rest:
        echo(f"  {safe(line)}")
