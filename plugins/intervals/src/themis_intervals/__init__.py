"""Intervals of scores of few and clustered items, each with its source."""

from themis_intervals.intervals import ClusteredMean, Interval, dealt, interval_about, jackknife, shown, wilson
from themis_intervals.quantiles import Z95, t_quantile

__all__ = ["Z95", "ClusteredMean", "Interval", "dealt", "interval_about", "jackknife", "shown", "t_quantile", "wilson"]
