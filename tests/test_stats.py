"""Statistics against published numbers and against tables that were worked out by hand."""

from __future__ import annotations

import math

import pytest

from themis_core.stats import Z95, ClusteredMean, wilson


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Stat. Med. 17 (1998), table I,
    # method 3 (score without continuity correction).
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_the_published_one(successes: int, n: int, low: float, high: float) -> None:
    assert tuple(round(end, 4) for end in wilson(successes, n)) == (low, high)
    mirrored = wilson(n - successes, n)
    assert tuple(round(end, 4) for end in mirrored) == (round(1 - high, 4), round(1 - low, 4))


def clustered(clusters: list[list[float]]) -> ClusteredMean:
    mean = ClusteredMean()
    for cluster in clusters:
        for place, value in enumerate(cluster):
            mean.add(value, new_cluster=place == 0)
    return mean


@pytest.mark.parametrize(
    ("clusters", "mean", "error"),
    [
        # residuals ±0.5, sums per cluster 1 and −1: sqrt((1 + 1) · 2/1) / 4
        ([[1, 1], [0, 0]], 0.5, 0.5),
        # the two samples of an item cancel out, so every sum is 0
        ([[1, 0], [0, 1]], 0.5, 0.0),
        # one value a cluster: the sample standard deviation over sqrt(n), sqrt(1) / sqrt(3)
        ([[1], [2], [3]], 2.0, 1 / math.sqrt(3)),
        # unequal: mean 10/4; residuals 0.5 | 1.5 − 0.5 − 1.5 = −0.5; sqrt((0.25 + 0.25) · 2) / 4
        ([[3], [4, 2, 1]], 2.5, 0.25),
        # far from zero, where naive sums of squares would lose all digits
        ([[1e9 + 1, 1e9 + 1], [1e9, 1e9]], 1e9 + 0.5, 0.5),
        ([[1, 0, 1]], 2 / 3, None),
        ([], None, None),
    ],
)
def test_the_clustered_standard_error_is_that_worked_out_by_hand(
    clusters: list[list[float]], mean: float | None, error: float | None
) -> None:
    made = clustered(clusters)
    assert made.mean == (None if mean is None else pytest.approx(mean, rel=1e-15))
    assert made.standard_error == (None if error is None else pytest.approx(error, abs=1e-12))


@pytest.mark.parametrize(
    ("clusters", "interval"),
    [
        ([[1], [0], [1], [1]], wilson(3, 4)),  # single zeros and ones: Wilson's
        ([[1]], wilson(1, 1)),
        ([[1, 1], [0, 0]], (0.5 - Z95 * 0.5, 0.5 + Z95 * 0.5)),  # samples of one item are no independent draws
        ([[1, 1], [1, 1], [1, 1]], wilson(3, 3)),  # equal values: each item counts once
        ([[0.25], [0.25], [0.25]], None),
        ([[1], [2], [3]], (2 - Z95 / math.sqrt(3), 2 + Z95 / math.sqrt(3))),
        ([[0.5]], None),
        ([], None),
    ],
)
def test_the_interval_is_wilsons_only_for_independent_zeros_and_ones(
    clusters: list[list[float]], interval: tuple[float, float] | None
) -> None:
    assert clustered(clusters).interval() == (None if interval is None else pytest.approx(interval, abs=1e-12))
