"""The run that `against: previous` compares with: one that met its gate: a drop is no reference."""

from __future__ import annotations

from typing import Any

from themis_core import Results, RunRecord, SpecError

__all__ = ["reference_before"]

_NAME = "stats/compare"


def reference_before(results: Results, run_id: str, place: dict[str, Any]) -> str | None:
    """The id of the latest completed run of the same benchmark, but for `run_id`, that met its gate; None if there is
    no other run. `place` is what such a finding says in its details as `conclusion`.

    Raises SpecError if there are others, and none of them met it.
    """
    own = results.run(run_id).manifest["benchmark"]["benchmark_id"]
    others = [
        run
        for run in results.runs()
        if run.run_id != run_id
        and run.status == "completed"
        and run.manifest.get("benchmark", {}).get("benchmark_id") == own
    ]
    if not others:
        return None
    for run in others:
        if _met(run, place):
            return run.run_id
    raise SpecError(
        f"none of the {len(others)} earlier runs of {own} met its gate: name the one to compare with by `against: RUN`"
    )


def _met(run: RunRecord, place: dict[str, Any]) -> bool:
    """Whether no finding of this conclusion, or of one that failed and so has no details, was not met."""
    found = [each for each in run.counts.get("conclusions", []) if each["conclusion"] == _NAME]
    return all(each["met"] is not False for each in found if each["details"].get("conclusion", place) == place)
