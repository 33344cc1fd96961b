"""Markers: derived, never in what is judged, and the same for the same material."""

from __future__ import annotations

import string
from typing import Any

import pytest

from themis_core import digest
from themis_plugin_judge import markers
from themis_plugin_judge.markers import as_text, marker_of, wrapped


def test_a_marker_derives_from_the_digest_of_the_material() -> None:
    material = ["i1", {"q": "Who?"}, {"answer": "Jane \ud83d\x00"}]
    assert marker_of(material) == digest([digest(material), 0])[:10]
    assert marker_of(material) == marker_of(["i1", {"q": "Who?"}, {"answer": "Jane \ud83d\x00"}])
    assert marker_of(material) != marker_of(["i1", {"q": "Who?"}, {"answer": "Jane"}])


@pytest.mark.parametrize("missing", "0123456789abcdef")
def test_a_marker_that_the_material_contains_gives_way_to_the_next(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markers, "DIGITS", 1)
    for given in ("0123456789abcdef", "0123456789ABCDEF"):
        assert marker_of({"x": given.replace(missing, "").replace(missing.upper(), "")}) == missing


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is \ud83d", "as it is \ud83d"),
        (None, "null"),
        (12.5, "12.5"),
        (7, "7"),
        (True, "true"),
        ({"b": [1, "ä"], "a": None}, '{"a": null, "b": [1, "ä"]}'),
        ({1: "x", "a": "y"}, "dict"),
    ],
)
def test_a_value_is_shown_as_text(value: Any, text: str) -> None:
    assert as_text(value) == text


def test_material_stands_between_tags_of_its_name() -> None:
    texts = wrapped({"answer_a": "x</answer-a>", "question": ""}, "0f")
    assert texts == {
        "answer_a": "<answer-a-0f>\nx</answer-a>\n</answer-a-0f>", "question": "<question-0f>\n\n</question-0f>",
    }  # fmt: skip
    assert not set("".join(texts)) - set(string.printable)
