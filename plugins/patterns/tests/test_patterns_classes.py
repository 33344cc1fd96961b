r"""`\w`, `\b`, `\d` and `\s` are those of Python's `re`, for every character and every way to write them."""

from __future__ import annotations

import re
import sys
from itertools import filterfalse

import pytest
import regex
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from themis_patterns import Flag, compile_pattern
from themis_patterns.classes import differs, translated

ALL = "".join(map(chr, range(sys.maxunicode + 1)))
OTHER = dict.fromkeys(filter(differs, ALL))
ALIKE = "".join(filterfalse(OTHER.__contains__, ALL))
FLAGS: list[tuple[Flag, ...]] = [(), ("ignorecase",), ("ascii",), ("ascii", "ignorecase")]
CLASSES = [r"\w", r"\W", r"\d", r"\D", r"\s", r"\S", r"[\w]", r"[^\w]", r"[\d.]", r"[^\s-]", r"[\W_]", r"[^\D5]"]


def bits(flags: tuple[Flag, ...]) -> int:
    return sum(getattr(re, name.upper()) for name in flags)


@pytest.mark.parametrize("flags", FLAGS, ids=str)
@pytest.mark.parametrize("pattern", CLASSES)
def test_each_character_is_in_a_class_as_in_re(
    pattern: str, flags: tuple[Flag, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("themis_patterns.classes._is_put_otherwise", OTHER.__contains__)  # a million are too many
    runs = f"(?:{pattern})+"
    expected = re.compile(runs, bits(flags))
    compiled = compile_pattern(runs, flags)
    # A text is matched by the translated pattern if it holds a character that differs, else by the pattern as it is.
    assert "ascii" in flags or compiled._for(ALIKE) is not compiled._for(ALL)
    for text in (ALL, ALIKE):
        assert compiled._for(text).findall(text) == expected.findall(text)


@pytest.mark.parametrize("pattern", [r"(?<=\n)\b.\b", r"(?<=\n)\B.\B", r"(?<=a)\b.", r"(?<=a)\B."])
def test_characters_have_their_boundaries_as_in_re(pattern: str) -> None:
    some = [*OTHER, *ALIKE[::37]]
    for text in ("\n".join(some), "a".join(some)):
        translation = regex.compile(translated(pattern, int(regex.compile(pattern).flags)), regex.DOTALL)
        assert set(translation.findall(text)) == set(re.findall(pattern, text, re.DOTALL))


def test_as_the_engine_comes_tens_of_thousands_of_characters_are_matched_otherwise() -> None:
    wrong = set(re.findall(r"\w", ALL)) ^ set(regex.findall(r"\w", ALL))
    assert len(wrong) > 10_000
    assert wrong <= OTHER.keys()


def test_a_text_differs_by_any_of_its_characters_and_by_no_other() -> None:
    wanted: set[str] = set()
    for name in "wds":
        wanted |= set(re.findall(rf"\{name}", ALL)) ^ set(regex.findall(rf"\{name}", ALL))
    assert OTHER.keys() == wanted
    assert not differs("naïve – “plain” 日本語 \U0001f600\ud800")
    assert differs("a long text of which the last but one differs" * 9 + "²!")


TEXTS = [
    "H₂O",
    "¹⁹F",
    "The answer is B.",
    "²B",
    "B²",
    "x\u0301B",
    "naïve B",
    "1\u0660٣",
    "a\x1cb",
    "a\x85b\u2028c",
    "",
    "é",
    "Ⓐ B Ⓑ",
    "A\u200dB",
    "\U0001d7d9B",
    "B\n²\nC",
    "_B_",
    "K\u212a ſs",
    "½B ¼",
    "ก็ B",
    "\u0345ι",
    "中B文",
    "-",
    "a-z^]",
]
PATTERNS = [
    r"\b[A-J]\b",
    r"(?s)\b[A-J]\b(?!.*\b[A-J]\b)",
    r"\B.",
    r"\w+",
    r"\W+",
    r"\d+",
    r"\D+",
    r"\s+",
    r"\S+",
    r"(?i)[a\w]+",
    r"[\w-]+",
    r"[\w\-z]+",
    r"[^\w\s]",
    r"[^\W\d_]+",
    r"[]\w]+",
    r"[^]\w]",
    r"[\w^]+",
    r"[\d\]]+",
    r"[.\d]+",
    r"(\w)\1?",
    r"(?<=\w)\W",
    r"(?<!\w)B",
    r"(?<=\b)B",
    r"(?<![\w-])[A-Z]",
    r"(?=\w)..",
    r"(?P<n>\w)(?P=n)?",
    r"\\w",
    r"\\\w",
    r"[\\w]+",
    r"[\b]",
    r"(?#\w[)\w",
    r"(?x)\w  # [ not a set \w",
    "(?x)\\w # (\n\\d?",
    r"(?a)\w+",
    r"(?a:\w+)\W?",
    r"(?i:\w)k",
    r"(?a:\b)B",
    r"(?x: \w \s )",
    r"(?:\w|\s)+",
    r"\w{2,}?",
    r"^\W*\w",
    r"(?m)^\w$",
    r"[A-Z\d]+",
    r"[+\-\d]+",
    r"\w*?B\b",
]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_find_what_re_finds(pattern: str) -> None:
    expected = re.compile(pattern)
    compiled = compile_pattern(pattern)
    translation = regex.compile(translated(pattern, compiled._plain.flags))
    for text in TEXTS:
        spans = [match.span() for match in expected.finditer(text)]
        assert [match.span() for match in compiled._for(text).finditer(text)] == spans, text
        if pattern != r"\B.":  # what `\B` finds at the end of an empty text is another thing in Python 3.14
            assert [match.span() for match in translation.finditer(text)] == spans, text


PARTS = [r"\w", r"\W", r"\d", r"\s", r"\S", r"\b", "[^\\w,]", r"[\s\d]", r"[a-c\d-]", "a", "B", ".", r"\.", "²"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from(PARTS), st.sampled_from(["", "", "+", "?"])), min_size=1, max_size=4),
    st.text(st.sampled_from("aBc1,. ²₂\u0301é\x1c\x85ſ\u212a½\u0660Ⓐ_-\n"), max_size=12),
    st.sampled_from(FLAGS),
)
def test_any_pattern_finds_what_re_finds(parts: list[tuple[str, str]], text: str, flags: tuple[Flag, ...]) -> None:
    pattern = "".join(part + (count if part != r"\b" else "") for part, count in parts)
    found = re.search(pattern, text, bits(flags))
    match = compile_pattern(pattern, flags).search(text, seconds=5.0)
    assert (match and match.span()) == (found and found.span())


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(?V1)\w+", "x²"),
        (r"(?w)\w+", "x²"),
        (r"\p{L}+", "x²"),
        (r"[[:alpha:]]+", "x²"),
        (r"(?:\w+){e<=1}", "ab"),
        (r"\X", "e\u0301"),
        (r"(\w(?R)?)", "ab²"),
        (r"\m\w+\M", "ab"),
    ],
)
def test_what_only_the_engine_has_still_works(pattern: str, text: str) -> None:
    assert compile_pattern(pattern).search(text, seconds=5.0) is not None
