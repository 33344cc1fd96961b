"""Setting single values by the path that a user writes."""

from __future__ import annotations

from typing import Any

import pytest

from themis_documents import set_value


@pytest.mark.parametrize(
    ("path", "text", "data"),
    [
        ("a", "5", {"a": 5, "s": [{"x": 1}, {"x": 2}]}),
        ("a", "[a, b]", {"a": ["a", "b"], "s": [{"x": 1}, {"x": 2}]}),
        ("s[1].x", "text", {"a": None, "s": [{"x": 1}, {"x": "text"}]}),
        ("s.0.x", "0.5", {"a": None, "s": [{"x": 0.5}, {"x": 2}]}),
        ("s[0]", "{y: no}", {"a": None, "s": [{"y": "no"}, {"x": 2}]}),
        ("a.b.c", "true", {"a": {"b": {"c": True}}, "s": [{"x": 1}, {"x": 2}]}),
        ("n.1", "", {"a": None, "s": [{"x": 1}, {"x": 2}], "n": {"1": None}}),
        ('n."b.c"', "'5'", {"a": None, "s": [{"x": 1}, {"x": 2}], "n": {"b.c": "5"}}),
    ],
)
def test_setting_a_value_changes_a_copy(path: str, text: str, data: Any) -> None:
    old = {"a": None, "s": [{"x": 1}, {"x": 2}]}
    assert set_value(old, path, text) == data
    assert old == {"a": None, "s": [{"x": 1}, {"x": 2}]}


@pytest.mark.parametrize(
    "text",
    ["{{ item.question }}", "a: b", "- a", "# a", "@a", "!a", "*a", "&a", "%a", "a, b", "|", "files/jsonl"],
)
def test_a_value_that_is_no_scalar_list_or_mapping_is_text(text: str) -> None:
    assert set_value({}, "x", text) == {"x": text}


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("s[2].x", "1", "s is a list without an element 2 (there are: 0 to 1)"),
        ("s.x", "1", "s is a list without an element 'x' (there are: 0 to 1)"),
        ("s.-1", "1", "s is a list without an element '-1'"),
        ("e[0]", "1", "e is a list without an element 0 (there are: none, it is empty)"),
        ("s[0].x.y", "1", "s[0].x is 1, not a mapping, so 'y' cannot be set in it"),
        ("s[0][1]", "1", "s[0] is a mapping, not a list, so it has no element 1"),
        ("s[0].x[1]", "1", "s[0].x is a single value, not a list, so it has no element 1"),
        ("new[0].x", "1", "new is not set, not a list, so it has no element 0"),
        ("", "1", "'' is not a path such as benchmark.slices[0].dataset_query.count"),
        ("s..x", "1", "'s..x' is not a path"),
        (".s", "1", "'.s' is not a path"),
        ("s.", "1", "'s.' is not a path"),
        ("s[x]", "1", "'s[x]' is not a path"),
        ("s[0]x", "1", "'s[0]x' is not a path"),
        ("a", "[1, 2", "a: cannot read the value '[1, 2': did not find expected"),
        ("a", ".nan", "a: cannot read the value '.nan': .nan is not a finite number"),
        ("a", "[!x y]", "the tag !x is not allowed here"),
    ],
)
def test_a_value_that_cannot_be_set_says_why(path: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        set_value({"s": [{"x": 1}, {"x": 2}], "e": []}, path, text)
    assert message in str(caught.value)
