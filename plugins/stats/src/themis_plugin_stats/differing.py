"""What else differs between two sides: spec, items, prompts as sent, plugins, models' versions; which items flipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from themis_core import Item, Results, ScoreRow
from themis_plugin_stats.collecting import Cell, Group, MetricKey
from themis_plugin_stats.pairing import cells_of, keyed_alike
from themis_plugin_stats.sides import By, Of

__all__ = ["differences", "flips_between"]

SAMPLED: Final = 3
"""Items of which the prompt and reply of each side are looked at."""
_VERSIONS: Final = ("model", "model_version", "system_fingerprint")
Told = dict[str, Any]


def differences(one: Of, other: Of, by: By) -> list[Told]:
    """What differs, each with `what` it is, and `a` and `b`; None where one side has none of it."""
    first, second = one[1].run.manifest, other[1].run.manifest
    found: list[Told] = []
    if one[1].run.run_id != other[1].run.run_id:
        found += _told("spec: ", _leaves(first.get("benchmark")), _leaves(second.get("benchmark")))
        found += _told("items of slice ", _items(first), _items(second))
        found += _told("plugin ", _plugins(first), _plugins(second))
        found += _edited(one, other, by)
    a, b = _sampled(one, other, by)
    found += [{"what": what, "a": a[what], "b": b[what]} for what in a if what in b and a[what] != b[what]]
    return found


def flips_between(one: Of, other: Of, metric: MetricKey, by: By, most: int) -> list[Told]:
    """Items of which one side has the better score, with both answers; half in each direction."""
    if most <= 0:
        return []
    if one[1].results is None or other[1].results is None:
        return []  # a file has no answers
    sides = [_scores(each, metric, by) for each in (one, other)]
    common = sorted(sides[0].keys() & sides[1].keys(), key=lambda key: (sides[0][key].item_id, key))
    rises = [key for key in common if (sides[1][key].value or 0) > (sides[0][key].value or 0)]
    falls = [key for key in common if (sides[1][key].value or 0) < (sides[0][key].value or 0)]
    room = max(most - len(falls), (most + 1) // 2), max(most - len(rises), most // 2)
    chosen = [*rises[: room[0]], *falls[: room[1]]]
    return [_flip(one[1].results, other[1].results, one, other, sides[0][key], sides[1][key]) for key in chosen]


def _flip(
    results_a: Results, results_b: Results, one: Of, other: Of,
    a: ScoreRow, b: ScoreRow,
) -> Told:  # fmt: skip
    first = results_a.trial(one[1].run.run_id, a.trial_id, a.slice_id)
    second = results_b.trial(other[1].run.run_id, b.trial_id, b.slice_id)
    return {
        "item": a.item_id, "slice": a.slice_id, "prompt": [a.prompt_variant_id, b.prompt_variant_id],
        "trial_a": a.trial_id, "trial_b": b.trial_id, "score_a": a.value, "score_b": b.value,
        "reference": (first["item"] or {}).get("reference"), "answer_a": _answer(first), "answer_b": _answer(second),
    }  # fmt: skip


def _answer(trial: Mapping[str, Any]) -> str | None:
    return str(trial["turns"][-1]["generation"]["text"]) if trial["turns"] else None


def _scores(side: Of, metric: MetricKey, by: By) -> dict[tuple[str, ...], ScoreRow]:
    """The first sample's scores by item and by what is the same on both sides."""
    found: dict[tuple[str, ...], ScoreRow] = {}
    results = side[1].results
    assert results is not None
    for row in results.score_rows(side[1].run.run_id):
        group = Group(row.slice_id, row.model_id, row.prompt_variant_id, row.params)
        if (row.score, row.metric) == metric and row.sample_index == 0 and row.value is not None and side[0].has(group):
            # Of runs, models may have other names.
            names = {"model": row.model_id, "prompt": row.prompt_variant_id, "params": row.params}
            kept = [value for name, value in names.items() if by not in (name, "run")]
            found[(row.item_digest, row.slice_id, *kept)] = row
    return found


def _sampled(one: Of, other: Of, by: By) -> tuple[Told, Told]:
    """The prompt and the model versions of the first items that both sides have."""
    if one[1].results is None or other[1].results is None:
        return {}, {}
    key = next(iter(one[1].cells))
    keyed = keyed_alike(cells_of(*one, key), cells_of(*other, key), by)
    trials = [
        (_slice_of(one, key, a), a.first[item], _slice_of(other, key, b), b.first[item])
        for a, b in ((a, keyed[1][name]) for name, a in keyed[0].items() if name in keyed[1])
        for item in a.first
        if item in b.first
    ][:SAMPLED]
    return _looked_at(one, [each[:2] for each in trials]), _looked_at(other, [each[2:] for each in trials])


def _edited(one: Of, other: Of, by: By) -> Iterator[Told]:
    """What was edited, of a few of the first items that have the same id on both sides and no pair."""
    if one[1].results is None or other[1].results is None:
        return
    key = next(iter(one[1].cells))
    first, second = cells_of(*one, key), cells_of(*other, key)
    keyed = keyed_alike(first, second, by)
    told: set[tuple[str, str]] = set()
    for name in (name for name in keyed[0] if name in keyed[1]):
        a, b = keyed[0][name], keyed[1][name]
        slice_id = _slice_of(one, key, a)
        before, after = _by_id(one[1].results, a, b), _by_id(other[1].results, b, a)
        for item_id in sorted(before.keys() & after.keys()):
            if len(told) < SAMPLED and (slice_id, item_id) not in told:
                told.add((slice_id, item_id))
                yield from _told(f"item {item_id} of {slice_id}: ", *map(_content, (before[item_id], after[item_id])))


def _by_id(results: Results, own: Cell, other: Cell) -> dict[str, Item]:
    """Those of the first items of a cell that the other cell lacks, by id."""
    return {item.id: item for item in results.items(other.items.without(own.first)).values()}


def _content(item: Item) -> dict[str, Any]:
    return _leaves(
        {"fields": item.fields, "reference": item.reference, "metadata": item.metadata, "output": item.output}
    )


def _slice_of(of: Of, key: MetricKey, cell: Cell) -> str:
    return next(group.slice_id for group, each in of[1].cells[key].items() if each is cell)


def _looked_at(of: Of, trials: Sequence[tuple[str, str]]) -> Told:
    found: Told = {}
    versions = set()
    assert of[1].results is not None
    for slice_id, trial_id in trials:
        turns = of[1].results.trial(of[1].run.run_id, trial_id, slice_id)["turns"]
        if turns:
            found.setdefault("prompt", []).append(turns[0]["request"]["messages"])
            said = turns[0]["generation"]["provider"]
            versions |= {f"{name} {said[name]}" for name in _VERSIONS if said.get(name)}
    if versions:
        found["model version"] = sorted(versions)
    return found


def _told(what: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Told]:
    for name in {**a, **b}:
        if a.get(name) != b.get(name):
            yield {"what": f"{what}{name}", "a": a.get(name), "b": b.get(name)}


def _leaves(value: Any, place: str = "") -> dict[str, Any]:
    """Each value of a spec by its path, with what has a name by that in place of its number."""
    if isinstance(value, dict) and value:
        found: dict[str, Any] = {}
        for key, each in value.items():
            if key not in ("metadata", "conclusions", "thresholds"):
                found |= _leaves(each, f"{place}.{key}" if place else key)
        return found
    if isinstance(value, list) and value:
        found = {}
        for index, each in enumerate(value):
            names = ("slice_id", "model_id", "id", "name")
            name = next((each[key] for key in names if isinstance(each, dict) and key in each), index)
            found |= _leaves(each, f"{place}[{name}]")
        return found
    return {place: value}


def _items(manifest: Mapping[str, Any]) -> dict[str, str]:
    return {
        each["slice_id"]: f"{each['items']} items, content {str(each['digest'])[:12]}" for each in manifest["datasets"]
    }


def _plugins(manifest: Mapping[str, Any]) -> dict[str, str]:
    found = {each["namespace"]: str(each.get("sha256", "")[:12] or each.get("version")) for each in manifest["plugins"]}
    return {**found, "themis": str(manifest["themis"])}
