"""How much a comparison could show: power, the smallest difference that can be seen, and how many items it takes."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, inf, sqrt

import numpy as np
from scipy import optimize, stats

from themis_plugin_stats.procedures import FEWEST_UNITS, Discordant, Procedure

__all__ = [
    "items_to_decide",
    "items_to_equal",
    "least_items",
    "power_of",
    "power_of_mcnemar",
    "power_of_t",
    "smallest_difference",
]

ALPHA, POWER = 0.05, 0.8
MOST_ITEMS = 10_000_000


def power_of_mcnemar(n: int, differing: float, difference: float, alpha: float = ALPHA) -> float:
    """The chance that the exact McNemar test finds a difference, of n items.

    `differing` is the share of items that one side has and the other has not; `difference` of both shares, at most as
    great. Summed over how many items differ; of more than 2,000 items, over what is within six standard deviations.
    """
    if not 0 < abs(difference) <= differing <= 1:
        return 0.0
    expected, spread = n * differing, sqrt(n * differing * (1 - differing))
    counts = np.arange(max(0, int(expected - 6 * spread - 2)), min(n, int(expected + 6 * spread + 2)) + 1)
    win = (differing + abs(difference)) / (2 * differing)
    # The most losses with which this many coins are no longer fair; -1 if no number of them is few enough.
    most = stats.binom.ppf(alpha / 2, counts, 0.5) - 1
    rejected = stats.binom.cdf(most, counts, 1 - win) + stats.binom.cdf(most, counts, win)
    return float(np.sum(stats.binom.pmf(counts, n, differing) * rejected))


def power_of_t(units: float, spread: float, difference: float, alpha: float = ALPHA) -> float:
    """The chance that a paired t test of so many units finds a difference; `spread` is the standard deviation of the
    units' differences."""
    if units < 2 or spread <= 0:
        return 0.0
    freedom, shift = units - 1, abs(difference) / spread * sqrt(units)
    limit = stats.t.isf(alpha / 2, freedom)
    found = stats.nct.sf(limit, freedom, shift) + stats.nct.cdf(-limit, freedom, shift)
    return float(found) if np.isfinite(found) else float(stats.norm.sf(limit - shift))


def least_items(power: Callable[[int], float], wanted: float = POWER) -> int | None:
    """The least number of items whose power is as wanted; None if ten million are not enough."""
    low, high = 1, 2
    while power(high) < wanted:
        low, high = high, high * 2
        if high > MOST_ITEMS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(middle) >= wanted else (middle, high)
    return high


def power_of(found: Procedure, difference: float) -> Callable[[int], float]:
    """The power of so many items of which each tells as much as one of those that were compared.

    Of zeros and ones, as many differ as did, or else as many as the difference takes.
    """
    if isinstance(found, Discordant):
        differing = min(max((found.wins + found.losses) / found.n, difference), 1.0)
        return lambda n: power_of_mcnemar(n, differing, difference)
    units = found.effective_units
    spread = found.standard_error * sqrt(units)
    return lambda n: power_of_t(n * units / max(found.n, 1), spread, difference)


def smallest_difference(found: Procedure, wanted: float = POWER) -> float | None:
    """The true difference that so many items would show with the wanted power, their spread being as seen.

    None if they could show none, whatever it is, or nothing tells how far they spread.
    """
    high = 1.0 if isinstance(found, Discordant) else 20 * found.standard_error
    if found.effective_units < FEWEST_UNITS or high <= 0:
        return None
    return float(optimize.brentq(lambda size: power_of(found, size)(found.n) - wanted, 0.0, high, xtol=1e-9))


def items_to_decide(found: Procedure, wanted: float = POWER) -> int | None:
    """How many items would show the difference with the wanted power if it is as it seems; None if none would."""
    z = float(stats.norm.isf(ALPHA / 2) + stats.norm.isf(1 - wanted))
    return _items(found, z * _error(found), abs(found.difference))


def items_to_equal(found: Procedure, margin: float, wanted: float = POWER) -> int | None:
    """How many items would show that the difference is within the margin, if it is as it seems."""
    z = float(stats.norm.isf(ALPHA) + stats.norm.isf((1 - wanted) / 2))
    return _items(found, z * _error(found), margin - abs(found.difference))


def _error(found: Procedure) -> float:
    if isinstance(found, Discordant):
        return sqrt(max(found.wins + found.losses, 1) / found.n / found.n)
    return found.standard_error


def _items(found: Procedure, reach: float, distance: float) -> int | None:
    needed = found.n * (reach / distance) ** 2 if distance > 1e-9 and reach > 0 else inf
    return ceil(needed) if needed <= MOST_ITEMS else None
