"""Whether what two sides call by one name is one thing: the same metric, the same direction, the same denominator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from themis_core import SpecError
from themis_plugin_stats.collecting import MetricKey
from themis_plugin_stats.sides import Of

__all__ = ["check_alike", "denominators_of"]


def check_alike(pairs: Sequence[tuple[Of, Of]], key: MetricKey) -> None:
    """Raise SpecError if the sides, or slices of one, have different metrics of this name, or of unlike directions."""
    seen: dict[tuple[str, bool], str] = {}
    for where, scorer in _scorers(pairs, key):
        seen.setdefault((scorer["component"], bool(scorer.get("higher_is_better", True))), where)
    if len(seen) > 1:
        told = " and ".join(
            f"{component} in {where} ({'higher' if up else 'lower'} is better)"
            for (component, up), where in seen.items()
        )
        raise SpecError(
            f"{'/'.join(key)} is {told}: numbers of different metrics can't be compared. Choose another metric, or one "
            "slice, or give them different names"
        )


def denominators_of(pairs: Sequence[tuple[Of, Of]], keys: Sequence[MetricKey]) -> list[str]:
    """What is to be said of metrics whose number in a run is no mean of scored items."""
    said = []
    for key in keys:
        found: dict[str, str] = {}
        for where, scorer in _scorers(pairs, key):
            found.setdefault(scorer.get("denominator", "scored"), where)
        if list(found) != ["scored"]:
            told = ", ".join(f"{name} in {where}" for name, where in found.items())
            said.append(f"Compared are means of scored items; the denominator of {'/'.join(key)} is {told}.")
    return said


def _scorers(pairs: Sequence[tuple[Of, Of]], key: MetricKey) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of each side, and of each of its slices that has such scores: what it is called, and how it was scored."""
    for side, run in {side.label: (side, run) for pair in pairs for side, run in pair}.values():
        slices = {group.slice_id for group in run.cells[key] if side.has(group)}
        for each in run.run.manifest["scorers"]:
            if (each["score"], each["metric"]) == key and each["slice_id"] in slices:
                yield f"{side.label or side.run}, slice {each['slice_id']}", each
