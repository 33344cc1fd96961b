"""Canonical JSON is what Python's own encoder makes of the same settings, whatever the value is."""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from themis_plain import canonical_json, digest

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner, max_size=1) | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


class Level(IntEnum):
    HIGH = 3


class Word(str):
    __slots__ = ()


def told(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@given(PLAIN)
def test_canonical_json_is_that_of_pythons_encoder(value: Any) -> None:
    assert canonical_json(value) == told(value)


@pytest.mark.parametrize(
    "value",
    ["text", "\ud800 \x00 é \U0001f600", 1, 1.0, 1e22, True, None, [], {}, (), {"b": 1, "a": {"d": [], "c": ()}},
     {1: "whole", 2: "numbers"}, {None: 1}, {True: 1}, [Level.HIGH, Word("w")], {Word("k"): Level.HIGH}],
)  # fmt: skip
def test_of_every_kind_of_value(value: Any) -> None:
    assert canonical_json(value) == told(value)


def circle() -> list[Any]:
    inner: list[Any] = []
    inner.append({"of": inner})
    return inner


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": object()}, {(1, 2): 3}, {"a", "b"}, circle()])
def test_what_json_cant_hold_raises_what_pythons_encoder_raises(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as expected:
        told(value)
    for _ in range(2):  # an error leaves nothing behind
        with pytest.raises((TypeError, ValueError)) as raised:
            canonical_json(value)
        assert (raised.type, str(raised.value)) == (expected.type, str(expected.value))
    assert canonical_json([1]) == "[1]"


def test_the_digest_of_a_value_stays_what_it_is() -> None:
    assert digest([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    assert digest({"b": "é", "a": [1, None]}) == digest({"a": [1, None], "b": "é"})
