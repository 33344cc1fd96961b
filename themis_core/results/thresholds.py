"""Whether a run meets the thresholds of its spec. What can't be judged is not met, and says why."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from themis_core.records import Latency, OutcomeCount, RunCost
from themis_core.results.row import GroupRow, ResultRow
from themis_core.results.verdicts import answers_read, is_baseline, reasons_told, some_of, unscored
from themis_core.specs import ThresholdSpec
from themis_wording import counted

__all__ = ["Facts", "judge_all", "tolerated"]

_ARM = ("slice_id", "model_id", "prompt_variant_id")
_NAMED = ("score", "metric", *_ARM)
_NO_VERDICT = "judge_unavailable"
_ROUNDED = 1e-12
"""A number is off a bound by rounding alone if it is by no more of it: 3 of 10 may come to 0.30000000000000004."""
_NO_LATENCIES: tuple[Latency, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What thresholds are judged on."""

    rows: Sequence[ResultRow] = ()
    unfinished: int = 0
    """Planned trials without an outcome: with any, nothing is judged."""
    outcomes: Sequence[OutcomeCount] = ()
    cost: RunCost = field(default_factory=RunCost)
    latencies: Callable[[], Iterable[Latency]] = lambda: _NO_LATENCIES
    """Gives `Store.latencies` of the run; asked by thresholds on latency alone."""
    aggregates: Sequence[GroupRow] = ()
    percentiles: Mapping[ThresholdSpec, float] = field(default_factory=dict)
    """Of the latencies, for each threshold that compares one; made by `judge_all`."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """One number that a threshold is about, or why there is none."""

    names: dict[str, Any]
    value: float | None
    why: str | None = None

    def told(self) -> dict[str, Any]:
        told = {**self.names, "value": self.value}
        return told if self.why is None else {**told, "why": self.why}


def judge_all(thresholds: Sequence[ThresholdSpec], facts: Facts) -> list[dict[str, Any]]:
    """What `RunResult.thresholds` says of each: the threshold as the spec has it, and how it was judged."""
    if not facts.unfinished:
        facts = replace(facts, percentiles=_percentiles(thresholds, facts))
    of_failed = [(each, _judged(each, facts, ())) for each in thresholds if each.measure == "failed"]
    known = {id(each): found for each, found in of_failed}
    judged_failed = [found for _, found in of_failed]
    return [known.get(id(each)) or _judged(each, facts, judged_failed) for each in thresholds]


def tolerated(thresholds: Sequence[dict[str, Any]], facts: Facts) -> bool:
    """Whether trials failed, no more than judged thresholds on `failed` accept, and nothing else is missing.

    A verdict that could not be asked for is no failed trial.
    """
    failed = [each for each in facts.outcomes if each.outcome == "failed"]
    no_verdict = any(_NO_VERDICT in row.reasons for row in facts.rows)
    whole = not facts.unfinished and not no_verdict
    return whole and bool(failed) and all(_accepted(thresholds, each) for each in failed)


def _accepted(thresholds: Iterable[dict[str, Any]], arm: Any) -> bool:
    """Whether judged thresholds on `failed` cover this arm (slice, model, prompt variant), and all that do are met."""
    covering = [
        each
        for each in thresholds
        if each["measure"] == "failed" and all(each.get(name) in (None, getattr(arm, name)) for name in _ARM)
    ]
    return bool(covering) and all(each["met"] for each in covering)


def _judged(threshold: ThresholdSpec, facts: Facts, of_failed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    why, found = None, []
    if facts.unfinished:
        why = f"the run is unfinished: {counted(facts.unfinished, 'trial', 'has', 'have')} no outcome yet"
    else:
        found = list(_measured(threshold, facts, of_failed))
        if not found:
            what = "row of the results" if threshold.is_of_scores else "trial of the run"
            why = f"no {what} is of that kind"
    judged = [each for each in found if each.why is None]
    unjudged = [each.told() for each in found if each.why is not None]
    missed = [each.told() for each in judged if _misses(threshold, each)]
    worst = min(judged, key=lambda each: _margin(threshold, each), default=None)
    return {
        **{name: value for name, value in threshold.canonical().items() if value is not None},
        "met": why is None and not missed and not unjudged,
        "judged": why is None and not unjudged,
        "why": why or (unjudged[0]["why"] if unjudged else None),
        "rows": len(judged),
        "worst": worst.told() if worst else None,
        "missed": missed,
        "unjudged": unjudged,
    }


def _misses(threshold: ThresholdSpec, measured: _Measured) -> bool:
    assert measured.value is not None
    value, bounds = measured.value, (threshold.minimum, threshold.maximum)
    at_bound = any(bound is not None and math.isclose(value, bound, rel_tol=_ROUNDED) for bound in bounds)
    return _margin(threshold, measured) < 0 and not at_bound


def _margin(threshold: ThresholdSpec, measured: _Measured) -> float:
    """How far the number is within the bounds; less than 0 if it misses one, be it by rounding."""
    assert measured.value is not None
    above = math.inf if threshold.minimum is None else measured.value - threshold.minimum
    below = math.inf if threshold.maximum is None else threshold.maximum - measured.value
    return min(above, below)


def _measured(threshold: ThresholdSpec, facts: Facts, of_failed: Sequence[dict[str, Any]]) -> Iterator[_Measured]:
    if threshold.aggregate is not None:
        accepted = all(_accepted(of_failed, each) for each in facts.outcomes if each.outcome == "failed")
        for group in facts.aggregates:
            if group.aggregate == threshold.aggregate and threshold.wanted.items() <= group.group.items():
                yield _of_aggregate(threshold, group, tolerated=accepted)
        return
    if threshold.is_of_scores:
        for row in facts.rows:
            if _matches(threshold, row, _NAMED) and not is_baseline(row):
                yield _of_row(threshold, row, tolerated=_accepted(of_failed, row))
        return
    trials = [each for each in facts.outcomes if _matches(threshold, each, _ARM)]
    if not trials:
        return
    names = {name: getattr(threshold, name) for name in _NAMED if getattr(threshold, name) is not None}
    if threshold.measure == "failed":
        failed = sum(each.count for each in trials if each.outcome == "failed")
        yield _Measured(names, failed / sum(each.count for each in trials))
    elif threshold.measure == "cost":
        yield _cost(threshold, facts.cost)
    else:
        value = facts.percentiles.get(threshold)
        yield _Measured(names, value, "no call has a latency" if value is None else None)


def _matches(threshold: ThresholdSpec, of: object, names: Sequence[str]) -> bool:
    return all(getattr(threshold, name) in (None, getattr(of, name)) for name in names)


def _of_row(threshold: ThresholdSpec, row: ResultRow, *, tolerated: bool) -> _Measured:
    names = {**{name: getattr(row, name) for name in _NAMED}, "params": row.params}
    why = _missing(threshold, row, tolerated=tolerated) or _unread(threshold, row)
    return _compared(threshold, row, names, why)


def _of_aggregate(threshold: ThresholdSpec, row: GroupRow, *, tolerated: bool) -> _Measured:
    names = {"aggregate": row.aggregate, "score": row.score, "metric": row.metric, "group": row.group}
    return _compared(threshold, row, names, _lacking(threshold, row, tolerated=tolerated) or _unread(threshold, row))


def _compared(threshold: ThresholdSpec, row: ResultRow | GroupRow, names: dict[str, Any], why: str | None) -> _Measured:
    value = row.value
    if threshold.measure == "unparsed":
        value = row.unparsed / read if (read := answers_read(row)) else None
    elif threshold.measure in ("low", "high"):
        value = getattr(row, threshold.measure)
        if value is None and why is None:
            why = f"there is no interval ({row.no_interval})"
    return _Measured(names, value, why)


def _lacking(threshold: ThresholdSpec, row: GroupRow, *, tolerated: bool) -> str | None:
    """As `_missing` says it of a row; what is missing is told by what was planned, of which samples may make one."""
    failed = row.failed if tolerated and threshold.max_missing is None else 0
    planned = row.n + row.failed + unscored(row) if row.planned is None else row.planned
    missing = 0 if row.denominator == "planned_missing_worst" else max(0, planned - row.n - failed)
    if row.value is None or missing > (threshold.max_missing or 0.0) * planned + 1e-9:
        if not missing:
            return f"it has no value ({row.no_interval})"
        told = [*([f"failed {row.failed}"] if row.failed else []), *([reasons_told(row)] if unscored(row) else [])]
        why = f" ({', '.join(told)})" if told else ""
        return (
            f"{some_of(missing, planned, 'score')} missing{why}, and max_missing is {threshold.max_missing or 0.0:.4g}"
        )
    return None


def _missing(threshold: ThresholdSpec, row: ResultRow, *, tolerated: bool) -> str | None:
    failed = 0 if tolerated and threshold.max_missing is None else row.failed
    missing = 0 if row.denominator == "planned_missing_worst" else failed + unscored(row)
    trials = max(row.n, answers_read(row)) + row.failed + unscored(row)
    allowed = threshold.max_missing or 0.0
    if missing <= allowed * trials + 1e-9:
        return None if row.n and row.value is not None else "nothing was scored"
    told = [*([f"failed {failed}"] if failed else []), *([reasons_told(row)] if unscored(row) else [])]
    return f"{some_of(missing, trials, 'score')} missing ({', '.join(told)}), and max_missing is {allowed:.4g}"


def _unread(threshold: ThresholdSpec, row: ResultRow | GroupRow) -> str | None:
    if threshold.measure == "unparsed":
        return None
    read = answers_read(row)
    if threshold.max_unparsed is None:
        return f"the parse found nothing in any of {counted(read, 'answer')}" if 0 < read == row.unparsed else None
    if row.unparsed > threshold.max_unparsed * read + 1e-9:
        return f"{some_of(row.unparsed, read, 'answer')} unparsed, and max_unparsed is {threshold.max_unparsed:.4g}"
    return None


def _cost(threshold: ThresholdSpec, cost: RunCost) -> _Measured:
    """What is known decides where it is enough: it may be too much already, or the most may still be within bounds."""
    known, most = cost.known or 0.0, cost.at_most
    assert threshold.maximum is not None
    if not cost.unknown_calls or known > threshold.maximum:
        return _Measured({}, known)
    if most is not None and most <= threshold.maximum:
        return _Measured({}, most)
    bound = "" if most is None else f", {most:.4g} at most"
    return _Measured({}, known, f"the cost of {counted(cost.unknown_calls, 'call')} is unknown{bound}")


def _percentiles(thresholds: Iterable[ThresholdSpec], facts: Facts) -> dict[ThresholdSpec, float]:
    """What thresholds on latency compare, by nearest rank; one that no call is about is left out.

    Latencies come in order. So they are counted first, and then read up to the ranks that are wanted; none is kept.
    """
    wanted = {each: each.percentile for each in thresholds if each.percentile is not None}
    if not wanted:
        return {}
    counts = Counter(each[:-1] for each in facts.latencies())
    matching = {arm: [each for each in wanted if _matches(each, Latency(*arm, 0.0), _ARM)] for arm in counts}
    totals = Counter[ThresholdSpec]()
    for arm, count in counts.items():
        totals.update(dict.fromkeys(matching[arm], count))
    before = {each: math.ceil(wanted[each] * total - 1e-9) for each, total in totals.items()}
    found: dict[ThresholdSpec, float] = {}
    for latency in facts.latencies():
        for each in matching[latency[:-1]]:
            before[each] -= 1
            if before[each] == 0:
                found[each] = latency.latency_s
        if len(found) == len(before):
            break
    return found
