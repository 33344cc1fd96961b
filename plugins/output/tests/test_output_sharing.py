"""What all rows share is said once, and nothing else leaves the table."""

from __future__ import annotations

from typing import Any

import pytest

from themis_output import lines, told_once

COLUMNS = ("model", "params", "value", "failed")
SHARING: dict[str, Any] = {"names": ("model", "params"), "zeros": ("failed",)}


@pytest.mark.parametrize(
    ("rows", "more", "told"),
    [
        ([], {}, ([], list(COLUMNS), [])),
        ([["m", "a", "1", "0"], ["m", "b", "1", "0"]], {}, (
            ["all rows: model m, 0 failed"], ["params", "value"], [["a", "1"], ["b", "1"]],
        )),
        ([["m", "a", "1", "2"], ["n", "b", "1", "2"]], {}, (
            [], list(COLUMNS), [["m", "a", "1", "2"], ["n", "b", "1", "2"]],  # no zero
        )),
        ([["m", "t=1, p=2", "1", "0"], ["n", "p=2", "1", "3"]], {"lists": "params"}, (
            ["all rows: params p=2"], list(COLUMNS), [["m", "t=1", "1", "0"], ["n", "–", "1", "3"]],
        )),
        ([["m", "p=2", "1", "0"], ["n", "p=2", "1", "3"]], {"lists": "params"}, (
            ["all rows: params p=2"], ["model", "value", "failed"], [["m", "1", "0"], ["n", "1", "3"]],
        )),
        ([["m", "default", "1", "1"], ["n", "default", "2", "1"]], {"unsaid": {"params": "default"}}, (
            [], ["model", "value", "failed"], [["m", "1", "1"], ["n", "2", "1"]],
        )),
        ([["\x1b[2J", "a", "1", "1"]], {}, (
            ["all rows: model \\x1b[2J, params a"], ["value", "failed"], [["1", "1"]],
        )),
    ],
)  # fmt: skip
def test_what_all_rows_share_leaves_the_table(rows: list[list[str]], more: dict[str, Any], told: Any) -> None:
    before = [list(row) for row in rows]
    assert told_once(COLUMNS, rows, **SHARING, **more) == told
    assert rows == before


def test_a_table_as_lines_has_its_texts_to_the_left_and_all_else_to_the_right() -> None:
    assert lines(["name", "n"], [["é", "10"], ["longer", "9"]], left=["name"]) == [
        "name     n",
        "é       10",
        "longer   9",
    ]
