"""Procedures that compare two groups of scores, each with p-value and interval of one kind, which never disagree.

A p-value is below 0.05 exactly when the 95 % interval leaves out 0. Nothing here knows of runs.

    zeros and ones           Discordant       exact McNemar; Tango's score interval, corrected to agree with it
    few items that differ    ByReplicates     sign flips; the interval by inverting them (Hartigan 1969)
    many                     ByStandardError  paired t; by clusters, the robust standard error (Bell and McCaffrey 2002)
    all differ alike         Unspread         the exact test alone, no interval
    a number of all items    ByStandardError  the jackknife over items (Efron and Stein 1981)
                             ByReplicates     the bootstrap, where the number is no smooth function of the items
    unpaired                 ByStandardError  Welch 1947
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from themis_plugin_stats.flipping import Floats, flipped_means

__all__ = [
    "FEWEST_UNITS",
    "ByReplicates",
    "ByStandardError",
    "Discordant",
    "Procedure",
    "Unspread",
    "Unvaried",
    "difference_of",
    "paired",
    "welch",
    "worth_of",
]

ROUNDED = 1e-12
"""Of the greatest number: a difference of no more may be of rounding alone."""
FEWEST_UNITS = 6
"""Of fewer, the exact tests show nothing at 5 %: five coins all fall alike in 2 of 32 times."""
MANY = 50
"""Units that differ, from which on Student's t is used: by then it keeps its level, and gives smaller p-values than
20,000 flips can. Of unequal clusters, so many of equal weight."""


@dataclass(frozen=True)
class Procedure(ABC):
    """What two groups differ by, B minus A, and how certain that is."""

    difference: float
    n: int
    """Items in both groups; of unpaired groups, the items of both."""
    units: int
    """What is independent: items, or clusters of them."""
    standard_error: float
    """Of the difference; what planning needs."""
    method: str
    worth: float | None = field(default=None, kw_only=True)
    """How many units of equal weight would tell as much; None if they are of equal weight."""

    @property
    def effective_units(self) -> float:
        """Units of equal weight that tell as much."""
        return self.units if self.worth is None else self.worth

    @property
    def no_interval(self) -> Literal["too_few", "no_spread"] | None:
        """Why there is no interval; None if there is one."""
        if self.interval() != (None, None):
            return None
        return "too_few" if self.effective_units < FEWEST_UNITS else "no_spread"

    @abstractmethod
    def above(self, null: float) -> float:
        """One-sided p-value: how likely so great a difference is if the true one is `null`."""

    @abstractmethod
    def below(self, null: float) -> float:
        """The same of so small a difference."""

    @abstractmethod
    def interval(self, level: float = 0.95) -> tuple[float | None, float | None]:
        """The differences that a two-sided test at 1 - level does not reject; an end is None if it has no bound."""

    @property
    def p_value(self) -> float:
        """Two-sided, of no difference."""
        return min(1.0, 2 * min(self.above(0.0), self.below(0.0)))

    def p_equivalent(self, margin: float) -> float:
        """P-value of a true difference of `margin` or more, in any direction (two one-sided tests, Schuirmann 1987).

        1 where there is no 90 % interval, which is the same claim.
        """
        if None in self.interval(0.9):
            return 1.0
        return max(self.above(-margin), self.below(margin))


@dataclass(frozen=True)
class Discordant(Procedure):
    """Zeros and ones: the items that one side has and the other has not.

    The p-value is the exact one of McNemar's test (1947): of `wins + losses` fair coins. The interval is Tango's score
    interval (1998) with the correction for continuity that makes its test of no difference the exact one. (Conditional
    intervals of Clopper and Pearson would agree with the test too, but not hold how many items differ to be chance.)
    """

    wins: int
    """Items that B has and A has not."""
    losses: int

    @classmethod
    def of(cls, wins: int, losses: int, n: int) -> Discordant:
        difference = (wins - losses) / n
        spread = max((wins + losses) / n - difference**2, 0.0)
        return cls(difference, n, n, float(np.sqrt(spread / n)), "exact McNemar", wins, losses)

    def above(self, null: float) -> float:
        if null == 0.0:
            return float(stats.binom.sf(self.wins - 1, self.wins + self.losses, 0.5))
        return float(stats.norm.sf(self._distance(null, 1)))

    def below(self, null: float) -> float:
        if null == 0.0:
            return float(stats.binom.sf(self.losses - 1, self.wins + self.losses, 0.5))
        return float(stats.norm.sf(self._distance(null, -1)))

    def interval(self, level: float = 0.95) -> tuple[float | None, float | None]:
        z = float(stats.norm.isf((1 - level) / 2))
        return self._end(z, 1), self._end(z, -1)

    def _end(self, z: float, sign: int) -> float:
        """The null at which the distance is z: the lower end for `sign` 1, the upper one for -1."""
        bound = -1.0 * sign
        if self._distance(bound, sign) <= z:
            return bound
        return float(optimize.brentq(lambda null: self._distance(null, sign) - z, bound, self.difference, xtol=1e-12))

    def _distance(self, null: float, sign: int) -> float:
        """Standard errors under `null` between it and what was seen, less the correction."""
        away = sign * (self.wins - self.losses - self.n * null) - self._correction
        error = np.sqrt(max(self._variance(null), 0.0))
        return float(away / error) if error > 1e-9 else float(np.sign(away) * np.inf) if away else 0.0

    def _variance(self, null: float) -> float:
        """Of wins - losses, at the most likely shares of both that differ by `null` (Tango's equation 7)."""
        a, c = 2.0 * self.n, -self.losses * null * (1 - null)
        b = -self.wins - self.losses + (2 * self.n - self.wins + self.losses) * null
        share = (np.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        return float(self.n * (2 * share + null * (1 - null)))

    @cached_property
    def _correction(self) -> float:
        """In items; none where the exact p-value is the smaller one, which is far from any usual level."""
        z = float(stats.norm.isf(self.p_value / 2))
        return max(0.0, abs(self.wins - self.losses) - z * float(np.sqrt(self.wins + self.losses)))


@dataclass(frozen=True)
class ByStandardError(Procedure):
    """An estimate whose error is that of Student's t."""

    freedom: float
    least: float = 0.0
    """The one-sided p-value below which so few units can't fall, whatever t says; below 0.025."""
    span: float = float("inf")
    """Highest score less the lowest one, which no difference exceeds."""

    def above(self, null: float) -> float:
        return max(self.least, float(stats.t.sf((self.difference - null) / self.standard_error, self.freedom)))

    def below(self, null: float) -> float:
        return max(self.least, float(stats.t.sf((null - self.difference) / self.standard_error, self.freedom)))

    def interval(self, level: float = 0.95) -> tuple[float | None, float | None]:
        reach = float(stats.t.isf((1 - level) / 2, self.freedom)) * self.standard_error
        return max(self.difference - reach, -self.span), min(self.difference + reach, self.span)


@dataclass(frozen=True)
class ByReplicates(Procedure):
    """An estimate among others that chance could have given in its place: of items drawn again, or signs flipped."""

    replicates: Floats
    """Sorted. Of flips, the means of the flipped items, which are above `null` as often as the test says."""
    ties: int = 1
    """What counts for both sides: the estimate itself."""
    unanimous: float | None = None
    """Where all units differ in one direction, the exact one-sided p-value of no difference, which is far smaller than
    replicates can show."""

    def above(self, null: float) -> float:
        if null == 0.0 and self.unanimous is not None and self.difference > 0:
            return self.unanimous
        count = int(np.searchsorted(self.replicates, null, side="right"))
        return (self.ties + count) / (self.ties + len(self.replicates))

    def below(self, null: float) -> float:
        if null == 0.0 and self.unanimous is not None and self.difference < 0:
            return self.unanimous
        count = len(self.replicates) - int(np.searchsorted(self.replicates, null, side="left"))
        return (self.ties + count) / (self.ties + len(self.replicates))

    def interval(self, level: float = 0.95) -> tuple[float | None, float | None]:
        needed = (self.ties + len(self.replicates)) * (1 - level) / 2 - self.ties
        place = int(np.ceil(needed - 1e-9))
        if place <= 0:
            return None, None
        low, high = float(self.replicates[place - 1]), float(self.replicates[-place])
        return (low, high) if high - low > 1e-12 * max(abs(low), abs(high)) else (None, None)  # as `Unspread`


@dataclass(frozen=True)
class Unvaried(Procedure):
    """Both have the same score on every item, or there is one item.

    If no unit of n differs, few can: the chance of that is (1 - share)^n, and one that differs moves the difference by
    `span` at most (the "rule of three", Hanley and Lippman-Hand 1983).
    """

    span: float | None = None
    """Highest score less the lowest one; None if there is no such, or that is not what was seen."""

    def above(self, null: float) -> float:
        return self._chance(-null)

    def below(self, null: float) -> float:
        return self._chance(null)

    def interval(self, level: float = 0.95) -> tuple[float | None, float | None]:
        if self.span is None:
            return None, None
        reach = self.span * (1 - ((1 - level) / 2) ** (1 / self.units))
        return -reach, reach

    def _chance(self, distance: float) -> float:
        if self.span is None or distance <= 0:
            return 1.0
        return float((1 - min(1.0, distance / self.span)) ** self.units)


@dataclass(frozen=True)
class Unspread(Procedure):
    """Every unit shows the same difference.

    An exact test can say that there is one. How far other units would differ is not known, so there is no interval: one
    of width 0 would claim certainty.
    """

    chance: float
    """The exact one-sided p-value of no difference."""

    def above(self, null: float) -> float:
        return self.chance if null == 0.0 and self.difference > 0 else 1.0

    def below(self, null: float) -> float:
        return self.chance if null == 0.0 and self.difference < 0 else 1.0

    def interval(self, level: float = 0.95) -> tuple[float | None, float | None]:
        return None, None


def paired(a: Floats, b: Floats, clusters: NDArray[Any] | None = None, span: float | None = None) -> Procedure:
    """Compare the scores of the same items, one of A and one of B each; `clusters` says which items belong together.

    Items of one cluster may resemble each other in any way; the mean is over items all the same. Fewer than six units
    show nothing at 5 %: their flips are 32 at most. Of clusters of unequal size the large ones count: where few of them
    hold most items, the signs are flipped, however many small ones there are. `span` is the highest score less the
    lowest one, if there are such.
    """
    if clusters is None and _is_binary(a) and _is_binary(b):
        return Discordant.of(int(np.sum((b == 1) & (a == 0))), int(np.sum((a == 1) & (b == 0))), len(a))
    difference = difference_of(a, b)
    totals, sizes = _units(difference, clusters)
    totals[np.abs(totals) <= ROUNDED * sizes * _size(a, b)] = 0.0
    units, mean = len(totals), float(difference.mean())
    if not difference.any():
        return Unvaried(0.0, len(a), units, 0.0, "no item differs", span)
    if units < 2:
        return Unvaried(mean, len(a), units, 0.0, "one item" if clusters is None else "one cluster")
    error, worth = _robust_error(totals, sizes), worth_of(sizes)
    by = "" if clusters is None else "cluster "
    if error <= 1e-12 * abs(mean):
        return Unspread(mean, len(a), units, 0.0, f"{by}sign flips", 0.5**units)
    differing = int(np.count_nonzero(totals))
    if min(differing, worth) < MANY:
        replicates, ties = flipped_means(totals, sizes)
        alike = bool(np.all(totals >= 0) or np.all(totals <= 0))
        exact = 0.5**differing if alike else None
        return ByReplicates(mean, len(a), units, error, f"{by}sign flips", replicates, ties, exact, worth=worth)
    method, most = "cluster t" if by else "paired t", float("inf") if span is None else span
    return ByStandardError(mean, len(a), units, error, method, worth - 1, span=most, worth=worth)


def welch(a: Floats, b: Floats, span: float | None = None) -> Procedure:
    """Compare scores of different items, by unequal variances (Welch 1947, with Satterthwaite's degrees of freedom)."""
    mean, noise = float(b.mean() - a.mean()), ROUNDED * _size(a, b)
    mean = mean if abs(mean) > noise else 0.0
    if min(len(a), len(b)) < 2:
        return Unvaried(mean, len(a) + len(b), min(len(a), len(b)), 0.0, "no spread")
    parts = float(a.var(ddof=1) / len(a)), float(b.var(ddof=1) / len(b))
    if sum(parts) <= noise**2:
        orders = float(special.binom(len(a) + len(b), len(a)))
        return Unspread(mean, len(a) + len(b), len(a) + len(b), 0.0, "permutation", 1 / orders)
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    n = len(a) + len(b)
    most = float("inf") if span is None else span
    return ByStandardError(mean, n, n, float(np.sqrt(sum(parts))), "Welch's t", freedom, span=most)


def difference_of(a: Floats, b: Floats) -> Floats:
    """B less A; what may be of rounding alone, for numbers of that size, is 0."""
    difference = b - a
    difference[np.abs(difference) <= ROUNDED * _size(a, b)] = 0.0
    return difference


def _size(a: Floats, b: Floats) -> float:
    """The greatest number, whatever its sign."""
    return float(max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0)))


def _is_binary(values: Floats) -> bool:
    return bool(np.all((values == 0) | (values == 1)))


def _units(difference: Floats, clusters: NDArray[Any] | None) -> tuple[Floats, Floats]:
    """The sum of the differences, and the number of items, of each independent unit."""
    if clusters is None:
        return difference, np.ones_like(difference)
    _, unit = np.unique(clusters, return_inverse=True)
    return np.bincount(unit, difference).astype(np.float64), np.bincount(unit).astype(np.float64)


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
