"""Which number each answer gets: one table per metric."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from themis_core import Generation, Item, Metric, Score
from themis_plugin_text.choices import ChoiceAccuracy, ChoiceSet
from themis_plugin_text.json_match import JsonMatch
from themis_plugin_text.matches import Contains, ExactMatch, RegexMatch
from themis_plugin_text.numeric import NumericMatch
from themis_plugin_text.overlap import TokenF1

BAD = "bad_reference"


def check(metric: Metric, value: Any, reference: Any, expected: float | str, **fields: Any) -> Score:
    """Score and compare: `expected` is the value, or the reason."""
    item = Item("1", fields, reference)
    reason = metric.unscorable(item)
    score = Score(reason=reason) if reason else metric.score(item, Generation("answered"), value)
    assert (score.reason or score.value) == expected
    return score


@pytest.mark.parametrize(
    ("config", "value", "reference", "expected"),
    [
        ({}, "Paris", "Paris", 1.0),
        ({}, " Paris\n", "Paris", 1.0),
        ({"strip": False}, " Paris", "Paris", 0.0),
        ({}, "paris", "Paris", 0.0),
        ({"ignore_case": True}, "STRASSE", "Straße", 1.0),
        ({"ignore_punctuation": True}, "it's.", "its", 1.0),
        ({"ignore_punctuation": True}, "“so” – ok", "so  ok", 1.0),
        ({"ignore_articles": True}, "The cat", "a cat", 1.0),
        ({"ignore_whitespace": True}, "a b\tc", "abc", 1.0),
        ({"unicode": True}, "１", "1", 1.0),
        ({}, "１", "1", 0.0),
        ({}, "Roma", ["Rome", "Roma"], 1.0),
        ({}, "18", 18, 1.0),
        ({}, 18, "18", 1.0),
        ({}, True, True, 1.0),
        ({}, [1, {"b": 2}], '[1, {"b": 2}]', 1.0),
        ({}, None, "", 1.0),
        ({}, "x", {"a": 1}, BAD),
        ({}, "x", [], 0.0),
        ({}, "", [], 1.0),
        ({}, "x", [None], BAD),
        ({}, "a\x00\ud83d", "a\x00\ud83d", 1.0),
    ],
)
def test_exact_match(config: dict[str, Any], value: Any, reference: Any, expected: float | str) -> None:
    check(ExactMatch.model_validate(config), value, reference, expected)


@pytest.mark.parametrize(
    ("config", "value", "reference", "expected"),
    [
        ({}, "3,000", 3000, 1.0),
        ({}, "3,000", "3000", 1.0),
        ({}, "$5", 5, 1.0),
        ({}, "-1.8 billion", -1_800_000_000, 1.0),
        ({"scale_words": False}, "-1.8 billion", -1.8, 1.0),
        ({}, "5 km/h", 5, 1.0),
        ({}, "5.", 5, 1.0),
        ({}, "−7", -7, 1.0),
        ({}, "45%", 45, 1.0),
        ({"percent_as_fraction": True}, "45%", 0.45, 1.0),
        ({"decimal": ","}, "1.234,5", 1234.5, 1.0),
        ({}, "1e3", 1000, 1.0),
        ({}, 0.1, "0.10", 1.0),
        ({}, 0.30000000000000004, 0.3, 0.0),
        ({"relative_tolerance": 1e-9}, 0.30000000000000004, 0.3, 1.0),
        ({}, "12345678901234567890", 12345678901234567891, 0.0),  # equal as doubles
        ({}, "9007199254740993", "9007199254740993.0", 1.0),
        ({"tolerance": 0.1}, "1.1", 1, 1.0),  # |1.1 - 1| is exactly 0.1, which doubles miss
        ({"tolerance": 0.1}, "1.11", 1, 0.0),
        ({"relative_tolerance": 0.01}, 99, -100, 0.0),
        ({"relative_tolerance": 0.01}, -99, -100, 1.0),
        ({}, 3, [2, 3], 1.0),
        ({}, "10+John's age", 50, 0.0),
        ({}, "7/14", 34, 0.0),
        ({}, "the answer is 5", 5, 0.0),
        ({}, "5 or 6", 5, 0.0),
        ({}, "", 0, 0.0),
        ({}, None, 0, 0.0),
        ({}, True, 1, 0.0),
        ({}, "1e999999999", 1, 0.0),
        ({}, "9" * 1_000_000, 1, 0.0),
        ({}, "5", "five", BAD),
        ({}, "5", [], BAD),
        ({}, "5", [5, "x"], BAD),
        ({}, "5", True, BAD),
    ],
)
def test_numeric_match(config: dict[str, Any], value: Any, reference: Any, expected: float | str) -> None:
    check(NumericMatch.model_validate(config), value, reference, expected)


def test_an_answer_that_is_no_number_is_wrong_and_says_why() -> None:
    score = check(NumericMatch(), "10+John's age", 50, 0.0)
    assert score == Score(0.0, details={"not_a_number": "the answer"})


@pytest.mark.parametrize(
    ("config", "value", "reference", "expected"),
    [
        ({}, "in Paris today", "Paris", 1.0),
        ({}, "in paris today", "Paris", 0.0),
        ({"ignore_case": True}, "in paris today", "Paris", 1.0),
        ({}, "Rome", ["Paris", "Rome"], 1.0),
        ({"mode": "all"}, "Rome", ["Paris", "Rome"], 0.0),
        ({"mode": "all"}, "Rome, Paris", ["Paris", "Rome"], 1.0),
        ({}, "it is 42.", 42, 1.0),
        ({}, {"city": "Paris"}, "Paris", 1.0),
        ({}, "x", "", BAD),
        ({"ignore_punctuation": True}, "x", "?!", BAD),
        ({}, "x", {}, BAD),
        ({}, "", "x", 0.0),
    ],
)
def test_contains(config: dict[str, Any], value: Any, reference: Any, expected: float | str) -> None:
    check(Contains.model_validate(config), value, reference, expected)


@pytest.mark.parametrize(
    ("config", "value", "reference", "expected"),
    [
        ({"pattern": r"\d+"}, "a 12", None, 1.0),
        ({"pattern": r"\d+"}, "a", None, 0.0),
        ({"pattern": r"\d+", "mode": "fullmatch"}, "a 12", None, 0.0),
        ({"pattern": "ok", "ignore_case": True}, "OK", None, 1.0),
        ({}, "colour", "colou?r", 1.0),
        ({}, "colour", ["x", "colou?r"], 1.0),
        ({}, "x", "(", BAD),
        ({}, "x", 5, BAD),
        ({}, "x", [], BAD),
        ({}, "x", None, "no_reference"),
        ({"pattern": r"(\w+\s?)*$", "timeout_s": 0.1}, "word " * 12_000 + "!", None, "metric_timeout"),
        ({"pattern": "a+b"}, "\x00\ud83daab", None, 1.0),
    ],
)
def test_regex_match(config: dict[str, Any], value: Any, reference: Any, expected: float | str) -> None:
    check(RegexMatch.model_validate(config), value, reference, expected)


def test_a_regex_match_with_a_bad_pattern_is_refused_as_config() -> None:
    with pytest.raises(ValidationError, match=r"not a regular expression: missing \) at position 2 of 'a\('"):
        RegexMatch(pattern="a(")


TEXTS = ["Paris", "Rome", "Oslo", "Bern"]


@pytest.mark.parametrize(
    ("config", "choices", "value", "reference", "expected"),
    [
        ({}, TEXTS, "B", "B", 1.0),
        ({}, TEXTS, "(b)", "B", 1.0),
        ({}, TEXTS, "B", 1, 1.0),
        ({"first_index": 1}, TEXTS, "B", 2, 1.0),
        ({}, TEXTS, "B", "Rome", 1.0),
        ({}, TEXTS, " rome", "B", 1.0),
        ({}, TEXTS, "A", "B", 0.0),
        ({}, TEXTS, "B", ["A", "B"], 1.0),
        ({}, TEXTS, "E", "B", 0.0),
        ({}, TEXTS, None, "B", 0.0),
        ({}, TEXTS, "B", "E", BAD),
        ({}, TEXTS, "B", 4, BAD),
        ({}, TEXTS, "B", {}, BAD),
        ({}, TEXTS, "B", [], BAD),
        ({}, TEXTS, "B", None, "no_reference"),
        ({}, {"text": ["x", "y"], "label": ["1", "2"]}, "y", "2", 1.0),  # labels before indexes
        ({}, {"C": "x", "D": "y"}, "D", "y", 1.0),
        ({}, None, "B", 1, 1.0),
        ({"labels": "1234"}, TEXTS, "2", "Rome", 1.0),
    ],
)
def test_choice_accuracy(config: Any, choices: Any, value: Any, reference: Any, expected: float | str) -> None:
    check(ChoiceAccuracy.model_validate(config), value, reference, expected, choices=choices)


@pytest.mark.parametrize(
    ("config", "value", "reference", "expected"),
    [
        ({}, ["A", "C"], ["A", "C"], 1.0),
        ({}, ["C", "A"], ["A", "C"], 1.0),
        ({}, ["A", "C"], "A,C", 1.0),
        ({}, ["A", "C"], "AC", 1.0),
        ({}, "(A)(C)", "CA", 1.0),
        ({}, "A and C", ["A", "C"], 1.0),
        ({}, "a, c", ["Oslo", "Paris"], 1.0),
        ({}, ["A", "C"], [0, 2], 1.0),
        ({}, ["A", "A"], "A", 1.0),
        ({}, "A", ["A", "C"], 0.0),
        ({}, ["A", "B", "C"], ["A", "C"], 0.0),
        ({}, ["A", "D"], ["A", "C"], 0.0),
        ({}, "A or C", ["A", "C"], 0.0),
        ({}, "A, C, E", ["A", "C"], 0.0),
        ({}, [], ["A"], 0.0),
        ({}, None, ["A"], 0.0),
        ({"partial": "jaccard"}, ["A", "B"], ["A", "C"], 1 / 3),  # A of A, B, C
        ({"partial": "jaccard"}, ["A"], ["A", "C"], 0.5),
        ({"partial": "jaccard"}, ["B"], ["A", "C"], 0.0),
        ({"partial": "jaccard"}, ["A", "E"], ["A", "C"], 0.0),
        ({}, ["A"], [], BAD),
        ({}, ["A"], "A, E", BAD),
        ({}, ["A"], {}, BAD),
        ({}, ["A"], None, "no_reference"),
    ],
)
def test_choice_set(config: dict[str, Any], value: Any, reference: Any, expected: float | str) -> None:
    check(ChoiceSet.model_validate(config), value, reference, expected, choices=TEXTS)


@pytest.mark.parametrize(
    ("value", "reference", "expected"),
    [
        ("The cat sat.", "a cat sat", 1.0),
        ("cat sat", "cat ran home", 0.4),  # 1 shared word: 2 * 1 / (2 + 3)
        ("cat cat", "cat", 2 / 3),  # a word counts as often as it occurs
        ("dog", "cat", 0.0),
        ("dog", ["cat", "dog"], 1.0),
        ("the", "a", 1.0),  # no words on either side
        ("", "cat", 0.0),
        ("18", 18, 1.0),
        ("x", {}, BAD),
        ("x", [], 0.0),
        ("the", [], 1.0),
    ],
)
def test_token_f1(value: Any, reference: Any, expected: float | str) -> None:
    check(TokenF1(), value, reference, expected)


@pytest.mark.parametrize(
    ("config", "value", "reference", "expected"),
    [
        ({}, {"a": 1, "b": [1, 2]}, {"b": [1, 2], "a": 1}, 1.0),
        ({}, '{"a": 1.0}', {"a": 1}, 1.0),
        ({}, {"a": True}, {"a": 1}, 0.0),
        ({}, {"a": 1, "b": 2}, {"a": 1}, 0.0),
        ({"ignore_extra_keys": True}, {"a": 1, "b": 2}, {"a": 1}, 1.0),
        ({"ignore_extra_keys": True}, {"b": 2}, {"a": 1}, 0.0),
        ({}, [1, 2], [2, 1], 0.0),
        ({"ignore_order": True}, [1, 2], [2, 1], 1.0),
        ({"ignore_order": True}, [1, 1, 2], [1, 2, 2], 0.0),
        ({"ignore_order": True}, [{"a": [2, 1]}, 3], [3, {"a": [1, 2]}], 1.0),
        ({"ignore_order": True, "tolerance": 0.25}, [1.0, 0.75], [1.0, 1.25], 1.0),  # 1.0 must go to 1.25
        ({"tolerance": 0.1}, {"a": 1.05}, {"a": 1}, 1.0),
        ({"keys": ["a"]}, {"a": 1, "b": 3}, {"a": 1, "b": 2}, 1.0),
        ({"keys": ["c"]}, {"a": 1}, {"a": 1}, BAD),
        ({"per_field": True}, {"a": 1, "b": 3}, {"a": 1, "b": 2}, 0.5),
        ({"per_field": True}, "no JSON", {"a": 1}, 0.0),
        ({"per_field": True}, [1], [1], BAD),
        ({}, "no JSON", {"a": 1}, 0.0),
        ({}, "word", "word", 1.0),
        ({}, "[" * 100_000, {"a": 1}, "too_deep"),
        ({"ignore_order": True}, list(range(2_000)), list(range(2_000)), "too_large"),
    ],
)
def test_json_match(config: dict[str, Any], value: Any, reference: Any, expected: float | str) -> None:
    check(JsonMatch.model_validate(config), value, reference, expected)


def test_a_score_per_field_names_the_fields_that_are_wrong() -> None:
    score = check(JsonMatch(per_field=True), {"a": 1, "b": 3}, {"a": 1, "b": 2}, 0.5)
    assert score.details == {"wrong": ["b"]}
