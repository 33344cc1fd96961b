"""Intervals of scores of few and clustered items, and what several answers or tasks make together; each with its
source."""

from themis_intervals.intervals import (
    ClusteredMean,
    ClusterSums,
    Interval,
    dealt,
    decimals,
    interval_about,
    jackknife,
    shown,
    wilson,
)
from themis_intervals.nested import Part, nested_weights, weighted_mean
from themis_intervals.quantiles import Z95, t_quantile
from themis_intervals.repeats import all_of_k, best_of_k, majority_of_k, pass_at_k, worst_of_k

__all__ = [
    "Z95",
    "ClusterSums",
    "ClusteredMean",
    "Interval",
    "Part",
    "all_of_k",
    "best_of_k",
    "dealt",
    "decimals",
    "interval_about",
    "jackknife",
    "majority_of_k",
    "nested_weights",
    "pass_at_k",
    "shown",
    "t_quantile",
    "weighted_mean",
    "wilson",
    "worst_of_k",
]
