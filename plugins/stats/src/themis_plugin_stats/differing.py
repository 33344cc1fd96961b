"""What else differs between two sides: spec, items, prompts as sent, plugins, models' versions; which items flipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from themis_core import Results, ScoreRow
from themis_plugin_stats.collecting import Group, MetricKey
from themis_plugin_stats.sides import By, Of

__all__ = ["differences", "flips_between"]

SAMPLED: Final = 3
"""Trials of each side whose prompt and reply are looked at."""
_VERSIONS: Final = ("model", "model_version", "system_fingerprint")
Told = dict[str, Any]


def differences(one: Of, other: Of) -> list[Told]:
    """What differs, each with `what` it is, and `a` and `b`; None where one side has none of it."""
    first, second = one[1].run.manifest, other[1].run.manifest
    found: list[Told] = []
    if one[1].run.run_id != other[1].run.run_id:
        found += _told("spec: ", _leaves(first.get("benchmark")), _leaves(second.get("benchmark")))
        found += _told("items of slice ", _items(first), _items(second))
        found += _told("plugin ", _plugins(first), _plugins(second))
    sampled = _sampled(one), _sampled(other)
    for name in ("prompt", "model version"):
        values = [side.get(name) for side in sampled]
        if None not in values and values[0] != values[1]:
            found.append({"what": name, "a": values[0], "b": values[1]})
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


def _sampled(side: Of) -> Told:
    """The prompt and the model version of the first trials of a side."""
    results, run = side[1].results, side[1]
    if results is None:
        return {}
    found: Told = {}
    versions = set()
    cells = next(iter(run.cells.values()), {})
    trials = [
        (name, group.slice_id) for group, cell in sorted(cells.items()) if side[0].has(group) for name in cell.first
    ]
    for trial_id, slice_id in trials[:SAMPLED]:
        turns = results.trial(run.run.run_id, trial_id, slice_id)["turns"]
        if turns:
            found.setdefault("prompt", turns[0]["request"]["messages"])
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
