"""How far a judge agrees with itself: what its repeats say of the same answers."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

import numpy as np

from themis_plugin_stats.collecting import Group, MetricKey
from themis_plugin_stats.sides import Of

__all__ = ["repeats_of"]

LOOKED_AT: Final = 200
"""Answers of a side whose verdicts are read: each is a look-up of its own."""


def repeats_of(side: Of, key: MetricKey) -> tuple[float | None, float]:
    """The variance of a judge's verdicts on one answer, and how many there are of each; None and 1 if there is one."""
    of, run = side
    judged = any(
        (each["score"], each["metric"], each["kind"]) == (*key, "judge") for each in run.run.manifest["scorers"]
    )
    if not judged or run.results is None:
        return None, 1.0
    rows = (
        row
        for row in run.results.trials(run.run.run_id)
        if of.has(Group(row.slice_id, row.model_id, row.prompt_variant_id, row.params))
    )
    found = []
    for row in islice(rows, LOOKED_AT):
        trial = run.results.trial(run.run.run_id, row.trial_id, row.slice_id)
        found += [values for entry in trial["scores"] if len(values := _verdicts(entry, key)) > 1]
    if not found:
        return None, 1.0
    variance = sum(float(np.var(values, ddof=1)) * (len(values) - 1) for values in found)
    return variance / sum(len(values) - 1 for values in found), float(np.mean([len(values) for values in found]))


def _verdicts(entry: dict[str, Any], key: MetricKey) -> list[float]:
    if (entry["score"], entry["metric"]) != key:
        return []
    listed = entry["result"]["details"].get("verdicts")
    values = [each.get("value") for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return [float(value) for value in values if isinstance(value, int | float)]
