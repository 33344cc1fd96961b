"""A match ends in bounded time, and the bound is the thread's own, whatever other threads do."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import regex

from themis_patterns import Pattern, compile_pattern

CATASTROPHIC = [r"(\w+\s?)*$", r"(?:a+)+c", r"(a|aa)+$", r"(.*)*x", r"([a-z]+)*\d", r"^(\w+\b\W?)+²$", r"(?i)(a|A)*b"]
TEXT = "aword " * 2_000 + "a" * 2_000 + "!"


@contextmanager
def busy(work: Callable[[], object], threads: int = 3) -> Iterator[None]:
    stop = threading.Event()

    def on() -> None:
        while not stop.is_set():
            work()

    workers = [threading.Thread(target=on) for _ in range(threads)]
    for each in workers:
        each.start()
    try:
        yield
    finally:
        stop.set()
        for each in workers:
            each.join()


def in_python() -> object:
    return sum(range(1_000))


def in_native_code() -> object:
    return hashlib.sha256(b"x" * 2_000_000).digest()


def own_cpu(pattern: Pattern, seconds: float) -> float:
    began = time.thread_time()
    with pytest.raises(TimeoutError):
        pattern.search(TEXT, seconds=seconds)
    return time.thread_time() - began


@pytest.mark.parametrize("suffix", ["", "²"], ids=["as it is", "translated"])
@pytest.mark.parametrize("pattern", CATASTROPHIC)
def test_a_catastrophic_pattern_ends_in_bounded_time(pattern: str, suffix: str) -> None:
    began = time.thread_time()
    try:
        compile_pattern(pattern).search(TEXT + suffix, seconds=0.1)
    except TimeoutError:
        assert time.thread_time() - began >= 0.09
    assert time.thread_time() - began < 15  # without a bound they would take years


@pytest.mark.parametrize("method", ["search", "fullmatch", "last"])
def test_each_method_is_bounded(method: str) -> None:
    with pytest.raises(TimeoutError):
        getattr(compile_pattern(r"(?:(?:\w+\s?)+[!?]?)+(?<=x)"), method)(TEXT, seconds=0.1)


def test_what_is_not_decided_at_once_is_decided_within_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    pattern, text = compile_pattern(r"(?:a|b)*c|(x)"), "ab" * 500 + "x"
    expected = pattern.search(text, seconds=60)
    monkeypatch.setattr("themis_patterns.matching._AT_ONCE", 1e-9)
    found = pattern.search(text, seconds=60)
    assert found is not None
    assert expected is not None
    assert (found.span(), found[1]) == (expected.span(), expected[1]) == ((1000, 1001), "x")


@pytest.mark.parametrize("work", [in_python, in_native_code])
def test_a_text_has_its_whole_bound_whatever_other_threads_do(work: Callable[[], object]) -> None:
    pattern = compile_pattern(r"(\w+\s?)*$")
    with busy(work):
        assert own_cpu(pattern, 0.2) >= 0.18


def test_the_timeout_of_the_engine_alone_counts_what_other_threads_use() -> None:
    with busy(in_native_code):
        began = time.thread_time()
        with pytest.raises(TimeoutError):
            regex.compile(r"(\w+\s?)*$").search(TEXT, timeout=0.2)
        assert time.thread_time() - began < 0.18


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a(", "not a regular expression: missing ) at position 2 of 'a('"),
        ("*", "not a regular expression: nothing to repeat at position 0 of '*'"),
        ("(" * 5_000, "nested too deeply or too large"),
    ],
)
def test_what_is_no_pattern_is_refused_with_its_position(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match="regular expression") as raised:
        compile_pattern(pattern)
    assert message in str(raised.value)


def test_the_last_match_is_found_in_a_long_text() -> None:
    match = compile_pattern("(b|$)").last("a" * 1_000_000, seconds=5.0)
    assert match is not None
    assert match[0] == ""


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (r"\b[A-J]\b", "A or B, not H₂", ["A", "B"]),
        (r"aa", "aaaaa", ["aa", "aa"]),  # none overlaps another
        (r"\d+", "no number", []),
        (r"x*", "axb", ["", "x", "", ""]),
        (r"^\w", "one\ntwo", ["o"]),
        (r"(?m)^\w", "one\ntwo", ["o", "t"]),
        (r"", "ab", ["", "", ""]),
        (r"a", "", []),
    ],
)
def test_every_match_is_found_in_order_as_by_re_and_the_last_of_them_is_the_last(
    pattern: str, text: str, found: list[str]
) -> None:
    compiled = compile_pattern(pattern)
    every = [(match.span(), match[0]) for match in compiled.every(text, seconds=1.0)]
    assert every == [(match.span(), match[0]) for match in re.finditer(pattern, text)]
    assert [match for _, match in every] == found
    last = compiled.last(text, seconds=1.0)
    assert (last and last.span()) == (every[-1][0] if every else None)


@pytest.mark.parametrize("suffix", ["", "²"], ids=["as it is", "translated"])
def test_all_matches_together_have_one_bound(suffix: str) -> None:
    # Each of the matches is found within the bound, all of them are not.
    pattern, text = compile_pattern(r"\w(?=[^b]*$)"), "a" * 100_000 + suffix
    assert pattern.search(text, seconds=0.1) is not None
    began = time.thread_time()
    with pytest.raises(TimeoutError):
        pattern.every(text, seconds=0.1)
    assert time.thread_time() - began < 3
