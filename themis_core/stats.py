"""Pure statistics of scores, each with its source. No I/O, no records."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Z95", "ClusteredMean", "wilson"]

Z95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""


def wilson(successes: float, n: int, z: float = Z95) -> tuple[float, float]:
    """Score interval of a proportion, in [0, 1]; n >= 1.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


@dataclass(slots=True)
class ClusteredMean:
    """Mean and standard error of values that come in clusters (the samples of one item), in constant memory.

    The standard error is the cluster-robust one, times sqrt(G / (G - 1)) for G clusters; with one value per cluster
    it is the sample standard deviation (ddof = 1) over sqrt(n). Source: E. Miller, "Adding Error Bars to Evals",
    arXiv:2411.00640 (2024), section 2.2.
    """

    n: int = 0
    clusters: int = 0
    binary: bool = True
    """True as long as all values are 0 or 1."""
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
        self.binary = self.binary and value in (0.0, 1.0)
        self._sum += value - self._shift
        self._cluster_sum += value - self._shift
        self._in_cluster += 1

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

    def interval(self) -> tuple[float, float] | None:
        """A 95 % interval: Wilson's for single zeros and ones, else normal about the mean; None if unknown.

        Where all values are equal, their spread says nothing. If they are zeros or ones, Wilson's counts each cluster
        once, which is right if its values always agree; for other values there is no interval.
        """
        if self.mean is None:
            return None
        error = self.standard_error
        if self.binary and (self.n == self.clusters or not error):
            return wilson(self.mean * self.clusters, self.clusters)
        return None if not error else (self.mean - Z95 * error, self.mean + Z95 * error)
