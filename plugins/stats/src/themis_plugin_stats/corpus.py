"""Comparing numbers that are made of all items at once, such as BLEU: by leaving items out, or drawing them again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from themis_plugin_stats.procedures import SEED, ByReplicates, ByStandardError, Procedure, Unvaried, unanimous

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
    if units < 2:
        return Unvaried(value, n, units, 0.0, "one unit")
    groups = min(units, max(FEWEST_GROUPS, MOST_HANDED // n))
    group_of = (np.random.default_rng(SEED).permutation(units) % groups)[unit]
    left_out = np.array([difference(np.flatnonzero(group_of != group)) for group in range(groups)])
    error = float(np.sqrt((groups - 1) / groups * np.sum((left_out - left_out.mean()) ** 2)))
    if error <= 1e-12:
        return unanimous(value, n, units, "sign flips", 0.5**units)
    return ByStandardError(value, n, units, error, "paired jackknife", groups - 1)


def bootstrapped(difference: Difference, n: int, clusters: NDArray[Any] | None = None) -> Procedure:
    """By drawing whole units again, the same for both sides (percentile bootstrap: Efron 1979; Koehn 2004).

    For functions that leaving out one item does not move smoothly, as a median.
    """
    value, unit = difference(np.arange(n)), _unit_of_each(n, clusters)
    order = np.argsort(unit, kind="stable")
    units = np.split(order, np.flatnonzero(np.diff(unit[order])) + 1)  # the positions of the items of each
    if len(units) < 2:
        return Unvaried(value, n, len(units), 0.0, "one unit")
    draw = np.random.default_rng(SEED)
    draws = min(MOST_DRAWS, max(FEWEST_DRAWS, 10 * MOST_HANDED // n))
    found = np.sort(
        [difference(np.concatenate([units[i] for i in draw.integers(0, len(units), len(units))])) for _ in range(draws)]
    )
    return ByReplicates(value, n, len(units), float(found.std(ddof=1)), "paired bootstrap", found)


def _unit_of_each(n: int, clusters: NDArray[Any] | None) -> NDArray[np.int64]:
    """The number of each item's unit."""
    return np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
