"""How messages say counts and very long names."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from themis_core import PluginError, SpecError, StorageError, ThemisError, counted

ROOT = Path(__file__).parents[2]
LONG = "x" * 5_000
SPACED = "a b " * 1_500


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (counted(0, "call"), "0 calls"),
        (counted(1, "call"), "1 call"),
        (counted(2, "call"), "2 calls"),
        (counted(1, "stored answer", "is", "are"), "1 stored answer is"),
        (counted(3, "trial", "has", "have"), "3 trials have"),
    ],
)
def test_one_is_one(told: str, expected: str) -> None:
    assert told == expected


COUNT = re.compile(
    r"\{(?!counted|are\b)[^{}]*"
    r"(?:count|len\(|number|runs|events|calls|trials|generated|reused|missing|unparsed)[^{}]*\} "
    r"(?:calls|trials|answers|items|scores|files|runs|events|things|ids|cells|columns|times|executions)\b"
)
SEVERAL = ("trials of {run.run_id} begin with",)
"""Counts that are never one."""


def test_no_message_puts_a_count_before_a_plural() -> None:
    found = []
    for file in (*(ROOT / "themis_core").rglob("*.py"), *(ROOT / "plugins").glob("*/src/**/*.py")):
        if "testing" not in file.parts:
            found += [f"{file.name}: {text}" for text in f_strings(file) if COUNT.search(text)]
    assert [text for text in found if not any(each in text for each in SEVERAL)] == []


def test_such_a_message_would_be_found() -> None:
    assert COUNT.search('f"{result.generated} calls answered"')
    assert COUNT.search('f"{len(found)} files, {size:,} bytes"')


def f_strings(file: Path) -> list[str]:
    source = file.read_text(encoding="utf-8")
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    kinds = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    rows = {row for each in tokens if each.type in kinds for row in range(each.start[0], each.end[0] + 1)}
    lines = source.split("\n")
    return [lines[row - 1].strip() for row in sorted(rows) if "{" in lines[row - 1]]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PluginError(f"plugin {LONG!r} is not installed. Installed: a, b."), "plugin 'xxx"),
        (SpecError(f"duplicate slice_id {SPACED!r}: slices[0] has it already", path="s.yaml", line=3), "s.yaml:3: dup"),
        (SpecError("no column", loc=LONG), "xxx"),
        (StorageError(f"can't read /{LONG}/store: it isn't there"), "can't read /xxx"),
        (ThemisError(f'{LONG!r} isn\'t "{SPACED}"; write another'), "'xxx"),
        (SpecError(f"{SPACED!r}, {LONG!r} and {LONG!r} differ"), "'a b"),
    ],
)
def test_very_long_names_are_cut_and_the_rest_is_kept(error: ThemisError, expected: str) -> None:
    told = str(error)
    assert told.startswith(expected)
    assert len(told) < 500
    assert "…" in told
    assert re.search(r"\(5,0\d\d characters\)|\(6,000 characters\)", told)
    assert told.split()[-1] == str(error.args[0]).split()[-1] or error.args[0] == "no column"


@pytest.mark.parametrize(
    "message",
    [
        "can't read it: " + "this is a long advice with words, " * 40 + "and it isn't all",
        f"there is no {'x' * 400!r}",
        "'a' isn't 'b', " * 100,
    ],
)
def test_what_people_read_stays_whole(message: str) -> None:
    assert str(ThemisError(message)) == message
