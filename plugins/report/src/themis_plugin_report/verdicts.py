"""What a page says first: the run's conclusions and thresholds, or which model has the best value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from themis_core import Gate, ResultRow, RunRecord, RunResult, counted, gates_of
from themis_intervals import shown

__all__ = ["Verdict", "verdicts"]

MOST_LINES = 5
"""Rows that miss a gate, of those that are named."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence of the verdict."""

    text: str
    met: bool | None = None
    """Whether what was wanted is so; None if nothing was wanted."""
    more: str = ""


def verdicts(run: RunRecord, result: RunResult) -> list[Verdict]:
    """What the run's conclusions say, or the best of each score; then thresholds, and what is not as it should be."""
    told = result.to_dict()
    gates = gates_of(told)
    thresholds, findings = gates[: len(told["thresholds"])], gates[len(told["thresholds"]) :]
    found = list(map(_finding, findings))
    found = found or list(_best_of_aggregates(run, told.get("aggregates") or ()))
    found = found or list(_best_of_scores(run, result.scores))
    return [*found, *map(_threshold, thresholds), *_unfinished(result)]


def _smaller_is_better(run: RunRecord) -> set[tuple[str, str]]:
    scorers = run.manifest["scorers"]
    return {(each["score"], each["metric"]) for each in scorers if not each.get("higher_is_better", True)}


def _best_of_aggregates(run: RunRecord, rows: Sequence[Mapping[str, Any]]) -> Iterator[Verdict]:
    """Which group has the best value of each aggregate that the spec names."""
    smaller_is_better = _smaller_is_better(run)
    for name in dict.fromkeys((each["aggregate"], each["score"], each["metric"]) for each in rows):
        sign = -1 if name[1:] in smaller_is_better else 1
        mine = [each for each in rows if (each["aggregate"], each["score"], each["metric"]) == name]
        known = [each for each in mine if each["value"] is not None]
        if known:
            best = max(known, key=lambda each: sign * each["value"])
            who = " · ".join(str(each) for each in best["group"].values() if each) or "The run"
            superlative = f"the {'highest' if sign > 0 else 'lowest'} " if len(known) > 1 else ""
            value = f"{best['value']:.3f} {shown(best['low'], best['high'])}"
            yield Verdict(f"{who} has {superlative}{name[1]}, {name[0]}: {value}", more=f"n = {best['n']}.")


def _best_of_scores(run: RunRecord, rows: Sequence[ResultRow]) -> Iterator[Verdict]:
    smaller_is_better = _smaller_is_better(run)
    names = sorted({(row.score, row.metric) for row in rows})
    for name in names:
        of_score = [row for row in rows if (row.score, row.metric) == name and row.value is not None]
        by_slice = sorted(of_score, key=lambda row: row.slice_id)
        sign = -1 if name in smaller_is_better else 1
        ranked = [
            sorted(group, key=lambda row: -sign * (row.value or 0.0))
            for _, group in groupby(by_slice, lambda row: row.slice_id)
        ]
        if len(ranked) == 1:
            yield _best(ranked[0], sign, len(names) > 1)
        elif ranked:
            yield _leaders(ranked, sign)


def _best(ranked: Sequence[ResultRow], sign: int, named: bool) -> Verdict:
    first, rest = ranked[0], ranked[1:]
    what = f"{first.score} ({first.metric})" if named else first.score
    value = f"{first.value:.3f} {shown(first.low, first.high)}"
    if not rest:
        return Verdict(f"{_name(ranked, first)} has {what} {value}", more=f"95 % interval; {_scored(first)}.")
    second = rest[0]
    if second.value == first.value:
        return Verdict(f"{_name(ranked, first)} and {_name(ranked, second)} have the same {what}, {value}")
    text = f"{_name(ranked, first)} has the {'highest' if sign > 0 else 'lowest'} {what}: {value}"
    next_best = f"Next is {_name(ranked, second)} with {second.value:.3f} {shown(second.low, second.high)}"
    return Verdict(text, more=f"95 % interval; {_scored(first)}. {next_best}; {_apart(first, second)}.")


def _apart(first: ResultRow, second: ResultRow) -> str:
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return "without both intervals, the values do not say which one is better"
    if first.low > second.high or first.high < second.low:
        return "their intervals do not overlap"
    return "their intervals overlap, so the values alone do not say which one is better"


def _leaders(ranked: Sequence[Sequence[ResultRow]], sign: int) -> Verdict:
    lead = Counter(_name(group, group[0]) for group in ranked)
    name, count = lead.most_common(1)[0]
    best = "highest" if sign > 0 else "lowest"
    text = f"{name} has the {best} {ranked[0][0].score} in {count} of {counted(len(ranked), 'slice')}"
    others = ", ".join(f"{other} in {number}" for other, number in lead.most_common()[1:])
    return Verdict(text, more=f"{others}." if others else "")


def _name(rows: Sequence[ResultRow], row: ResultRow) -> str:
    """The model, and what else tells this row from the others."""
    more = [
        str(getattr(row, each))
        for each in ("prompt_variant_id", "params")
        if len({getattr(other, each) for other in rows}) > 1
    ]
    return " · ".join([row.model_id, *more])


def _scored(row: ResultRow) -> str:
    planned = row.n + row.failed + row.unscored
    return (
        f"{row.n} of {counted(planned, 'answer')} scored" if planned > row.n else f"{counted(row.n, 'answer')} scored"
    )


def _threshold(gate: Gate) -> Verdict:
    state = {"met": "met", "missed": "not met"}.get(gate.state, "not judged, so not met")
    compared = f": {gate.compared}" if gate.compared else ""
    return Verdict(f"Threshold {state}: {gate.name}{compared}", gate.state == "met", _more(gate))


def _finding(gate: Gate) -> Verdict:
    return Verdict(gate.name, None if gate.state == "said" else gate.state == "met", _more(gate))


def _more(gate: Gate) -> str:
    more = f"; and {counted(len(gate.lines) - MOST_LINES, 'row')} more" if len(gate.lines) > MOST_LINES else ""
    return f"{'; '.join(gate.lines[:MOST_LINES])}{more}".strip()


def _unfinished(result: RunResult) -> Iterator[Verdict]:
    ledger = result.ledger
    if ledger["unfinished"]:
        yield Verdict(f"{ledger['unfinished']} of {counted(result.trials, 'trial')} have no outcome yet", False)
    if result.failed:
        codes = ", ".join(f"{code} {count}" for code, count in ledger["failures"].items())
        yield Verdict(f"{result.failed} of {counted(result.trials, 'trial')} failed", False, f"{codes}; in no mean.")
    for line in result.warnings:
        yield Verdict(line, False)
