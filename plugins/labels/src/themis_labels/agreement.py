"""How far two readers of the same answers agree: pure functions of numbers, each with its source. No I/O, no records.

Values are numbers; a missing value is None. What the data can't tell (one category only, no pairs, the interval of
readers who never differ) is None as well, never zero.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from themis_intervals import interval_about, t_quantile, wilson

__all__ = [
    "Estimate",
    "Rate",
    "Scale",
    "alpha",
    "kappa",
    "kappa_of_table",
    "position_bias",
    "self_agreement",
]

LEAST_UNITS = 5
"""Of fewer answers or items, kappa and alpha get no interval: the methods are for large samples."""
MOST_CATEGORIES = 100
MOST_DRAWS = 2_000_000

Scale = Literal["nominal", "ordinal", "interval"]
"""What a difference of two values means: nothing but being different, a difference in rank, or a distance."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval; None where the data can't tell."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    """How many answers, questions or units it is made of."""
    standard_error: float | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of trials. `successes` of `n`; `clusters` is how many of them can be taken for independent."""

    successes: float
    n: int
    clusters: int

    @property
    def value(self) -> float | None:
        """In [0, 1]; None without trials."""
        return self.successes / self.n if self.n else None

    def estimate(self) -> Estimate:
        """The share with Wilson's interval for as many trials as there are clusters.

        That is too wide rather than too narrow: trials of one item are counted as if they were all alike.
        """
        if self.value is None:
            return Estimate(None)
        return Estimate(self.value, *wilson(self.value * self.clusters, self.clusters), self.n)


# --- Cohen's kappa ------------------------------------------------------------------------------------------


def kappa(
    pairs: Sequence[tuple[float, float]], scale: Scale = "nominal", *, items: Sequence[str] | None = None
) -> Estimate:
    """Cohen's kappa of pairs of values: agreement beyond what both readers' own frequencies would give by chance.

    In [-1, 1]. `nominal` is unweighted, `ordinal` has linear weights over the ranks of the values that occur,
    `interval` quadratic weights over the values themselves. `items` names the item of each pair, by default each its
    own: pairs of one item count together for the interval. Sources and interval: see `kappa_of_table`. None if there
    are more than 100 different values: kappa compares categories, and those are none.
    """
    values = sorted({value for pair in pairs for value in pair})
    if len(values) > MOST_CATEGORIES:
        return Estimate(None, n=len(pairs))
    places = {value: place for place, value in enumerate(values)}
    tables: dict[str | int, Counter[tuple[int, int]]] = {}
    names: Sequence[str | int] = range(len(pairs)) if items is None else items
    for item, (first, second) in zip(names, pairs, strict=True):
        tables.setdefault(item, Counter())[places[first], places[second]] += 1
    return _kappa(list(tables.values()), _weights(values, scale))


def _weights(values: Sequence[float], scale: Scale) -> list[list[float]]:
    if scale == "nominal":
        return [[float(a == b) for b in values] for a in values]
    points: Sequence[float] = range(len(values)) if scale == "ordinal" else values
    power = 1 if scale == "ordinal" else 2
    span = points[-1] - points[0] if len(points) > 1 else 1
    return [[1 - (abs(a - b) / span) ** power for b in points] for a in points]


def kappa_of_table(table: Sequence[Sequence[int]], weights: Sequence[Sequence[float]]) -> Estimate:
    """Weighted kappa of a square table of counts; a weight is 1 for full agreement and 0 for none.

    Sources: J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20
    (1960), and "Weighted kappa", Psychological Bulletin 70 (1968); the standard error is that of the large-sample
    variance of J. Fleiss, J. Cohen, B. Everitt, "Large sample standard errors of kappa and weighted kappa",
    Psychological Bulletin 72 (1969), and for pairs that belong together its form of Z. Yang, M. Zhou, "Kappa statistic
    for clustered matched-pair data", Statistics in Medicine 33 (2014). The interval is that of
    `themis_intervals.interval_about` on [-1, 1], with as many degrees of freedom as pairs or items less one: kappa ±
    1.96 errors leaves the range, and covers too rarely in small samples. Without error and interval if there are fewer
    than five pairs or items, or the variance is zero: that is a lack of data, no certainty. None if the table is empty
    or chance alone gives full agreement (both readers used one category).
    """
    places = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    return _kappa([Counter([place]) for place in places], weights)


def _kappa(tables: Sequence[Counter[tuple[int, int]]], weights: Sequence[Sequence[float]]) -> Estimate:
    """Kappa of tables by row and column, one per item."""
    table: Counter[tuple[int, int]] = Counter()
    for each in tables:
        table.update(each)
    n = table.total()
    if n == 0:
        return Estimate(None)
    size = range(len(weights))
    rows = [sum(table[i, j] for j in size) / n for i in size]
    columns = [sum(table[i, j] for i in size) / n for j in size]
    observed = math.fsum(times * weights[i][j] for (i, j), times in table.items()) / n  # in any order of the answers
    expected = sum(rows[i] * columns[j] * weights[i][j] for i in size for j in size)
    if expected > 1 - 1e-12:
        return Estimate(None, n=n)
    value = (observed - expected) / (1 - expected)
    by_row = [sum(columns[j] * weights[i][j] for j in size) for i in size]
    by_column = [sum(rows[i] * weights[i][j] for i in size) for j in size]
    mean = observed * expected - 2 * expected + observed

    def deviation(i: int, j: int) -> float:
        return weights[i][j] * (1 - expected) - (by_row[i] + by_column[j]) * (1 - observed) - mean

    by_place = {place: deviation(*place) for place in table}
    squares = math.fsum(math.fsum(times * by_place[place] for place, times in each.items()) ** 2 for each in tables)
    error = math.sqrt(squares) / (n * (1 - expected) ** 2)
    if len(tables) < LEAST_UNITS or error < 1e-9:
        return Estimate(value, n=n)
    return Estimate(value, *interval_about(value, error, t_quantile(len(tables) - 1), -1.0, 1.0), n, error)


# --- Krippendorff's alpha -----------------------------------------------------------------------------------


def alpha(
    units: Iterable[Sequence[float | None]],
    scale: Scale = "nominal",
    *,
    items: Iterable[str] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Krippendorff's alpha of units, each with the values that its readers gave it; None is a missing value.

    1 is perfect agreement, 0 that of chance. Units with fewer than two values say nothing and are left out.
    Source: K. Krippendorff, "Computing Krippendorff's alpha-reliability" (2011). The interval is the percentile
    bootstrap over whole items (B. Efron, "Bootstrap methods: another look at the jackknife", 1979) with a fixed
    seed: whole items, because their values depend on each other. `items` names the item of each unit, by default each
    its own. No interval of fewer than five items, nor if all resamples are alike: that is a lack of data, no
    certainty. None if all values are alike.
    """
    by_item: dict[str | int, list[tuple[float, ...]]] = {}
    names: Iterable[str | int] = count() if items is None else items
    for item, unit in zip(names, units, strict=items is not None):
        values = tuple(sorted(value for value in unit if value is not None))
        if len(values) > 1:
            by_item.setdefault(item, []).append(values)
    kept = [tuple(sorted(units)) for units in by_item.values()]
    n = sum(map(len, kept))
    value = _alpha(_counted(Counter(kept)), scale)
    if value is None or resamples == 0 or len(kept) < LEAST_UNITS:
        return Estimate(value, n=n)
    # Equal items are counted together, so that a resample is a draw per item and no arithmetic of pairs; and of many
    # items fewer resamples will do, because their ends hardly move.
    random_ = random.Random(seed)
    kinds = Counter(kept)
    population = sorted(kinds)
    weights = [kinds[each] for each in population]
    times = min(resamples, max(200, MOST_DRAWS // len(kept)))
    drawn = (_alpha(_counted(Counter(random_.choices(population, weights, k=len(kept)))), scale) for _ in range(times))
    low, high = _percentiles(sorted(each for each in drawn if each is not None))
    if low is None or high is None or high - low < 1e-9:
        return Estimate(value, n=n)
    return Estimate(value, low, high, n)


def _counted(items: Mapping[tuple[tuple[float, ...], ...], int]) -> Counter[tuple[float, ...]]:
    """How often each unit is in counted items."""
    units: Counter[tuple[float, ...]] = Counter()
    for item, times in items.items():
        for unit in item:
            units[unit] += times
    return units


def _alpha(units: Mapping[tuple[float, ...], int], scale: Scale) -> float | None:
    totals: Counter[float] = Counter()
    for unit, times in units.items():
        for value in unit:
            totals[value] += times
    if len(totals) < 2:
        return None
    points = _points(totals, scale)
    observed = sum(_pairs(Counter(unit), points) * times / (len(unit) - 1) for unit, times in units.items())
    return 1 - (totals.total() - 1) * observed / _pairs(totals, points)


def _points(totals: Mapping[float, int], scale: Scale) -> Mapping[float, float] | None:
    """Where the values lie, so that their difference is the squared distance of points; None for nominal values.

    Krippendorff's ordinal difference, the values in between with half of those at both ends, is that of mid-ranks.
    """
    if scale == "nominal":
        return None
    if scale == "interval":
        return {value: value for value in totals}
    points, below = {}, 0
    for value in sorted(totals):
        points[value] = below + totals[value] / 2
        below += totals[value]
    return points


def _pairs(counts: Counter[float], points: Mapping[float, float] | None) -> float:
    """The sum of the differences of all ordered pairs of values; by moments, not pair by pair."""
    n = counts.total()
    if points is None:
        return n * n - sum(count * count for count in counts.values())
    mean = sum(points[value] * count for value, count in counts.items()) / n
    return 2 * n * sum(count * (points[value] - mean) ** 2 for value, count in counts.items())


def _percentiles(found: Sequence[float]) -> tuple[float | None, float | None]:
    if not found:
        return None, None
    last = len(found) - 1
    return found[round(0.025 * last)], found[round(0.975 * last)]


# --- repeats and orders -------------------------------------------------------------------------------------


def self_agreement(groups: Iterable[Sequence[float]], *, items: Iterable[str] | None = None) -> Estimate:
    """How often repeated verdicts on the same question agree, over the groups that have two or more.

    The mean over groups of the share of equal pairs, in [0, 1]: the observed agreement of J. Fleiss, "Measuring
    nominal scale agreement among many raters", Psychological Bulletin 76 (1971). `items` names the item of each group,
    by default each its own. The interval is Wilson's for as many trials as there are items, which for shares between 0
    and 1 is wide enough.
    """
    shares = []
    clusters: set[str | int] = set()
    names: Iterable[str | int] = count() if items is None else items
    for item, group in zip(names, groups, strict=items is not None):
        if len(group) > 1:
            pairs = len(group) * (len(group) - 1)
            shares.append(sum(times * (times - 1) for times in Counter(group).values()) / pairs)
            clusters.add(item)
    return Rate(sum(shares), len(shares), len(clusters)).estimate()


def position_bias(pairs: Iterable[tuple[float, float]]) -> dict[str, float | int | None]:
    """Whether a verdict depends on which answer is shown first.

    A pair is the value of one answer when it was shown first, and when it was shown second. Returns `n` pairs,
    `consistent` (share of equal values), `first` and `second` (how many pairs favour the place), `bias` (mean
    difference; above 0 the first place is favoured) and `p`: the two-sided exact binomial test of as many for one
    place as for the other, which for wins and losses is McNemar's exact test. Source: Q. McNemar, "Note on the
    sampling error of the difference between correlated proportions or percentages", Psychometrika 12 (1947).
    """
    found = list(pairs)
    first = sum(a > b for a, b in found)
    second = sum(a < b for a, b in found)
    n = len(found)
    return {
        "n": n,
        "consistent": (n - first - second) / n if n else None,
        "first": first,
        "second": second,
        "bias": sum(a - b for a, b in found) / n if n else None,
        "p": _sign_test(first, second) if n else None,
    }


def _sign_test(one: int, other: int) -> float:
    n, least = one + other, min(one, other)
    # Down from the largest term, each from the one before: whole binomials of 100,000 pairs would take minutes.
    term = math.exp(math.lgamma(n + 1) - math.lgamma(least + 1) - math.lgamma(n - least + 1) - n * math.log(2))
    tail = 0.0
    for k in range(least, -1, -1):
        tail += term
        term *= k / (n - k + 1)
        if term < tail * 1e-17:
            break
    return min(1.0, 2 * tail)
