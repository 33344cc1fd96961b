"""Flips of signs: what chance could have given in place of the differences that were seen, if it decides the signs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["ENUMERATED", "SEED", "Floats", "flipped_means"]

Floats: TypeAlias = NDArray[np.float64]
ENUMERATED = 14
"""Units whose flips are all tried; of more, `FLIPS` are drawn."""
FLIPS = 20_000
SEED = 20_240_601
_CHUNK, _MOST_AT_ONCE = 2_000, 2_000_000
_EXACTLY_DRAWN = 1_000


def flipped_means(totals: Floats, sizes: Floats, others: int = 0) -> tuple[Floats, int]:
    """The mean difference in each set of flipped units, sorted; and in how many nothing was flipped.

    Beside the units of which totals and sizes are given, so many others are of size 1 and don't differ.

    Flipping the signs around `null` gives a mean at least as great as the one seen just if the mean of what was flipped
    is at most `null`. So these means hold the test of every null, and its interval (Hartigan 1969, "typical values").
    """
    if others <= _EXACTLY_DRAWN:
        totals, sizes, others = np.append(totals, np.zeros(others)), np.append(sizes, np.ones(others)), 0
    if len(totals) + others <= ENUMERATED:
        numbers = np.arange(1, 2 ** len(totals), dtype=np.int64)
        chosen = (numbers[:, None] >> np.arange(len(totals))) & 1
        return _rounded(chosen @ totals / (chosen @ sizes), totals), 1
    differ = totals != 0
    same = sizes[~differ]
    held = 0.0
    if len(same) + others > _EXACTLY_DRAWN:  # half are flipped, give or take a few in a hundred, and add nothing
        held, same = (float(same.sum()) + others) / 2, same[:0]
    weights = np.concatenate([sizes[differ], same])
    sums = np.concatenate([totals[differ], np.zeros(len(same))])
    parts, ties = [], 1
    for drawn in _draws(len(weights)):
        chosen = drawn.astype(np.float64)
        flipped = chosen @ weights + held
        ties += int(np.sum(flipped == 0))
        some = flipped > 0
        parts.append((chosen[some] @ sums) / flipped[some])
    return _rounded(np.concatenate(parts), totals), ties


def _draws(units: int) -> Iterator[NDArray[np.int8]]:
    """Which units are flipped each time, by chance: always the same, so that a comparison always says the same."""
    draw, left = np.random.default_rng(SEED), FLIPS - 1
    rows = min(_CHUNK, max(4, _MOST_AT_ONCE // units))
    while left > 0:
        yield draw.integers(0, 2, (min(rows, left), units), dtype=np.int8)
        left -= rows


def _rounded(means: Floats, totals: Floats) -> Floats:
    """Sorted, and those that are 0 but for the last digits are 0."""
    means[np.abs(means) < 1e-12 * max(float(np.abs(totals).max()), 1e-300)] = 0.0
    return np.sort(means)
