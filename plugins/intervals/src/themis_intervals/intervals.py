"""Intervals of means and of other estimates over items, each with its source. No I/O."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, NamedTuple

from themis_intervals.quantiles import Z95, t_quantile

__all__ = [
    "ClusterSums", "ClusteredMean", "Interval", "dealt", "decimals", "interval_about", "jackknife", "shown", "wilson",
]  # fmt: skip


class Interval(NamedTuple):
    """A 95 % interval and how it was found, or the reason why there is none."""

    low: float | None = None
    high: float | None = None
    method: Literal["wilson", "wilson_t", "t", "jackknife", "nested"] | None = None
    missing: str | None = None
    """`one_item`: fewer than two; `no_spread`: all alike, which doesn't tell how much others would differ."""


def decimals(value: float, digits: int = 3, sign: str = "") -> str:
    """A number for people: so many decimals, or so many significant digits of one that is too small for them."""
    is_tiny = value and abs(value) < 10.0**-digits
    return f"{value:{sign}.{digits}g}" if is_tiny else f"{value:{sign}.{digits}f}"


def shown(low: float | None, high: float | None) -> str:
    """An interval for people: three decimals, and more where both ends would look alike; a dash if there is none."""
    if low is None or high is None:
        return "–"
    digits = next((digits for digits in range(3, 12) if f"{low:.{digits}f}" != f"{high:.{digits}f}"), 12)
    return f"[{low:.{digits}f}, {high:.{digits}f}]"


def wilson(successes: float, n: float, z: float = Z95) -> tuple[float, float]:
    """Score interval of a proportion, in [0, 1]; n > 0, whole or not.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # The ends of [0, 1] are exact, whatever is rounded on the way.
    return max(0.0, (centre - half) / scale) if p > 0 else 0.0, min(1.0, (centre + half) / scale) if p < 1 else 1.0


def interval_about(
    value: float, error: float, quantile: float, lowest: float | None, highest: float | None
) -> tuple[float, float]:
    """Interval of an estimate with a standard error above 0, within the range of what is estimated.

    Where the range has two ends it is Wilson's for value (1 - value) / error² trials, the effective sample size, on the
    range as [0, 1], with the t quantile of the error's degrees of freedom for z. Sources: L. Kish, "Survey Sampling"
    (1965), for the effective size; E. Korn, B. Graubard, "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data", Survey Methodology 24 (1998), for its use with the t
    quantile; R. Wedderburn, "Quasi-likelihood functions", Biometrika 61 (1974), for values between the ends, whose
    variance is then taken as proportional to value (1 - value). Else it is value ± quantile · error, cut at the end.
    """
    if lowest is not None and highest is not None and lowest < value < highest:
        share, span = (value - lowest) / (highest - lowest), highest - lowest
        size = share * (1 - share) * (span / error) ** 2
        low, high = wilson(share * size, size, quantile)
        return lowest + span * low, lowest + span * high
    low, high = value - quantile * error, value + quantile * error
    return low if lowest is None else max(low, lowest), high if highest is None else min(high, highest)


def jackknife(left_out: Sequence[float]) -> float:
    """Standard error of an estimate, from the estimates that leave one of equal groups out each; two or more.

    Sources: J. Tukey, "Bias and confidence in not-quite large samples", Annals of Mathematical Statistics 29 (1958);
    for groups P. Kott, "The delete-a-group jackknife", Journal of Official Statistics 17 (2001). Right for smooth
    functions of sums, wrong for a median.
    """
    mean = fmean(left_out)
    return math.sqrt(math.fsum((each - mean) ** 2 for each in left_out) * (len(left_out) - 1) / len(left_out))


def dealt(clusters: int, groups: int) -> list[int]:
    """A group for each cluster, always the same ones, in sizes that differ by one at most."""
    places = [place % groups for place in range(clusters)]
    if groups < clusters:
        random.Random(0).shuffle(places)  # in an order of the items a pattern may hide
    return places


class ClusterSums(NamedTuple):
    """What `ClusteredMean` needs of values in whole clusters, such as a database can sum up."""

    n: int
    clusters: int
    mean: float
    """What the sums are taken about; exactly the value, if all values are alike."""
    squares: float
    """Over the clusters, of the squares of the sum of (value - mean)."""
    products: float
    """Over the clusters, of that sum times the number of values."""
    count_squares: float
    """Over the clusters, of the squares of the number of values."""
    least: float
    greatest: float
    binary: bool
    """Whether all values are ends of the range."""

    @classmethod
    def of_cluster(cls, values: Sequence[float], lowest: float | None, highest: float | None) -> ClusterSums:
        """Those of one cluster of one value or more."""
        n, least, greatest = len(values), min(values), max(values)
        binary = all(value in (lowest, highest) for value in values)
        return cls.of_total(n, math.fsum(values), least, greatest, binary=binary)

    @classmethod
    def of_total(cls, n: int, total: float, least: float, greatest: float, *, binary: bool) -> ClusterSums:
        """Those of one cluster, of its sum."""
        mean = least if least == greatest else total / n
        return cls(n, 1, mean, 0.0, 0.0, n * n, least, greatest, binary)

    def joined(self, other: ClusterSums) -> ClusterSums:
        """Those of these clusters and of others."""
        n = self.n + other.n
        least, greatest = min(self.least, other.least), max(self.greatest, other.greatest)
        mean = least if least == greatest else (self.n * self.mean + other.n * other.mean) / n
        squares, products = (sum(each) for each in zip(self.about(mean), other.about(mean), strict=True))
        return ClusterSums(
            n, self.clusters + other.clusters, mean, squares, products, self.count_squares + other.count_squares,
            least, greatest, self.binary and other.binary,
        )  # fmt: skip

    def about(self, centre: float) -> tuple[float, float]:
        """`squares` and `products`, as they are about another number than the mean."""
        by = self.mean - centre
        squares = self.squares + 2 * by * self.products + by * by * self.count_squares
        return squares, self.products + by * self.count_squares


@dataclass(slots=True)
class ClusteredMean:
    """Mean and standard error of values that come in clusters (the samples of one item), in constant memory.

    The standard error is the cluster-robust one, times sqrt(G / (G - 1)) for G clusters; with one value per cluster
    it is the sample standard deviation (ddof = 1) over sqrt(n). Source: E. Miller, "Adding Error Bars to Evals",
    arXiv:2411.00640 (2024), section 2.2.
    """

    lowest: float | None = 0.0
    highest: float | None = 1.0
    """Range of the values; None where it has no end."""
    n: int = 0
    clusters: int = 0
    binary: bool = True
    """True as long as all values are ends of the range."""
    constant: bool = True
    _shift: float = 0.0
    _sum: float = 0.0
    _in_cluster: int = 0
    _cluster_sum: float = 0.0
    _sum_squares: float = 0.0
    _sum_products: float = 0.0
    _count_squares: float = 0.0

    def add(self, value: float, *, new_cluster: bool) -> None:
        """Add a value; the values of a cluster come one after another."""
        if self.n == 0:
            self._shift = value  # squares of differences lose no digits where values are large and close
        if new_cluster:
            self._close_cluster()
            self.clusters += 1
        self.n += 1
        self.constant = self.constant and value == self._shift
        self.binary = self.binary and value in (self.lowest, self.highest)
        self._sum += value - self._shift
        self._cluster_sum += value - self._shift
        self._in_cluster += 1

    def add_sums(self, sums: ClusterSums) -> None:
        """Add whole clusters, none of which was added before."""
        if self.n == 0:
            self._shift = sums.mean
        self._close_cluster()
        squares, products = sums.about(self._shift)
        self.n += sums.n
        self.clusters += sums.clusters
        self.constant = self.constant and sums.least == sums.greatest == self._shift
        self.binary = self.binary and sums.binary
        self._sum += (sums.mean - self._shift) * sums.n
        self._sum_squares += squares
        self._sum_products += products
        self._count_squares += sums.count_squares

    def _close_cluster(self) -> None:
        self._sum_squares += self._cluster_sum**2
        self._sum_products += self._cluster_sum * self._in_cluster
        self._count_squares += self._in_cluster**2
        self._cluster_sum, self._in_cluster = 0.0, 0

    @property
    def mean(self) -> float | None:
        """The mean of all values; None without any."""
        return self._shift + self._sum / self.n if self.n else None

    @property
    def standard_error(self) -> float | None:
        """Standard error of the mean; None with fewer than two clusters."""
        if self.clusters < 2:
            return None
        self._close_cluster()
        shifted = self._sum / self.n
        squares = self._sum_squares - 2 * shifted * self._sum_products + shifted**2 * self._count_squares
        return math.sqrt(max(squares, 0.0) * self.clusters / (self.clusters - 1)) / self.n

    def interval(self) -> Interval:
        """A 95 % interval within the range.

        `wilson`: of values at the ends of the range, one per cluster; and if clusters don't differ, where each counts
        once, which is right if its values always agree. `wilson_t` and `t`: see `interval_about`, with as many
        degrees of freedom as clusters less one, and `t` where the range has no second end. For clusters of zeros and
        ones Korn and Graubard's quantile, z · t(clusters - 1) / t(n - 1), goes on where Wilson's ends.
        """
        mean, error, binary = self.mean, self.standard_error, self.binary and None not in (self.lowest, self.highest)
        if mean is None or error is None:
            return Interval(missing="one_item")
        if binary and (self.constant or self.n == self.clusters or not error):
            return self._wilson(mean, self.clusters)
        if not error:
            return Interval(missing="no_spread")
        quantile = t_quantile(self.clusters - 1) * (Z95 / t_quantile(self.n - 1) if binary else 1)
        ends = interval_about(mean, error, quantile, self.lowest, self.highest)
        return Interval(*ends, "t" if None in (self.lowest, self.highest) else "wilson_t")

    def _wilson(self, mean: float, trials: int) -> Interval:
        assert self.lowest is not None
        assert self.highest is not None
        span = self.highest - self.lowest
        low, high = wilson((mean - self.lowest) / span * trials, trials)
        return Interval(self.lowest + span * low, self.lowest + span * high, "wilson")
