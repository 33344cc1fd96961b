"""What a page says first: the run's conclusions and thresholds, or which model has the best value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from themis_core import Gate, ResultRow, RunRecord, RunResult, counted, gates_of
from themis_intervals import decimals, shown
from themis_plugin_report.names import name_of_group, name_of_row

__all__ = ["Verdict", "unfinished", "verdicts"]

MOST_LINES = 5
"""Rows that miss a gate, of those that are named."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One sentence of the verdict."""

    text: str
    met: bool | None = None
    """Whether what was wanted is so; None if nothing was wanted."""
    more: str = ""

    @property
    def kind(self) -> str:
        """`said`, `met` or `missed`, as the style of the page names it."""
        return "said" if self.met is None else "met" if self.met else "missed"


def verdicts(run: RunRecord, result: RunResult) -> list[Verdict]:
    """Whether the run is unfinished; what its conclusions say, or the best of each score; then thresholds, and what is
    not as it should be."""
    told = result.to_dict()
    gates = gates_of(told)
    thresholds, findings = gates[: len(told["thresholds"])], gates[len(told["thresholds"]) :]
    found = list(map(_finding, findings))
    found = found or list(_best_of_aggregates(run, told.get("aggregates") or ()))
    found = found or list(_best_of_scores(run, result.scores))
    lacking = [Verdict(told, False) for told in (unfinished(result),) if told]
    return [*lacking, *found, *map(_threshold, thresholds), *_trouble(result)]


def unfinished(result: RunResult) -> str:
    """How much of an unfinished run its numbers are of; empty for one that has an outcome of every trial."""
    left = result.ledger["unfinished"]
    if not left:
        return ""
    done = f"the numbers are of {result.trials - left}" if result.trials > left else "there are no numbers"
    return (
        f"Unfinished: {left} of {counted(result.trials, 'trial')} of {result.run_id} ({result.status}) "
        f"{'has' if left == 1 else 'have'} no outcome yet; {done}"
    )


def _smaller_is_better(run: RunRecord) -> set[tuple[str, str]]:
    scorers = run.manifest["scorers"]
    return {(each["score"], each["metric"]) for each in scorers if not each.get("higher_is_better", True)}


@dataclass(frozen=True, slots=True)
class _Value:
    """A value that somebody has, as the verdict tells it."""

    who: str
    value: float
    low: float | None
    high: float | None
    of: str
    """What it is made of, such as `3 of 4 answers scored`."""

    @property
    def interval(self) -> str:
        return shown(self.low, self.high)


def _best_of_aggregates(run: RunRecord, rows: Sequence[Mapping[str, Any]]) -> Iterator[Verdict]:
    """Which group has the best value of each aggregate that the spec names."""
    smaller_is_better = _smaller_is_better(run)
    for name in dict.fromkeys((each["aggregate"], each["score"], each["metric"]) for each in rows):
        mine = [each for each in rows if (each["aggregate"], each["score"], each["metric"]) == name]
        groups = [each["group"] for each in mine]
        known = [
            _Value(name_of_group(each["group"], groups), each["value"], each["low"], each["high"], f"n = {each['n']}")
            for each in mine
            if each["value"] is not None
        ]
        if known:
            yield _best(known, f"{name[1]}, {name[0]}", -1 if name[1:] in smaller_is_better else 1)


def _best_of_scores(run: RunRecord, rows: Sequence[ResultRow]) -> Iterator[Verdict]:
    smaller_is_better = _smaller_is_better(run)
    names = sorted({(row.score, row.metric) for row in rows})
    for name in names:
        of_score = [row for row in rows if (row.score, row.metric) == name and row.value is not None]
        by_slice: dict[str, list[_Value]] = {}
        for row in sorted(of_score, key=lambda row: row.slice_id):
            by_slice.setdefault(row.slice_id, []).append(_value(of_score, row))
        sign = -1 if name in smaller_is_better else 1
        what = f"{name[0]} ({name[1]})" if len(names) > 1 else name[0]
        if len(by_slice) == 1:
            yield from (_best(values, what, sign) for values in by_slice.values())
        elif by_slice:
            yield _leaders(list(by_slice.values()), what, sign)


def _ranked(values: Sequence[_Value], sign: int) -> tuple[list[_Value], list[_Value]]:
    """All that share the best value, and the others from better to worse."""
    ranked = sorted(values, key=lambda each: -sign * each.value)
    tied = [each for each in ranked if each.value == ranked[0].value]
    return tied, ranked[len(tied) :]


def _best(values: Sequence[_Value], what: str, sign: int) -> Verdict:
    first, rest = _ranked(values, sign)
    value = f"{decimals(first[0].value)}{_intervals(first)}"
    has = "95 % interval" if any(each.low is not None for each in first) else "No 95 % interval"
    more = f"{has}; {', '.join(dict.fromkeys(each.of for each in first))}."
    if len(values) == 1:
        return Verdict(f"{first[0].who} has {what} {value}", more=more)
    who = f"{_listed([each.who for each in first])} {'has' if len(first) == 1 else 'have'}"
    if not rest:
        return Verdict(f"{who} the same {what}: {value}", more=more)
    second = rest[0]
    next_best = f"Next is {second.who} with {decimals(second.value)}{_intervals([second])}; {_apart(first, second)}."
    return Verdict(f"{who} the {_superlative(sign)} {what}: {value}", more=f"{more} {next_best}")


def _intervals(values: Sequence[_Value]) -> str:
    """The intervals of one value, each once; nothing if there is none."""
    found = dict.fromkeys(each.interval for each in values if each.low is not None)
    return f" {' and '.join(found)}" if found else ""


def _superlative(sign: int) -> str:
    return "highest" if sign > 0 else "lowest"


def _overlap(one: _Value, other: _Value) -> bool | None:
    """Whether two intervals overlap; None if one of them is not known."""
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return None
    return one.low <= other.high and one.high >= other.low


def _apart(first: Sequence[_Value], second: _Value) -> str:
    overlaps = {_overlap(each, second) for each in first}
    if True in overlaps:
        return "their intervals overlap, so the values alone do not say which one is better"
    if None in overlaps:
        return "without both intervals, the values do not say which one is better"
    return "their intervals do not overlap"


def _leaders(slices: Sequence[Sequence[_Value]], what: str, sign: int) -> Verdict:
    """Who has the best value in most of the slices; a value that several share is of each of them."""
    ranked = [_ranked(values, sign) for values in slices]
    compared = [each for each, values in zip(ranked, slices, strict=True) if len(values) > 1]
    if not compared:  # who is alone leads nobody
        values = [decimals(find(value.value for each in slices for value in each)) for find in (min, max)]
        span = values[0] if values[0] == values[1] else f"from {values[0]} to {values[1]}"
        who = _listed(list(dict.fromkeys(value.who for each in slices for value in each)))
        return Verdict(f"{who}: {what} {span} in {counted(len(slices), 'slice')}")
    lead = Counter(each.who for first, _ in compared for each in first)
    most = max(lead.values())
    top = [name for name, count in lead.items() if count == most]
    total = counted(len(compared), "slice")
    text = (
        f"{_listed(top)} {'has' if len(top) == 1 else 'each have'} the {_superlative(sign)} {what} in {most} of {total}"
    )
    return Verdict(text, more=_in_slices(compared, lead, top))


def _in_slices(compared: Sequence[tuple[list[_Value], list[_Value]]], lead: Counter[str], top: Sequence[str]) -> str:
    """In how many slices each one leads alone, who else leads, and where intervals overlap."""
    alone = Counter(first[0].who for first, _ in compared if len(first) == 1)
    told = [f"{name} alone in {alone[name]} of them" for name in top if alone[name] < lead[name]]
    told += [f"{name} in {count}" for name, count in lead.most_common() if name not in top]
    sentences = [", ".join(told)] if told else []
    # Of equal first ones, the next is one of them.
    pairs = [(first[0], (first[1:] or rest)[0]) for first, rest in compared]
    apart = sum(_overlap(one, other) is False for one, other in pairs)
    where = f"{apart} of {counted(len(pairs), 'slice')}"
    sentences.append(f"The intervals of the first and the next do not overlap in {where}")
    return "".join(f"{each}. " for each in sentences).strip()


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _value(rows: Sequence[ResultRow], row: ResultRow) -> _Value:
    assert row.value is not None
    return _Value(name_of_row(row, rows), row.value, row.low, row.high, _scored(row))


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


def _trouble(result: RunResult) -> Iterator[Verdict]:
    if result.failed:
        codes = ", ".join(f"{code} {count}" for code, count in result.ledger["failures"].items())
        yield Verdict(f"{result.failed} of {counted(result.trials, 'trial')} failed", False, f"{codes}; in no mean.")
    for line in result.warnings:
        yield Verdict(line, False)
