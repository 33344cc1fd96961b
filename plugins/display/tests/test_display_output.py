"""What is printed: safe text, numbers, JSON, progress."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from themis_core.records import Generation, RunCost, Score, Usage
from themis_display import ProgressLine, progress_text
from themis_output import as_json, cell, number, quoted, safe


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("plain é 漢 🙂\tand\nlines", "plain é 漢 🙂\tand\nlines"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),  # OSC: sets the window's title
        ("\x1b[2Jgone", "\\x1b[2Jgone"),  # CSI: clears the screen
        ("\x9b2J\x7f", "\\x9b2J\\x7f"),  # the same by C1, and DEL
        ("over\rwritten", "over\\rwritten"),
        ("a\x00b", "a\\x00b"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),  # turns the direction of writing
        ("\ud800", "\\ud800"),
    ],
)
def test_text_of_models_can_not_steer_the_terminal(text: str, printed: str) -> None:
    assert safe(text) == printed
    assert quoted(text) == "\n".join(f"    {line}" for line in printed.split("\n"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.123456, "0.1235"),
        (0.0, "0"),
        (0.0000987654, "0.00009877"),
        (1870.4, "1870"),
        (12, "12"),
        (True, "True"),
        ("two\nlines\x1b", "two\\nlines\\x1b"),
        ({"a": ["\x1b"]}, '{"a": ["\\u001b"]}'),
    ],
)
def test_a_cell_is_one_safe_line_and_absent_is_not_zero(value: object, shown: str) -> None:
    assert cell(value) == shown


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        (9.9e-05, 4, "0.000099"),
        (-0.00012345, 3, "-0.000123"),
        (123456.7, 4, "123500"),
        (1e-12, 4, "1e-12"),  # plain, it would be mostly zeros
        (1e300, 4, "1e+300"),
        (float("inf"), 4, "inf"),
    ],
)
def test_numbers_are_written_plainly_where_that_is_short(value: float, digits: int, written: str) -> None:
    assert number(value, digits) == written


def test_json_is_ascii_without_loss_and_knows_records() -> None:
    generation = Generation(status="answered", text="\ud800\x7f漢", usage=Usage(input_tokens=3))
    text = as_json({"answer": generation, "score": Score(value=1.0)})
    assert text.isascii()
    assert "\x7f" not in text
    assert json.loads(text) == {
        "answer": {"status": "answered", "text": "\ud800\x7f漢", "usage": {"input_tokens": 3}},
        "score": {"value": 1.0, "reason": None, "parts": [], "details": {}},
    }


def report(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "planned": 200,
        "done": 50,
        "reused": 10,
        "generated": 40,
        "failed": 2,
        "in_flight": 8,
        "cost": RunCost(),
        "elapsed_s": 5.0,
        "rate": 10.0,
        "eta_s": 15.0,
        "judged": 0,
        "note": "",
    }
    return SimpleNamespace(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "50/200 trials (25%) · 10/s · ETA 0:15 · 10 reused · 2 failed · 8 in flight"),
        (
            {"judged": 7, "in_flight": 0},
            "50/200 trials (25%) · 10/s · ETA 0:15 · 10 reused · 2 failed · 7 judge calls",
        ),
        (
            {"eta_s": None, "in_flight": 0, "cost": RunCost(0.12345)},
            "50/200 trials (25%) · 10/s · ETA – · 10 reused · 2 failed · cost 0.1235",
        ),
        (
            {"done": 200, "in_flight": 0, "elapsed_s": 3725.2},
            "200/200 trials (100%) · 10/s · took 1:02:05 · 10 reused · 2 failed",
        ),
        (
            {"rate": 1867.3, "cost": RunCost(0.0000991)},
            "50/200 trials (25%) · 1,870/s · ETA 0:15 · 10 reused · 2 failed · 8 in flight · cost 0.0000991",
        ),
        (
            {"rate": 0.00317},
            "50/200 trials (25%) · 0.00317/s · ETA 0:15 · 10 reused · 2 failed · 8 in flight",
        ),
        (
            {"planned": 0, "done": 0, "in_flight": 0, "elapsed_s": 0.0, "rate": 0.0},
            "0/0 trials · 0/s · took 0:00 · 10 reused · 2 failed",
        ),
        (
            {"note": "rate limited:\n\x1b[2J"},
            "50/200 trials (25%) · 10/s · ETA 0:15 · 10 reused · 2 failed · 8 in flight · rate limited: \\x1b[2J",
        ),
    ],
)
def test_progress_is_one_line_of_what_matters(changes: dict[str, Any], line: str) -> None:
    assert progress_text(report(**changes)) == line


def test_progress_in_a_log_is_rare_and_ends_with_the_last_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("themis_display.progress.time.monotonic", lambda: clock[0])
    now = report()
    with ProgressLine() as line:
        for second in range(26):
            clock[0], now.done = float(second), second
            line(now)  # one object that changes, as a run has it
    out, err = capsys.readouterr()
    assert out == ""
    assert [text.partition("/")[0] for text in err.splitlines()] == ["10", "20", "25"]


def test_progress_without_a_report_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine():
        pass
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_ends_with_the_last_report(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    now = report(planned=3)
    with ProgressLine() as line:
        for done in range(4):
            now.done = done
            line(now)
    out, err = capsys.readouterr()
    assert out == ""
    assert "0/3 trials (0%)" in err
    assert err.rpartition("\x1b[2K")[2].startswith("3/3 trials (100%)")
