"""Whether what `stats/compare` names is in the spec, so that a typing mistake is found before a run is paid for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from themis_core import SpecError

__all__ = ["check_names"]


def check_names(compare: Any, benchmark: Any) -> None:
    """Raise SpecError if a name of a `Compare` is none of the `BenchmarkSpec`.

    Settings are left out: a run alone names them.
    """
    slices = [each for each in benchmark.slices if compare.slice in (None, each.slice_id)]
    if not slices:
        _named("slice", [compare.slice or ""], [each.slice_id for each in benchmark.slices])
    scores = [(score.name, metric.label) for each in slices for score in each.scores for metric in score.metrics]
    known = dict.fromkeys(name for score, metric in scores for name in (f"{score}/{metric}", score, metric))
    if not known:
        raise SpecError("no score of the spec can be compared: give a slice `scores`")
    _named("score or metric", compare.metric, known)
    if any(each.generation is None for each in benchmark.slices):
        return  # recorded outputs: who gave them is not in the spec
    names = {
        "model": [each.model_id for each in benchmark.models],
        "prompt": [each.id for each in benchmark.prompt_variants],
    }
    by = "model" if compare.against is not None else compare.by or next((by for by in names if len(names[by]) > 1), "")
    if by not in names:
        return
    _named(by, [*compare.only, *([compare.baseline] if compare.baseline is not None else [])], names[by])
    parts = {*(compare.only or names[by]), *([compare.baseline] if compare.baseline is not None else [])}
    if compare.against is None and len(parts) < 2:
        raise SpecError(f"there is one {by} to compare, {', '.join(parts)}: name a second one, or `against` a run")


def _named(what: str, wanted: Sequence[str], known: Iterable[str]) -> None:
    for name in wanted:
        if name not in (known := list(known)):
            raise SpecError(f"the spec has no {what} {name!r}. It has: {', '.join(known)}")
