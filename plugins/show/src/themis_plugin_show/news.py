"""What is new in a run against the one before it, of the same benchmark, from their manifests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from themis_core import counted

__all__ = ["news_of"]

_NAMED = {"models": "model_id", "prompt_variants": "id", "slices": "slice_id", "aggregates": "name"}
_SINGULAR = {"models": "model", "prompt_variants": "prompt", "slices": "slice", "aggregates": "aggregate"}


def news_of(manifest: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """Such as `model b added, slice test changed (scores)`; empty if nothing that is known differs."""
    now, then = manifest.get("benchmark", {}), before.get("benchmark", {})
    told = [*_named(now, then), *_others(now, then), *_data(manifest, before), *_plugins(manifest, before)]
    return ", ".join(told)


def _named(now: Mapping[str, Any], then: Mapping[str, Any]) -> Iterator[str]:
    for field, key in _NAMED.items():
        new, old = ({each[key]: each for each in side.get(field, ())} for side in (now, then))
        for name in [*new, *(name for name in old if name not in new)]:
            if name not in old or name not in new:
                yield f"{_SINGULAR[field]} {name} {'removed' if name in old else 'added'}"
            elif new[name] != old[name]:
                parts = ", ".join(_differing(new[name], old[name]))
                yield f"{_SINGULAR[field]} {name} changed ({parts})"


def _others(now: Mapping[str, Any], then: Mapping[str, Any]) -> Iterator[str]:
    for name in _differing(now, then):
        if name not in _NAMED:
            short = (str(now.get(name)), str(then.get(name)))
            is_short = max(map(len, short)) <= 12
            yield f"{name} {short[0]} instead of {short[1]}" if is_short else f"{name} changed"


def _data(manifest: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    new, old = ({each["slice_id"]: each for each in side.get("datasets", ())} for side in (manifest, before))
    for name in [name for name in new if name in old]:
        if new[name].get("items") != old[name].get("items"):
            yield f"{counted(new[name].get('items', 0), 'item')} of {name} instead of {old[name].get('items', 0)}"
        elif new[name].get("digest") != old[name].get("digest"):
            yield f"items of {name} edited"


def _plugins(manifest: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    new, old = (
        {each.get("namespace"): _build(each) for each in side.get("plugins", ())} for side in (manifest, before)
    )
    for name in [name for name in new if name in old and new[name] != old[name]]:
        version, earlier = new[name][0], old[name][0]
        yield f"plugin {name} {version} instead of {earlier}" if version != earlier else f"plugin {name} edited"
    if manifest.get("themis") != before.get("themis"):
        yield f"themis {manifest.get('themis')} instead of {before.get('themis')}"


def _build(plugin: Mapping[str, Any]) -> Sequence[Any]:
    return plugin.get("version"), plugin.get("sha256")


def _differing(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[str]:
    return [name for name in dict.fromkeys([*now, *then]) if now.get(name) != then.get(name) and name != "metadata"]
