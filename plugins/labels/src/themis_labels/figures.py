"""The figures of a judge, as readers are told them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from themis_labels.agreement import Estimate
from themis_labels.measure import JudgeMeasurement

__all__ = ["METHODS", "figures"]

WEIGHTS: Final = {"nominal": "unweighted", "ordinal": "linear weights", "interval": "quadratic weights"}
METHODS: Final[Mapping[str, str]] = {
    "rogan_gladen": "Rogan and Gladen's estimate, Lang and Reiczigel's interval",
    "prediction_powered": "prediction-powered mean",
}
"""`JudgeMeasurement.method` to what it is called."""


def figures(found: JudgeMeasurement) -> list[tuple[str, Estimate]]:
    """What the labels say of a judge, each figure with its name; those that have a meaning for its scores."""
    told: list[tuple[str, Estimate]] = [
        ("human mean", Estimate(found.human_mean, n=found.n)),
        ("judge mean", Estimate(found.judge_mean, n=found.n)),
        ("accuracy", found.accuracy),
        (f"Cohen's kappa, {WEIGHTS[found.scale]}", found.kappa),
        (f"Krippendorff's alpha, {found.scale}", found.alpha),
    ]
    if found.binary:
        told += [("sensitivity", found.sensitivity), ("specificity", found.specificity)]
    if found.self_agreement.n:
        told += [("self-agreement", found.self_agreement), ("alpha of repeats", found.self_alpha)]
    return told
