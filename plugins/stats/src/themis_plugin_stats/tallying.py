"""What a paired or unpaired test needs of scores, gathered chunk by chunk: memory holds sums, not scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from themis_plugin_stats.flipping import ENUMERATED, Floats

__all__ = ["MANY", "ROUNDED", "Clusters", "Moments", "Tally", "Units", "worth_of"]

ROUNDED: Final = 1e-12
"""Of the greatest number: a difference of no more may be of rounding alone."""
MANY: Final = 50
"""Units that differ, from which on Student's t is used: by then it keeps its level, and gives smaller p-values than
20,000 flips can. Of unequal clusters, so many of equal weight."""


@dataclass(frozen=True, slots=True)
class Units:
    """What is independent, items or clusters of them: how certain their mean is, and those whose signs are flipped."""

    count: int
    differing: int
    error: float
    """Of the mean over items."""
    worth: float
    """How many units of equal size would tell as much."""
    totals: Floats
    """The sum of the differences of each; if `MANY` items or more differ, not of all that do."""
    sizes: Floats
    """The number of items of each."""
    others: int = 0
    """Items that don't differ and are not among these."""


@dataclass(slots=True)
class Tally:
    """Scores of the same items, one of A and one of B each.

    All chunks are seen first. Then the greatest number says which differences are of rounding alone, and all chunks are
    gone through again, but for zeros and ones.
    """

    n: int = 0
    sum_a: float = 0.0
    sum_b: float = 0.0
    greatest: float = 0.0
    """Whatever its sign."""
    is_binary: bool = True
    """Whether all are zeros and ones."""
    won: int = 0
    """Items of which B has the greater score."""
    lost: int = 0
    _total: float = 0.0
    _gone_through: int = 0
    _squares: float = 0.0
    """Of the differences around their mean, over the share of the items that the others are, as in `_robust_error`."""
    _kept: list[Floats] = field(default_factory=list)

    @classmethod
    def of(cls, a: Floats, b: Floats) -> Tally:
        """Of one chunk."""
        made = cls()
        made.see(a, b)
        if not made.is_binary:
            made.differ(a, b)
        return made

    def see(self, a: Floats, b: Floats) -> None:
        """Add a chunk."""
        self.n += len(a)
        self.sum_a += float(a.sum())
        self.sum_b += float(b.sum())
        self.greatest = max(self.greatest, _greatest(a), _greatest(b))
        self.is_binary = self.is_binary and _is_binary(a) and _is_binary(b)
        if self.is_binary:
            self._count(b - a)
        else:
            self.won = self.lost = 0

    def differ(self, a: Floats, b: Floats) -> None:
        """Go through a chunk again, once all were seen and are not zeros and ones."""
        if not len(a):
            return
        difference = difference_of(a, b, self.greatest)
        if self.won + self.lost < MANY:
            kept = difference if self.n <= ENUMERATED else difference[difference != 0]
            self._kept.append(kept[:MANY])
        self._count(difference)
        self._add_squares(difference)

    def _count(self, difference: Floats) -> None:
        self.won += int(np.count_nonzero(difference > 0))
        self.lost += int(np.count_nonzero(difference < 0))

    def _add_squares(self, difference: Floats) -> None:
        """Chan, Golub and LeVeque 1979: the squares of two sets from those of each."""
        before, here = self._gone_through, len(difference)
        total, others = float(difference.sum()), 1 - 1 / self.n or 1.0
        off = difference - 1 / here * total
        apart = total / here - self._total / max(before, 1)
        self._squares += float(np.sum(off**2 / others)) + apart**2 * before * here / (before + here) / others
        self._total += total
        self._gone_through += here

    @property
    def mean(self) -> float:
        """Of the differences, B less A."""
        return (self.won - self.lost if self.is_binary else self._total) / self.n

    def units(self) -> Units:
        """Each item for itself."""
        totals = np.concatenate(self._kept)
        error = sqrt(self._squares) / self.n
        others = self.n - len(totals)
        return Units(self.n, self.won + self.lost, error, float(self.n), totals, np.ones(len(totals)), others)


class Clusters:
    """The differences of items that may resemble each other, added up by cluster."""

    def __init__(self, greatest: float) -> None:
        """Take the greatest number of all chunks."""
        self._greatest = greatest
        self._totals: dict[Any, float] = {}
        self._sizes: dict[Any, int] = {}

    def add(self, a: Floats, b: Floats, clusters: NDArray[Any]) -> None:
        """Add a chunk, and the cluster of each of its items."""
        names, unit = np.unique(clusters, return_inverse=True)
        totals = np.bincount(unit, difference_of(a, b, self._greatest), len(names))
        for name, total, size in zip(names.tolist(), totals.tolist(), np.bincount(unit).tolist(), strict=True):
            self._totals[name] = self._totals.get(name, 0.0) + total
            self._sizes[name] = self._sizes.get(name, 0) + size

    def units(self) -> Units:
        """Each cluster as one."""
        names = sorted(self._totals)
        totals, sizes = (np.array([of[name] for name in names], dtype=float) for of in (self._totals, self._sizes))
        totals[np.abs(totals) <= ROUNDED * sizes * self._greatest] = 0.0
        certain = (_robust_error(totals, sizes), worth_of(sizes)) if len(names) > 1 else (0.0, 0.0)
        return Units(len(names), int(np.count_nonzero(totals)), *certain, totals, sizes)


@dataclass(slots=True)
class Moments:
    """Scores of one side: mean and squares around it, by Chan, Golub and LeVeque 1979."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    greatest: float = 0.0
    """Whatever its sign."""

    @classmethod
    def of(cls, values: Floats) -> Moments:
        """Of one chunk."""
        made = cls()
        made.add(values)
        return made

    def add(self, values: Floats) -> None:
        """Add a chunk."""
        if not len(values):
            return
        before, here, mean = self.n, len(values), float(values.mean())
        apart = mean - self.mean
        self.n += here
        self.mean += apart * (here / self.n)
        self.squares += float(np.sum((values - mean) ** 2)) + apart**2 * before * here / self.n
        self.greatest = max(self.greatest, _greatest(values))

    @property
    def variance(self) -> float:
        return self.squares / (self.n - 1)


def difference_of(a: Floats, b: Floats, greatest: float) -> Floats:
    """B less A; what may be of rounding alone, for numbers of that size, is 0."""
    difference = b - a
    difference[np.abs(difference) <= ROUNDED * greatest] = 0.0
    return difference


def _greatest(values: Floats) -> float:
    return float(np.abs(values).max(initial=0.0))


def _is_binary(values: Floats) -> bool:
    return bool(np.all((values == 0) | (values == 1)))


def _robust_error(totals: Floats, sizes: Floats) -> float:
    """Of the mean over items, from what the units' sums are off: CR2 (Bell and McCaffrey 2002)."""
    share = sizes / sizes.sum()
    off = totals - share * totals.sum()
    return float(np.sqrt(np.sum(off**2 / (1 - share))) / sizes.sum())


def worth_of(sizes: Floats) -> float:
    """How many units of equal size would tell as much of the mean's error: one more than the degrees of freedom.

    Satterthwaite's, of the sum of squares in `_robust_error` (Bell and McCaffrey 2002), if the items of a unit are all
    alike, which is when the size counts most. Its covariance is a diagonal less a matrix of rank two, so that the sums
    need no matrix.
    """
    share = sizes / sizes.sum()
    weight, variance = 1 / (1 - share), share**2
    total = variance.sum()
    both = 2 * share * variance - total * share**2
    trace = np.sum(weight * (variance - both))
    a, b, c = (float(np.sum(weight * each)) for each in (share**2, share * variance, variance**2))
    squares = np.sum(weight**2 * variance * (variance - 2 * both))
    squares += 2 * a * c + 2 * b**2 + total**2 * a**2 - 4 * total * a * b
    return round(float(trace**2 / squares), 6) + 1  # of equal units, exactly their number
