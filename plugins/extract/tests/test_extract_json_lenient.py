"""JSON as models write it: what is read where, and no draft or guess in place of the final value."""

from __future__ import annotations

import time
from typing import Any

import pytest

from themis_core import Extraction
from themis_plugin_extract.json_values import Json

DRAFT = 'Draft: {"a": 3}\n'
FENCED_DRAFT = '```json\n{"a": 3}\n```\nNo: '


def read(text: str, lenient: str = "delimited", path: str | None = "a", which: str = "last") -> Extraction:
    return Json.model_validate({"lenient": lenient, "path": path, "which": which}).extract(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 5,}', 5),
        ('{"a": "1,} good",}', "1,} good"),
        ('{"a": [1, 2,],}', [1, 2]),
        ("{'a': 5, 'sure': True, 'why': None}", 5),
        ("{'a': True}", True),
        ("{'a': 'None of these'}", "None of these"),
        ("{'a': \"it's {True}\"}", "it's {True}"),
        ("{'a': 'it\\'s'}", "it's"),
        ("{a: 5}", 5),
        ("{a: 0x1F, b: +.5,}", 31),
        ('{"a": "http://x.org/#y", // see\n}', "http://x.org/#y"),
        ('{\n  // {"a": 3}\n  "a": 5 /* not 3 } */\n}', 5),
        ("{'a': 5  # not {3}\n}", 5),
        ('{"a": "x\ny",}', "x\ny"),
        ("[{a: 5,},]", None),  # the path leads to no key of an array
    ],
)
def test_an_object_is_read_leniently_alone_or_in_a_fence_and_in_prose_only_if_asked(text: str, value: Any) -> None:
    expected = Extraction(value, None if value is not None else "path_missing")
    assert read(text) == read(f" {text}\n") == expected
    assert read(f"So:\n```json5\n{text}\n```\nDone.") == read(f"```\n{text}") == expected
    assert read(f"So: {text} it is.", "anywhere") == expected
    assert read(f"So: {text} it is.").reason == "invalid_json"
    assert read(text, "never").reason == read(f"```json\n{text}\n```", "never").reason == "invalid_json"


@pytest.mark.parametrize("lenient", ["never", "delimited", "anywhere"])
@pytest.mark.parametrize(
    "final",
    [
        '{"a": 5, "why": "beca',
        "{'a': 5, 'why': 'beca",
        "{a: 5, why: {b: 1}",
        '{"a": 5, "b": {"a": 3}',
        '{"a": 5,, "b": {"a": 3}}',
        '{"a": 5 /* or {"a": 3}',
        '{"a": 5 "b": 6}',
        "{a: five}",
        "{'a': five, 'b': {'a': 3}}",
        "{'a': (3, 5)}",
        "{“a”: 5}",
        "{'a': 3, 'a': 5}",
        "{",
        "{a",
        "{ // the answer",
        '```json\n{"a": 5',
        "```json\n{a: five}\n```",
        "```python\n{'a': (3, 5)}\n```",
        "```js\n{a: five}\n```",
        '[{"a": 5,',
        "{final-answer: 5",
        '\\boxed{\\{"a": 5\\}}',
    ],
)
def test_no_draft_is_taken_for_a_final_value_that_is_broken_or_cut_off(final: str, lenient: str) -> None:
    for draft in (DRAFT, FENCED_DRAFT, ""):
        found = read(draft + final, lenient)
        assert not found.parsed, (draft, found)


@pytest.mark.parametrize(
    ("text", "which", "value"),
    [
        ('```json\n{"a": 3}\n```\nWait, that is wrong. {"a": 5}', "last", 5),
        ('{"a": 5}. The schema was:\n```json\n{"b": 3}\n```', "last", 5),
        ('{"a": 3}\n```json\n{"a": 5}\n```', "last", 5),
        ('```json\n{"a": 3}\n```\n```python\n{"a": 5}\n```', "last", 5),
        ('{"a": 5}\n```python\nx = {k: v for k in y}\n```', "last", 5),
        ('{"a": 5}\nConfidence: {"confidence": 0.9}', "last", 5),
        ('{"thoughts": 1}\n{"a": 5}\n{"a": 3}', "first", 5),
        ('{"a": 5} as in \\{x : x > 0\\}, \\text{if: so}, {1, 2} and [3, p. 4]', "last", 5),
        ('{"b": "```py\\n{}\\n```", "a": 5} it is', "last", 5),
        ('"{\\"a\\": 5}"', "last", 5),
        ('"{\\"a\\": \\"\\\\frac12\\"}"', "last", "\\frac12"),
    ],
)
def test_the_last_or_first_object_that_has_the_key_is_found_wherever_it_stands(
    text: str, which: str, value: Any
) -> None:
    assert read(text, which=which) == Extraction(value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": {"v": 3}} then {"a": 5}', "path_missing"),  # it has the key, so it is meant
        ('{"a": {"v": 3}} then {"confidence": 0.9,}', "invalid_json"),
        ('{"a": {"v": 3}} then {"a": {"v": 1}, "a": {"v": 2}}', "duplicate_keys"),
        ('{"b": 1} then {"c": 2}', "path_missing"),
    ],
)
def test_an_object_is_passed_over_only_if_it_is_sound_and_lacks_the_key(text: str, reason: str) -> None:
    assert read(text, path="a.v") == Extraction(reason=reason)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Draft [1, 2], then [1, 3,]", None),
        ("Draft [1, 2], then [1 3]", None),
        ("Draft [1, 2], then [-1.5, x]", None),
        ("Draft ['x'], then ['y', 'z']", None),
        ('Draft ["x"], then [y, z]', None),
        ('Draft ["x"], then ["y", "z', None),
        ('Draft ["x"], then [', None),
        ("The list [1, 2], see [the notes] or [2 cm]", [1, 2]),
        ('Given {"x": 1}:\n```json\n[1, 2]\n```', [1, 2]),
        ("```\n['x', 'y',]\n```", ["x", "y"]),
        ('"B"', "B"),
        ('"{b}"', "{b}"),
    ],
)
def test_arrays_and_texts_without_a_path(text: str, value: Any) -> None:
    assert read(text, path=None) == Extraction(value, None if value else "invalid_json")


@pytest.mark.parametrize(
    ("written", "value", "strict"),
    [
        (r"\frac{1}{2}", r"\frac{1}{2}", "\frac{1}{2}"),
        (r"\\frac{1}{2}", r"\frac{1}{2}", r"\frac{1}{2}"),
        (r"\(x\)", r"\(x\)", None),
        (r"2\times\beta\rho", r"2\times\beta\rho", "2\times\beta\rho"),
        (r"\theta\neq\alpha", r"\theta\neq\alpha", None),
        (r"x\to\infty", r"x\to\infty", None),
        (r"\underline{x}", r"\underline{x}", None),
        (r"one\ntwo\tthree\r\n", "one\ntwo\tthree\r\n", "one\ntwo\tthree\r\n"),
        (r"caf\u00e9 \"x\" a\/b", 'café "x" a/b', 'café "x" a/b'),
    ],
)
def test_backslashes_of_latex_stay_unless_strict_json_is_asked_for(written: str, value: str, strict: Any) -> None:
    text = f'{{"a": "{written}"}}'
    assert read(text) == read(f"So {text}.") == read(f"```json\n{text}\n```") == Extraction(value)
    assert read(text, "never") == Extraction(strict, None if strict else "invalid_json")


@pytest.mark.parametrize("lenient", ["delimited", "anywhere"])
@pytest.mark.parametrize(
    "text",
    [
        "```json\n" + "{'a': [" * 20_000,
        "```json\n" + "['x', x], " * 20_000,
        "['" * 30_000,
        "[1, x] " * 30_000,
        "{a: x} " * 30_000,
        "{a: 1, " * 30_000,
        "{/*" * 30_000,
        "```" * 30_000 + "{a: x}",
        "{" + "a: 1, " * 30_000 + "}",
        "\\" * 60_000,
    ],
)
def test_lenient_reading_takes_bounded_time(text: str, lenient: str) -> None:
    started = time.thread_time()
    assert not read(text, lenient).parsed
    assert time.thread_time() - started < 20  # a second or less here; what grows with the square takes minutes
