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
from themis_plugin_stats.tallying import MANY, ROUNDED, Clusters, Moments, Tally, Units

__all__ = [
    "FEWEST_UNITS",
    "ByReplicates",
    "ByStandardError",
    "Discordant",
    "Procedure",
    "Unspread",
    "Unvaried",
    "paired",
    "paired_clusters",
    "paired_items",
    "welch",
    "welch_of",
]

FEWEST_UNITS = 6
"""Of fewer, the exact tests show nothing at 5 %: five coins all fall alike in 2 of 32 times."""


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

    `span` is the highest score less the lowest one, if there are such.
    """
    tally = Tally.of(a, b)
    if clusters is None:
        return paired_items(tally, span)
    by_cluster = Clusters(tally.greatest)
    by_cluster.add(a, b, clusters)
    return paired_clusters(tally, by_cluster, span)


def paired_items(tally: Tally, span: float | None = None) -> Procedure:
    """Compare scores that were tallied, item by item."""
    if tally.is_binary:
        return Discordant.of(tally.won, tally.lost, tally.n)
    return _of_units(tally, tally.units(), "", span)


def paired_clusters(tally: Tally, clusters: Clusters, span: float | None = None) -> Procedure:
    """Compare scores that were tallied, cluster by cluster.

    Items of one cluster may resemble each other in any way; the mean is over items all the same. Fewer than six units
    show nothing at 5 %: their flips are 32 at most. Of clusters of unequal size the large ones count: where few of them
    hold most items, the signs are flipped, however many small ones there are.
    """
    return _of_units(tally, clusters.units(), "cluster ", span)


def _of_units(tally: Tally, units: Units, by: str, span: float | None) -> Procedure:
    n, mean = tally.n, tally.mean
    if not tally.won + tally.lost:
        return Unvaried(0.0, n, units.count, 0.0, "no item differs", span)
    if units.count < 2:
        return Unvaried(mean, n, units.count, 0.0, f"one {by or 'item'}".strip())
    if units.error <= 1e-12 * abs(mean):
        return Unspread(mean, n, units.count, 0.0, f"{by}sign flips", 0.5**units.count)
    if min(units.differing, units.worth) < MANY:
        replicates, ties = flipped_means(units.totals, units.sizes, units.others)
        alike = bool(np.all(units.totals >= 0) or np.all(units.totals <= 0))
        exact = 0.5**units.differing if alike else None
        told = f"{by}sign flips"
        return ByReplicates(mean, n, units.count, units.error, told, replicates, ties, exact, worth=units.worth)
    method, most = "cluster t" if by else "paired t", float("inf") if span is None else span
    freedom = units.worth - 1
    return ByStandardError(mean, n, units.count, units.error, method, freedom, span=most, worth=units.worth)


def welch(a: Floats, b: Floats, span: float | None = None) -> Procedure:
    """Compare scores of different items, by unequal variances (Welch 1947, with Satterthwaite's degrees of freedom)."""
    return welch_of(Moments.of(a), Moments.of(b), span)


def welch_of(a: Moments, b: Moments, span: float | None = None) -> Procedure:
    """The same of scores of which the moments are known."""
    mean, noise, n = b.mean - a.mean, ROUNDED * max(a.greatest, b.greatest), a.n + b.n
    mean = mean if abs(mean) > noise else 0.0
    if min(a.n, b.n) < 2:
        return Unvaried(mean, n, min(a.n, b.n), 0.0, "no spread")
    parts = a.variance / a.n, b.variance / b.n
    if sum(parts) <= noise**2:
        return Unspread(mean, n, n, 0.0, "permutation", 1 / float(special.binom(n, a.n)))
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (a.n - 1) + parts[1] ** 2 / (b.n - 1))
    most = float("inf") if span is None else span
    return ByStandardError(mean, n, n, float(np.sqrt(sum(parts))), "Welch's t", freedom, span=most)
