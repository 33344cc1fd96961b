"""Reliability of a judge: for each value that it gave, what people gave the same answers.

    judge said 0.75 ── 40 answers ── people gave them 0.61 [0.52, 0.70] on average

A judge whose values can be taken as they are lies on the diagonal. The diagram is that of M. DeGroot and S. Fienberg,
"The comparison and evaluation of forecasters", The Statistician 32 (1983).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from themis_intervals import ClusteredMean
from themis_labels.agreement import Estimate, Rate

__all__ = ["Band", "reliability"]

MOST_VALUES = 10
"""With more different values, spans of equal width are counted together, this many."""


@dataclass(frozen=True, slots=True)
class Band:
    """The answers that a judge gave one value, or values of one span."""

    judge: float
    """The value, or the mean of the values."""
    n: int
    human: Estimate
    """Mean label of these answers."""


def reliability(
    pairs: Sequence[tuple[float, float]],
    items: Sequence[str],
    *,
    lowest: float | None = None,
    highest: float | None = None,
) -> list[Band]:
    """The bands of (judge, human) pairs, from the lowest value of the judge to the highest.

    `items` are those that the answers are to: several answers to one item count as one in the interval. `lowest` and
    `highest` are the ends of the scale, None where it has none.
    """
    if len(pairs) != len(items):
        raise ValueError(f"pairs: {len(pairs)}, items: {len(items)}; give one item for each pair")
    is_binary = {human for _, human in pairs} <= {0.0, 1.0}
    found = []
    for at in _banded([judge for judge, _ in pairs]):
        labels = [pairs[each][1] for each in at]
        of = [items[each] for each in at]
        human = _share(labels, of) if is_binary else _mean(labels, of, lowest, highest)
        found.append(Band(fmean(pairs[each][0] for each in at), len(at), human))
    return found


def _banded(values: Sequence[float]) -> Iterator[list[int]]:
    """The places of values that are shown together, in the order of the values."""
    distinct = sorted(set(values))
    if len(distinct) <= MOST_VALUES:
        bands = {value: number for number, value in enumerate(distinct)}
    else:
        low, span = distinct[0], distinct[-1] - distinct[0]
        bands = {value: min(int((value - low) * MOST_VALUES / span), MOST_VALUES - 1) for value in distinct}
    for band in sorted(set(bands.values())):
        yield [at for at, value in enumerate(values) if bands[value] == band]


def _share(labels: Sequence[float], items: Sequence[str]) -> Estimate:
    return Rate(sum(label == 1.0 for label in labels), len(labels), len(set(items))).estimate()


def _mean(labels: Sequence[float], items: Sequence[str], lowest: float | None, highest: float | None) -> Estimate:
    by_item: dict[str, list[float]] = {}
    for item, label in zip(items, labels, strict=True):
        by_item.setdefault(item, []).append(label)
    mean = ClusteredMean(lowest, highest)
    for own in by_item.values():
        for number, label in enumerate(own):
            mean.add(label, new_cluster=number == 0)
    interval = mean.interval()
    return Estimate(mean.mean, interval.low, interval.high, len(labels), mean.standard_error)
