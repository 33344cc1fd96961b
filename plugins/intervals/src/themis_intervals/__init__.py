"""Intervals of scores of few and clustered items, each with its source."""

from themis_intervals.intervals import ClusteredMean, Interval, dealt, interval_about, jackknife, wilson
from themis_intervals.quantiles import Z95, t_quantile

__all__ = ["Z95", "ClusteredMean", "Interval", "dealt", "interval_about", "jackknife", "t_quantile", "wilson"]
