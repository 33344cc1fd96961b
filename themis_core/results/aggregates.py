"""The number of a group whose metric or judge makes more of its scores than their mean, and how far it is certain."""

from __future__ import annotations

import logging
import math

from themis_core.components import Judge, Metric
from themis_core.plugins import failure, from_outside, in_its_time_beside
from themis_core.results.held import HeldScores, Items
from themis_intervals import Interval, interval_about, jackknife, t_quantile

__all__ = ["of_aggregate"]

log = logging.getLogger("themis")


def of_aggregate(
    component: Metric | Judge, held: HeldScores, metric: str
) -> tuple[float | None, float | None, Interval]:
    """The aggregate of scores, its standard error, and its interval by the jackknife over whole items."""
    if held.problem:
        log.error("metric %r: %s\nits numbers are missing; the scores are stored", metric, held.problem)
    value = None if held.problem else _aggregate(component, held.whole(), metric)
    if value is None:
        return None, None, Interval(missing="aggregate_failed")
    if not component.aggregates_smoothly:
        return value, None, Interval(missing="not_smooth")
    if held.groups < 2:
        return value, None, Interval(missing="one_item")
    left_out = []
    for rest in held.left_out():
        if (without := _aggregate(component, rest, metric)) is None:
            return value, None, Interval(missing="aggregate_failed")
        left_out.append(without)
    error = jackknife(left_out)
    if error <= 1e-12 * abs(value):
        return value, error, Interval(missing="no_spread")
    ends = interval_about(value, error, t_quantile(held.groups - 1), component.lowest, component.highest)
    return value, error, Interval(*ends, "jackknife")


def _aggregate(component: Metric | Judge, items: Items, metric: str) -> float | None:
    try:
        value: float | None = in_its_time_beside(metric, component, "aggregate_items", items)
        low, high = component.lowest, component.highest
        if value is None or (
            math.isfinite(value) and (low is None or value >= low) and (high is None or value <= high)
        ):
            return value
        log.error(
            "metric %r: its aggregate, %s, is not in the range that it declares, so it is not shown", metric, value
        )
        return None
    except BaseException as error:
        if from_outside(error):
            raise
        told = failure(f"metric {metric!r}", "aggregate", error)
        log.error("%s\nits numbers are missing; the scores are stored", told)
        return None
