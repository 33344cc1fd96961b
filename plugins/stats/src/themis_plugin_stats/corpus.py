"""Comparing numbers that are made of all items at once, such as BLEU: by leaving items out, or drawing them again.

Both give a standard error, and Student's t what it is worth. Fewer than six units show nothing, as by flips of signs: t
alone would call three differences of 0.9, 1.0 and 1.1 certain, which chance gives one sign in a quarter of all times.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from themis_plugin_stats.flipping import SEED
from themis_plugin_stats.procedures import FEWEST_UNITS, ByStandardError, Procedure, Unspread, Unvaried
from themis_plugin_stats.tallying import worth_of

__all__ = ["bootstrapped", "jackknifed"]

FEWEST_GROUPS, MOST_HANDED = 20, 400_000
"""As in the core's own intervals: items are left out in groups where there are many."""
MOST_DRAWS, FEWEST_DRAWS = 1_999, 199

Difference = Callable[[NDArray[np.int64]], float]
"""The difference that these items (their positions, some perhaps several times) make."""


def jackknifed(difference: Difference, n: int, clusters: NDArray[Any] | None = None) -> Procedure:
    """By the delete-a-group jackknife over whole units (Efron and Stein 1981; Kott 2001), with Student's t.

    For smooth functions of sums over items.
    """
    value, unit = difference(np.arange(n)), _unit_of_each(n, clusters)
    units = int(unit.max()) + 1
    groups = min(units, max(FEWEST_GROUPS, MOST_HANDED // n))
    group_of = (np.random.default_rng(SEED).permutation(units) % groups)[unit]
    worth = 0.0 if units < FEWEST_UNITS else worth_of(np.bincount(group_of).astype(np.float64))
    if worth < FEWEST_UNITS:
        return Unvaried(value, n, units, 0.0, "too few units", worth=worth)
    left_out = np.array([difference(np.flatnonzero(group_of != group)) for group in range(groups)])
    error = float(np.sqrt((groups - 1) / groups * np.sum((left_out - left_out.mean()) ** 2)))
    return _by_t(value, n, units, error, "paired jackknife", groups, worth)


def bootstrapped(difference: Difference, n: int, clusters: NDArray[Any] | None = None) -> Procedure:
    """By drawing whole units again, the same for both sides (bootstrap standard error: Efron 1979), with Student's t.

    For functions that leaving out one item does not move smoothly, as a median. Percentiles of the draws would be too
    narrow with few items: with eight, no difference would be found to be one in 12 % of the trials.
    """
    value, unit = difference(np.arange(n)), _unit_of_each(n, clusters)
    order = np.argsort(unit, kind="stable")
    units = np.split(order, np.flatnonzero(np.diff(unit[order])) + 1)  # the positions of the items of each
    count = len(units)
    worth = 0.0 if count < FEWEST_UNITS else worth_of(np.bincount(unit).astype(np.float64))
    if worth < FEWEST_UNITS:
        return Unvaried(value, n, count, 0.0, "too few units", worth=worth)
    draw = np.random.default_rng(SEED)
    draws = min(MOST_DRAWS, max(FEWEST_DRAWS, 10 * MOST_HANDED // n))
    found = [difference(np.concatenate([units[i] for i in draw.integers(0, count, count)])) for _ in range(draws)]
    error = float(np.std(found, ddof=1)) * sqrt(worth / (worth - 1))  # of a mean, exactly that of the t test
    return _by_t(value, n, count, error, "paired bootstrap", count, worth)


def _by_t(value: float, n: int, units: int, error: float, method: str, parts: int, worth: float) -> Procedure:
    """By t of as many parts as these are worth; their signs bound the p-value, and alone count where all are alike."""
    if error <= 1e-12 * max(abs(value), 1.0):
        rounded = 0.0 if abs(value) <= 1e-12 else value
        return Unspread(rounded, n, units, 0.0, method, 0.5**parts)
    return ByStandardError(value, n, units, error, method, worth - 1, 0.5**parts, worth=worth)


def _unit_of_each(n: int, clusters: NDArray[Any] | None) -> NDArray[np.int64]:
    """The number of each item's unit."""
    return np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
