"""One group of scores, counted row by row: its mean, what its samples make, its ledger, what is missing.

In constant memory, but for metrics that make a number of all their scores themselves and need more than sums of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from themis_core.components import Judge, Metric
from themis_core.records import Score, ScoreCell, ScoreEnds, ScoreRow
from themis_core.results.aggregates import of_aggregate
from themis_core.results.held import held_for
from themis_core.specs import kind_and_k
from themis_intervals import (
    ClusteredMean,
    ClusterSums,
    Interval,
    all_of_k,
    best_of_k,
    majority_of_k,
    pass_at_k,
    worst_of_k,
)

__all__ = ["NOT_PLANNED", "Numbers", "Scale", "Tally", "of_samples"]

NOT_PLANNED = ("absent", "is_baseline")
"""Reasons of scores that should not be: nothing is missing there."""


class Scale(NamedTuple):
    """What one metric of a slice gives, and what its mean is to be taken over."""

    component: str
    lowest: float | None
    highest: float | None
    higher_is_better: bool
    denominator: str
    max_unparsed: float

    @classmethod
    def of(cls, scorer: Mapping[str, Any]) -> Scale:
        """That of a scorer in a manifest."""
        return cls(
            scorer.get("component", ""),
            scorer.get("lowest"),
            scorer.get("highest"),
            scorer.get("higher_is_better", True),
            scorer.get("denominator", "scored"),
            scorer.get("max_unparsed", 0.5),
        )

    def is_like(self, other: Scale) -> bool:
        """Whether values of both have one mean."""
        return self[:-1] == other[:-1]

    def cell(self, number: int) -> ScoreCell:
        """What a store is to know that adds up the values."""
        return ScoreCell(number, self.lowest, self.highest, self.denominator == "parsed")

    @property
    def best(self) -> float | None:
        return self.highest if self.higher_is_better else self.lowest

    @property
    def worst(self) -> float | None:
        return self.lowest if self.higher_is_better else self.highest


class Numbers(NamedTuple):
    """What a group comes to, named as in `ResultRow` and `GroupRow`."""

    value: float | None
    n: int
    standard_error: float | None
    low: float | None
    high: float | None
    interval: str | None
    no_interval: str | None
    planned: int | None
    worst: float | None
    best: float | None
    right: int | None


class Tally:
    """The scores of one group; those of one item come one after another."""

    def __init__(self, scale: Scale, component: Metric | Judge | None = None, repeats: str | None = None) -> None:
        """`component` makes the number itself, unless `repeats` says what the samples of an item make."""
        self.scale = scale
        self.unparsed = 0
        self.reasons: Counter[str] = Counter()
        self._mean = ClusteredMean(scale.lowest, scale.highest)
        self._component = None if repeats else component
        self._held = held_for(self._component) if self._component is not None else None
        self._read = 0
        self._last: str | None = None
        self._parsed_only = scale.denominator == "parsed"
        self._repeats = repeats
        self._samples: list[tuple[str | None, float]] = []
        self._samples_of: tuple[Any, ...] = ()
        self._unread = False
        """Whether a score is of a raw answer, in which nothing was looked for."""

    def add(self, row: ScoreRow, item: str) -> None:
        """Count one score; `item` tells items apart."""
        if self._repeats and (place := (item, *row[:4])) != self._samples_of:
            self._close()
            self._samples_of = place
        value = row.value
        if value is None:
            self.reasons[row.reason or "?"] += 1
            return
        self._read += 1
        if row.parse_reason is not None:
            self.unparsed += 1
            if self._parsed_only:
                return
        if self._repeats:
            self._samples.append((row.extracted, value))
            self._unread = self._unread or row.parse is None
            return
        is_new, self._last = item != self._last, item
        self._mean.add(value, new_cluster=is_new)
        if self._held is not None:
            self._held.add(Score(value, parts=row.parts), new_item=is_new)

    def add_sums(self, sums: ClusterSums) -> None:
        """Count the values of whole items, in the place of their scores; what has no value comes by `add_end`."""
        self._read += sums.n
        self._mean.add_sums(sums)

    def add_end(self, end: ScoreEnds) -> None:
        """Count scores that have no value, or whose parse found nothing; values come by `add_sums`."""
        if end.reason is not None:
            self.reasons[end.reason] += end.scores
        elif end.parse_reason is not None:
            self.unparsed += end.scores
            if self._parsed_only:
                self._read += end.scores

    def _close(self) -> None:
        """Make one value of the samples of an item, if there are enough."""
        if not self._samples_of:
            return
        item, samples, self._samples = self._samples_of[0], self._samples, []
        made = of_samples(self._repeats or "", samples, self.scale)
        if made is None:
            self.reasons[TOO_FEW] += 1
            return
        self._mean.add(made, new_cluster=item != self._last)
        self._last = item

    @property
    def is_too_unparsed(self) -> bool:
        """Whether the parse found nothing in more answers than the spec allows."""
        read, most = self._read, self.scale.max_unparsed
        return self.unparsed > 0 and most < 1 and self.unparsed >= most * read

    @property
    def read(self) -> int:
        """Scores with a value, whatever the parse found."""
        return self._read

    @property
    def items(self) -> int:
        return self._mean.clusters

    def numbers(self, planned: int | None, metric: str) -> Numbers:
        """What it all comes to; `planned` is how many scores there should be. Nothing can be added afterwards."""
        self._close()
        mean, scale = self._mean, self.scale
        n = mean.n
        missing = max(0, (planned or n) - n)
        worst, best = self._bounds(missing)
        if scale.denominator == "planned_missing_worst" and planned is None:
            return self._without_value("planned_unknown", planned)
        if scale.denominator == "planned_missing_worst" and missing:
            if worst is None or scale.worst is None:
                return self._without_value("no_worst_value", planned)
            for _ in range(missing):
                mean.add(scale.worst, new_cluster=True)
        value, error, interval = mean.mean, mean.standard_error, mean.interval()
        if self._component is not None and self._held is not None and n:
            value, error, interval = of_aggregate(self._component, self._held, metric)
        elif (self._repeats or "").startswith("pass") and scale.best is None:
            return self._without_value("no_best_value", planned)
        elif (self._repeats or "").startswith("majority") and self._unread:
            return self._without_value("no_parse", planned)
        if not mean.n:
            interval = Interval(missing=TOO_FEW if set(self.reasons) == {TOO_FEW} else "nothing_scored")
        return Numbers(value, mean.n, error, *interval, planned, worst, best, self._right())

    def _without_value(self, why: str, planned: int | None) -> Numbers:
        return Numbers(None, self._mean.n, None, *Interval(missing=why), planned, None, None, None)

    def _bounds(self, missing: int) -> tuple[float | None, float | None]:
        mean, scale = self._mean, self.scale
        total = mean.n + missing
        if self._component is not None or scale.worst is None or scale.best is None or not total:
            return None, None
        known = (mean.mean or 0.0) * mean.n
        return (known + missing * scale.worst) / total, (known + missing * scale.best) / total

    def _right(self) -> int | None:
        mean, best, worst = self._mean, self.scale.best, self.scale.worst
        if self._component is not None or not mean.n or not mean.binary or best is None or worst is None:
            return None
        return round(mean.n * ((mean.mean or 0.0) - worst) / (best - worst))


TOO_FEW = "too_few_samples"


def of_samples(repeats: str, samples: Sequence[tuple[str | None, float]], scale: Scale) -> float | None:
    """What the samples of one item make, each with what was found in it; None if there are fewer than k."""
    (kind, k), values = kind_and_k(repeats), [value for _, value in samples]
    if len(samples) < k:
        return None
    if kind == "majority@":
        return majority_of_k(samples, k)
    if kind in ("pass@", "pass^"):
        right = values.count(scale.best) if scale.best is not None else 0
        return (pass_at_k if kind == "pass@" else all_of_k)(len(values), right, k)
    return (best_of_k if (kind == "best@") is scale.higher_is_better else worst_of_k)(values, k)
