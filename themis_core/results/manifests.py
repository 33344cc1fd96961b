"""What the manifest of a run says of its numbers: their scale, and how many were planned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from themis_core.results.tally import NOT_PLANNED, Scale

__all__ = ["Arm", "Place", "not_planned", "planned_of", "scales_of"]

Arm = tuple[str, str, str, str]
"""Slice, model, prompt variant, label of the settings."""
Place = tuple[str, str, str]
"""Slice, score, metric."""


def scales_of(manifest: Mapping[str, Any]) -> dict[Place, Scale]:
    return {(each["slice_id"], each["score"], each["metric"]): Scale.of(each) for each in manifest["scorers"]}


def planned_of(arm: tuple[str, ...], ended: Counter[str], manifest: Mapping[str, Any]) -> int:
    """Trials that were planned of an arm; of recorded outputs, whose models the plan does not count, those that ended.

    `ended` counts outcomes.
    """
    samples = manifest.get("samples", {}).get(arm[0])
    items = {each["slice_id"]: each["items"] for each in manifest.get("datasets", ())}.get(arm[0])
    return max(ended.total(), samples * items if samples and items else 0)


def not_planned(reasons: Counter[str], ended: Counter[str]) -> int:
    """How many trials should have no score: what was never recorded, and a judge's own baseline."""
    return max(ended["absent"], reasons[NOT_PLANNED[0]]) + reasons[NOT_PLANNED[1]]
