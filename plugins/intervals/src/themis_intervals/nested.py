"""Means of means: tasks of items, groups of tasks. No I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from themis_intervals.intervals import Interval, interval_about
from themis_intervals.quantiles import t_quantile

__all__ = ["Part", "nested_weights", "weighted_mean"]


class Part(NamedTuple):
    """One mean that goes into another."""

    value: float
    error: float | None
    """Its standard error; None if it has only one item."""
    items: int


def nested_weights(places: Sequence[Sequence[object]]) -> list[float]:
    """The weight of each part if the means of each level are averaged without weights; they sum to 1.

    A place is the path of a part from the outermost level to the part itself; paths differ.
    """
    weights = [1.0] * len(places)
    for depth in range(max(map(len, places), default=0)):
        children: dict[tuple[object, ...], set[object]] = {}
        for place in places:
            children.setdefault(tuple(place[:depth]), set()).add(place[depth])
        weights = [weight / len(children[tuple(place[:depth])]) for weight, place in zip(weights, places, strict=True)]
    return weights


def weighted_mean(
    parts: Sequence[Part], weights: Sequence[float], lowest: float | None, highest: float | None
) -> tuple[float, float | None, Interval]:
    """The mean of parts with weights that sum to 1, its standard error, and its 95 % interval within the range.

    The parts are taken as fixed and their items as drawn, apart for each part, so variances add up: as in a stratified
    sample (W. Cochran, "Sampling Techniques", 1977, section 5.3). The degrees of freedom are Satterthwaite's
    (F. Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics Bulletin 2, 1946).
    """
    value = math.fsum(weight * part.value for weight, part in zip(weights, parts, strict=True))
    if any(part.error is None for part in parts):
        return value, None, Interval(missing="one_item")
    variances = [(weight * (part.error or 0.0)) ** 2 for weight, part in zip(weights, parts, strict=True)]
    variance = math.fsum(variances)
    if not variance:
        return value, 0.0, Interval(missing="no_spread")
    freedom = variance**2 / math.fsum(
        each**2 / (part.items - 1) for each, part in zip(variances, parts, strict=True) if each
    )
    error = math.sqrt(variance)
    ends = interval_about(value, error, t_quantile(max(1.0, freedom)), lowest, highest)
    return value, error, Interval(*ends, "nested")
