"""Seeded mutations of JSON-like data and of texts: the same seed gives the same cases on every machine."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["mutated", "mutated_text"]

NAMES = [
    "list", "str", "dict", "none", "None", "int", "[", "a[0]", "a.b", "", " ", "é", "__class__", "model_config", "self",
    "x" * 300, "\u202e", "0", "id", "*", "$ref", "null", "items", "values", "copy", "schema",
]  # fmt: skip
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}"
TEXTS = [
    "", " ", "x", "007", "1e3", "null", "true", "~", "~themis-nobody/x", "../x", "x" * 300, "a/" * 200, "\0", "\ud800",
    "\u202e", "{{", "{{ x }}", "{{ item.q.upper }}",
    LOOPS, "{{ 10 ** 5000 }}", "{{ " + "(" * 300, "{{ 'a' * 10 ** 10 }}", "a/b", "text/", "/x", "text/nothing",
    "*.jsonl", "[", "%s", "${HOME}", "$(x)", "<script>", "9" * 6000, "\x1b[31m", "\n", "- a: [",
]  # fmt: skip
NUMBERS: list[Any] = [-1, 0, 1, 2, 0.5, -0.0, 1e-300, 1e300, 2**31, -(2**63), 2**64, 10**30]
VALUES: list[Any] = [None, True, False, [], {}, [[]], [{}], {"": None}, [None], [1, "1"], {"a": {"a": {"a": {}}}}]
SMALL = frozenset({"num_samples", "repeats", "count", "limit"})
"""Keys for which a large number means much work, and no mistake."""


def mutated(data: Any, schema: Mapping[str, Any], draw: random.Random, times: int) -> Any:
    """A copy of the data with some changes, each at a random place; `schema` says what might be there."""
    changed = copy.deepcopy(data)
    for _ in range(times):
        places = list(_places(changed, schema))
        container, key, inner = draw.choice(places)
        _change(container, key, _resolved(inner, schema), schema, draw)
    return changed


def mutated_text(text: str, draw: random.Random) -> str:
    """The text with a piece cut out, doubled, or replaced by what is hostile."""
    start = draw.randrange(len(text) + 1)
    end = min(len(text), start + draw.choice([0, 1, 2, 10, 100]))
    piece = draw.choice(["", text[start:end] * 2, draw.choice(TEXTS), draw.choice("{}[]:,'\"#&*!|>%@`\t-")])
    return text[:start] + piece + text[end:]


def _places(data: Any, schema: Mapping[str, Any], inner: Any = None) -> Iterator[tuple[Any, Any, Any]]:
    """Each container with a key in it, and what the schema says of that place."""
    here = _resolved(schema if inner is None else inner, schema)
    if isinstance(data, dict):
        known = here.get("properties", {}) if isinstance(here, dict) else {}
        for key in data:
            yield data, key, known.get(key, {})
            yield from _places(data[key], schema, known.get(key, {}))
        for key in known.keys() - data.keys():
            yield data, key, known[key]
        yield data, None, {}
    elif isinstance(data, list):
        item = here.get("items", {}) if isinstance(here, dict) else {}
        for index, each in enumerate(data):
            yield data, index, item
            yield from _places(each, schema, item)
        yield data, None, item


def _resolved(inner: Any, schema: Mapping[str, Any]) -> Any:
    """What a part of the schema stands for: references followed, the alternatives put together."""
    if not isinstance(inner, dict):
        return {}
    if "$ref" in inner:
        return _resolved(schema.get("$defs", {}).get(inner["$ref"].rpartition("/")[2], {}), schema)
    merged: dict[str, Any] = dict(inner)
    for each in inner.get("anyOf", ()):
        merged = {**_resolved(each, schema), **merged}
    return merged


def _change(container: Any, key: Any, inner: Any, schema: Mapping[str, Any], draw: random.Random) -> None:
    if key is None and isinstance(container, dict):
        container[draw.choice(NAMES)] = _value(inner, schema, draw)
    elif key is None:
        container.append(copy.deepcopy(draw.choice(container)) if container else _value(inner, schema, draw))
    elif draw.random() < 0.15 and (isinstance(container, list) or key in container):
        del container[key]
    elif draw.random() < 0.1 and isinstance(container, dict) and key in container:
        container[draw.choice([key.upper(), key[:-1], f"{key}s", draw.choice(NAMES)])] = container.pop(key)
    elif key in SMALL:
        container[key] = draw.choice([-1, 0, 1, 3, "3", None, 1.5, []])
    else:
        container[key] = _value(inner, schema, draw)


def _value(inner: Any, schema: Mapping[str, Any], draw: random.Random) -> Any:
    """Something that the schema allows, or something that it may well not."""
    allowed = _resolved(inner, schema)
    if draw.random() < 0.5:
        return draw.choice(
            [lambda: draw.choice(TEXTS), lambda: draw.choice(NUMBERS), lambda: copy.deepcopy(draw.choice(VALUES))]
        )()
    if "enum" in allowed:
        return draw.choice(allowed["enum"])
    kinds = [each.get("type") for each in allowed.get("anyOf", ())] or [allowed.get("type")]
    kind = draw.choice(kinds)
    if kind in ("integer", "number"):
        return draw.choice([*NUMBERS, allowed.get("minimum", 0), allowed.get("exclusiveMinimum", 0)])
    if kind == "boolean":
        return draw.choice([True, False])
    if kind == "array":
        return [_value(allowed.get("items", {}), schema, draw) for _ in range(draw.choice([0, 1, 1, 2]))]
    if kind == "object" or "properties" in allowed:
        names = [name for name in allowed.get("properties", {}) if name not in SMALL]
        return {
            name: _value(allowed["properties"][name], schema, draw) for name in draw.sample(names, min(2, len(names)))
        }
    return draw.choice(TEXTS)
