"""The named means of a spec: of items in tasks, of tasks in groups, of groups in a benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from themis_core.components import Store
from themis_core.records import RunRecord
from themis_core.results.groups import Aggregates, Grouping, grouped
from themis_core.results.manifests import scales_of
from themis_core.results.row import GroupRow
from themis_core.results.tally import Scale
from themis_core.specs import AggregateSpec
from themis_intervals import Interval, Part, nested_weights, weighted_mean
from themis_plain import placed

__all__ = ["named_means"]


def named_means(store: Store, run: RunRecord, aggregates: Aggregates) -> list[GroupRow]:
    """The aggregates of a run's spec, in its order, each with one row for every model and whatever else it is by."""
    specs = [AggregateSpec.model_validate(each) for each in run.manifest.get("aggregates", ())]
    if not specs:
        return []
    ways = [Grouping((*spec.by, *(spec.levels if spec.weighting != "micro" else ())), spec.score, spec.metric,
                     spec.repeats) for spec in specs]  # fmt: skip
    tables = grouped(store, run, aggregates, ways)
    scales = {place[1:]: scale for place, scale in scales_of(run.manifest).items()}
    return [row for spec, rows in zip(specs, tables, strict=True) for row in _of_spec(spec, rows, scales)]


def _of_spec(
    spec: AggregateSpec, rows: Iterable[GroupRow], scales: Mapping[tuple[str, str], Scale]
) -> Iterator[GroupRow]:
    def label(row: GroupRow) -> list[tuple[bool, float, str]]:
        return [placed(row.group[name]) for name in spec.by]

    for _, of_label in groupby(sorted(rows, key=label), label):
        parts = list(of_label)
        yield _mean(spec, parts, scales[parts[0].score, parts[0].metric])


def _mean(spec: AggregateSpec, parts: Sequence[GroupRow], scale: Scale) -> GroupRow:
    first = parts[0]
    value, error, interval = first.value, first.standard_error, Interval(
        first.low, first.high, first.interval, first.no_interval  # type: ignore[arg-type]
    )  # fmt: skip
    weights = [1.0] if spec.weighting == "micro" else _weights(spec, parts)
    if spec.weighting != "micro":
        if any(part.value is None for part in parts):
            value, error, interval = None, None, Interval(missing="missing_group")
        else:
            means = [Part(part.value or 0.0, part.standard_error, part.items) for part in parts]
            value, error, interval = weighted_mean(means, weights, scale.lowest, scale.highest)
    reasons: dict[str, int] = {}
    for part in parts:
        for reason, count in part.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
    planned = None if any(part.planned is None for part in parts) else sum(part.planned or 0 for part in parts)
    return GroupRow(
        {name: first.group[name] for name in spec.by}, first.score, first.metric, value, sum(p.n for p in parts),
        sum(part.items for part in parts), error, *interval, sum(part.failed for part in parts),
        sum(part.unscored for part in parts), sum(part.unparsed for part in parts), reasons, planned,
        _bound("worst", parts, weights), _bound("best", parts, weights),
        first.right if spec.weighting == "micro" else None, first.denominator, spec.repeats, spec.name, spec.weighting,
        {} if spec.weighting == "micro" else _levels(spec, parts),
    )  # fmt: skip


def _weights(spec: AggregateSpec, parts: Sequence[GroupRow]) -> list[float]:
    if spec.weighting == "macro":
        return [1 / len(parts)] * len(parts)
    return nested_weights([_place(spec, part) for part in parts])


def _levels(spec: AggregateSpec, parts: Sequence[GroupRow]) -> dict[str, int]:
    """How many groups there are of each level, from the inside out; of a macro mean the innermost ones are meant."""
    places = [_place(spec, part) for part in parts]
    inside = len(spec.levels)
    return {name: len({place[: inside - depth] for place in places}) for depth, name in enumerate(spec.levels)}


def _place(spec: AggregateSpec, part: GroupRow) -> tuple[str | None, ...]:
    """From the outermost level in; a group without a value of a level stands there for itself."""
    inner: list[str | None] = []
    for name in spec.levels:
        inner.append(part.group[name] if part.group[name] is not None else f"\0{inner[-1]}" if inner else None)
    return tuple(reversed(inner))


def _bound(name: str, parts: Sequence[GroupRow], weights: Sequence[float]) -> float | None:
    bounds = [getattr(part, name) for part in parts]
    return None if None in bounds else sum(weight * bound for weight, bound in zip(weights, bounds, strict=True))
