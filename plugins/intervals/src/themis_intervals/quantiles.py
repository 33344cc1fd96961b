"""Quantiles of Student's t distribution."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import Final

__all__ = ["Z95", "t_quantile"]

Z95 = 1.959963984540054
"""The 97.5 % point of the standard normal distribution."""
_TERMS: Final = 200
_EXPANDED_FROM: Final = 1000


@lru_cache(maxsize=1024)
def t_quantile(freedom: float, probability: float = 0.975) -> float:
    """Quantile of Student's t distribution, right to 1e-9 of its value; `freedom` >= 1, `probability` in (0.5, 1).

    Up to 1,000 degrees of freedom the tail is bisected, which is half the regularised incomplete beta function by its
    continued fraction (NIST, "Digital Library of Mathematical Functions", 8.17.22 and 8.17.4); from there on four terms
    of the Cornish-Fisher expansion (M. Abramowitz, I. Stegun, "Handbook of Mathematical Functions", 1964, 26.7.5) err
    less. Raises ValueError outside of these ranges.
    """
    if not (freedom >= 1 and 0.5 < probability < 1):
        raise ValueError(f"no t quantile of {freedom} degrees of freedom at {probability}: need >= 1, and (0.5, 1)")
    if freedom > _EXPANDED_FROM:
        return _expanded(freedom, NormalDist().inv_cdf(probability))
    low, high = 0.0, 1.0
    while _tail(high, freedom) > 1 - probability:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _tail(middle, freedom) > 1 - probability else (low, middle)
    return high


def _expanded(freedom: float, z: float) -> float:
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))


def _tail(t: float, freedom: float) -> float:
    """Probability of a value above t."""
    x, a, b = freedom / (freedom + t * t), freedom / 2, 0.5
    rest = t * t / (freedom + t * t)
    # Each side of the reflection where its fraction converges fast.
    return _beta(x, rest, a, b) / 2 if x < (a + 1) / (a + b + 2) else (1 - _beta(rest, x, b, a)) / 2


def _beta(x: float, rest: float, a: float, b: float) -> float:
    """I(x; a, b), where rest is 1 - x without its loss of digits."""
    fraction = 1.0
    for m in range(_TERMS, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m - 1) * (a + b + m - 1) * x / ((a + 2 * m - 2) * (a + 2 * m - 1))
        fraction = 1 + odd / (1 + even / fraction)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    return math.exp(logarithm) / (a * fraction)
