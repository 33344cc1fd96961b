"""Whether what `stats/compare` names is there, so that a typing mistake is found before a run is paid for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from themis_core import Item, Results, SpecError

__all__ = ["check_clusters", "check_names", "check_stored", "cluster_of", "compared_slices", "in_no_cluster"]


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


def compared_slices(compare: Any, benchmark: Any) -> list[str]:
    """The slices whose scores a `Compare` compares: of those that it may, the ones that have its metrics."""
    of_slice = {
        each.slice_id: [(score.name, metric.label) for score in each.scores for metric in score.metrics]
        for each in benchmark.slices
        if compare.slice in (None, each.slice_id)
    }
    first = next((pair for pairs in of_slice.values() for pair in pairs), ("", ""))
    wanted = set(compare.metric or ["/".join(first)])
    return [name for name, pairs in of_slice.items() if any({"/".join(pair), *pair} & wanted for pair in pairs)]


def check_stored(against: str, results: Results | None) -> None:
    """Raise SpecError if no stored run is meant by `against`."""
    from themis_plugin_stats.sides import parse_side

    run = parse_side(against).run
    otherwise = "name a stored run, a file that `themis baseline set` wrote, or `previous`"
    if results is None:
        raise SpecError(f"against: there is no run {run!r}, for nothing is stored yet: {otherwise}")
    try:
        results.run(run)
    except SpecError as error:
        raise SpecError(f"against: {error.message}. Or {otherwise}") from error


def cluster_of(item: Item, field: str) -> Any:
    """What an item's metadata, or else its field, of this name says; None if it has neither.

    `metadata.topic`, as results are grouped by, is `topic` of the metadata.
    """
    value = item.metadata.get(field, item.fields.get(field))
    return item.metadata.get(field.removeprefix("metadata.")) if value is None else value


def in_no_cluster(item: Item, field: str) -> str:
    """Why `cluster_of` says nothing of an item."""
    names = {*item.metadata, *item.fields}
    if field in names or field.removeprefix("metadata.") in item.metadata:
        return f"has no value of {field!r}, but null, so it belongs to no cluster: give it one, or leave the item out"
    return f"has no metadata {field!r} to cluster by. It has: {', '.join(sorted(names)) or 'none'}"


def check_clusters(field: str, slice_id: str, items: Iterable[Item]) -> None:
    """Raise SpecError if an item says nothing by which it belongs to a cluster."""
    for item in items:
        if cluster_of(item, field) is None:
            raise SpecError(f"cluster: item {item.id!r} of slice {slice_id!r} {in_no_cluster(item, field)}")


def _named(what: str, wanted: Sequence[str], known: Iterable[str]) -> None:
    for name in wanted:
        if name not in (known := list(known)):
            raise SpecError(f"the spec has no {what} {name!r}. It has: {', '.join(known)}")
